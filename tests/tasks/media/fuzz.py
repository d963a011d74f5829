"""Decode seeded mutations of media of every format in confined processes: `python -m tests.tasks.media.fuzz`.

Every one must end in audio or in a reason of the closed list, within its limits, and leave the caller as it was. A
mutation is made from its number alone, so a finding is repeated with `--first NUMBER --mutations 1 --keep FOLDER`.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from av.error import FFmpegError

from tasks.contract import Reason
from tasks.media.container.formats import FORMATS, SIGNATURES
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits
from tests.tasks.media.making import Track, caf, encode, marked, rf64, wav

LIMITS = MediaLimits(stalled_cpu_s=2.0, base_cpu_s=10.0, max_duration_s=3600.0, memory_bytes=512 << 20)
MAX_S = 60.0  # on a busy machine
MAX_SEED_BYTES = 200_000
HEAD_BYTES = 512  # in which half of the mutations are: the headers
VALUES = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

# Muxer and codec of each format that FFmpeg can write.
WRITTEN = (
    ("wav", "pcm_s16le"), ("wav", "pcm_f32le"), ("wav", "adpcm_ms"), ("wav", "pcm_mulaw"), ("w64", "pcm_s24le"),
    ("aiff", "pcm_s16be"), ("au", "pcm_s16be"), ("caf", "alac"), ("flac", "flac"), ("ogg", "opus"), ("ogg", "flac"),
    ("mp3", "mp3"), ("mp2", "mp2"), ("adts", "aac"), ("latm", "aac"), ("mp4", "aac"), ("3gp", "aac"),
    ("mov", "pcm_s16le"), ("mov", "alac"), ("matroska", "aac"), ("matroska", "flac"), ("webm", "opus"),
    ("mpegts", "mp2"), ("mpegts", "aac"), ("mpegts", "ac3"), ("mpeg", "mp2"), ("asf", "mp3"), ("avi", "mp3"),
    ("avi", "pcm_s16le"), ("flv", "aac"), ("flv", "mp3"), ("nut", "flac"), ("rm", "ac3"), ("rm", "aac"), ("wtv", "mp2"),
    ("ac3", "ac3"), ("eac3", "eac3"), ("tta", "tta"), ("wv", "wavpack"), ("voc", "pcm_u8"), ("sox", "pcm_s32le"),
    ("spdif", "ac3"),
)  # fmt: skip
WRITTEN_WITH_PICTURES = (("mxf", "pcm_s16le"), ("mpegts", "aac"), ("mp4", "aac"), ("mpeg", "mp2"))
# Signatures of formats that it only reads, put before other bytes.
ONLY_READ = (
    b"MAC \x96\x0f", b"MPCK", b"MP+\x07", b"tBaK", b"DSD ", b"TWIN97012000", b"RSUD", b".RMF\0\0\0\x12\0\x01",
    b".ra\xfd\0\x03", b".ra\xfd\0\x04", b".ra\xfd\0\x05", b"FORM\0\0\xff\xffAIFC", b"NIST_1A\n   1024\n", b"WSD 1.1",
    b"\xb7\xd8\x00 7I\xdaK\x9aR\x9a\x0dF\x91\x84\xc0", b"LEITCH\0", b"#!AMR\n", b"#!AMR-WB\n", b"\x02dss", b"\x03ds2",
    b"\x0b\x77", b"\xac\x40", b"\x7f\xfe\x80\x01", b"\xf8\x72\x6f\xba", b"AAX ", b"DTSHDHDR", b"RIFF\xff\0\0\0XWMA",
    b"RIFF\xff\0\0\0QLCM", b"\xf0~\0\x01", b"\x1f\x07\0\x3f", b"nut/multimedia container\0", b"FORM\0\0\xff\xff8SVX",
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """How one mutation ended."""

    number: int
    name: str
    outcome: str
    seconds: float
    detail: str = ""


@cache
def seeds(speech: Path | None = None) -> dict[str, bytes]:
    """Small media by name: each format that FFmpeg writes, begins of those it reads, and the files of `speech`."""
    stereo = np.stack([marked(1.5), marked(1.5, seed=1)])
    made = {"caf by hand": caf(stereo, (1, 2)), "rf64": rf64(stereo, 48_000, 100), "wav by hand": wav(stereo)}
    for container, codec in WRITTEN:
        for n_channels in (2, 1):
            try:
                made[f"{container} of {codec}"] = encode(container, Track(stereo[:n_channels], codec))
                break
            except (FFmpegError, ValueError, StopIteration, TypeError, IndexError):  # not in this build
                continue
    for container, codec in WRITTEN_WITH_PICTURES:
        made[f"{container} with pictures"] = encode(container, Track(stereo, codec), video=True)
    noise = np.random.default_rng(0).integers(0, 256, 20_000, np.uint8).tobytes()
    for mark in (*ONLY_READ, *(b"\0" * at + mark for at, mark in SIGNATURES)):
        made[repr(mark)] = mark + noise
    for name in ("hostile", "formats") if speech else ():
        for path in sorted((speech / name).rglob("*")):
            if path.is_file() and path.suffix != ".jsonl":
                made[str(path.relative_to(speech))] = path.read_bytes()
    return {name: data[:MAX_SEED_BYTES] for name, data in made.items() if data}


def mutation(number: int, speech: Path | None = None) -> tuple[str, bytes]:
    """Return the name and the bytes of one mutation."""
    random = np.random.default_rng(number)
    names = list(seeds(speech))
    name = names[number % len(names)]
    data = bytearray(seeds(speech)[name])
    for _ in range(int(random.integers(1, 6))):
        data = _mutate(data, random, lambda: seeds(speech)[names[int(random.integers(len(names)))]])
    return name, bytes(data)


def _mutate(data: bytearray, random: np.random.Generator, other) -> bytearray:
    if len(data) < 16:
        return data + other()[:64]
    limit = min(len(data), HEAD_BYTES) if random.random() < 0.5 else len(data)
    at = int(random.integers(limit - 8))
    width = int(random.choice((1, 2, 4, 8)))
    kind = int(random.integers(8))
    if kind < 3:  # a field with a value at the edge of its range
        value = int(random.choice(VALUES)) & ((1 << 8 * width) - 1)
        data[at : at + width] = value.to_bytes(width, "little" if random.random() < 0.5 else "big")
    elif kind == 3:
        for place in random.integers(0, limit, int(random.integers(1, 32))):
            data[int(place)] ^= 1 << int(random.integers(8))
    elif kind == 4:  # a piece again, or many times
        piece = bytes(data[at : at + int(random.integers(1, 4096))])
        data[at:at] = piece * int(random.choice((1, 1, 1, 20)))
    elif kind == 5:
        del data[at : at + int(random.integers(1, 4096))]
    elif kind == 6:  # a piece of another format
        piece = other()
        begin = int(random.integers(len(piece)))
        data[at : at + width] = piece[begin : begin + int(random.integers(1, 2048))]
    else:
        del data[int(random.integers(16, len(data) + 1)) :]
    return data[: 4 * MAX_SEED_BYTES]


def run(numbers: range, folder: Path, speech: Path | None = None, limits: MediaLimits = LIMITS) -> Iterator[Result]:
    """Decode the mutations of these numbers, each in a process of its own."""
    with IsolatedDecoder() as decoder:
        for number in numbers:
            name, data = mutation(number, speech)
            path = folder / "medium"
            path.write_bytes(data)
            began = time.monotonic()
            try:
                with decoder.open_audio(path, limits=limits) as audio:
                    n_samples = sum(len(block) for block in audio)
                outcome, detail = "decoded", f"{n_samples} samples"
            except MediaRejected as rejected:
                outcome, detail = str(rejected.reason), rejected.detail
            yield Result(number, name, outcome, time.monotonic() - began, detail)


def own_state() -> dict[str, object]:
    """What no medium may change in the process that has it decoded."""
    return {
        "descriptors": len(list(Path("/proc/self/fd").iterdir())),
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "children": [(task / "children").read_text() for task in Path("/proc/self/task").iterdir()],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutations", type=int, default=3000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--speech", type=Path, help="a folder whose media are mutated too")
    parser.add_argument("--keep", type=Path, help="a folder for media that crashed the decoder or met a limit")
    arguments = parser.parse_args()
    before = own_state()
    counts: Counter[str] = Counter()
    slowest: list[Result] = []
    with TemporaryDirectory() as scratch:
        numbers = range(arguments.first, arguments.first + arguments.mutations)
        for result in run(numbers, Path(scratch), arguments.speech):
            counts[result.outcome] += 1
            slowest = sorted((*slowest, result), key=lambda r: -r.seconds)[:5]
            if result.outcome in (Reason.DECODE_ERROR, Reason.DECODER_LIMIT, Reason.MEMORY_LIMIT, Reason.TIME_LIMIT):
                print(f"{result.number} ({result.name}): {result.outcome} {result.detail}", flush=True)
                if arguments.keep:
                    arguments.keep.mkdir(parents=True, exist_ok=True)
                    (arguments.keep / str(result.number)).write_bytes(mutation(result.number, arguments.speech)[1])
        left = sorted(path.name for path in Path(scratch).iterdir())
    print(f"{len(seeds(arguments.speech))} seeds of {len(FORMATS)} formats; {dict(counts.most_common())}")
    print("slowest:", ", ".join(f"{r.number} ({r.name}) {r.seconds:.2f} s {r.outcome}" for r in slowest))
    is_untouched = own_state() == before and left == ["medium"]
    print("the caller is as it was" if is_untouched else f"the caller has changed: {own_state()}, {left}")
    return 0 if is_untouched and slowest[0].seconds < MAX_S else 1


if __name__ == "__main__":
    sys.exit(main())
