"""Read transcripts of all formats as supervisions.

`read_transcript` reads an object with any known extension. The parsers of the formats are pure functions of the data.
"""

from tasks.corpus.captions.reader import TRANSCRIPT_EXTENSIONS, SourceTranscript, read_transcript

__all__ = ["TRANSCRIPT_EXTENSIONS", "SourceTranscript", "read_transcript"]
