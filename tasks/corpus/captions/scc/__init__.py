"""Read SCC (Scenarist Closed Captions): the byte pairs of CEA-608 line-21 captions with their time codes."""

from tasks.corpus.captions.scc.file import parse_scc

__all__ = ["parse_scc"]
