"""Programmes from a small folder of synthesised sentences."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from benchmarks.support.human_speech import composed
from benchmarks.support.human_speech.programmes import Recording, alone, by_reader, read_manifest, scored_folders
from benchmarks.support.human_speech.sounds import mixed, programmes_without_speech, rms
from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, speak
from local.demo.synthesis.voices import VoiceSet, random_voice
from tasks.audio import SAMPLE_RATE_HZ

TEXT = "the council has opened a new bridge over the river in the north of the town"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve sentences of three readers, one recording for training, and a noise."""
    root, rng, rows = tmp_path_factory.mktemp("speech"), random.Random(0), []
    for index in range(12):
        spoken = soxr.resample(speak(TEXT, random_voice(VoiceSet.BASE_TRAINING, rng)), ESPEAK_RATE_HZ, SAMPLE_RATE_HZ)
        rows.append({"path": f"read/{index}.flac", "text": TEXT, "speaker": f"reader-{index % 3}", "lang": "en"})
        (root / "read").mkdir(exist_ok=True)
        soundfile.write(root / rows[-1]["path"], spoken, SAMPLE_RATE_HZ)
        rows[-1]["duration"] = len(spoken) / SAMPLE_RATE_HZ
    rows.append({"path": "train_pack/0.opus", "text": TEXT, "speaker": "reader-9", "lang": "en"})
    rows.append({"path": "noise/street.flac", "text": None})
    (root / "noise").mkdir()
    soundfile.write(root / "noise" / "street.flac", 0.1 * np.random.default_rng(0).standard_normal(32_000), 16_000)
    (root / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return root


def test_a_reader_is_a_programme(folder: Path) -> None:
    (recordings,) = scored_folders(read_manifest(folder)).values()
    programmes = list(by_reader("read", recordings, folder))
    assert [p.name for p in programmes] == [f"read-reader-{n}-en-1" for n in range(3)]
    assert all(p.content.text == " ".join([TEXT] * 4) for p in programmes)
    spans = [span for utterance in programmes[0].content.utterances for span in utterance.speech]
    assert spans == sorted(spans, key=lambda span: span.start_ms)
    assert 0 <= spans[0].start_ms < spans[-1].end_ms <= 1000 * programmes[0].content.duration_s
    assert len(list(alone("read", recordings, folder))) == 12


def test_a_list_of_lines_is_a_text() -> None:
    assert Recording(path="a.mp3", text="f01|1\nf02|From fairest creatures\nf03|we desire").spoken == (
        "From fairest creatures we desire"
    )


def test_a_folder_for_each_word_or_speaker_is_none() -> None:
    assert Recording(path="words/dog/a.flac", text="dog").folder == "words"
    assert Recording(path="digits/george/1.flac", text="one", speaker="fsdd-george").folder == "digits"
    assert Recording(path="sentences/known/a.flac", text="the dog").folder == "sentences/known"


def test_every_condition_is_composed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "PROGRAMMES", 1)
    monkeypatch.setattr(composed, "MIN_CLIPS", 12)
    found = list(composed.composed_programmes(folder, read_manifest(folder), lambda _folder: True))
    assert Counter(p.folder for p in found) == dict.fromkeys((composed.COMPOSED + c for c in composed.CONDITIONS), 1)
    assert len({p.name for p in found}) == len(found)
    by_condition = {p.folder.removeprefix(composed.COMPOSED): p.content for p in found}
    assert all(content.text and np.abs(content.samples).max() <= 1 for content in by_condition.values())
    assert by_condition["slogan ten times"].text.count(TEXT) == 12
    assert "Brücke" in by_condition["languages, mostly English"].text
    assert by_condition["two channels, languages"].samples.shape[1] == 2
    assert not by_condition["two channels, languages"].is_ordered


def test_only_chosen_conditions_are_composed(folder: Path) -> None:
    assert not list(composed.composed_programmes(folder, read_manifest(folder), lambda name: name == "read"))


def test_programmes_without_speech(folder: Path) -> None:
    found = {p.name: p.content for p in programmes_without_speech(folder, read_manifest(folder), lambda _: True)}
    assert "no-speech-street" in found
    assert not any(content.text for content in found.values())
    assert not found["no-speech-silence"].samples.any()


def test_the_ratio_of_speech_to_background() -> None:
    rng = np.random.default_rng(0)
    voice = np.sin(np.arange(16_000) / 10).astype(np.float32) * 0.1
    background = mixed(voice, rng.standard_normal(4000).astype(np.float32), 10.0) - voice
    assert 20 * np.log10(rms(voice) / rms(background)) == pytest.approx(10.0, abs=0.1)
