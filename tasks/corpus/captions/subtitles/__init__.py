"""SubRip (.srt) and WebVTT (.vtt): timing lines, markup, and the cues between them."""

from tasks.corpus.captions.subtitles.document import parse_subtitles

__all__ = ["parse_subtitles"]
