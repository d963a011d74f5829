"""What the decoder's sandbox costs: the same decoder, confined and not, by processor time.

Both decode the same twenty minutes of MP3 and of AAC in processes of their own; the peer's fork server and children
keep every right. Counted is the processor time of all children of each fork server, so what is forked, confined and
decoded, and not what the receiver does.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import psutil

from benchmarks.support.harness import Report, make_report, run, time_interleaved
from benchmarks.support.media_files import write_media
from tasks.media.decoding.isolated import IsolatedDecoder

SECONDS, REPEATS, PEER = 20 * 60, 7, "not confined"
UNCONFINED = """
import sys
from tasks.media.decoding import isolated_child as child
from tasks.media.sandbox.confinement import SandboxReport
child.confine_server = lambda: SandboxReport(measures={})
child._try_filter = lambda: "not asked for"
child.die_with_parent = child.limit_resources = lambda *_, **__: None
sys.exit(child.main())
"""


class UnconfinedDecoder(IsolatedDecoder):
    """The same processes without the sandbox."""

    program = ("-c", UNCONFINED)


def measure() -> Report:
    with (
        tempfile.TemporaryDirectory() as folder,
        IsolatedDecoder() as confined,
        UnconfinedDecoder() as unconfined,
    ):
        media = [path for suffix, path in write_media(Path(folder), SECONDS).items() if suffix in ("mp3", "m4a")]
        decoders = {"airscript": confined, PEER: unconfined}

        def children_s() -> float:
            """Processor seconds of what the fork servers have forked so far."""
            times = [psutil.Process(decoder.pid).cpu_times() for decoder in decoders.values() if decoder.pid]
            return sum(found.children_user + found.children_system for found in times)

        def decode(decoder: IsolatedDecoder) -> None:
            for path in media:
                decoder.load_audio(path)

        contenders = {name: lambda decoder=decoder: decode(decoder) for name, decoder in decoders.items()}
        rows = time_interleaved(contenders, PEER, SECONDS * len(media), REPEATS, clock=children_s)
        assert confined.sandbox
        given = ", ".join(name for name in confined.sandbox.measures if name not in confined.sandbox.denied)
    notes = [f"this host gave: {given}", "a fork server starts once for a step and is not counted"]
    return make_report("sandbox", "decoding in the sandbox", "seconds of audio a second", PEER, ("av",), rows, notes)


if __name__ == "__main__":
    run((__doc__ or "").splitlines()[0], measure)
