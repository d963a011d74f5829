"""Every layout of Whisper that others write is recognised with and can be fine-tuned: same weights, same text."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks import models, storage
from tasks.contract import InputRejected, Reason
from tasks.models.conversion import convert_once
from tasks.models.whisper.ctranslate2_file import read_ctranslate2
from tasks.models.whisper.ctranslate2_folder import convert, servable_folder
from tasks.models.whisper.decoding_settings import alignment_heads, suppressed_tokens
from tasks.models.whisper.openai_file import read_openai
from tasks.models.whisper.tokenizer import load_tokenizer
from tasks.models.whisper.transformers_folder import complete_folder, convert_folder
from tests.tasks.models.whisper import layouts

SENTENCE = "sentences/known/speechbrain_spk1_snt4.flac"
TEXT = "a thin stripe runs down the middle"


@pytest.fixture(scope="module")
def tiny(whisper_tiny_en: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """tiny.en in transformers' layout."""
    folder = tmp_path_factory.mktemp("tiny") / "model"
    convert_folder(whisper_tiny_en, folder)
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRSCRIPT_MODEL_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture(scope="module")
def sentence(speech: Path) -> np.ndarray:
    from tasks.media.decoding.reader import load_audio

    return load_audio(str(speech / SENTENCE))


def fetched(folder: Path, tmp_path: Path) -> Path:
    reference = models.resolve(str(folder))
    models.check(reference)
    return models.fetch(reference, tmp_path / "scratch")


def words(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalpha() or c == " ").strip()


Transcribe = Callable[[Path], str]


@pytest.fixture(scope="module")
def transcribed(sentence: np.ndarray) -> Transcribe:
    """Recognises the sentence with the model in a folder: once where the engine is given the same bytes."""
    known: dict[tuple[tuple[str, str], ...], str] = {}

    def transcribe(folder: Path) -> str:
        from tasks.recognition import load_engine

        files = sorted(path for path in servable_folder(folder).iterdir() if path.is_file())
        content = tuple((path.name, storage.digest_file(path)) for path in files)
        if content not in known:
            known[content] = words(load_engine(folder, "cpu").recognise([sentence])[0].text)
        return known[content]

    return transcribe


@pytest.fixture(scope="module")
def tiny_state(tiny: Path) -> dict[str, torch.Tensor]:
    return loaded_state(tiny)


