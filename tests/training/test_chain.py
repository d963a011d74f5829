"""The steps from a dataset to a champion, end to end, on real audio, features, models and MLflow."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tasks import storage
from tasks.contract import InputRejected, Receipt, Status, canonical_json
from tasks.dataset import flac
from tasks.models import fetch, resolve
from tasks.models.content import file_digests
from tasks.step import load_result, output_uri
from tests.training.tones import LETTER_S, Steps, say, use_mlflow, write_dataset

pytestmark = pytest.mark.timeout(900)  # trains a model: minutes where cores are shared


TRAIN = {"steps": 180, "learning_rate": 8e-3, "batch_seconds": 8.0, "augment": False}


@dataclass(frozen=True)
class Chain:
    """Receipts of a whole run of `finetune_acoustic_model`."""

    run: Steps
    trained: Receipt
    converted: Receipt
    challenger: Receipt
    champion: Receipt
    compared: Receipt
    registered: Receipt
    promoted: Receipt


@pytest.fixture(scope="module")
def chain(
    dataset: str, base_model: Path, empty_mlflow: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Chain]:
    folder = tmp_path_factory.mktemp("chain")
    elsewhere = write_dataset(tmp_path_factory.mktemp("elsewhere"), n_train=1, n_test=20, seed=9)
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as environment:
        # In a language of tones music is speech, and the model was not trained on noise: only silence is non-speech.
        environment.setattr("training.evaluation.nonspeech.nonspeech_sounds", lambda: {"silence": np.zeros(160_000)})
        use_mlflow(empty_mlflow, folder / "mlflow", environment)
        run = Steps(folder)
        trained = run("train", dataset=dataset, base=str(base_model), **TRAIN)
        converted = run("convert-model", trained=trained.result)
        both = {"dataset": dataset, "out_of_domain": elsewhere}
        challenger = run("evaluate", model=converted.labels["model"], **both)
        champion = run("evaluate", model="models:/m@champion", fallback=str(base_model), **both)
        compared = run("compare-models", challenger=challenger.result, champion=champion.result)
        registered = run(
            "register-model",
            trained=trained.result,
            converted=converted.result,
            evaluation=challenger.result,
            comparison=compared.result,
            name="m",
        )
        promoted = run("promote-model", registered=registered.result, comparison=compared.result)
        yield Chain(run, trained, converted, challenger, champion, compared, registered, promoted)


def read(receipt: Receipt, name: str) -> bytes:
    return storage.read_bytes(output_uri(receipt.result, load_result(receipt.result), name))


def test_training_learns(chain: Chain) -> None:
    assert chain.trained.metrics["validation_wer"] < 0.3 < chain.trained.metrics["base_validation_wer"]
    assert chain.challenger.metrics["wer"] < 0.3
    curve = json.loads(read(chain.trained, "curve.json"))
    assert len(curve["losses"]) == TRAIN["steps"]
    assert curve["validation_wers"][0][0] == 0


def test_metrics_are_in_mlflow(chain: Chain) -> None:
    from mlflow import MlflowClient

    client, run_id = MlflowClient(), chain.trained.labels["mlflow_run"]
    assert client.get_run(run_id).info.status == "FINISHED"
    losses = client.get_metric_history(run_id, "loss")
    assert sorted(metric.step for metric in losses) == list(range(1, TRAIN["steps"] + 1))
    wers = client.get_metric_history(run_id, "validation_wer")
    assert {m.step for m in wers} == {0, *range(18, 181, 18)}
    data = client.get_run(run_id).data
    assert {"learning_rate", "audio_hours_per_hour", "waiting_share", "test_wer"} <= set(data.metrics)
    assert data.params["dataset_version"] == chain.trained.labels["dataset_version"]


def test_an_evaluation_adds_up(chain: Chain) -> None:
    found = json.loads(read(chain.challenger, "evaluation.json"))
    lines = [json.loads(line) for line in read(chain.challenger, "utterances.jsonl").splitlines()]
    assert len(lines) == found["utterances"] == 24
    for kind in ("programme", "speaker", "duration", "snr"):
        parts = [part for part in found["slices"] if part["kind"] == kind]
        for field in ("substitutions", "deletions", "insertions", "length"):
            assert sum(part["words"][field] for part in parts) == found["words"][field]
            assert sum(line["words"][field] for line in lines) == found["words"][field]
    assert found["wer"]["low"] <= found["wer"]["value"] <= found["wer"]["high"]
    assert found["out_of_domain"]["utterances"] == 20
    assert chain.challenger.metrics["out_of_domain_wer"] < 0.4 < chain.champion.metrics["out_of_domain_wer"]


def test_word_times_agree_with_the_tones(chain: Chain) -> None:
    """The tones' times are known; an error is at most one letter, which is four of the model's frames."""
    found = json.loads(read(chain.challenger, "evaluation.json"))["word_times"]
    assert found["edges"] > 20
    assert found["median_ms"] <= found["p90_ms"] < 1000 * LETTER_S
    assert abs(found["bias_ms"]) <= found["median_ms"]


def test_without_a_champion_the_base_is_scored(chain: Chain) -> None:
    assert chain.champion.labels["fell_back"] == "yes"
    assert chain.champion.metrics["wer"] > 0.9


def test_the_first_model_becomes_champion(chain: Chain) -> None:
    assert chain.compared.labels["decision"] == "promote"
    assert chain.promoted.labels["promoted"] == "yes"
    assert chain.promoted.labels["champion"] == "models:/m/1"
    assert resolve("models:/m@champion").version == "m/1"


def test_a_version_records_its_provenance(chain: Chain) -> None:
    from mlflow import MlflowClient

    version = MlflowClient().get_model_version("m", "1")
    assert version.tags["dataset_version"] == chain.trained.labels["dataset_version"]
    assert version.tags["promoted_by"] == "rule"
    assert version.tags["wer"] == f"{chain.challenger.metrics['wer']:.4f}"
    card = read(chain.registered, "model-card.md").decode()
    assert f"{100 * chain.challenger.metrics['wer']:.2f} %" in card
    assert "too_short: 2" in card
    assert "Converted to CTranslate2: no" in card
    assert "ms off at the median" in card


def test_a_version_is_complete_and_contains_no_pickle(chain: Chain, tmp_path: Path) -> None:
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    folder = Path(download_artifacts(artifact_uri=MlflowClient().get_model_version("m", "1").source))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    weights = {name for name in names if name.startswith("artifacts/model/")}
    assert {"artifacts/model/model.safetensors", "artifacts/model/preprocessor_config.json"} <= weights
    assert {"MLmodel", "model-card.md", "evaluation.json", "recipe.json", "requirements.txt"} <= names
    assert json.loads((folder / "evaluation.json").read_bytes()) == json.loads(
        read(chain.challenger, "evaluation.json")
    )
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".pth", ".pickle"))]
    assert not [name for name in weights if name.endswith(".bin")]


def test_the_report_is_self_contained(chain: Chain) -> None:
    page = read(chain.registered, "report.html").decode()
    assert chain.registered.labels["report"].endswith("/report.html")
    assert f"{100 * chain.challenger.metrics['wer']:.2f} %" in page
    assert "<polyline" in page
    scored = [json.loads(line) for line in read(chain.challenger, "utterances.jsonl").splitlines()]
    n_wrong = sum(sum(u["words"][kind] for kind in ("substitutions", "deletions", "insertions")) > 0 for u in scored)
    assert page.count("data:audio/flac;base64,") == min(n_wrong, 12)
    assert not re.search(r"(src|href)=.https?:", page)


def test_everything_is_cached_the_second_time(chain: Chain, dataset: str, base_model: Path) -> None:
    run = chain.run
    trained = run("train", dataset=dataset, base=str(base_model), **TRAIN)
    registered = run(
        "register-model",
        trained=trained.result,
        converted=chain.converted.result,
        evaluation=chain.challenger.result,
        comparison=chain.compared.result,
        name="m",
    )
    begun_by_default = run(
        "train", dataset=dataset, base="models:/m@champion", fallback=str(base_model), preset=None, **TRAIN
    )
    assert {trained.status, begun_by_default.status, registered.status} == {Status.CACHED}
    arguments = {"registered": registered.result, "comparison": chain.compared.result}
    assert run("promote-model", **arguments).labels["promoted"] == "already"
    assert run("promote-model", **arguments).status is Status.CACHED


def test_the_same_model_is_registered_once(chain: Chain, tmp_path: Path) -> None:
    """In another output folder nothing is cached: the registry finds the model by its content."""
    again = Steps(tmp_path)(
        "register-model",
        trained=chain.trained.result,
        converted=chain.converted.result,
        evaluation=chain.challenger.result,
        comparison=chain.compared.result,
        name="m",
    )
    assert again.labels["registered"] == "already"
    assert again.labels["version"] == "1"


def test_a_version_is_a_pyfunc(chain: Chain, tmp_path: Path) -> None:
    import mlflow
    import pandas as pd
    import soundfile

    speech = say("abc dea", np.random.default_rng(5))
    soundfile.write(tmp_path / "clip.wav", speech, 16_000)
    model = mlflow.pyfunc.load_model("models:/m@champion")
    found = model.predict(pd.DataFrame({"audio": [str(tmp_path / "clip.wav")]}))
    from tasks.recognition import load_engine

    engine = load_engine(fetch(resolve("models:/m@champion"), tmp_path))
    pcm = flac.to_float(flac.to_pcm(speech))
    assert found["text"].tolist() == [engine.recognise([pcm])[0].text]


@pytest.mark.slow
def test_mlflow_predicts_on_a_file_without_a_network(chain: Chain, tmp_path: Path) -> None:
    """The command as an operator runs it, in a process of its own whose proxies lead nowhere."""
    import os
    import subprocess
    import sys

    import soundfile

    soundfile.write(tmp_path / "clip.wav", say("abc dea", np.random.default_rng(5)), 16_000)
    (tmp_path / "clips.csv").write_text(f"audio\n{tmp_path / 'clip.wav'}\n")
    command = "models predict -m models:/m@champion -t csv -i clips.csv -o predictions.json --env-manager local"
    away = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")
    subprocess.run(
        [sys.executable, "-m", "mlflow", *command.split()],
        cwd=tmp_path,
        env={**os.environ, **away, "HF_HUB_OFFLINE": "1"},
        check=True,
        capture_output=True,
    )
    (prediction,) = json.loads((tmp_path / "predictions.json").read_bytes())["predictions"]
    from tasks.recognition import load_engine

    engine = load_engine(fetch(resolve("models:/m@champion"), tmp_path))
    pcm = flac.to_float(flac.to_pcm(say("abc dea", np.random.default_rng(5))))
    assert prediction["text"] == engine.recognise([pcm])[0].text != ""


def test_a_version_can_be_fine_tuned_further(chain: Chain, dataset: str) -> None:
    more = chain.run(
        "train", dataset=dataset, base="models:/m@champion", steps=3, learning_rate=1e-5, batch_seconds=8.0
    )
    assert more.metrics["base_validation_wer"] == chain.trained.metrics["validation_wer"]
    assert more.labels["base"] == "m/1"


def damage(folder: Path, target: Path) -> Path:
    """A copy of a model with a third of its last layer zeroed."""
    import shutil

    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, target)
    weights = load_file(target / "model.safetensors")
    torch.manual_seed(0)
    head = weights["ctc_head.weight"]
    weights["ctc_head.weight"] = torch.where(torch.rand_like(head.float()) < 0.33, 0, head).contiguous()
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target


def test_a_damaged_challenger_is_not_promoted(chain: Chain, dataset: str, tmp_path: Path) -> None:
    worse = damage(fetch(resolve("models:/m@champion"), tmp_path), tmp_path / "damaged")
    challenger = chain.run("evaluate", model=str(worse), dataset=dataset)
    champion = chain.run("evaluate", model="models:/m@champion", fallback=str(worse), dataset=dataset)
    assert champion.labels["fell_back"] == "no"
    assert challenger.metrics["wer"] > champion.metrics["wer"]
    compared = chain.run("compare-models", challenger=challenger.result, champion=champion.result)
    assert compared.labels["decision"] == "keep"


def test_the_champion_against_itself_is_the_same(chain: Chain, dataset: str) -> None:
    """Once as the train step's result, once as the registered version: their content is equal."""
    champion, challenger = (
        chain.run("evaluate", model=model, dataset=dataset) for model in ("models:/m@champion", chain.trained.result)
    )
    compared = chain.run("compare-models", challenger=challenger.result, champion=champion.result)
    assert compared.labels["decision"] == "same"


