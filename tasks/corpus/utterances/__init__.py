"""From a programme to utterances: decode, cut by the transcript, normalise, match with a recogniser."""
