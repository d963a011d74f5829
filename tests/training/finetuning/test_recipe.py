"""Presets, forms and command lines give one recipe, and a key depends on the resolved values only."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks import storage
from tasks.contract import InputRejected, Misconfigured, from_argv, to_argv
from tasks.contract.arguments import Train
from tasks.contract.recipe import Precision, PresetName, RecipeFields
from tasks.dataset.manifest import load_manifest
from tasks.features.config import parakeet, whisper
from tasks.models import ModelReference, reference
from tasks.models.description import ModelDescription
from training.families.model_folder import load_acoustic_model
from training.finetuning import recipe
from training.finetuning.recipe import (
    PRESETS,
    Recipe,
    base_uri,
    choose_preset,
    load_preset,
    resolve_base,
    resolve_recipe,
)
from training.finetuning.session import load_validation_sample
from training.steps import train


def arguments(**given: object) -> Train:
    return Train(output="file:///o", dataset="file:///d/manifest.json", **given)


def test_presets_are_complete_and_the_only_ones() -> None:
    assert {path.stem for path in PRESETS.glob("*.yaml")} == set(PresetName)
    assert set(Recipe.model_fields) == set(RecipeFields.model_fields)
    for name in PresetName:
        preset = load_preset(name)
        assert preset.description
        assert preset.base or name is PresetName.DEMO


def test_given_values_override_the_preset_even_where_they_are_equal() -> None:
    preset = load_preset(PresetName.WHISPER_SMALL_LORA).recipe
    name = PresetName.WHISPER_SMALL_LORA
    assert resolve_recipe(arguments(), name) == preset
    found = resolve_recipe(arguments(lora_rank=0, augment="false", precision="float32"), name)
    changes = {"lora_rank": 0, "augment": False, "precision": Precision.FLOAT32}
    assert found == preset.model_copy(update=changes)


def test_a_form_left_empty_is_the_preset() -> None:
    empty = arguments(**dict.fromkeys(("preset", *RecipeFields.model_fields), "None"))
    assert empty.preset is None
    assert resolve_recipe(empty, PresetName.DEMO) == load_preset(PresetName.DEMO).recipe


def test_the_recipe_survives_an_argument_vector() -> None:
    given = arguments(preset="parakeet-ctc", steps=500, learning_rate=3e-4, gradient_checkpointing=False, base="x/y")
    again = from_argv(Train, to_argv(given), prog="train")
    assert again == given
    assert again.preset
    assert resolve_recipe(again, again.preset).steps == 500
    assert not resolve_recipe(again, again.preset).gradient_checkpointing


def test_a_key_depends_on_the_resolved_values_only(dataset: str, base_model: Path) -> None:
    def inputs(**given: object) -> dict[str, str]:
        found = Train(output="file:///o", dataset=dataset, base=str(base_model), **given)
        return {**train.inputs(found), "canonical": str(found.canonical())}

    demo = load_preset(PresetName.DEMO).recipe
    assert inputs() == inputs(steps=demo.steps) == inputs(preset="parakeet-ctc", **demo.model_dump())
    assert inputs() == inputs(workers=8), "on one accelerator or on eight"
    assert inputs() != inputs(steps=demo.steps + 1)
    assert inputs() != inputs(preset="parakeet-ctc")


def test_validation_uses_as_much_speech_as_the_recipe_says(dataset: str, base_model: Path) -> None:
    for name in set(PresetName) - {PresetName.DEMO, PresetName.WHISPER_FROZEN_ENCODER}:  # those for two cores
        assert load_preset(name).recipe.validation_seconds >= 3600
    manifest, _ = load_manifest(dataset)
    model = load_acoustic_model(base_model, "cpu")
    for seconds in (3.0, 15.0):
        sample = load_validation_sample(model, manifest, seconds, batch_frames=400)
        assert sample is not None
        assert sample.audio_s == pytest.approx(seconds, rel=0.3)


def test_a_missing_base_is_reported() -> None:
    assert base_uri(arguments(preset="whisper-small-lora")) == "openai/whisper-small"
    for preset in (None, "demo"):
        with pytest.raises(Misconfigured, match="give --base"):
            base_uri(arguments(preset=preset))


def test_a_value_out_of_bounds_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (PRESETS / "demo.yaml").read_text()
    monkeypatch.setattr(recipe, "PRESETS", tmp_path)
    for damaged in (text.replace("steps: 500", "steps: 0"), text.replace("seed: 0", ""), text + "surprise: 1\n", "{"):
        (tmp_path / "demo.yaml").write_text(damaged)
        with pytest.raises(Misconfigured, match="correct the file"):
            load_preset(PresetName.DEMO)


def test_a_retry_uses_the_base_of_the_first_attempt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback during training moves the alias."""
    champion = "models:/m/1"

    def resolved(uri: str) -> ModelReference:
        exact = champion if uri == "models:/m@champion" else uri
        return ModelReference(exact, exact, exact)

    def base(task: str, uri: str = "models:/m@champion") -> str:
        receipt = storage.file_uri(tmp_path / f"{task}.json")
        return resolve_base(arguments(base=uri, receipt=receipt), "a dataset").uri

    monkeypatch.setattr(recipe, "resolve", resolved)
    monkeypatch.setattr(reference, "resolve", resolved)
    assert base("train") == "models:/m/1"
    champion = "models:/m/2"
    assert base("train") == "models:/m/1"
    assert base("of-another-run") == "models:/m/2"
    assert base("train", "models:/m/3") == "models:/m/3", "another base is requested"