def test_evaluations_of_different_splits_are_not_comparable(chain: Chain, dataset: str) -> None:
    other = chain.run("evaluate", model=chain.trained.result, dataset=dataset, split="validation")
    with pytest.raises(InputRejected, match="split is validation in one and test in the other"):
        chain.run("compare-models", challenger=other.result, champion=chain.champion.result)
    without = chain.run("evaluate", model=chain.trained.result, dataset=dataset)
    with pytest.raises(InputRejected, match="the out-of-domain dataset is none in one"):
        chain.run("compare-models", challenger=without.result, champion=chain.champion.result)


def test_only_the_evaluated_model_is_registered(chain: Chain) -> None:
    with pytest.raises(InputRejected, match="the evaluation is of another model"):
        chain.run(
            "register-model",
            trained=chain.trained.result,
            converted=chain.converted.result,
            evaluation=chain.champion.result,
            comparison=chain.compared.result,
            name="m",
        )


@pytest.mark.parametrize("damage", ["a flipped byte", "another file", "a lost file", "a forged record"])
def test_a_changed_champion_is_named_and_not_used(chain: Chain, tmp_path: Path, damage: str) -> None:
    reference = resolve("models:/m/1")
    folder = fetch(reference, tmp_path)  # in MLflow's store itself: it is a folder
    weights, record = folder / "model.safetensors", folder.parents[1] / "model_files.json"
    before = weights.read_bytes(), record.read_bytes()
    try:
        if damage == "another file":
            (folder / "model.bin").write_bytes(b"another engine's weights")
        elif damage == "a lost file":
            (folder / "tokenizer.json").rename(folder.parent / "tokenizer.json")
        else:
            weights.write_bytes(before[0][:-1] + bytes([before[0][-1] ^ 1]))
        if damage == "a forged record":
            record.write_bytes(canonical_json(file_digests(folder)))
        with pytest.raises(InputRejected, match="models:/m/1 is not what was registered") as error:
            fetch(reference, tmp_path)
        named = {"another file": "added: model.bin", "a lost file": "missing: tokenizer.json"}
        told = "in its tag model_digest" if damage == "a forged record" else "changed: model.safetensors"
        assert named.get(damage, told) in str(error.value)
    finally:
        weights.write_bytes(before[0])
        record.write_bytes(before[1])
        (folder / "model.bin").unlink(missing_ok=True)
        if damage == "a lost file":
            (folder.parent / "tokenizer.json").rename(folder / "tokenizer.json")
    assert fetch(reference, tmp_path) == folder


