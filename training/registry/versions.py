"""Versions of a registered model, and the aliases that name champion and challenger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract import InputRejected, Reason
from tasks.models.content import DIGEST_TAG
from training.registry.tracking import MAX_TAG, upload_timeouts

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION, CHALLENGER = "champion", "challenger"
PROMOTED, REFUSED = "promoted", "refused"  # each with _by, _at and _because
CHAMPION_BEFORE = "champion_before"
ROLLED_BACK_BY, ROLLED_BACK_BECAUSE = "rolled_back_by", "rolled_back_because"
NONE = "none"


@dataclass(frozen=True)
class Registration:
    """A version, and whether it is newly registered."""

    version: int
    is_new: bool


def find_by_digest(client: MlflowClient, name: str, digest: str) -> ModelVersion | None:
    """Return the version whose model has this content digest, or None."""
    from mlflow.exceptions import MlflowException

    try:
        versions = client.search_model_versions(f"name = '{name}' and tags.{DIGEST_TAG} = '{digest}'")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise  # not None: a rolled-back model would be registered again, without its tag
        return None
    return min(versions, key=lambda version: int(version.version), default=None)


def register(
    client: MlflowClient, name: str, digest: str, package: Path, run_id: str, tags: dict[str, str], description: str
) -> Registration:
    """Upload and register the packaged model, unless a version with this digest exists."""
    from mlflow.exceptions import MlflowException

    if existing := find_by_digest(client, name, digest):
        return Registration(int(existing.version), is_new=False)
    try:
        client.create_registered_model(name, description="A speech recogniser of airscript")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    path = f"model-{digest[:12]}"
    with upload_timeouts():
        client.log_artifacts(run_id, str(package), path)
    source = f"{client.get_run(run_id).info.artifact_uri}/{path}"
    created = client.create_model_version(
        name, source, run_id=run_id, tags={**tags, DIGEST_TAG: digest}, description=description
    )
    return Registration(int(created.version), is_new=True)


def alias_version(client: MlflowClient, name: str, alias: str) -> int | None:
    """Return the version that an alias names, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return int(client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def get_version(client: MlflowClient, name: str, version: int) -> ModelVersion:
    """Return a version. Raises InputRejected(MODEL_NOT_FOUND) when it was deleted or is in another registry."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version(name, str(version))
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise InputRejected(
            "the registry has no such version",
            reason=Reason.MODEL_NOT_FOUND,
            subject=f"models:/{name}/{version}",
            next_step="delete register-model's result and rerun it, or point MLFLOW_TRACKING_URI at its registry",
        ) from None


def promote(client: MlflowClient, name: str, version: int, decided_by: str, because: str) -> None:
    """Move the champion alias, and tag the version with who decided, why, and which version it replaced."""
    previous = alias_version(client, name, CHAMPION)
    _record(client, name, version, PROMOTED, decided_by, because)
    client.set_model_version_tag(name, str(version), CHAMPION_BEFORE, str(previous) if previous else NONE)
    client.delete_model_version_tag(name, str(version), ROLLED_BACK_BY)
    client.set_registered_model_alias(name, CHAMPION, str(version))


def refuse(client: MlflowClient, name: str, version: int, decided_by: str, because: str) -> None:
    """Keep the champion, and tag the version with who decided and why."""
    _record(client, name, version, REFUSED, decided_by, because)


def _record(client: MlflowClient, name: str, version: int, decision: str, decided_by: str, because: str) -> None:
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    for key, value in {"by": decided_by, "at": stamp, "because": because[:MAX_TAG]}.items():
        client.set_model_version_tag(name, str(version), f"{decision}_{key}", value)


def roll_back(client: MlflowClient, name: str, by: str, because: str, to: int | None = None) -> tuple[int, int]:
    """Move the champion alias back to version `to`, or to the last champion that was not itself rolled back.

    The failed version is tagged: the rule does not promote it again, only a person can. Return the failed version and
    the restored one.
    """
    current = alias_version(client, name, CHAMPION)
    if current is None:
        raise InputRejected(
            "has no champion to roll back from",
            reason=Reason.MODEL_NOT_FOUND,
            subject=f"models:/{name}@{CHAMPION}",
            next_step="promote a version first",
        )
    target = to or _rollback_target(client, name, current)
    get_version(client, name, target)
    if target == current:
        raise InputRejected(
            "is the champion already: nothing to roll back",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"models:/{name}/{current}",
            next_step="choose another version with --to",
        )
    stamp = datetime.now(UTC).isoformat(timespec="seconds")
    client.set_model_version_tag(name, str(current), ROLLED_BACK_BY, f"{by} at {stamp}")
    client.set_model_version_tag(name, str(current), ROLLED_BACK_BECAUSE, because)
    client.delete_model_version_tag(name, str(target), ROLLED_BACK_BY)  # a version chosen with --to is good again
    client.set_registered_model_alias(name, CHAMPION, str(target))
    return current, target


def _rollback_target(client: MlflowClient, name: str, current: int) -> int:
    """Return the last champion before this one that was not rolled back. Re-promoted versions can form a cycle."""
    seen, candidate = {current}, _champion_before(client, name, current)
    while candidate and candidate not in seen:
        if ROLLED_BACK_BY not in get_version(client, name, candidate).tags:
            return candidate
        seen.add(candidate)
        candidate = _champion_before(client, name, candidate)
    raise InputRejected(
        "was the first champion, or all champions before it were rolled back",
        reason=Reason.MODEL_NOT_FOUND,
        subject=f"models:/{name}/{current}",
        next_step="choose a version with --to",
    )


def _champion_before(client: MlflowClient, name: str, version: int) -> int | None:
    recorded = get_version(client, name, version).tags.get(CHAMPION_BEFORE, NONE)
    return None if recorded == NONE else int(recorded)
