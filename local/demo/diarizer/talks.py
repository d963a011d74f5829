"""Talks for tuning the threshold: turns as on air, with less overlap than in the training windows.

Within a minute no speech is repeated, so that no speaker is recognised by the words. Every fifth talk has four scenes
with different rooms, microphones and noises: a threshold that fits one minute may split speakers in an hour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from local.demo.diarizer.mixtures import Mixer, Window
from local.demo.diarizer.speakers import FRAME_SAMPLES, Speaker
from local.demo.synthesis.augmentation import SoundBank
from tasks.audio import SAMPLE_RATE_HZ

SCENE_S = 60  # maximum duration of a scene
N_SCENES = 4
LONG_EVERY = 5  # every fifth talk has several scenes
N_SPEAKERS = {1: 0.1, 2: 0.35, 3: 0.3, 4: 0.25}  # share of talks with 1 to 4 speakers
OVERLAP_SHARE = 0.15  # share of turns that begin before the previous one has ended
MIN_TURN_S, MAX_TURN_S = 1.5, 10.0
CHANNEL_SHARE = 0.5  # share of talks in which each speaker has a room and a microphone of their own
CLEAN_SHARE = 0.5  # share of talks without added noise
FRAMES_PER_S = SAMPLE_RATE_HZ // FRAME_SAMPLES


def talks(groups: Sequence[Sequence[Speaker]], bank: SoundBank, seed: int, n: int) -> list[Window]:
    """`n` talks, each among speakers of one group: voices from one source are the hardest to distinguish."""
    return [
        talk(
            groups[index % len(groups)],
            bank,
            np.random.default_rng([seed, 9, index]),
            n_scenes=1 if index % LONG_EVERY else N_SCENES,
        )
        for index in range(n)
    ]


def talk(speakers: Sequence[Speaker], bank: SoundBank, rng: np.random.Generator, n_scenes: int = 1) -> Window:
    """A talk of one to four of the speakers in one or more scenes."""
    n = min(int(rng.choice(list(N_SPEAKERS), p=list(N_SPEAKERS.values()))), len(speakers))
    cast = [speakers[index] for index in rng.choice(len(speakers), size=n, replace=False)]
    scenes = [scene(cast, Mixer(cast, bank, rng), rng) for _ in range(n_scenes)]
    return Window(np.concatenate([each.samples for each in scenes]), np.concatenate([each.activity for each in scenes]))


def scene(cast: Sequence[Speaker], mixer: Mixer, rng: np.random.Generator) -> Window:
    """Turns of all speakers, until the scene's maximum length or until no other speaker has speech left."""
    n, n_frames = len(cast), SCENE_S * FRAMES_PER_S
    material = [all_speech(speaker, rng) for speaker in cast]
    tracks = np.zeros((n, n_frames * FRAME_SAMPLES), dtype=np.float32)
    activity = np.zeros((n_frames, n), dtype=bool)
    at, frame, speaker, end = [0] * n, int(rng.integers(20, 150)), -1, 0
    opening = list(rng.permutation(n))  # everybody speaks once before the order is random
    while frame < n_frames:
        left = [index for index in range(n) if index != speaker and len(material[index][1]) - at[index] > FRAMES_PER_S]
        if not opening and not left:
            break
        speaker = int(opening.pop() if opening else rng.choice(left))
        samples, speech = material[speaker]
        length = int(FRAMES_PER_S * np.exp(rng.uniform(np.log(MIN_TURN_S), np.log(MAX_TURN_S))))
        length = min(length, len(speech) - at[speaker], n_frames - frame)
        turn = slice(at[speaker], at[speaker] + length)
        activity[frame : frame + length, speaker] |= speech[turn]
        tracks[speaker, frame * FRAME_SAMPLES : (frame + length) * FRAME_SAMPLES] += samples[
            turn.start * FRAME_SAMPLES : turn.stop * FRAME_SAMPLES
        ]
        at[speaker], end = turn.stop, max(end, frame + length)
        overlaps = n > 1 and rng.random() < OVERLAP_SHARE
        frame += max(FRAMES_PER_S, length - int(rng.uniform(20, 150))) if overlaps else length + pause(rng)
        speaker = speaker if n > 1 else -1
    tracks, activity = tracks[:, : end * FRAME_SAMPLES], activity[:end]
    has_channels = rng.random() < CHANNEL_SHARE
    voices = [(mixer.channel(track) if has_channels else track) * 10 ** (rng.uniform(-4, 4) / 20) for track in tracks]
    return Window(mixer.finish(np.sum(voices, axis=0), CLEAN_SHARE), activity)


def all_speech(speaker: Speaker, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All of a speaker's recordings in random order: `(n_samples,)` float32 and speech activity `(n_frames,)` bool."""
    samples, speech = [], []
    for index in rng.permutation(len(speaker.recordings)):
        recording = speaker.recordings[index]
        first, last = np.flatnonzero(recording.speech)[[0, -1]]
        samples.append(recording.samples[first * FRAME_SAMPLES : (last + 1) * FRAME_SAMPLES].astype(np.float32))
        speech.append(recording.speech[first : last + 1])
    return np.concatenate(samples), np.concatenate(speech)


def pause(rng: np.random.Generator) -> int:
    """The number of frames between two turns."""
    return int(FRAMES_PER_S * min(rng.exponential(0.5), 3.0))