def test_a_rollback_is_respected(chain: Chain, dataset: str, base_model: Path) -> None:
    """Last in this file: it moves the champion."""
    from training.registry.tracking import connect
    from training.registry.versions import roll_back

    client = connect()
    arguments = {"registered": chain.registered.result, "comparison": chain.compared.result}
    with pytest.raises(InputRejected, match="first champion"):
        roll_back(client, "m", "Ada", "names were wrong")
    client.copy_model_version("models:/m/1", "m")
    assert roll_back(client, "m", "Ada", "names were wrong", to=2) == (1, 2)
    assert resolve("models:/m@champion").version == "m/2"

    by_rule = chain.run("promote-model", **arguments)
    assert by_rule.labels["promoted"] == "no"
    assert "rolled back by Ada" in by_rule.labels["reason"]
    assert by_rule.labels["champion"] == "models:/m/2"

    by_person = chain.run("promote-model", **arguments, promote="yes", decided_by="Grace")
    assert by_person.labels["promoted"] == "yes"
    tags = client.get_model_version("m", "1").tags
    assert (tags["promoted_by"], tags["champion_before"]) == ("Grace", "2")
    assert roll_back(client, "m", "Ada", "again") == (1, 2)
    assert chain.run("promote-model", **arguments, promote="yes", decided_by="Grace").labels["promoted"] == "yes"
    assert chain.run("promote-model", **arguments, promote="no", decided_by="Ada").labels["promoted"] == "already"
