from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from local.demo.diarizer.mixtures import Mixer
from local.demo.diarizer.speakers import (
    FRAME_SAMPLES,
    Speaker,
    fill_short_pauses,
    human_speakers,
    recording,
    synthetic_speakers,
)
from local.demo.synthesis.augmentation import SoundBank
from local.demo.synthesis.voices import VoiceSet, variants
from tasks.audio import SAMPLE_RATE_HZ


def tone(hz: float, seconds: float = 3.0) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ).astype(np.float32)


@pytest.fixture(scope="module")
def bank() -> SoundBank:
    return SoundBank(rooms=(np.array([1, 0, 0.1], np.float32),), sounds=(np.full(16_000, 1e-4, np.float32),))


@pytest.fixture(scope="module")
def speakers() -> list[Speaker]:
    """Three "speakers", each a tone."""
    return [Speaker(f"{hz}", (recording(tone(hz)),)) for hz in (300.0, 900.0, 2700.0)]


def test_speech_is_what_is_loud_enough() -> None:
    quiet = np.zeros(SAMPLE_RATE_HZ, np.float32)
    made = recording(np.concatenate([quiet, tone(440, 1.0), quiet, 0.1 * tone(440, 1.0)]))
    seconds = made.speech.reshape(4, 100).mean(axis=1)
    assert seconds == pytest.approx([0, 1, 0, 1], abs=0.02)
    loud = made.samples.astype(np.float32).reshape(-1, FRAME_SAMPLES)[made.speech]
    assert float(np.sqrt(np.square(loud).mean())) == pytest.approx(0.1, rel=0.02)


def test_short_pauses_are_filled_except_at_the_ends() -> None:
    speech = np.array([0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0], dtype=bool)
    assert fill_short_pauses(speech, 3).astype(int).tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 0]


def test_labels_agree_with_the_audio(speakers: list[Speaker], bank: SoundBank) -> None:
    """In every frame the mixture has the tones of the labelled speakers."""
    mixer = Mixer(speakers, bank, np.random.default_rng(3))
    agreed = compared = 0
    for _ in range(12):
        window = mixer.window(10 * SAMPLE_RATE_HZ, 3)
        assert window.samples.shape == (160_000,)
        assert window.activity.shape == (1000, 3)
        spectra = np.abs(np.fft.rfft(window.samples.reshape(-1, 10 * FRAME_SAMPLES) * np.hanning(10 * FRAME_SAMPLES)))
        tones = spectra[:, [30, 90, 270]]  # (n_frames, n_speakers), bins of 10 Hz
        loud = (tones > 0.05 * np.abs(spectra).max()).sum(axis=1)
        labelled = window.activity.reshape(100, 10, 3).mean(axis=1)
        clear = ((labelled == 0) | (labelled == 1)).all(axis=1)  # frames in which no turn starts or ends
        agreed += int((loud[clear] == labelled[clear].sum(axis=1)).sum())
        compared += int(clear.sum())
    assert compared > 800
    assert agreed > 0.9 * compared


def test_windows_have_0_to_3_speakers_and_some_overlap(speakers: list[Speaker], bank: SoundBank) -> None:
    mixer = Mixer(speakers, bank, np.random.default_rng(4))
    windows = [mixer.window(10 * SAMPLE_RATE_HZ, 3) for _ in range(80)]
    counts = {int(window.activity.any(axis=0).sum()) for window in windows}
    assert counts == {0, 1, 2, 3}
    assert 0.01 < np.mean([(window.activity.sum(axis=1) > 1).mean() for window in windows]) < 0.4
    assert all(np.abs(window.samples).max() <= 1 for window in windows)


def test_mixtures_are_deterministic_for_a_seed(speakers: list[Speaker], bank: SoundBank) -> None:
    one, same, other = (Mixer(speakers, bank, np.random.default_rng(seed)) for seed in (5, 5, 6))
    first, second, third = (mixer.window(4 * SAMPLE_RATE_HZ, 3).samples for mixer in (one, same, other))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, third)
    assert np.array_equal(one.crop(1, 8_000), same.crop(1, 8_000))


def test_synthetic_speakers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("local.demo.diarizer.speakers.variants", lambda _: variants(VoiceSet.BASE_VALIDATION)[:2])
    people = synthetic_speakers(VoiceSet.BASE_VALIDATION, seed=1, n_utterances=2)
    assert len({person.name for person in people}) == len(people) == 10
    assert all(len(person.recordings) == 2 for person in people)
    assert all(utterance.speech.mean() > 0.7 for person in people for utterance in person.recordings)


def test_human_speakers_are_those_of_the_folder(speech) -> None:  # type: ignore[no-untyped-def]
    people = human_speakers(speech, ("sentences/audiobook",))
    assert len(people) == 7
    assert sum(len(person.recordings) for person in people) == 7


def test_scored_and_unnamed_speakers_are_excluded(tmp_path: Path) -> None:
    rows = [
        ("train_pack/a.wav", "ann"),
        ("train_pack/b.wav", "bob"),
        ("train_pack/c.wav", "none:unknown"),
        ("sentences/d.wav", "dan"),
        ("diarization/e.wav", ["bob", "eve"]),
    ]
    for path, _ in rows:
        (tmp_path / path).parent.mkdir(exist_ok=True)
        soundfile.write(tmp_path / path, 0.1 * tone(440, 2.0), SAMPLE_RATE_HZ)
    lines = [json.dumps({"path": path, "speaker": speaker, "sample_rate": SAMPLE_RATE_HZ}) for path, speaker in rows]
    (tmp_path / "manifest.jsonl").write_text("\n".join(lines))
    assert [person.name for person in human_speakers(tmp_path)] == ["ann/1.0"]
