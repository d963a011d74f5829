"""How much of the speech that was found has words."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.transcripts.document import Coverage, Word
from tasks.transcripts.spans import Span, shared_ms, total_ms, union

# Voice activity detection bridges pauses as short as this, so they are no loss of the recogniser's.
_BRIDGED_MS = 500


def coverage(speech: Sequence[Span], words: Sequence[Word], redecoded: Sequence[Span] = ()) -> Coverage:
    """`speech`: where voice activity was found; `redecoded`: the chunks that were decoded more than once."""
    found = union(speech)
    spoken = union((Span(word.start_ms, word.end_ms) for word in words), _BRIDGED_MS)
    return Coverage(
        speech_ms=total_ms(found),
        covered_ms=shared_ms(found, spoken),
        redecoded_ms=total_ms(union(redecoded)),
    )
