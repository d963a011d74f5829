"""MLflow's registry, asked without importing MLflow.

`import mlflow` takes six seconds, opening its SQL store another twelve (measured, one busy core), and an alias is
looked up by nearly every step. A tracking server is asked over HTTP; a laptop's SQLite file is read directly; any
other store goes through MLflow itself.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sqlite3
import urllib.error
import urllib.parse
import urllib.request
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.contract import InputRejected, Misconfigured, Reason, StepError

REGISTERED = "models:/"
_PARTS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model."""

    name: str
    version: int
    source: str
    """What was registered; differs for every version ever made."""
    location: str
    """URI of the folder that holds its artifacts."""

    @property
    def uri(self) -> str:
        return f"{REGISTERED}{self.name}/{self.version}"


def find_version(uri: str) -> RegisteredVersion:
    """The version behind `models:/name@alias` or `models:/name/version`.

    Raises:
        InputRejected: MODEL_NOT_FOUND: no such model, alias or version.
        Misconfigured: the URI is malformed, or no registry is configured.
        StepError: the registry does not answer.
    """
    parts = _PARTS.fullmatch(uri)
    if parts is None:
        raise Misconfigured(
            "not a model of the registry",
            reason=Reason.INVALID_ARGUMENT,
            subject=uri,
            next_step="write models:/name@alias or models:/name/version",
        )
    name, alias = parts["name"], parts["alias"]
    version = int(parts["version"]) if parts["version"] else None
    tracking = _tracking_uri()
    if tracking.startswith(("http://", "https://")):
        return _from_server(tracking, name, alias, version)
    if tracking.startswith("sqlite:///"):
        return _from_sqlite(Path(tracking.removeprefix("sqlite:///")), name, alias, version)
    return _through_mlflow(tracking, name, alias, version)


def _tracking_uri() -> str:
    tracking = os.environ.get("MLFLOW_REGISTRY_URI") or os.environ.get("MLFLOW_TRACKING_URI")
    if not tracking:
        raise Misconfigured(
            "no model registry is configured",
            reason=Reason.INVALID_ARGUMENT,
            subject="MLFLOW_TRACKING_URI",
            next_step="set it to http://server:5000 or sqlite:////path/mlflow.db",
        )
    return tracking


def _missing(name: str, alias: str | None, version: int | None) -> InputRejected:
    return InputRejected(
        f"the registry has no such {'alias' if alias else 'version'}",
        reason=Reason.MODEL_NOT_FOUND,
        subject=f"{REGISTERED}{name}@{alias}" if alias else f"{REGISTERED}{name}/{version}",
        next_step="run finetune_acoustic_model and promote its model, or name a version that exists",
    )


# ---- a tracking server ------------------------------------------------------------------------------------------


def _from_server(server: str, name: str, alias: str | None, version: int | None) -> RegisteredVersion:
    try:
        if alias:
            found = _get(server, "registered-models/alias", name=name, alias=alias)["model_version"]
        else:
            found = _get(server, "model-versions/get", name=name, version=str(version))["model_version"]
        place = _get(server, "model-versions/get-download-uri", name=name, version=str(found["version"]))
    except urllib.error.HTTPError as error:
        fault = _error_code(error)
        if error.code == 404 or fault in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise _missing(name, alias, version) from None
        if error.code == 403 and not fault:
            raise Misconfigured(
                "MLflow refuses requests to this address (HTTP 403)",
                reason=Reason.INVALID_ARGUMENT,
                subject=server,
                next_step="start its server with --allowed-hosts and this name",
            ) from None
        raise _no_answer(server, f"HTTP {error.code} {fault}") from None
    except OSError as error:
        raise _no_answer(server, str(getattr(error, "reason", error))) from None
    return RegisteredVersion(name, int(found["version"]), found["source"], place["artifact_uri"])


def _no_answer(server: str, message: str) -> StepError:
    return StepError(
        f"MLflow does not answer: {message}",
        reason=Reason.INTERNAL_ERROR,
        subject=server,
        next_step="start it (make up), or set MLFLOW_TRACKING_URI to where it is",
    )


def _get(server: str, path: str, **query: str) -> dict[str, Any]:
    url = f"{server.rstrip('/')}/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query)}"
    request = urllib.request.Request(url, headers=_authorization())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _authorization() -> dict[str, str]:
    """MLflow's own variables."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _error_code(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error).get("error_code", ""))
    except ValueError:
        return ""


# ---- a SQLite file ----------------------------------------------------------------------------------------------


def _from_sqlite(path: Path, name: str, alias: str | None, version: int | None) -> RegisteredVersion:
    """MLflow keeps an alias's version in `registered_model_aliases` and a version's place in `model_versions`."""
    if not path.is_file():
        raise _missing(name, alias, version)
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=TIMEOUT_S)) as registry:
        if alias:
            row = _row(
                registry, "SELECT version FROM registered_model_aliases WHERE name = ? AND alias = ?", name, alias
            )
            if row is None:
                raise _missing(name, alias, version)
            version = row[0]
        row = _row(
            registry,
            "SELECT version, source, storage_location FROM model_versions"
            " WHERE name = ? AND version = ? AND current_stage != 'Deleted_Internal'",
            name,
            version,
        )
    if row is None:
        raise _missing(name, alias, version)
    return RegisteredVersion(name, row[0], row[1], row[2] or row[1])


def _row(registry: sqlite3.Connection, query: str, *values: Any) -> tuple[Any, ...] | None:
    try:
        row: tuple[Any, ...] | None = registry.execute(query, values).fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):  # a file that MLflow has not set up yet
            return None
        raise
    return row


# ---- anything else ----------------------------------------------------------------------------------------------


def _through_mlflow(tracking: str, name: str, alias: str | None, version: int | None) -> RegisteredVersion:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=tracking, registry_uri=tracking)
    try:
        found = (
            client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, str(version))
        )
        location = str(client.get_model_version_download_uri(name, found.version))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise _missing(name, alias, version) from None
        raise
    return RegisteredVersion(name, int(found.version), str(found.source), location)
