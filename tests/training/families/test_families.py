"""Each family: what it cannot learn from, that its loss falls, and that what it saves is what it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.contract.arguments import PresetName
from tasks.dataset.manifest import load_manifest
from tasks.recognition import Hints
from tasks.recognition.loading import CONVERTED
from tests.training.tones import write_dataset, write_parakeet, write_wav2vec2_bert, write_whisper
from training.data.loader import Draw, Share
from training.data.order import Position
from training.data.shards import ShardReader, Utterance
from training.families import AcousticModel, Batch, Family, load_acoustic_model
from training.families.lora import add_adapters
from training.families.model_folder import save_acoustic_model
from training.families.whisper import IGNORED_LABEL, Whisper
from training.finetuning import conversion
from training.finetuning.batches import BatchMaker
from training.finetuning.loop import load_weights, weights_of
from training.finetuning.recipe import load_preset

pytestmark = pytest.mark.timeout(900)  # its fixtures train a model: minutes where cores are shared


WRITERS: dict[str, Callable[[Path], Path]] = {
    "parakeet": write_parakeet,
    "wav2vec2-bert": write_wav2vec2_bert,
    "whisper": write_whisper,
}
FEATURES = {"parakeet": "parakeet-80-20ms", "wav2vec2-bert": "wav2vec2-bert", "whisper": "whisper-80"}


@pytest.fixture(scope="module", params=["parakeet", "wav2vec2-bert", "whisper"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return WRITERS[request.param](tmp_path_factory.mktemp(request.param) / "model")


@pytest.fixture
def model(folder: Path) -> AcousticModel:
    return load_acoustic_model(folder, "cpu")


@pytest.fixture(scope="module")
def utterances(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Utterance]:
    features = FEATURES[folder.parent.name.rstrip("0123456789")]
    uri = write_dataset(tmp_path_factory.mktemp("data"), n_train=3, n_test=1, features=features)
    return ShardReader(load_manifest(uri)[0].uris("train")).read(0)


def test_the_loss_falls(model: AcousticModel, utterances: list[Utterance]) -> None:
    torch.manual_seed(0)
    batch = model.collate(utterances)
    optimizer = torch.optim.AdamW(model.module.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        loss = model.loss(batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_checkpointed_activations_give_the_same_gradients(model: AcousticModel, utterances: list[Utterance]) -> None:
    batch = model.collate(utterances)
    found = []
    for checkpointed in (False, True):
        if checkpointed:
            model.module.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            assert model.module.is_gradient_checkpointing
        torch.manual_seed(3)
        model.module.zero_grad()
        for module in model.module.modules():
            if isinstance(module, torch.nn.BatchNorm1d):
                module.momentum = 0.0  # the second pass would move its statistics again
        loss = model.loss(batch)
        loss.backward()
        found.append(
            (loss.item(), {n: p.grad.clone() for n, p in model.module.named_parameters() if p.grad is not None})
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    assert found[0][1].keys() == found[1][1].keys()
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, rtol=1e-4, atol=1e-6)


def test_a_trained_model_is_recognised_with(model: AcousticModel, folder: Path, tmp_path: Path) -> None:
    """The engine of nights reads the folder that training saved."""
    from tasks.features.logmel import LogMel
    from tasks.recognition import load_engine

    save_acoustic_model(model.module, folder, tmp_path / "saved")
    engine = load_engine(tmp_path / "saved", "cpu")
    speech = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    (found,) = engine.recognise([speech])
    assert all(0 <= word.start_ms <= word.end_ms <= 1500 for word in found.words)
    if model.family is not Family.WHISPER:
        features = LogMel(model.features)([speech])[0]
        batch = model.collate([Utterance("u", features.numpy(), "a", 1.5)])
        model.module.eval()
        without_specials = re.sub(r"<[^>]*>", "", model.decode(batch)[0])
        assert "".join(found.text.split()) == "".join(without_specials.split())


def test_padding_changes_nothing(model: AcousticModel, utterances: list[Utterance]) -> None:
    model.module.eval()
    together = model.decode(model.collate(utterances))
    assert together == [model.decode(model.collate([u]))[0] for u in utterances]
    assert len(together) == 3


def test_what_is_saved_is_the_model(
    model: AcousticModel, folder: Path, utterances: list[Utterance], tmp_path: Path
) -> None:
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.copy_(parameter.half())  # the Parakeet's base is stored in half precision, and so is the copy
    save_acoustic_model(model.module, folder, tmp_path / "saved")
    assert {p.name for p in folder.iterdir()} == {p.name for p in (tmp_path / "saved").iterdir()}
    again = load_acoustic_model(tmp_path / "saved", "cpu")
    batch: Batch = model.collate(utterances)
    model.module.eval(), again.module.eval()
    with torch.no_grad():
        torch.testing.assert_close(again.loss(batch), model.loss(batch), rtol=1e-3, atol=1e-3)


def test_weights_come_back_and_tied_ones_stay_tied(model: AcousticModel, folder: Path) -> None:
    kept = {name: tensor.detach().clone() for name, tensor in weights_of(model.module).items()}
    again = load_acoustic_model(folder, "cpu")
    with torch.no_grad():
        for parameter in again.module.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    load_weights(again.module, kept)
    for name, tensor in model.module.state_dict().items():
        torch.testing.assert_close(again.module.state_dict()[name], tensor)


def test_adapters_train_little_and_merge_into_an_ordinary_model(
    model: AcousticModel, folder: Path, utterances: list[Utterance], tmp_path: Path
) -> None:
    n_all = sum(p.numel() for p in model.module.parameters())
    before = {name: p.detach().clone() for name, p in model.module.named_parameters()}
    add_adapters(model.module, model.family, rank=4)
    trained = [p for p in model.module.parameters() if p.requires_grad]
    assert 0 < sum(p.numel() for p in trained) < 0.5 * n_all
    assert not set(before) & {name for name, p in model.module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained, lr=1e-2)
    batch = model.collate(utterances)
    first = model.loss(batch)
    for _ in range(4):
        model.loss(batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.module.eval()
    with torch.no_grad():
        adapted = model.loss(batch)
    assert adapted < first
    save_acoustic_model(model.module, folder, tmp_path / "merged")
    again = load_acoustic_model(tmp_path / "merged", "cpu")
    assert {name for name, _ in again.module.named_parameters()} == set(before)
    again.module.eval()
    with torch.no_grad():
        torch.testing.assert_close(again.loss(batch), adapted, rtol=2e-2, atol=2e-2)


def test_ctc_counts_impossible_targets(tmp_path: Path) -> None:
    model = load_acoustic_model(write_parakeet(tmp_path / "model"), "cpu")
    assert model.rejects("a cab", 1.0) is None
    assert model.rejects("a" * 12, 1.0) is None  # 12 letters and 11 blanks between them, in 25 frames
    assert model.rejects("a" * 14, 1.0) is Reason.CHARACTER_RATE
    assert model.rejects("ab" * 12, 1.0) is None
    assert model.rejects("ab" * 13, 1.0) is Reason.CHARACTER_RATE
    assert model.rejects("x", 0.03) is Reason.TOO_SHORT
    assert model.rejects("7 up", 1.0) is Reason.ALPHABET


def test_marks_that_a_model_does_not_write_are_no_reason_to_reject(tmp_path: Path) -> None:
    letters_alone = load_acoustic_model(write_wav2vec2_bert(tmp_path / "model"), "cpu")
    assert letters_alone.rejects("so, is it? it is.", 3.0) is None
    with_marks, without = (
        letters_alone.collate([Utterance("u", np.zeros((150, 160), np.float16), text, 3.0)]).labels.tolist()
        for text in ("so, is it? it is.", "so is it it is")
    )
    assert with_marks == without
    assert letters_alone.rejects("so & so", 3.0) is Reason.ALPHABET
    writes_marks = load_acoustic_model(write_parakeet(tmp_path / "parakeet"), "cpu")
    texts = ("so, yes.", "so yes")
    labels = [
        writes_marks.collate([Utterance("u", np.zeros((150, 80), np.float16), text, 3.0)]).labels for text in texts
    ]
    assert labels[0].shape[1] == labels[1].shape[1] + 2


def test_a_process_without_a_share_takes_the_step_too(model: AcousticModel) -> None:
    maker = BatchMaker(model, load_preset(PresetName.DEMO).recipe, Share(rank=2, world=3))
    batch = maker(Draw(Position(0, 0), 1, 2.0, []))
    model.loss(batch).backward()
    assert (batch.weight, batch.texts) == (0, ("",))
    assert all(p.grad is not None for p in model.module.parameters() if p.requires_grad)


def test_ctc_of_no_text_is_blanks_throughout(tmp_path: Path) -> None:
    sound = Utterance("u", np.random.default_rng(0).normal(size=(100, 160)).astype(np.float16), "", 2.0)
    model = load_acoustic_model(write_wav2vec2_bert(tmp_path / "model"), "cpu")
    model.module.eval()
    batch = model.collate([sound])
    with torch.no_grad():
        logits = model.module(input_features=batch.features).logits[0]
        expected = -logits.log_softmax(-1)[:, model.module.config.pad_token_id].sum()
        torch.testing.assert_close(model.loss(batch), expected)


def configured(folder: Path, settings: dict[str, object]) -> Path:
    """A saved model with other settings."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | settings))
    return folder


