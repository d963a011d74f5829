"""What a trained Whisper hears in human speech, and in none."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from ctranslate2 import StorageView

from tasks.features.logmel import LogMel
from tasks.media.speech_activity import has_speech
from tasks.recognition import Engine, Hints, load_engine
from tasks.recognition.whisper import WhisperEngine
from tasks.recognition.whisper_windows import KnownWords, WhisperWindows
from tasks.streaming.decoding.loading import streamed_features
from tasks.transcripts.spans import Span

ENGLISH = Hints("en")


@pytest.fixture(scope="module")
def engine(whisper_base: Path) -> Engine:
    return load_engine(whisper_base, "cpu")


@pytest.fixture(scope="module")
def sentences(speech: Path) -> dict[str, np.ndarray]:
    """The first sentences of an audiobook, by their text."""
    rows = [json.loads(line) for line in (speech / "manifest.jsonl").read_text().splitlines()]
    chosen = [row for row in rows if row["path"].startswith("sentences/audiobook/")][:3]
    return {row["text"]: soundfile.read(speech / row["path"], dtype="float32")[0] for row in chosen}


def test_the_words_of_known_sentences_come_out(engine: Engine, sentences: dict[str, np.ndarray]) -> None:
    found = engine.recognise(list(sentences.values()), [ENGLISH] * len(sentences))
    for text, recognition in zip(sentences, found, strict=True):
        heard = {word.text.strip(".,;!?").lower() for word in recognition.words}
        expected = set(text.split())
        assert len(heard & expected) >= 0.8 * len(expected), (text, recognition.text)
        assert recognition.log_probability < 0


def test_nothing_is_heard_where_nobody_speaks(engine: Engine) -> None:
    time_s = np.arange(10 * 16_000) / 16_000
    noise = np.random.default_rng(0).normal(0, 0.05, len(time_s)).astype(np.float32)
    tone = (0.2 * np.sin(2 * np.pi * 440 * time_s)).astype(np.float32)
    for samples in (np.zeros_like(noise), noise, tone):
        assert not has_speech(samples)
        (recognition,) = engine.recognise([samples], [ENGLISH])
        assert recognition.words == ()


def test_probable_text_of_speech_is_kept_whatever_the_no_speech_token_says(
    engine: Engine, speech: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits read slowly by a second-language speaker: 0.71 for no speech, and a mean log probability of -0.36."""
    samples, _ = soundfile.read(speech / "digits/strings/0070_000700037.flac", dtype="float32")
    (recognition,) = engine.recognise([samples], [ENGLISH])
    assert [c for c in recognition.text if c.isdigit()] == list("3817")
    monkeypatch.setattr("tasks.recognition.whisper.has_speech", lambda samples: False)
    assert engine.recognise([samples], [ENGLISH])[0].words == (), "the token alone would have dropped it"


def test_a_stretch_of_a_live_window_tells_its_language_and_is_decoded_from_the_same_encoding(
    engine: Engine, sentences: dict[str, np.ndarray], speech: Path, whisper_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faster_whisper import decode_audio

    assert isinstance(engine, WhisperEngine)
    windows = WhisperWindows(engine)
    english = max(sentences.values(), key=len)[: 4 * 16_000]
    french = decode_audio(str(speech / "other_languages" / "french.aiff"))
    frames = LogMel(streamed_features(whisper_base))([np.concatenate([english, french])])[0].numpy()
    encoded: list[int] = []
    encode = engine.model.model.encode

    class Counting:
        def __getattr__(self, name: str) -> object:
            return getattr(engine.model.model, name)

        def encode(self, features: StorageView) -> StorageView:
            encoded.append(features.shape[-1])
            return encode(features)

    monkeypatch.setattr(windows, "_model", Counting())
    ballot = windows.detect_language(frames, from_ms=4_000)
    assert max(ballot, key=ballot.__getitem__) == "fr"
    assert windows.decode(frames, KnownWords(language="fr"))
    assert len(encoded) == 1
    windows.decode(frames[:-20], KnownWords(language="fr"))
    assert len(encoded) == 2
    ballot = windows.detect_language(frames[:400])
    assert max(ballot, key=ballot.__getitem__) == "en"


def test_the_languages_inside_a_window_are_told(engine: Engine, sentences: dict[str, np.ndarray], speech: Path) -> None:
    from faster_whisper import decode_audio

    french = decode_audio(str(speech / "other_languages" / "french.aiff"))
    english = max(sentences.values(), key=len)
    window = np.concatenate([english, french, english])
    edges = np.cumsum([0, len(english), len(french), len(english)]) // 16
    spans = [Span(int(start), int(end)) for start, end in pairwise(edges)]
    ballots = engine.detect_languages_within(window, spans)
    assert [max(ballot, key=ballot.__getitem__) for ballot in ballots] == ["en", "fr", "en"]