def loaded_state(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors of the model that transformers loads, in its precision."""
    from transformers import WhisperForConditionalGeneration

    return dict(WhisperForConditionalGeneration.from_pretrained(folder).state_dict())


def same_bits(state: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return state.keys() == other.keys() and all(state[name].equal(tensor) for name, tensor in other.items())


@pytest.mark.parametrize("layout", layouts.OF_TRANSFORMERS)
def test_a_layout_is_recognised_with_and_can_be_trained(
    layout: str, tiny: Path, tiny_state: dict[str, torch.Tensor], tmp_path: Path, transcribed: Transcribe
) -> None:
    from training.families.model_folder import load_acoustic_model, trainable_folder

    layouts.OF_TRANSFORMERS[layout](tiny, tmp_path / "theirs")
    folder = fetched(tmp_path / "theirs", tmp_path)
    assert transcribed(folder) == TEXT
    trainable = trainable_folder(folder)
    model = load_acoustic_model(trainable, "cpu")  # in float32, which holds every float16
    assert same_bits(model.module.state_dict(), {name: tensor.float() for name, tensor in tiny_state.items()})
    assert model.features.n_mels == 80
    assert model.rejection_reason("Read me.", 2.0) is None
    saved, ours = (json.loads((f / "generation_config.json").read_text()) for f in (trainable, tiny))
    for name in ("suppress_tokens", "begin_suppress_tokens", "no_timestamps_token_id", "is_multilingual"):
        assert saved[name] == ours[name], name


@pytest.mark.parametrize("left_out", [(), ("tokenizer.json",), ("tokenizer.json", "config.json")], ids=" ".join)
def test_systrans_folders_are_recognised_with_and_can_be_trained(
    left_out: tuple[str, ...],
    whisper_tiny_en: Path,
    tiny_state: dict[str, torch.Tensor],
    tmp_path: Path,
    transcribed: Transcribe,
) -> None:
    """Without `preprocessor_config.json`, and older ones with a vocabulary for a tokenizer."""
    folder = fetched(layouts.copy(whisper_tiny_en, tmp_path / "theirs", *left_out), tmp_path)
    assert transcribed(folder) == TEXT
    assert same_bits(loaded_state(complete_folder(folder)), tiny_state)


@pytest.mark.parametrize("name", ["whisper_tiny_en", "whisper_base"])
def test_there_and_back_is_bit_identical(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    theirs: Path = request.getfixturevalue(name)
    convert_folder(theirs, tmp_path / "there")
    convert(tmp_path / "there", tmp_path / "back", "float16")
    before, after = read_ctranslate2(theirs), read_ctranslate2(tmp_path / "back")
    assert before.tensors.keys() == after.tensors.keys()
    for tensor_name, tensor in before.tensors.items():
        assert tensor.dtype == after.tensors[tensor_name].dtype
        assert tensor.equal(after.tensors[tensor_name]), tensor_name
    old, new = (json.loads((f / "config.json").read_text()) for f in (theirs, tmp_path / "back"))
    settings = ["alignment_heads", "suppress_ids", "suppress_ids_begin"] + ["lang_ids"] * before.is_multilingual
    assert [old[s] for s in settings] == [new[s] for s in settings]
    vocabularies = (theirs / "vocabulary.txt").read_text().split("\n")[:-1], tmp_path / "back" / "vocabulary.json"
    assert vocabularies[0] == json.loads(vocabularies[1].read_text())


def test_transformers_reads_what_ctranslate2_reads(
    tiny: Path, whisper_tiny_en: Path, sentence: np.ndarray, transcribed: Transcribe
) -> None:
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    processor = WhisperProcessor.from_pretrained(tiny)
    features = processor(sentence, sampling_rate=16_000, return_tensors="pt").input_features
    model = WhisperForConditionalGeneration.from_pretrained(tiny).float()
    (text,) = processor.batch_decode(model.generate(features), skip_special_tokens=True)
    assert words(text) == transcribed(whisper_tiny_en) == TEXT


def test_quantised_weights_can_be_trained(tiny: Path, tmp_path: Path) -> None:
    """Within half a step of 8 bits: a row's largest weight is 127 steps."""
    convert(tiny, tmp_path / "int8", "int8")
    whole, quantised = read_ctranslate2(servable_folder(tiny)).tensors, read_ctranslate2(tmp_path / "int8").tensors
    assert whole.keys() == quantised.keys()
    for name, tensor in whole.items():
        rows = tensor.float().reshape(len(tensor), -1)
        error = (rows - quantised[name].float().reshape(len(tensor), -1)).abs()
        assert (error <= 0.51 * rows.abs().amax(1, keepdim=True) / 127 + 1e-3).all(), name


@pytest.mark.parametrize("name", ["whisper_tiny_en", "whisper_base"])
def test_settings_of_published_models_are_derived(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """A checkpoint of OpenAI's has weights alone: what its package computes is what the converted models have."""
    theirs: Path = request.getfixturevalue(name)
    weights = read_ctranslate2(theirs)
    tokenizer = load_tokenizer(theirs, weights.n_tokens)
    assert suppressed_tokens(tokenizer) == list(weights.suppressed)
    assert alignment_heads(weights) == weights.alignment_heads
    (tmp_path / "vocabulary").mkdir()
    shutil.copyfile(theirs / "vocabulary.txt", tmp_path / "vocabulary" / "vocabulary.txt")
    derived = load_tokenizer(tmp_path / "vocabulary", weights.n_tokens)
    assert derived.get_vocab() == tokenizer.get_vocab()
    for text in ("Hello, World! It's 3.5 %.", " Ünïcödé 日本語 Привет\n"):
        assert derived.decode(derived.encode(text, add_special_tokens=False).ids) == text
    merges = [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]
    ours = [tuple(pair) for pair in json.loads(derived.to_str())["model"]["merges"]]
    # The package's multilingual tokenizer lacks the first merge: a file without a version was read as one with it.
    assert [("Ġ", "t"), *merges] == ours if len(merges) < len(ours) else merges == ours


def test_a_conversion_is_written_once(tiny: Path, tmp_path: Path) -> None:
    written = []

    def write(target: Path) -> None:
        written.append(target)
        target.mkdir()

    folder = layouts.copy(tiny, tmp_path / "model", "model.safetensors")
    assert convert_once("kind", folder, write) == convert_once("kind", folder, write)
    assert len(written) == 1
    (folder / "config.json").write_text("{}")
    convert_once("kind", folder, write)
    assert len(written) == 2


def test_weights_that_are_not_whole_are_told(tiny: Path, tmp_path: Path) -> None:
    """Missing ones would be drawn at random on loading."""
    folder = layouts.openai(tiny, tmp_path / "theirs")
    checkpoint = torch.load(folder / "tiny.en.pt", weights_only=True)
    del (
        checkpoint["model_state_dict"]["decoder.blocks.1.mlp.0.weight"],
        checkpoint["model_state_dict"]["encoder.ln_post.bias"],
    )
    torch.save(checkpoint, folder / "tiny.en.pt")
    with pytest.raises(InputRejected, match=r"model\.encoder\.layer_norm\.bias") as error:
        complete_folder(folder)
    assert error.value.subject == str(folder)


def test_damaged_and_foreign_weights_are_told(whisper_tiny_en: Path, tmp_path: Path) -> None:
    whole = (whisper_tiny_en / "model.bin").read_bytes()
    for content, message in ((whole[:50_000_000], "truncated"), (b"\x04" + whole[1:], "version 4"), (b"x", "error")):
        (tmp_path / "model.bin").write_bytes(content)
        with pytest.raises(InputRejected, match=message) as error:
            read_ctranslate2(tmp_path)
        assert error.value.reason is Reason.CORRUPT
        assert error.value.subject.endswith("model.bin")


class Intruder:
    """What a pickle may do on loading."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("executed",))


def test_a_checkpoint_runs_no_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save({"dims": {}, "model_state_dict": Intruder()}, tmp_path / "model.pt")
    with pytest.raises(InputRejected, match="as data alone"):
        read_openai(tmp_path / "model.pt")
    assert "executed" not in capsys.readouterr().out
