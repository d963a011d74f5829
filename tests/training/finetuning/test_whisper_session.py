"""Whisper's session with joined captions, a frozen encoder and written texts: it learns, and resumes exactly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from threading import Event

import pytest
import torch

from tasks import storage
from tasks.contract import Misconfigured, Preempted
from tasks.contract.recipe import Precision, PresetName
from tasks.progress import no_progress
from tests.training.tones import write_dataset, write_whisper
from training.data.shards import TrainingUtterance
from training.families.model_folder import load_acoustic_model, save_acoustic_model
from training.families.whisper import Whisper
from training.finetuning.distribution import ProcessGroup
from training.finetuning.loop import weights_of
from training.finetuning.recipe import load_preset
from training.finetuning.session import RunSettings, TrainingResult, run_session
from training.finetuning.written_texts import WrittenTexts

pytestmark = pytest.mark.timeout(900)  # trains small models: minutes where cores are shared

N_STEPS = 6
RECIPE = load_preset(PresetName.WHISPER_SMALL_LORA).recipe.model_copy(
    update={
        "steps": N_STEPS,
        "learning_rate": 3e-3,
        "batch_seconds": 60.0,
        "frozen_encoder": True,
        "join_seconds": 8.0,
        "lora_rank": 0,
        "precision": Precision.BFLOAT16,
        "speed_share": 0.0,
        "noise_share": 0.0,
        "validations": 2,
        "validation_seconds": 4.0,
    }
)


@dataclass(frozen=True)
class Run:
    """A dataset, a base model, and where the run keeps its files."""

    dataset: str
    base: Path
    folder: Path

    def attempt(self, name: str, stop_after: int = 0, **changes: object) -> TrainingResult:
        torch.set_num_threads(1)
        stop = Event()
        scratch = self.folder / name
        scratch.mkdir(parents=True)
        checkpoints = storage.file_uri(self.folder / "checkpoints")

        def metrics(step: int, figures: dict[str, float]) -> None:
            if step == stop_after and "loss" in figures:
                stop.set()

        settings = RunSettings(self.dataset, self.base, RECIPE.model_copy(update=changes), checkpoints, name, scratch)
        return run_session(settings, ProcessGroup(), log_metrics=metrics, progress=no_progress, stop=stop)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("whisper-session")
    dataset = write_dataset(folder / "data", n_train=24, n_test=6, features="whisper-80")
    return Run(dataset, write_whisper(folder / "base"), folder / "whole")


@pytest.fixture(scope="module")
def whole(run: Run) -> TrainingResult:
    return run.attempt("one")


def test_windows_are_encoded_once_and_the_encoder_stays(run: Run, whole: TrainingResult) -> None:
    model = whole.model
    assert isinstance(model, Whisper)
    assert model.encodings is not None
    assert whole.validation is not None
    index = whole.train_split.index
    assert len(index) < int(index.n_rows.sum()) == 24
    n_validated = sum(len(batch.texts) for batch in whole.validation.batches)
    n_sounds = model.encodings.n_encoded - n_validated - len(index)
    assert whole.state.position.epoch >= 1, "most windows were seen twice"
    assert n_sounds <= N_STEPS
    base = load_acoustic_model(run.base, "cpu")
    for name, tensor in base.module.get_encoder().state_dict().items():
        torch.testing.assert_close(model.module.get_encoder().state_dict()[name], tensor, rtol=0, atol=0)
    assert whole.state.losses[-1] < whole.state.losses[0]


@pytest.mark.parametrize("step", [2, 5])
def test_a_stopped_run_resumes_as_if_it_had_not_been(
    step: int, run: Run, whole: TrainingResult, tmp_path: Path
) -> None:
    """On another node: its disk has no encodings and no restored texts."""
    stopped = Run(run.dataset, run.base, tmp_path)
    with pytest.raises(Preempted, match=f"after step {step} of {N_STEPS}"):
        stopped.attempt("first", stop_after=step)
    found = stopped.attempt("second")
    assert found.state.losses == whole.state.losses
    assert found.state.wers == whole.state.wers
    assert found.state.position == whole.state.position
    expected = weights_of(whole.model.module)
    for name, tensor in weights_of(found.model.module).items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=0)


def test_an_encoder_is_frozen_for_whisper_only(run: Run, dataset: str, base_model: Path, tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no encoder to freeze"):
        Run(dataset, base_model, tmp_path).attempt("one", lora_rank=0)


def test_texts_take_the_bases_written_form(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its segments too; the base is asked once for each utterance."""
    from training.data.joining import join
    from training.data.shards import ShardReader
    from training.families import converted_whisper

    asked: list[str] = []

    def heard(self: object, batch: object) -> list[str]:
        asked.extend(batch.texts)  # type: ignore[attr-defined]
        return [batch.texts[0].title() + "."]  # type: ignore[attr-defined]

    monkeypatch.setattr(converted_whisper.ConvertedWhisper, "decode", heard)
    model = load_acoustic_model(run.base, "cpu")
    assert isinstance(model, Whisper)
    from tasks.dataset.manifest import load_manifest

    rows = ShardReader(load_manifest(run.dataset)[0].uris("train")).read(0)[:3]
    written = WrittenTexts(run.base, model, torch.device("cpu"))
    joined: TrainingUtterance = join(rows)
    for _ in range(2):
        (found,) = written([joined])
        assert found.text == " ".join(row.text.title() for row in rows) + "."
        assert [s.text.rstrip(".").lower() for s in found.segments] == [row.text for row in rows]
        assert " ".join(s.text for s in found.segments) == found.text
    assert asked == [joined.text]


def test_published_weights_lie_between_base_and_tuned(run: Run, tmp_path: Path) -> None:
    base, tuned = (load_acoustic_model(run.base, "cpu").module for _ in range(2))
    with torch.no_grad():
        for parameter in tuned.parameters():
            parameter.add_(torch.randn_like(parameter))
    save_acoustic_model(tuned, run.base, tmp_path / "mixed", tuned_share=0.25)
    mixed = load_acoustic_model(tmp_path / "mixed", "cpu").module.state_dict()
    for name, tensor in base.state_dict().items():
        expected = 0.75 * tensor + 0.25 * tuned.state_dict()[name]
        torch.testing.assert_close(mixed[name], expected, rtol=1e-5, atol=1e-6)
