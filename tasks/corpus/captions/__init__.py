"""Transcripts beside media, whatever their format, as supervisions.

`read_transcript` reads an object of any known extension. The formats' own modules work on text alone.
"""

from tasks.corpus.captions.reader import TRANSCRIPT_EXTENSIONS, SourceTranscript, read_transcript

__all__ = ["TRANSCRIPT_EXTENSIONS", "SourceTranscript", "read_transcript"]
