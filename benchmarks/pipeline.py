"""The corpus' whole step, from media to shards: audio hours an hour of one core, stage by stage and as a whole.

One file each of FLAC, MP3, AAC and WAV, 48 kHz stereo, passes through the functions of the corpus steps: decode and
resample (`tasks.media`), log-mel (`tasks.features`), and the shards' writer. Beside them, over the same files, the
public extractors, fed by PyAV with FFmpeg's own resampler; they write nothing.
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
from benchmarks.support.harness import Report, Row, processor_seconds, race, report, run
from benchmarks.support.media_files import RATE_HZ, write_media
from tasks.audio import SAMPLE_RATE_HZ

SECONDS = 60
REPEATS = 5
FILES = 16  # that workers share
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
            found = race(contenders(path, Path(folder)), DECODE, SECONDS, REPEATS, processor_seconds)
            rows += [replace(row, name=f"{kind}: {row.name}") for row in found]
            notes.append(_verdict(kind, {row.name: row for row in found}))
        quantities = shard_bytes(paths["m4a"], Path(folder))
    with tempfile.TemporaryDirectory() as folder:  # outside the limit: here everybody may have all cores
        paths = write_media(Path(folder), SECONDS)
        for kind in LOSSY:
            found = on_all_cores(paths[kind], Path(folder))
            rows += [replace(row, name=f"{kind}, all cores: {row.name}") for row in found]
            notes.append(_verdict_on_all_cores(kind, {row.name: row for row in found}))
    return report(
        "pipeline",
        f"{SECONDS} s of 48 kHz stereo to shards of 80 mels at 10 ms, one thread",
        "audio h a core-hour",
        DECODE,
        ("av", "soxr", "torch", "transformers", "torchaudio", "librosa", "lhotse", "kaldi-native-fbank", "pyarrow"),
        rows,
        [
            *notes,
            "processor seconds; on all cores, seconds of the clock",
            "ratios to decoding alone of the same file",
        ],
        quantities,
    )


def contenders(path: Path, folder: Path) -> dict[str, Callable[[], object]]:
    """The stages alone, the whole, and the peers over one file."""
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
    """What nobody can do without."""
    import av

    with av.open(path) as container:
        for _ in container.decode(audio=0):
            pass


def decode_and_resample(path: Path) -> list[np.ndarray]:
    """As it is mostly done: FFmpeg mixes and resamples. Utterances of `(n_samples,)` float32."""
    import av

    from benchmarks.support.corpus_steps import UTTERANCE_S

    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
    with av.open(path) as container:
        parts = [out.to_ndarray()[0] for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    samples = np.concatenate(parts)[: SECONDS * SAMPLE_RATE_HZ]
    return np.split(samples, range(UTTERANCE_S * SAMPLE_RATE_HZ, len(samples), UTTERANCE_S * SAMPLE_RATE_HZ))


def peers(path: Path, extractors: dict[str, Extractor]) -> dict[str, Callable[[], object]]:
    """The public extractors, each in its own favourite way of being called."""

    def fed(extract: Extractor) -> Callable[[], object]:
        return lambda: extract(decode_and_resample(path))

    return {
        "decode, FFmpeg's resampler": lambda: decode_and_resample(path),
        THEIRS: fed(extractors["transformers parakeet"]),
        **{name: fed(extractors[name]) for name in ("torchaudio", "librosa", "lhotse", "kaldi-native-fbank")},
    }


def on_all_cores(path: Path, folder: Path) -> list[Row]:
    """One file many times, by the clock: the step with a worker a core, beside single loops as scripts have them."""
    from benchmarks.support.corpus_steps import work

    folders = [folder / "one", folder / "two"]
    for place in folders:
        place.mkdir(exist_ok=True)
    with ProcessPoolExecutor(1, get_context("spawn")) as first, ProcessPoolExecutor(1, get_context("spawn")) as second:

        def two() -> None:
            half = [path] * (FILES // 2)
            for task in [
                pool.submit(work, place, half, SECONDS) for pool, place in zip((first, second), folders, strict=True)
            ]:
                task.result()

        contenders = {
            DECODE: lambda: first.submit(decode_all, path).result(),
            THEIRS: lambda: first.submit(extract_all, path).result(),
            ONE: lambda: first.submit(work, folders[0], [path] * FILES, SECONDS).result(),
            TWO: two,
        }
        return race(contenders, DECODE, SECONDS * FILES, REPEATS)


def decode_all(path: Path) -> None:
    for _ in range(FILES):
        decode(path)


def extract_all(path: Path) -> None:
    """FFmpeg's resampler and transformers' extractor, with the threads that they take by themselves."""
    extract = extractors()["transformers parakeet"]
    for _ in range(FILES):
        extract(decode_and_resample(path))


def shard_bytes(path: Path, folder: Path) -> dict[str, float]:
    """What an hour of audio takes in a shard."""
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
