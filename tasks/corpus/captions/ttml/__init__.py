"""Read TTML and its profiles (IMSC, EBU-TT, DFXP, iTT), after W3C's Timed Text Markup Language 2."""

from tasks.corpus.captions.ttml.document import parse_ttml
from tasks.corpus.captions.ttml.markup import is_ttml

__all__ = ["is_ttml", "parse_ttml"]
