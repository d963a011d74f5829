from __future__ import annotations

import json
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.recognition import Engine, Hints, RecognisedWord, load_engine
from tasks.transcripts.document import WordTiming
from tasks.transcripts.text import join


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, int(seconds * SAMPLE_RATE_HZ)).astype(np.float32)


@pytest.fixture(scope="module")
def ctc(parakeet: Path) -> Engine:
    return load_engine(parakeet, "cpu")


@pytest.fixture(scope="module")
def seq2seq(whisper: Path, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AIRSCRIPT_MODEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return load_engine(whisper, "cpu")


@pytest.fixture(params=["ctc", "seq2seq"])
def engine(request: pytest.FixtureRequest) -> Engine:
    return request.getfixturevalue(request.param)


def test_every_chunk_has_a_recognition_in_order(engine: Engine) -> None:
    chunks = [noise(0.0), noise(1.5, 1), noise(1 / SAMPLE_RATE_HZ), noise(0.4, 2), noise(1.0, 3)]
    found = engine.recognise(chunks)
    assert len(found) == len(chunks)
    assert found[0].words == ()
    for chunk, recognition in zip(chunks, found, strict=True):
        times = [t for word in recognition.words for t in (word.start_ms, word.end_ms)]
        starts, ends = times[0::2], times[1::2]
        assert starts == sorted(starts)
        assert ends == sorted(ends)
        assert all(0 <= time <= len(chunk) * 1000 // SAMPLE_RATE_HZ for time in times)
        assert all(0 <= word.confidence <= 1 for word in recognition.words)
        assert all(word.start_ms <= word.end_ms and word.text.strip() == word.text != "" for word in recognition.words)
    assert engine.recognise([]) == []


def test_ctc_matches_transformers(ctc: Engine, parakeet: Path) -> None:
    """Against upstream's own processor, extractor and greedy decoding, one clip at a time."""
    import torch
    from transformers import AutoProcessor, ParakeetForCTC

    processor = AutoProcessor.from_pretrained(parakeet)
    model = ParakeetForCTC.from_pretrained(parakeet, dtype=torch.float32).eval()
    chunks = [noise(seconds, seed) for seed, seconds in enumerate((0.7, 2.0, 1.3, 4.1))]
    expected = []
    for chunk in chunks:
        inputs = processor(chunk, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        ids = model.generate(**inputs)
        expected.append(" ".join(processor.batch_decode(ids, skip_special_tokens=True)[0].split()))
    assert [recognition.text for recognition in ctc.recognise(chunks)] == expected
    assert any(expected)


def test_packing_does_not_change_a_chunks_text(ctc: Engine) -> None:
    chunk = noise(1.7, 9)
    alone = ctc.recognise([chunk])[0]
    packed = ctc.recognise([noise(5.0, 1), chunk, noise(0.5, 2)])[1]
    assert packed.text == alone.text
    assert [(w.start_ms, w.end_ms) for w in packed.words] == [(w.start_ms, w.end_ms) for w in alone.words]


def test_output_frames_match_the_encoder(ctc, parakeet: Path) -> None:
    import torch

    for n_frames in (8, 9, 31, 50):
        found = ctc.log_posteriors([torch.zeros(n_frames, 80), torch.zeros(64, 80)])
        assert [len(frames) for frames in found] == [-(-n_frames // 2), 32]


@pytest.mark.parametrize("seconds", [0.01, 4.3, 30.0])
def test_whisper_features_match_transformers(seq2seq: Engine, whisper: Path, seconds: float) -> None:
    from transformers import WhisperFeatureExtractor

    from tasks.recognition.whisper import WhisperEngine

    assert isinstance(seq2seq, WhisperEngine)
    chunk = noise(seconds)
    found = seq2seq._model.feature_extractor(chunk)[..., :-1]
    expected = WhisperFeatureExtractor.from_pretrained(whisper)(chunk, sampling_rate=16_000).input_features[0]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_each_chunk_is_encoded_once_with_little_silence(seq2seq: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.recognition.whisper import WhisperEngine

    assert isinstance(seq2seq, WhisperEngine)
    encode, lengths = seq2seq._encoder._encode, []

    def counted(features: np.ndarray) -> Any:
        lengths.extend([features.shape[-1]] * len(features))
        return encode(features)

    monkeypatch.setattr(seq2seq._encoder, "_encode", counted)
    chunks = [noise(seconds, 90 + index) for index, seconds in enumerate((29, 4, 14, 11))]
    seq2seq.detect_languages(chunks)
    seq2seq.recognise(chunks)
    assert sorted(lengths) == [1500, 1500, 2000, 3000]


def test_a_whisper_is_converted_once(whisper: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.models.whisper.ctranslate2_folder import servable_folder

    monkeypatch.setenv("AIRSCRIPT_MODEL_CACHE", str(tmp_path))
    folder = servable_folder(whisper)
    assert {"model.bin", "tokenizer.json"} <= {path.name for path in folder.iterdir()}
    written = (folder / "model.bin").stat().st_mtime_ns
    assert servable_folder(whisper) == folder
    assert (folder / "model.bin").stat().st_mtime_ns == written


def test_folders_without_a_model_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(InputRejected) as nothing:
        load_engine(tmp_path / "nowhere")
    assert nothing.value.reason is Reason.MODEL_NOT_FOUND
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(Misconfigured, match="bert"):
        load_engine(tmp_path)
    (tmp_path / "model.bin").write_bytes(b"")
    with pytest.raises(InputRejected, match="vocabulary"):
        load_engine(tmp_path)


class Detector:
    """The model with a scripted language detection. CTranslate2 takes one with so few tokens for English-only."""

    is_multilingual = True

    def __init__(self, model: object, languages: list[str]) -> None:
        self._model, self._languages = model, iter(languages)

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def detect_language(self, encoded: Any) -> list[list[tuple[str, float]]]:
        languages = islice(self._languages, encoded.shape[0])
        return [[(f"<|{language}|>", 0.9), ("<|fr|>", 0.1)] for language in languages]


def test_whisper_detects_a_chunks_language_if_the_hints_have_none(seq2seq, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [noise(1.0, 1), noise(0.0), noise(1.0, 2), noise(1.0, 3)]
    model = seq2seq._model.model
    monkeypatch.setattr(seq2seq, "_n_workers", 1)  # the script is read in order
    monkeypatch.setattr(seq2seq._model, "model", Detector(model, ["de", "en"]))
    found = seq2seq.recognise(chunks, [Hints(), Hints(), Hints("sv"), Hints()])
    assert [r.language for r in found] == ["de", None, "sv", "en"]
    monkeypatch.setattr(seq2seq._model, "model", Detector(model, ["de", "en"]))
    assert seq2seq.detect_languages([chunks[0], chunks[2]]) == [{"de": 0.9, "fr": 0.1}, {"en": 0.9, "fr": 0.1}]


def test_ctc_detects_no_languages(ctc: Engine) -> None:
    assert not ctc.detects_languages
    assert ctc.detect_languages([noise(1.0)]) == []


def test_language_detection_and_decoding_share_the_encoder_output(seq2seq, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are the same with all, some or none of the chunks in the cache."""
    chunks, hints = [noise(1.0, seed) for seed in range(4)], [Hints("en")] * 4

    def words() -> list[tuple[RecognisedWord, ...]]:
        return [recognition.words for recognition in seq2seq.recognise(chunks, hints)]

    expected = words()
    monkeypatch.setattr(seq2seq._model, "model", Detector(seq2seq._model.model, ["en"] * 6))
    encoded: list[int] = []
    upstream = seq2seq._encoder._encode

    def counted(features: np.ndarray) -> object:
        encoded.append(len(features))
        return upstream(features)

    monkeypatch.setattr(seq2seq._encoder, "_encode", counted)
    seq2seq.detect_languages([chunks[2], chunks[0]])
    assert words() == expected
    seq2seq.detect_languages(chunks)
    assert words() == expected
    assert encoded == [], "the encodings of the first decoding serve"


def test_hints_apply_to_their_own_chunk(engine: Engine) -> None:
    """The hints of one chunk change no other, and order does not matter."""
    chunks = [noise(seconds, seed) for seed, seconds in enumerate((0.7, 2.0, 1.3))]
    hints = [Hints("en"), Hints("en", ("Anna", "BBC")), Hints("en")]
    plain, hinted = engine.recognise(chunks, [Hints("en")] * 3), engine.recognise(chunks, hints)
    assert [hinted[0], hinted[2]] == [plain[0], plain[2]]
    assert engine.recognise(chunks[::-1], hints[::-1]) == hinted[::-1]
    assert engine.recognise(chunks, hints, fallback=True) == engine.recognise(chunks, hints, fallback=True)


def test_text_without_word_times_is_kept() -> None:
    from faster_whisper.transcribe import Segment

    from tasks.recognition.whisper_words import words_of_segments

    segment = Segment(1, 0, 31.0, 32.0, " 50 % off", [], -0.1, 1.0, 0.0, [], None)
    found = words_of_segments([segment], 30.0, 2.0, "en")
    assert [(w.text, w.start_ms, w.end_ms) for w in found] == [
        ("50", 1000, 1333),
        ("%", 1333, 1500),
        ("off", 1500, 2000),
    ]
    assert {w.timing for w in found} == {WordTiming.CHUNK}


@pytest.mark.parametrize(
    ("language", "parts", "words"),
    [
        ("en", [" a", " state", "-of", "-the", "-art", " film,", " 50", "%", " off"],
         ["a", "state-of-the-art", "film,", "50%", "off"]),
        ("fr", [" l", "'été", " aussi"], ["l'été", "aussi"]),
        ("zh", ["我", "用", "Win", "dows", " Server", "系", "统"], ["我", "用", "Windows", "Server", "系", "统"]),
        ("zh-TW", ["20", "24", "年", "5", ".", "5", "%"], ["2024", "年", "5.5%"]),
        ("ja", ["NHK", "の", " BBC", " News", "。"], ["NHK", "の", "BBC", "News", "。"]),
        ("km", [" សួស្តី", " អ្នក"], ["សួស្តី", "អ្នក"]),
        ("en", [" ", "word"], ["word"]),
    ],
)  # fmt: skip
def test_parts_without_a_leading_space_are_merged(language: str, parts: list[str], words: list[str]) -> None:
    """Upstream's word parts, and the words that they make up."""
    from faster_whisper.transcribe import Segment
    from faster_whisper.transcribe import Word as WordPart

    from tasks.recognition.whisper_words import words_of_segments

    timed = [WordPart(30.0 + n / 10, 30.1 + n / 10, text, 0.9 - n / 100) for n, text in enumerate(parts)]
    segment = Segment(1, 0, 30.0, 31.0, "".join(parts), [], -0.1, 1.0, 0.0, timed, None)
    found = words_of_segments([segment], 30.0, 2.0, language)
    assert [word.text for word in found] == words
    assert all(before.end_ms == after.start_ms for before, after in pairwise(found))
    assert found[-1].end_ms == 100 * len(parts)
    assert found[-1].confidence == pytest.approx(0.9 - (len(parts) - 1) / 100)
    assert "".join(join(words, language).split()) == "".join("".join(parts).split())
