"""Checkpoints: complete or ignored; damaged ones are skipped, obsolete ones deleted."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import pytest
import torch

from tasks import storage
from training.finetuning.checkpoints import N_KEPT, CheckpointManifest, Checkpoints


def weights(value: float) -> dict[str, torch.Tensor]:
    return {"layer.weight": torch.full((3, 4), value), "layer.running_mean": torch.arange(4.0)}


@pytest.fixture
def checkpoints(storage_root: str, tmp_path: Path) -> Checkpoints:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    return Checkpoints(f"{storage_root}/checkpoints", "a1", scratch)


def names(checkpoints: Checkpoints) -> list[str]:
    return [o.uri.removeprefix(checkpoints.prefix + "/") for o in storage.list_objects(checkpoints.prefix)]


def test_the_newest_is_restored(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest() is None
    for step in (5, 10):
        checkpoints.save(step, weights(step), {"run": {"step": step}, "rng": torch.get_rng_state()}, best="")
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 10
    torch.testing.assert_close(checkpoints.weights(found), weights(10))
    assert checkpoints.state(found)["run"] == {"step": 10}


@pytest.mark.parametrize("damage", ["weights", "state", "manifest", "gone"])
def test_a_damaged_checkpoint_is_skipped(checkpoints: Checkpoints, damage: str) -> None:
    for step in (5, 10):
        checkpoints.save(step, weights(step), {"run": step}, best="")
    folder = f"{checkpoints.prefix}/step-00000010-a1"
    if damage == "gone":
        storage.delete(f"{folder}/state.pt")
    else:
        name = {"weights": "model.safetensors", "state": "state.pt", "manifest": "manifest.json"}[damage]
        storage.write(f"{folder}/{name}", storage.read_bytes(f"{folder}/{name}")[:-7])
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 5


def test_a_checkpoint_without_manifest_is_ignored(checkpoints: Checkpoints) -> None:
    checkpoints.save(5, weights(5), {"run": 5}, best="")
    storage.delete(f"{checkpoints.prefix}/step-00000005-a1/manifest.json")
    assert checkpoints.newest() is None


def test_old_checkpoints_are_deleted_and_the_best_weights_kept(checkpoints: Checkpoints) -> None:
    best = checkpoints.save_best(2, weights(2))
    for step in range(3, 12):
        checkpoints.save(step, weights(step), {"run": step}, best=best)
    found = names(checkpoints)
    assert len([name for name in found if name.endswith("manifest.json")]) == N_KEPT
    assert len(found) == 3 * N_KEPT + 1
    torch.testing.assert_close(checkpoints.best_weights(best), weights(2))


def test_after_all_were_damaged_the_next_ones_are_kept(checkpoints: Checkpoints) -> None:
    """Training starts over, at lower step numbers than those of the unreadable checkpoints."""
    best = checkpoints.save_best(90, weights(90))
    for step in (100, 200):
        checkpoints.save(step, weights(step), {"run": step}, best=best)
    storage.delete(best)
    assert checkpoints.newest() is None
    better = checkpoints.save_best(5, weights(5))
    checkpoints.save(10, weights(10), {"run": 10}, best=better)
    found = checkpoints.newest()
    assert found is not None
    assert (found.step, found.best) == (10, better)
    torch.testing.assert_close(checkpoints.best_weights(better), weights(5))


class Attempt:
    """One attempt at a run, as the training loop performs it."""

    def __init__(self, prefix: str, name: str, scratch: Path) -> None:
        self.checkpoints, self.name, self.saved = Checkpoints(prefix, name, scratch), name, 0
        found = self.checkpoints.newest()
        self.step, self.best = (found.step, found.best) if found else (0, "")
        if self.best:
            self.best = self.checkpoints.copy_best(self.step, self.best)

    def validate(self) -> None:
        self.step += 1
        self.best = self.checkpoints.save_best(self.step, weights(self.step))

    def save(self) -> None:
        self.step += 1
        self.checkpoints.save(self.step, weights(self.step), {"run": self.step}, self.best)
        self.saved = self.step


def test_an_old_attempt_that_lives_on_does_not_harm_the_new_one(checkpoints: Checkpoints) -> None:
    """A node loses its network, and its process keeps running beside the next attempt."""
    prefix, scratch = checkpoints.prefix, checkpoints.scratch
    old = Attempt(prefix, "old", scratch)
    old.validate(), old.save()
    new = Attempt(prefix, "new", scratch)
    for _ in range(3):
        old.validate(), old.save()
    new.save(), new.validate(), new.save()
    torch.testing.assert_close(new.checkpoints.best_weights(new.best), weights(new.step - 1))
    old.save()
    for uri in [o.uri for o in storage.list_objects(prefix) if "-old" in o.uri]:
        storage.delete(uri)
    found = Checkpoints(prefix, "next", scratch).newest()
    assert found is not None
    assert (found.step, found.best) == (new.step, new.best)


@pytest.mark.parametrize("seed", range(3))
def test_the_latest_attempt_that_saved_keeps_its_checkpoint(checkpoints: Checkpoints, seed: int) -> None:
    rng = random.Random(seed)
    prefix, scratch = checkpoints.prefix, checkpoints.scratch
    attempts: list[Attempt] = []
    for number in range(40):
        if not attempts or rng.random() < 0.1:
            attempts.append(Attempt(prefix, f"a{number}", scratch))
        rng.choice([Attempt.validate, Attempt.save])(rng.choice(attempts))
        if saved := [attempt for attempt in attempts if attempt.saved]:
            folder = f"{prefix}/step-{saved[-1].saved:08d}-{saved[-1].name}"
            manifest = CheckpointManifest.model_validate_json(storage.read_bytes(f"{folder}/manifest.json"))
            assert all(storage.exists(uri) for uri in manifest.objects)


def test_leftovers_of_other_attempts_are_deleted(checkpoints: Checkpoints) -> None:
    prefix, scratch = checkpoints.prefix, checkpoints.scratch
    for name in ("a", "b", "c"):
        attempt = Attempt(prefix, name, scratch)
        attempt.validate(), attempt.save(), attempt.validate()  # killed before a checkpoint refers to it
    last = Attempt(prefix, "last", scratch)
    last.save(), last.save()
    assert len(names(checkpoints)) == 3 * N_KEPT + 1
    assert all("-last" in name for name in names(checkpoints))


def test_saving_does_not_read_tensors_back(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does an attempt that resumes from another's: the manifest holds the digest of the best weights."""
    best = checkpoints.save_best(2, weights(2))
    checkpoints.save(3, weights(3), {"run": 3}, best)
    resumed = Checkpoints(checkpoints.prefix, "a2", checkpoints.scratch)
    assert resumed.newest() is not None

    def fail(uri: str) -> str:
        raise AssertionError(f"{uri} was read")

    with monkeypatch.context() as patched:
        patched.setattr(storage, "digest", fail)
        checkpoints.save(4, weights(4), {"run": 4}, best)
        resumed.save(5, weights(5), {"run": 5}, best)
    found = checkpoints.newest()
    assert found is not None
    assert found.step == 5


def test_code_in_a_checkpoint_is_not_run(checkpoints: Checkpoints, tmp_path: Path) -> None:
    """A state replaced by a pickle with code, its digest forged, is refused."""
    checkpoints.save(5, weights(5), {"run": 5}, best="")
    manifest = checkpoints.newest()
    assert manifest is not None
    mark = tmp_path / "owned"

    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (mark,))

    uri = next(uri for uri in manifest.objects if uri.endswith("state.pt"))
    storage.write(uri, pickle.dumps(Evil()))
    forged = manifest.model_copy(update={"objects": {**manifest.objects, uri: storage.digest(uri)}})
    storage.write(f"{storage.parent(uri)}/manifest.json", forged.model_dump_json().encode())
    second = tmp_path / "second"
    second.mkdir()
    resumed = Checkpoints(checkpoints.prefix, "a2", second)
    found = resumed.newest()
    assert found == forged
    with pytest.raises(pickle.UnpicklingError):
        resumed.state(forged)
    assert not mark.exists()