@pytest.mark.parametrize(
    ("model_type", "megabytes", "gpu_gigabytes", "expected"),
    [
        ("parakeet_ctc", 6, 0, PresetName.DEMO),
        ("parakeet_ctc", 6, 80, PresetName.DEMO),
        ("parakeet_ctc", 2400, 80, PresetName.PARAKEET_CTC),
        ("wav2vec2-bert", 2400, 80, PresetName.PARAKEET_CTC),
        ("whisper", 145, 0, PresetName.WHISPER_FROZEN_ENCODER),
        ("whisper", 3200, 0, PresetName.WHISPER_FROZEN_ENCODER),
        ("whisper", 967, 80, PresetName.WHISPER_SMALL_LORA),
        ("whisper", 1600, 16, PresetName.WHISPER_SMALL_LORA),
        ("whisper", 1600, 48, PresetName.WHISPER_LARGE_V3_TURBO),
    ],
)
def test_a_preset_is_chosen_for_the_base_and_the_gpu(
    model_type: str, megabytes: int, gpu_gigabytes: int, expected: PresetName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "gpu_memory_bytes", lambda: gpu_gigabytes << 30)
    features = whisper() if model_type == "whisper" else parakeet()
    found = choose_preset(ModelDescription(model_type, features, megabytes * 1_000_000))
    assert found is expected
    assert load_preset(found).family.startswith(model_type.partition("_")[0]) or model_type == "wav2vec2-bert"


def test_training_begins_from_the_champion_but_not_twice_on_one_dataset(
    base_model: Path, mlflow_store: str, tmp_path: Path
) -> None:
    """Without the latter a second run over the same corpus would train its own result."""
    from mlflow import MlflowClient

    champion, base = "models:/m@champion", storage.file_uri(base_model)

    def begins_at(dataset_version: str, fallback: str = base) -> str:
        return resolve_base(arguments(base=champion, fallback=fallback), dataset_version).uri

    assert begins_at("d1") == base, "no champion yet"
    with pytest.raises(InputRejected, match="no such alias"):
        begins_at("d1", fallback="")
    client = MlflowClient(mlflow_store)
    client.create_registered_model("m")
    for number, origin in enumerate((base, "models:/m/1", (tmp_path / "gone").as_uri()), 1):
        tags = {"dataset_version": f"d{number}", "base_uri": origin}
        client.create_model_version("m", f"file:///nowhere/{number}", tags=tags)
    client.set_registered_model_alias("m", "champion", "1")
    assert begins_at("d2") == "models:/m/1"
    assert begins_at("d1") == base
    assert begins_at("d1", fallback="") == "models:/m/1", "as the form says"
    client.set_registered_model_alias("m", "champion", "2")
    assert begins_at("d2") == "models:/m/1"
    assert begins_at("d1") == "models:/m/2"
    client.set_registered_model_alias("m", "champion", "3")
    assert begins_at("d3") == "models:/m/3", "where it began is gone"
