"""`python -m tasks index-transcripts`: make the search index of the desk, or bring it up to date."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import structlog

from tasks.contract import ExitCode
from tasks.desk.index.building import rebuild, refresh

log = structlog.get_logger()


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tasks index-transcripts", description=__doc__)
    parser.add_argument("--transcripts", required=True, help="URI prefix of the transcripts")
    parser.add_argument("--index", required=True, type=Path, help="folder of the index, on a local disk")
    parser.add_argument("--refresh", action="store_true", help="read only what is new since the last time")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    make = refresh if arguments.refresh else rebuild
    n_rows = make(arguments.transcripts.rstrip("/"), arguments.index)
    log.info(
        "index refreshed" if arguments.refresh else "index made",
        rows=n_rows,
        seconds=round(time.monotonic() - began, 1),
    )
    return ExitCode.DONE