def test_no_layer_is_left_out_at_random(tmp_path: Path) -> None:
    """Each process would leave out other ones, and DistributedDataParallel ends where a layer has no gradient."""
    parakeet, whisper = write_parakeet(tmp_path / "parakeet"), write_whisper(tmp_path / "whisper")
    encoder = json.loads((parakeet / "config.json").read_text())["encoder_config"]
    configured(parakeet, {"encoder_config": encoder | {"layerdrop": 1.0}})
    configured(whisper, {"encoder_layerdrop": 1.0, "decoder_layerdrop": 1.0})
    rng = np.random.default_rng(0)
    for folder, n_frames in ((parakeet, 100), (whisper, 3000)):
        model = load_acoustic_model(folder, "cpu")
        batch = model.collate([Utterance("u", rng.normal(size=(n_frames, 80)).astype(np.float16), "so", 2.0)])
        model.loss(batch).backward()
        assert all(p.grad is not None for p in model.module.parameters() if p.requires_grad)


@pytest.mark.parametrize("write", [write_wav2vec2_bert, write_whisper])
def test_no_mask_is_drawn_outside_torchs_generator(write: Callable[[Path], Path], tmp_path: Path) -> None:
    """A run that is resumed would see other masks."""
    masked = {"apply_spec_augment": True, "mask_time_prob": 0.5, "mask_feature_prob": 0.5}
    model = load_acoustic_model(configured(write(tmp_path / "model"), masked), "cpu")
    n_frames = 3000 if model.family is Family.WHISPER else 100
    features = np.random.default_rng(0).normal(size=(n_frames, model.features.n_features)).astype(np.float16)
    batch = model.collate([Utterance("u", features, "so", 2.0)])
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        losses.append(model.loss(batch).item())
    assert losses[0] == losses[1]


