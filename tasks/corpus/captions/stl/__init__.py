"""Read EBU STL (EBU Tech 3264), the subtitle format of European broadcast archives."""

from tasks.corpus.captions.stl.file import parse_stl

__all__ = ["parse_stl"]
