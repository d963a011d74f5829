"""The sound of a programme for people, from the audio that was prepared for recognition."""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.publishing.sound import Sound

T = TypeVar("T")

BLOCK_SAMPLES = 10 * SAMPLE_RATE_HZ


def with_sounds(items: Iterable[T], make: Callable[[T], Sound | None]) -> Iterator[tuple[T, Future[Sound | None]]]:
    """Yield each item with its sound, and make those of the next ones meanwhile, one on each core.

    Encoding takes more than half of the time of publishing, outside Python's lock. The files of a sound are gone when
    the next item is asked for.
    """
    n_makers = len(os.sched_getaffinity(0))
    waiting: deque[tuple[T, Future[Sound | None]]] = deque()
    with ThreadPoolExecutor(n_makers) as makers:
        for item in items:
            waiting.append((item, makers.submit(make, item)))
            if len(waiting) > n_makers:
                yield from _handed_out(waiting)
        while waiting:
            yield from _handed_out(waiting)


def _handed_out(waiting: deque[tuple[T, Future[Sound | None]]]) -> Iterator[tuple[T, Future[Sound | None]]]:
    item, sound = waiting.popleft()
    yield item, sound
    if sound.exception() is None and (made := sound.result()):
        made.delete()


def write_sound(flac: str, channel_starts_ms: Sequence[int], duration_ms: int, folder: Path, name: str) -> Sound:
    """Write the sound and waveform of the audio at URI `flac` to files of this name.

    `channel_starts_ms`: where each channel begins in the audio, if they were transcribed apart; they are mixed again.
    """
    from tasks.media.listening import write_listening_copy

    sound = Sound(folder / f"{name}.webm", folder / f"{name}.waveform.dat")
    blocks = _mixed_blocks(flac, channel_starts_ms or (0,), duration_ms * SAMPLE_RATE_HZ // 1000)
    write_listening_copy(blocks, sound.webm, sound.waveform)
    return sound


def _mixed_blocks(flac: str, starts_ms: Sequence[int], n_samples: int) -> Iterator[np.ndarray]:
    """Yield blocks of int16, `(n_samples,)`: one channel, or the mean of several that lie one after the other."""
    import soundfile

    with contextlib.ExitStack() as stack:
        channels = []
        for start_ms in starts_ms:
            reader = stack.enter_context(storage.open_reader(flac))
            channel = stack.enter_context(soundfile.SoundFile(reader))
            channel.seek(min(start_ms * SAMPLE_RATE_HZ // 1000, channel.frames))
            channels.append(channel)
        while n_samples > 0:
            n_wanted = min(BLOCK_SAMPLES, n_samples)
            blocks = [channel.read(n_wanted, dtype="int16") for channel in channels]
            if not (length := max(map(len, blocks))):
                return
            padded = np.stack([np.pad(block.astype(np.int32), (0, length - len(block))) for block in blocks])
            yield (padded.sum(axis=0) // len(channels)).astype(np.int16)  # (n_channels, n_samples) to (n_samples,)
            n_samples -= length