def test_a_wav2vec2_bert_that_was_made_without_masks(tmp_path: Path) -> None:
    """As the usual recipe saves it: then it holds no vector for what is masked."""
    unmasked = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0}
    model = load_acoustic_model(configured(write_wav2vec2_bert(tmp_path / "model"), unmasked), "cpu")
    assert all(p.requires_grad for p in model.module.parameters())


def test_what_ctc_takes_has_a_finite_loss(tmp_path: Path) -> None:
    """The boundary itself: `ctc_zero_infinity` would turn an infinite loss into zero."""
    model = load_acoustic_model(write_parakeet(tmp_path / "model"), "cpu")
    model.module.eval()
    model.module.config.ctc_zero_infinity = False
    rng = np.random.default_rng(0)
    for text in ("a" * 13, "ab" * 12, "hello  hello"):
        for n_frames in range(20, 60):
            rejected = model.rejects(text, n_frames / 50)
            utterance = Utterance("u", rng.normal(size=(n_frames, 80)).astype(np.float16), text, n_frames / 50)
            with torch.no_grad():
                finite = bool(torch.isfinite(model.loss(model.collate([utterance]))))
            assert finite == (rejected is None), (text, n_frames)


def test_whisper_refuses_what_its_window_cuts(tmp_path: Path) -> None:
    model = load_acoustic_model(write_whisper(tmp_path / "model"), "cpu")
    assert model.rejects("a cab", 30.0) is None
    assert model.rejects("a cab", 30.1) is Reason.TOO_LONG
    assert model.rejects("a" * 500, 20.0) is Reason.CHARACTER_RATE


