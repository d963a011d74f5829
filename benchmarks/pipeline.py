"""The corpus pipeline from media to shards: audio hours per core-hour, by stage and as a whole.

One file each of FLAC, MP3, AAC and WAV, 48 kHz stereo, passes through the functions of the corpus steps: decoding and
resampling (`tasks.media`), log-mel (`tasks.features`), and the shard writer. For comparison, on the same files: the
public extractors with PyAV and FFmpeg's own resampler; they write nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from benchmarks.features import Extractor, extractors
from benchmarks.support.harness import Report, Row, make_report, processor_seconds, run, time_interleaved
from benchmarks.support.media_files import RATE_HZ, write_media
from tasks.audio import SAMPLE_RATE_HZ

SECONDS = 60
REPEATS = 5
FILES = 16  # shared by the workers
DECODE, WHOLE, THEIRS = "decode alone", "airscript", "transformers"
ONE, TWO = "airscript, one worker", "airscript, two workers"
LOSSY = ("mp3", "m4a")


def measure() -> Report:
    from threadpoolctl import threadpool_limits

    rows: list[Row] = []
    notes = []
    with tempfile.TemporaryDirectory() as folder, threadpool_limits(1):
        paths = write_media(Path(folder), SECONDS)
        for kind, path in paths.items():
            found = time_interleaved(contenders(path, Path(folder)), DECODE, SECONDS, REPEATS, processor_seconds)
            rows += [replace(row, name=f"{kind}: {row.name}") for row in found]
            notes.append(_verdict(kind, {row.name: row for row in found}))
        quantities = shard_bytes(paths["m4a"], Path(folder))
    with tempfile.TemporaryDirectory() as folder:  # outside of threadpool_limits: all cores for all contenders
        paths = write_media(Path(folder), SECONDS)
        for kind in LOSSY:
            found = on_all_cores(paths[kind], Path(folder))
            rows += [replace(row, name=f"{kind}, all cores: {row.name}") for row in found]
            notes.append(_verdict_on_all_cores(kind, {row.name: row for row in found}))
    return make_report(
        "pipeline",
        f"{SECONDS} s of 48 kHz stereo to shards of 80 mels at 10 ms, one thread",
        "audio h a core-hour",
        DECODE,
        ("av", "soxr", "torch", "transformers", "torchaudio", "librosa", "lhotse", "kaldi-native-fbank", "pyarrow"),
        rows,
        [
            *notes,
            "processor seconds; on all cores, wall-clock seconds",
            "ratios to decoding the same file",
        ],
        quantities,
    )


def contenders(path: Path, folder: Path) -> dict[str, Callable[[], object]]:
    """The stages, the whole pipeline, and the peers on one file."""
    import soxr

    from benchmarks.support.corpus_steps import CorpusSteps

    steps = CorpusSteps(folder)
    waveforms = list(steps.utterances(path, SECONDS))
    features = steps.features(waveforms)
    mono = np.resize(np.concatenate(waveforms), SECONDS * RATE_HZ)

    def resample() -> None:
        stream = soxr.ResampleStream(RATE_HZ, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
        for at in range(0, len(mono), 2 * RATE_HZ):
            stream.resample_chunk(mono[at : at + 2 * RATE_HZ])

    return {
        DECODE: lambda: decode(path),
        "resample": resample,
        "decode, mix and resample": lambda: list(steps.utterances(path, SECONDS)),
        "log-mel": lambda: steps.features(waveforms),
        "write": lambda: steps.write(features),
        WHOLE: lambda: steps.whole(path, SECONDS),
        "airscript, audio kept": lambda: steps.whole_with_audio(path, SECONDS),
        **peers(path, extractors()),
    }


def decode(path: Path) -> None:
    """Decode only, which every contender has to."""
    import av

    with av.open(path) as container:
        for _ in container.decode(audio=0):
            pass


def decode_and_resample(path: Path) -> list[np.ndarray]:
    """The usual way: FFmpeg downmixes and resamples. Utterances of `(n_samples,)` float32."""
    import av

    from benchmarks.support.corpus_steps import UTTERANCE_S

    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    with av.open(path) as container:
        parts = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    samples = np.concatenate(parts)[: SECONDS * SAMPLE_RATE_HZ]
    return np.split(samples, range(UTTERANCE_S * SAMPLE_RATE_HZ, len(samples), UTTERANCE_S * SAMPLE_RATE_HZ))


def peers(path: Path, extractors: dict[str, Extractor]) -> dict[str, Callable[[], object]]:
    """The public extractors, each by its recommended call."""

    def fed(extract: Extractor) -> Callable[[], object]:
        return lambda: extract(decode_and_resample(path))

    return {
        "decode, FFmpeg's resampler": lambda: decode_and_resample(path),
        THEIRS: fed(extractors["transformers parakeet"]),
        **{name: fed(extractors[name]) for name in ("torchaudio", "librosa", "lhotse", "kaldi-native-fbank")},
    }


def on_all_cores(path: Path, folder: Path) -> list[Row]:
    """One file many times, in wall-clock time: the pipeline with one worker a core, beside single loops of a script."""
    from benchmarks.support.corpus_steps import work

    folders = [folder / "one", folder / "two"]
    for each in folders:
        each.mkdir(exist_ok=True)
    with ProcessPoolExecutor(1, get_context("spawn")) as first, ProcessPoolExecutor(1, get_context("spawn")) as second:

        def two() -> None:
            half = [path] * (FILES // 2)
            for task in [
                pool.submit(work, each, half, SECONDS) for pool, each in zip((first, second), folders, strict=True)
            ]:
                task.result()

        contenders = {
            DECODE: lambda: first.submit(decode_all, path).result(),
            THEIRS: lambda: first.submit(extract_all, path).result(),
            ONE: lambda: first.submit(work, folders[0], [path] * FILES, SECONDS).result(),
            TWO: two,
        }
        return time_interleaved(contenders, DECODE, SECONDS * FILES, REPEATS)


def decode_all(path: Path) -> None:
    for _ in range(FILES):
        decode(path)


def extract_all(path: Path) -> None:
    """FFmpeg's resampler and transformers' extractor, with their default threads."""
    extract = extractors()["transformers parakeet"]
    for _ in range(FILES):
        extract(decode_and_resample(path))


def shard_bytes(path: Path, folder: Path) -> dict[str, float]:
    """The size of an hour of audio in a shard."""
    from benchmarks.support.corpus_steps import CorpusSteps

    steps = CorpusSteps(folder)
    per_hour = 3600 / SECONDS
    return {
        "bytes an hour, features": steps.whole(path, SECONDS) * per_hour,
        "bytes an hour, features and audio": steps.whole_with_audio(path, SECONDS) * per_hour,
    }


def _verdict(kind: str, rows: dict[str, Row]) -> str:
    times_decoding = 1 / rows[WHOLE].ratio
    times_theirs = rows[WHOLE].ratio / rows[THEIRS].ratio
    bar = " (bar 1.6)" if kind in LOSSY else ""
    return f"{kind}: the whole takes {times_decoding:.2f} times decoding{bar}, {times_theirs:.2f} times as fast as " + (
        "decode with FFmpeg's resampler and transformers' extractor (bar 2)"
    )


def _verdict_on_all_cores(kind: str, rows: dict[str, Row]) -> str:
    two = rows[TWO].ratio
    return (
        f"{kind}, two workers on two cores: {1 / two:.2f} times decoding alone in one loop (bar 1.6), "
        f"{two / rows[THEIRS].ratio:.2f} times as fast as FFmpeg's resampler and transformers' extractor in one loop "
        f"(bar 2), {two / rows[ONE].ratio:.2f} times as fast as one worker"
    )


if __name__ == "__main__":
    run(__doc__ or "", measure)
