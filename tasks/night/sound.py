"""The sound of a programme for people, from the audio that was prepared for recognition."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.publishing.sound import Sound

BLOCK_SAMPLES = 10 * SAMPLE_RATE_HZ


@contextlib.contextmanager
def listening_copy(flac: str, channel_starts_ms: Sequence[int], duration_ms: int, scratch: Path) -> Iterator[Sound]:
    """Make the sound and waveform of the audio at URI `flac`; the files are gone after the block.

    `channel_starts_ms`: where each channel begins in the audio, if they were transcribed apart; they are mixed again.
    """
    from tasks.media.listening import write_listening_copy

    sound = Sound(scratch / "sound.webm", scratch / "sound.waveform.dat")
    try:
        blocks = _mixed_blocks(flac, channel_starts_ms or (0,), duration_ms * SAMPLE_RATE_HZ // 1000)
        write_listening_copy(blocks, sound.webm, sound.waveform)
        yield sound
    finally:
        for _, _, path in sound.files():
            path.unlink(missing_ok=True)


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