def test_whisper_learns_the_prompt_it_is_decoded_with(tmp_path: Path, utterances: list[Utterance]) -> None:
    model = load_acoustic_model(write_whisper(tmp_path / "model"), "cpu")
    labels = model.collate([Utterance("u", np.zeros((3000, 80), np.float16), "ab", 1.0)]).labels[0].tolist()
    tokens = model._tokenizer.convert_ids_to_tokens(labels)
    assert tokens == ["<|en|>", "<|transcribe|>", "<|notimestamps|>", "a", "b", "<|endoftext|>"]


def test_whisper_learns_that_there_is_no_speech_and_is_heard_by_it(tmp_path: Path) -> None:
    """In training's decoding, in the parity gate's and at night. As upstream's, it may neither end a text at once nor
    write special tokens into it."""
    from tasks.features.logmel import LogMel
    from tasks.recognition import load_engine

    folder = write_whisper(tmp_path / "model")
    config = json.loads((folder / "generation_config.json").read_text())
    end, n_tokens = config["eos_token_id"], json.loads((folder / "config.json").read_text())["vocab_size"]
    config |= {"begin_suppress_tokens": [end], "suppress_tokens": list(range(end + 1, n_tokens))}
    (folder / "generation_config.json").write_text(json.dumps(config))
    model = load_acoustic_model(folder, "cpu")
    assert isinstance(model, Whisper)
    noise = np.random.default_rng(0).normal(0, 0.05, 24_000).astype(np.float32)
    tone = np.sin(np.arange(24_000) * 0.2).astype(np.float32)
    heard = zip(LogMel(model.features)([noise, tone]), ("", "ab"), strict=True)
    batch = model.collate([Utterance("u", features.numpy(), text, 1.5) for features, text in heard])
    optimizer = torch.optim.AdamW(model.module.parameters(), lr=1e-2)
    for _ in range(60):
        model.loss(batch).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.module.eval()
    assert model.decode(batch) == ["", "ab"]
    save_acoustic_model(model.module, folder, tmp_path / "saved")
    converted = conversion.convert(tmp_path / "saved", "float32", tmp_path) / CONVERTED
    assert conversion._Converted(converted, model, "cpu").decode(batch) == ["", "ab"]
    found = load_engine(tmp_path / "saved", "cpu").recognise([noise, tone], [Hints("en")] * 2)
    assert [bool(recognition.words) for recognition in found] == [False, True]
    assert model._tokenizer.convert_ids_to_tokens(batch.labels[0][:1].tolist()) == ["<|nospeech|>"]
    assert batch.labels[0][1:].eq(IGNORED_LABEL).all()


def test_a_whisper_without_a_word_for_it_learns_to_end_at_once(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "model")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text((folder / name).read_text().replace("<|nospeech|>", "<|other|>"))
    model = load_acoustic_model(folder, "cpu")
    batch = model.collate([Utterance("u", np.zeros((3000, 80), np.float16), "", 1.0)])
    tokens = model._tokenizer.convert_ids_to_tokens(batch.labels[0].tolist())
    assert tokens == ["<|en|>", "<|transcribe|>", "<|notimestamps|>", "<|endoftext|>"]
    assert len(model.decode(batch)) == 1


def test_whisper_takes_a_region_for_its_language_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    folder = write_whisper(tmp_path / "model")
    assert load_acoustic_model(folder, "cpu", "en-GB")._prompt["language"] == "en"  # type: ignore[attr-defined]
    with pytest.raises(Misconfigured, match="tlh"):
        load_acoustic_model(folder, "cpu", "tlh")


def test_no_model_and_an_unknown_one(tmp_path: Path) -> None:
    with pytest.raises(InputRejected) as raised:
        load_acoustic_model(tmp_path, "cpu")
    assert raised.value.reason is Reason.MODEL_NOT_FOUND
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputRejected, match=re.escape(str(tmp_path))) as raised:
        load_acoustic_model(tmp_path, "cpu")
    assert raised.value.reason is Reason.CORRUPT
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(Misconfigured, match="bert"):
        load_acoustic_model(tmp_path, "cpu")
