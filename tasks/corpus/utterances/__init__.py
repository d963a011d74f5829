"""From one programme to utterances: decode, cut by the transcript, normalise, compare with a recogniser."""
