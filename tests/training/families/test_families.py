"""Every model family: its loss falls, padding is neutral, and saving and loading preserve it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.dataset.manifest import load_manifest
from tests.training.tones import configured, write_dataset, write_parakeet, write_wav2vec2_bert, write_whisper
from training.data.shards import ShardReader, TrainingUtterance
from training.families.acoustic import AcousticModel, PaddedBatch
from training.families.family import ModelFamily
from training.families.lora import add_adapters
from training.families.model_folder import load_acoustic_model, save_acoustic_model
from training.finetuning.loop import load_weights, weights_of

pytestmark = pytest.mark.timeout(900)  # trains small models: minutes where cores are shared


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
def utterances(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> list[TrainingUtterance]:
    features = FEATURES[folder.parent.name.rstrip("0123456789")]
    uri = write_dataset(tmp_path_factory.mktemp("data"), n_train=3, n_test=1, features=features)
    return ShardReader(load_manifest(uri)[0].uris("train")).read(0)


def test_the_loss_falls(model: AcousticModel, utterances: list[TrainingUtterance]) -> None:
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


def test_checkpointed_activations_give_the_same_gradients(
    model: AcousticModel, utterances: list[TrainingUtterance]
) -> None:
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


def test_the_engine_loads_a_trained_model(model: AcousticModel, folder: Path, tmp_path: Path) -> None:
    """The production engine reads the folder that training saved."""
    from tasks.features.logmel import LogMel
    from tasks.recognition import load_engine

    save_acoustic_model(model.module, folder, tmp_path / "saved")
    engine = load_engine(tmp_path / "saved", "cpu")
    speech = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    (found,) = engine.recognise([speech])
    assert all(0 <= word.start_ms <= word.end_ms <= 1500 for word in found.words)
    if model.family is not ModelFamily.WHISPER:
        features = LogMel(model.features)([speech])[0]
        batch = model.collate([TrainingUtterance("u", features.numpy(), "a", 1.5)])
        model.module.eval()
        without_specials = re.sub(r"<[^>]*>", "", model.decode(batch)[0])
        assert "".join(found.text.split()) == "".join(without_specials.split())


def test_padding_changes_nothing(model: AcousticModel, utterances: list[TrainingUtterance]) -> None:
    model.module.eval()
    together = model.decode(model.collate(utterances))
    assert together == [model.decode(model.collate([u]))[0] for u in utterances]
    assert len(together) == 3


def test_a_saved_model_is_the_same(
    model: AcousticModel, folder: Path, utterances: list[TrainingUtterance], tmp_path: Path
) -> None:
    with torch.no_grad():
        for parameter in model.module.parameters():
            parameter.copy_(parameter.half())  # the Parakeet's base is stored in half precision, and so is the copy
    save_acoustic_model(model.module, folder, tmp_path / "saved")
    assert {p.name for p in folder.iterdir()} == {p.name for p in (tmp_path / "saved").iterdir()}
    again = load_acoustic_model(tmp_path / "saved", "cpu")
    batch: PaddedBatch = model.collate(utterances)
    model.module.eval(), again.module.eval()
    with torch.no_grad():
        torch.testing.assert_close(again.loss(batch), model.loss(batch), rtol=1e-3, atol=1e-3)


def test_weights_are_restored_and_tied_ones_stay_tied(model: AcousticModel, folder: Path) -> None:
    kept = {name: tensor.detach().clone() for name, tensor in weights_of(model.module).items()}
    again = load_acoustic_model(folder, "cpu")
    with torch.no_grad():
        for parameter in again.module.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    load_weights(again.module, kept)
    for name, tensor in model.module.state_dict().items():
        torch.testing.assert_close(again.module.state_dict()[name], tensor)


def test_adapters_train_few_weights_and_merge_into_an_ordinary_model(
    model: AcousticModel, folder: Path, utterances: list[TrainingUtterance], tmp_path: Path
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


def test_layerdrop_is_off(tmp_path: Path) -> None:
    """Ranks would drop different layers, and DistributedDataParallel fails where a layer has no gradient."""
    parakeet, whisper = write_parakeet(tmp_path / "parakeet"), write_whisper(tmp_path / "whisper")
    encoder = json.loads((parakeet / "config.json").read_text())["encoder_config"]
    configured(parakeet, {"encoder_config": encoder | {"layerdrop": 1.0}})
    configured(whisper, {"encoder_layerdrop": 1.0, "decoder_layerdrop": 1.0})
    rng = np.random.default_rng(0)
    for folder, n_frames in ((parakeet, 100), (whisper, 3000)):
        model = load_acoustic_model(folder, "cpu")
        batch = model.collate([TrainingUtterance("u", rng.normal(size=(n_frames, 80)).astype(np.float16), "so", 2.0)])
        model.loss(batch).backward()
        assert all(p.grad is not None for p in model.module.parameters() if p.requires_grad)


@pytest.mark.parametrize("write", [write_wav2vec2_bert, write_whisper])
def test_no_masks_are_drawn_outside_torchs_generator(write: Callable[[Path], Path], tmp_path: Path) -> None:
    """A resumed run would draw other masks."""
    masked = {"apply_spec_augment": True, "mask_time_prob": 0.5, "mask_feature_prob": 0.5}
    model = load_acoustic_model(configured(write(tmp_path / "model"), masked), "cpu")
    n_frames = 3000 if model.family is ModelFamily.WHISPER else 100
    features = np.random.default_rng(0).normal(size=(n_frames, model.features.n_features)).astype(np.float16)
    batch = model.collate([TrainingUtterance("u", features, "so", 2.0)])
    losses = []
    for _ in range(2):
        torch.manual_seed(0)
        losses.append(model.loss(batch).item())
    assert losses[0] == losses[1]


def test_a_missing_model_and_an_unknown_family_are_refused(tmp_path: Path) -> None:
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
