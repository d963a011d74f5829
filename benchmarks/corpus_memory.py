"""Memory and speed of prepare-corpus and extract-features on one programme of four hours.

The programme is noise with captions, as 48 kHz stereo AAC; every step runs in its own process.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.support.harness import Report, Row, make_report, run, step_peak_mib
from tasks.step import load_result

HOURS = 4
RATE_HZ = 48_000
CUE_S = 4
PART_S = 120  # encoded once and repeated


def make_programme(folder: Path) -> None:
    """Write four hours of noise of varying level, and a caption every four seconds."""
    import av
    import numpy as np

    rng = np.random.default_rng(0)
    part = folder / "part.aac"
    with av.open(part, "w", format="adts") as container:
        stream = container.add_stream("aac", rate=RATE_HZ, layout="stereo")
        for number in range(PART_S):
            noise = rng.standard_normal((2, RATE_HZ)).astype(np.float32) * (0.05 + (number % 11) / 100)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
            frame.sample_rate = RATE_HZ
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = part.read_bytes()
    part.unlink()
    with (folder / "programme.aac").open("wb") as sink:  # ADTS streams can be concatenated
        for _ in range(HOURS * 3600 // PART_S):
            sink.write(data)
    with (folder / "programme.srt").open("w") as sink:
        for number in range(HOURS * 3600 // CUE_S):
            times = " --> ".join(
                f"{s // 3600:02d}:{s // 60 % 60:02d}:{s % 60:02d},{ms}"
                for s, ms in ((number * CUE_S, "000"), (number * CUE_S + CUE_S - 1, "800"))
            )
            sink.write(f"{number + 1}\n{times}\nThese are the words of a caption like many others.\n\n")


def measure() -> Report:
    rows, notes = [], []
    with tempfile.TemporaryDirectory() as folder:
        media, work = Path(folder) / "media", Path(folder) / "work"
        media.mkdir()
        make_programme(media)
        step_peak_mib("scan-corpus", f"--media={media.as_uri()}", f"--output={work.as_uri()}")
        source = next(work.glob("*/*/shards/*.jsonl")).as_uri()
        for name, flag in (("prepare-corpus", "shard"), ("extract-features", "prepared")):
            output = work / name
            mib = step_peak_mib(name, f"--{flag}={source}", f"--output={output.as_uri()}")
            source = next(output.glob("*/result.json")).as_uri()
            result = load_result(source)
            seconds = result.seconds
            rows.append(
                Row(
                    name, seconds, (seconds, seconds), HOURS * 3600 / seconds, rows[0].median_s / seconds if rows else 1
                )
            )
            notes.append(f"{name}: peak {mib:,.0f} MiB with its children, {result.counts['utterances']:,} utterances")
    return make_report(
        "corpus_memory",
        f"one programme of {HOURS} hours, {RATE_HZ // 1000} kHz stereo AAC",
        "x real time",
        "prepare-corpus",
        ("av", "soxr", "torch", "pyarrow", "soundfile"),
        rows,
        notes,
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
