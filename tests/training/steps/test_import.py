"""Models off the shelf: imported, registered and promoted; with a champion beside them, by decision or by evidence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tasks.contract import InputRejected, Receipt, Status
from tasks.models import fetch, resolve
from tasks.recognition import load_engine
from tasks.step import load_result
from tests.training.tones import Steps, write_parakeet, write_whisper
from training.registry.licence import find_licence

pytestmark = pytest.mark.timeout(900)

MIT_CARD = "---\nlanguage: en\nlicense: mit\n---\n# A model\n"


def imported(run: Steps, model: Path, **arguments: object) -> tuple[Receipt, Receipt]:
    """Receipts of import-model and register-import, without a dataset."""
    found = run("import-model", model=str(model), **arguments)
    converted = run("convert-model", trained=found.result)
    return found, run("register-import", imported=found.result, converted=converted.result, name="m")


def test_a_model_is_the_champion_on_the_first_day(run: Steps, mlflow_store: str, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    model = write_parakeet(tmp_path / "model")
    (model / "README.md").write_text(MIT_CARD)
    found, registered = imported(run, model)
    assert (found.labels["family"], found.labels["licence"]) == ("parakeet-ctc", "mit")
    assert found.labels["features"] == "parakeet-80-20ms"
    promoted = run("promote-model", registered=registered.result, comparison="")
    assert (promoted.labels["promoted"], promoted.labels["champion"]) == ("yes", "models:/m/1")
    assert "no champion yet" in promoted.labels["reason"]
    tags = MlflowClient().get_model_version("m", "1").tags
    assert (tags["licence"], tags["imported_from"]) == ("mit", model.as_uri())
    card = MlflowClient().get_model_version("m", "1").description
    assert tags["model_digest"] in card
    assert "imported without a dataset" in card
    assert load_engine(fetch(resolve("models:/m@champion"), tmp_path), "cpu")

    again = imported(run, model)
    assert {receipt.status for receipt in again} == {Status.CACHED}
    second = write_parakeet(tmp_path / "second", seed=1)
    found, registered = imported(run, second)
    assert found.warnings == ("the licence is not known: state it with --licence",)
    by_rule = run("promote-model", registered=registered.result, comparison="")
    assert by_rule.labels["promoted"] == "no"
    assert "nothing shows that it is better than m/1: give a dataset" in by_rule.labels["reason"]
    by_person = run("promote-model", registered=registered.result, comparison="", promote="yes", decided_by="Ada")
    assert by_person.labels["champion"] == "models:/m/2"


def test_an_evaluated_model_is_promoted_by_the_gate(
    run: Steps, mlflow_store: str, dataset: str, tmp_path: Path
) -> None:
    """A model that knows nothing is refused even where there is no champion."""
    found = run("import-model", model=str(write_parakeet(tmp_path / "model")), licence="MIT")
    converted = run("convert-model", trained=found.result, dataset=dataset)
    model = converted.labels["model"]
    challenger = run("evaluate", model=model, dataset=dataset)
    champion = run("evaluate", model="models:/m@champion", fallback=model, dataset=dataset)
    compared = run("compare-models", challenger=challenger.result, champion=champion.result)
    registered = run(
        "register-import",
        imported=found.result,
        converted=converted.result,
        evaluation=challenger.result,
        comparison=compared.result,
        name="m",
    )
    promoted = run("promote-model", registered=registered.result, comparison=compared.result)
    assert promoted.labels["promoted"] == "no"
    assert "is too high" in promoted.labels["reason"]
    with pytest.raises(InputRejected, match="not the comparison"):
        run("promote-model", registered=registered.result, comparison="")


def test_a_whisper_of_pickles_is_converted_and_holds_no_pickle(run: Steps, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import load_file

    model = write_whisper(tmp_path / "model")
    torch.save(load_file(model / "model.safetensors"), model / "pytorch_model.bin")
    (model / "model.safetensors").unlink()
    (model / "preprocessor_config.json").unlink()
    (model / "LICENSE").write_text("\nApache License 2.0\n")
    found = run("import-model", model=str(model))
    assert (found.labels["features"], found.labels["licence"]) == ("whisper-80", "Apache License 2.0")
    converted = run("convert-model", trained=found.result)
    assert converted.labels["reason"] == "not compared with the original: no dataset was given"
    names = set(load_result(converted.result).outputs)
    assert {"model/model.safetensors", "model/ctranslate2/model.bin", "model/preprocessor_config.json"} <= names
    assert not [name for name in names if name.endswith(("pytorch_model.bin", ".pt"))]


def test_ctranslate2s_weights_are_kept_as_they_are(whisper_tiny_en: Path, run: Steps, tmp_path: Path) -> None:
    found = run("import-model", model=str(whisper_tiny_en))
    converted = run("convert-model", trained=found.result)
    assert (converted.labels["converted"], converted.labels["model"]) == ("no", found.result)
    folder = fetch(resolve(found.result), tmp_path)
    assert (folder / "ctranslate2" / "model.bin").read_bytes() == (whisper_tiny_en / "model.bin").read_bytes()
    assert (folder / "model.safetensors").is_file(), "needed for fine-tuning"


def test_weights_that_do_not_decode_are_refused(run: Steps, tmp_path: Path) -> None:
    model = write_parakeet(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    config["encoder_config"]["hidden_size"] *= 2
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputRejected, match="does not decode"):
        run("import-model", model=str(model))


@pytest.mark.parametrize(
    ("files", "licence"),
    [
        ({"README.md": MIT_CARD, "LICENSE": "Apache"}, "mit"),
        ({"README.md": "# no front matter"}, "unknown"),
        ({"README.md": "---\n: [\n---\n", "LICENCE.md": "\n  CC-BY-4.0\n"}, "CC-BY-4.0"),
        ({}, "unknown"),
    ],
)
def test_a_licence_is_found(files: dict[str, str], licence: str, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert find_licence(tmp_path) == licence
