"""Training data of the networks: crops of one speaker, and windows in which several take turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft

from local.demo.diarizer.speakers import FRAME_SAMPLES, Speaker
from local.demo.synthesis.augmentation import SoundBank, level
from tasks.audio import SAMPLE_RATE_HZ

N_SPEAKERS = (0.04, 0.22, 0.46, 0.28)  # share of windows with 0, 1, 2 and 3 speakers
OVERLAP_SHARE = 0.22  # share of turns that begin before the previous one has ended
FULL_OVERLAP_SHARE = 0.08  # share of windows in which all speakers talk all the time
MIN_TURN_S, MAX_TURN_S = 0.5, 6.0


@dataclass(frozen=True)
class Window:
    """A mixture `(n_samples,)` float32, and who speaks in each 10 ms, `(n_frames, n_speakers)` bool."""

    samples: np.ndarray
    activity: np.ndarray


class Mixer:
    """Random mixtures of a set of speakers. Deterministic for its generator."""

    def __init__(self, speakers: Sequence[Speaker], bank: SoundBank, rng: np.random.Generator) -> None:
        self._speakers, self._bank, self._rng = speakers, bank, rng

    def crop(self, speaker: int, n_samples: int) -> np.ndarray:
        """Speech of one speaker through a random channel, `(n_samples,)` float32."""
        samples = self.channel(self._passage(self._speakers[speaker], n_samples)[0])
        return self.finish(samples, clean_share=0.3)

    def window(self, n_samples: int, n_speakers: int) -> Window:
        """Turns of at most `n_speakers` speakers, with pauses and overlaps."""
        rng = self._rng
        n_frames = n_samples // FRAME_SAMPLES
        n = min(int(rng.choice(len(N_SPEAKERS), p=N_SPEAKERS)), n_speakers)
        activity = np.zeros((n_frames, n_speakers), dtype=bool)
        tracks = np.zeros((n, n_samples), dtype=np.float32)
        cast = [self._speakers[i] for i in rng.choice(len(self._speakers), size=n, replace=False)]
        if n and rng.random() < FULL_OVERLAP_SHARE:
            for index in range(n):
                self._place(cast[index], tracks[index], activity[:, index], 0, n_frames)
        elif n:
            frame, index = int(rng.integers(-300, 150)), 0
            while frame < n_frames:
                length = int(100 * np.exp(rng.uniform(np.log(MIN_TURN_S), np.log(MAX_TURN_S))))
                self._place(cast[index], tracks[index], activity[:, index], frame, frame + length)
                if n > 1 and rng.random() < OVERLAP_SHARE:
                    frame += max(20, length - int(rng.uniform(10, 150)))
                else:
                    frame += length + int(100 * rng.exponential(0.35))
                index = int((index + rng.integers(1, n)) % n) if n > 1 and rng.random() < 0.85 else index
        voices = [self.channel(track) * 10 ** (rng.uniform(-5, 5) / 20) for track in tracks]
        return Window(self.finish(np.sum(voices, axis=0) if n else np.zeros(n_samples, np.float32), 0.25), activity)

    def _place(self, speaker: Speaker, track: np.ndarray, active: np.ndarray, start: int, end: int) -> None:
        """Add a speaker's speech from frame `start` to `end`, clipped to the window, to `track` and `active`."""
        start, end = max(start, 0), min(end, len(active))
        if end - start < 10:
            return
        samples, speech = self._passage(speaker, (end - start) * FRAME_SAMPLES)
        track[start * FRAME_SAMPLES : start * FRAME_SAMPLES + len(samples)] += samples
        active[start : start + len(speech)] |= speech

    def _passage(self, speaker: Speaker, n_samples: int) -> tuple[np.ndarray, np.ndarray]:
        """Concatenated speech of a speaker, `(n_samples,)` float32, and its speech activity, `(n_frames,)` bool."""
        n_frames, pieces, speaking, got = n_samples // FRAME_SAMPLES, [], [], 0
        while got < n_frames:
            chosen = speaker.recordings[self._rng.integers(len(speaker.recordings))]
            first = int(np.flatnonzero(chosen.speech)[0])
            last = int(np.flatnonzero(chosen.speech)[-1]) + 1
            if last - first > n_frames - got:
                first = int(self._rng.integers(first, last - (n_frames - got) + 1))
                last = first + n_frames - got
            pieces.append(chosen.samples[first * FRAME_SAMPLES : last * FRAME_SAMPLES].astype(np.float32))
            speaking.append(chosen.speech[first:last])
            got += last - first
        samples = np.concatenate(pieces)
        return np.pad(samples, (0, n_samples - len(samples))), np.concatenate(speaking)

    def channel(self, speech: np.ndarray) -> np.ndarray:
        """`speech` through a random room and microphone, as one filter; same length."""
        rng = self._rng
        has_room, has_tilt = rng.random() < 0.4, rng.random() < 0.5
        if not (has_room or has_tilt):
            return speech
        n_fft = next_fast_len(len(speech) + SAMPLE_RATE_HZ // 2, real=True)
        spectrum = rfft(speech, n_fft)
        if has_room:
            spectrum *= rfft(self._bank.rooms[rng.integers(len(self._bank.rooms))], n_fft)
        if has_tilt:
            spectrum *= tilted(len(spectrum), rng)
        return np.asarray(irfft(spectrum, n_fft)[: len(speech)], dtype=np.float32)

    def finish(self, speech: np.ndarray, clean_share: float) -> np.ndarray:
        """Add background sound, except in `clean_share` of the cases, and set a random level."""
        rng = self._rng
        if rng.random() >= clean_share or not speech.any():
            clip = self._bank.sounds[rng.integers(len(self._bank.sounds))]
            sound = np.resize(np.roll(clip, -int(rng.integers(len(clip)))), len(speech))
            gain = 0.1 / (float(np.sqrt(np.mean(np.square(sound)))) + 1e-9) * 10 ** (-rng.uniform(5, 35) / 20)
            speech = speech + sound * gain
        return level(speech.astype(np.float32), rng)


def tilted(n_bins: int, rng: np.random.Generator) -> np.ndarray:
    """A microphone's gains `(n_bins,)` float32: a pass band with soft edges and a slope."""
    high_hz, low_hz, slope_db = rng.uniform(3400, 9000), rng.uniform(20, 250), rng.uniform(-8, 8)
    hz = np.linspace(0, SAMPLE_RATE_HZ / 2, 512)
    gains = 1 / (1 + (hz / high_hz) ** 10) / (1 + (low_hz / np.maximum(hz, 1)) ** 4)
    gains *= 10 ** (slope_db * (hz / 8000 - 0.5) / 20)
    return np.interp(np.linspace(0, 1, n_bins), np.linspace(0, 1, 512), gains).astype(np.float32)
