"""Distinguish TTML from other XML beside media: production systems write metadata as `news.xml`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from tasks import storage
from tasks.contract import InputRejected
from tasks.corpus.captions.ttml import is_ttml
from tasks.corpus.captions.ttml.markup import SNIFFED_BYTES

N_READERS = 16  # reads are I/O-bound: one small request to S3 for each file
BATCH = 1000


def other_xml(uris: Iterable[str]) -> Iterator[str]:
    """Yield those of the XML objects that are not TTML."""
    remaining = iter(uris)
    with ThreadPoolExecutor(N_READERS) as pool:
        while batch := list(islice(remaining, BATCH)):
            yield from (uri for uri, is_other in zip(batch, pool.map(_is_other, batch), strict=True) if is_other)


def _is_other(uri: str) -> bool:
    try:
        with storage.open_reader(uri) as file:
            return not is_ttml(file.read(SNIFFED_BYTES))
    except (InputRejected, OSError) as error:
        if isinstance(error, OSError) and not storage.is_permanent_file_error(error):
            raise
        return False  # prepare-corpus reports what is wrong with it
