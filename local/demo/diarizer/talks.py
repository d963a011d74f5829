"""Talks to choose thresholds on: people by turns, as on air, unlike the crowded windows that networks learn from.

In a minute nothing is heard twice, so that no voice is recognised by what it says. Every fifth talk goes on for four
scenes with other rooms, microphones and noises: a bound that is right on a minute may find everybody twice in an hour.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from local.demo.diarizer.mixtures import Mixer, Window
from local.demo.diarizer.speakers import FRAME_SAMPLES, Speaker
from local.demo.synthesis.augmentation import SoundBank
from tasks.audio import SAMPLE_RATE_HZ

SCENE_S = 60  # at most
N_SCENES = 4
LONG_EVERY = 5
N_SPEAKERS = {1: 0.1, 2: 0.35, 3: 0.3, 4: 0.25}  # share of talks
OVERLAP_SHARE = 0.15  # of the turns that begin before the one before them has ended
MIN_TURN_S, MAX_TURN_S = 1.5, 10.0
CHANNEL_SHARE = 0.5  # of the talks in which everybody has a room and a microphone of his own
CLEAN_SHARE = 0.5  # of the talks without added noise
FRAMES_PER_S = SAMPLE_RATE_HZ // FRAME_SAMPLES


def talks(groups: Sequence[Sequence[Speaker]], bank: SoundBank, seed: int, n: int) -> list[Window]:
    """`n` talks, each among people of one group: voices from one source are the hardest to tell."""
    return [
        talk(
            groups[number % len(groups)],
            bank,
            np.random.default_rng([seed, 9, number]),
            n_scenes=1 if number % LONG_EVERY else N_SCENES,
        )
        for number in range(n)
    ]


def talk(people: Sequence[Speaker], bank: SoundBank, rng: np.random.Generator, n_scenes: int = 1) -> Window:
    """One to four of the people in scenes."""
    n = min(int(rng.choice(list(N_SPEAKERS), p=list(N_SPEAKERS.values()))), len(people))
    cast = [people[index] for index in rng.choice(len(people), size=n, replace=False)]
    scenes = [scene(cast, Mixer(cast, bank, rng), rng) for _ in range(n_scenes)]
    return Window(np.concatenate([each.samples for each in scenes]), np.concatenate([each.activity for each in scenes]))


def scene(cast: Sequence[Speaker], mixer: Mixer, rng: np.random.Generator) -> Window:
    """Everybody by turns, until a minute is over or one of them alone has something left to say."""
    n, n_frames = len(cast), SCENE_S * FRAMES_PER_S
    said = [everything(person, rng) for person in cast]
    tracks = np.zeros((n, n_frames * FRAME_SAMPLES), dtype=np.float32)
    activity = np.zeros((n_frames, n), dtype=bool)
    at, frame, speaker, end = [0] * n, int(rng.integers(20, 150)), -1, 0
    opening = list(rng.permutation(n))  # everybody speaks once before chance decides
    while frame < n_frames:
        left = [index for index in range(n) if index != speaker and len(said[index][1]) - at[index] > FRAMES_PER_S]
        if not opening and not left:
            break
        speaker = int(opening.pop() if opening else rng.choice(left))
        samples, speech = said[speaker]
        length = int(FRAMES_PER_S * np.exp(rng.uniform(np.log(MIN_TURN_S), np.log(MAX_TURN_S))))
        length = min(length, len(speech) - at[speaker], n_frames - frame)
        heard = slice(at[speaker], at[speaker] + length)
        activity[frame : frame + length, speaker] |= speech[heard]
        tracks[speaker, frame * FRAME_SAMPLES : (frame + length) * FRAME_SAMPLES] += samples[
            heard.start * FRAME_SAMPLES : heard.stop * FRAME_SAMPLES
        ]
        at[speaker], end = heard.stop, max(end, frame + length)
        overlaps = n > 1 and rng.random() < OVERLAP_SHARE
        frame += max(FRAMES_PER_S, length - int(rng.uniform(20, 150))) if overlaps else length + pause(rng)
        speaker = speaker if n > 1 else -1
    tracks, activity = tracks[:, : end * FRAME_SAMPLES], activity[:end]
    has_channels = rng.random() < CHANNEL_SHARE
    voices = [(mixer.channel(track) if has_channels else track) * 10 ** (rng.uniform(-4, 4) / 20) for track in tracks]
    return Window(mixer.finish(np.sum(voices, axis=0), CLEAN_SHARE), activity)


def everything(speaker: Speaker, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """All that a speaker says, `(n_samples,)` float32 and `(n_frames,)` bool: his recordings in some order."""
    samples, speech = [], []
    for index in rng.permutation(len(speaker.recordings)):
        recording = speaker.recordings[index]
        first, last = np.flatnonzero(recording.speech)[[0, -1]]
        samples.append(recording.samples[first * FRAME_SAMPLES : (last + 1) * FRAME_SAMPLES].astype(np.float32))
        speech.append(recording.speech[first : last + 1])
    return np.concatenate(samples), np.concatenate(speech)


def pause(rng: np.random.Generator) -> int:
    """Frames between two turns."""
    return int(FRAMES_PER_S * min(rng.exponential(0.5), 3.0))
