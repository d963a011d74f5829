"""Looking up versions of models in MLflow's registry.

A tracking server is asked over MLflow's HTTP API, without importing MLflow: nearly every step looks up an alias. A bare
store (`sqlite:///…`, or any other URI) goes through MLflow's client, which is slow: `import mlflow` takes 6 s, opening
a SQL store another 12 s (one busy core). Where many steps run, start a server.
"""

from __future__ import annotations

import base64
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tasks.contract import InputRejected, Misconfigured, Reason, StepError
from tasks.models.content import DIGEST_TAG

REGISTERED = "models:/"
_PARTS = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class RegisteredVersion:
    """One version of a registered model."""

    name: str
    version: int
    source: str
    """URI of what was registered; different for every version."""
    location: str
    """URI of the folder that holds its artifacts."""
    content_digest: str = ""
    """Digest of the model's files, from the version's tag; empty if it was registered without."""
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"{REGISTERED}{self.name}/{self.version}"


def find_version(uri: str) -> RegisteredVersion:
    """Look up `models:/name@alias` or `models:/name/version`.

    Raises:
        InputRejected: MODEL_NOT_FOUND: no such model, alias or version.
        Misconfigured: the URI is malformed, or no registry is configured.
        StepError: the registry does not answer.
    """
    parts = _PARTS.fullmatch(uri)
    if parts is None:
        raise Misconfigured(
            "is not a model of the registry",
            reason=Reason.INVALID_ARGUMENT,
            subject=uri,
            next_step="write models:/name@alias or models:/name/version",
        )
    name, alias = parts["name"], parts["alias"]
    version = int(parts["version"]) if parts["version"] else None
    tracking = _tracking_uri()
    if tracking.startswith(("http://", "https://")):
        return _find_on_server(tracking, name, alias, version)
    return _find_in_store(tracking, name, alias, version)


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


def _not_found_error(name: str, alias: str | None, version: int | None) -> InputRejected:
    return InputRejected(
        f"the registry has no such {'alias' if alias else 'version'}",
        reason=Reason.MODEL_NOT_FOUND,
        subject=f"{REGISTERED}{name}@{alias}" if alias else f"{REGISTERED}{name}/{version}",
        next_step="run import_model, or finetune_acoustic_model, and promote its model; or name a version that exists",
    )


# ---- a tracking server ------------------------------------------------------------------------------------------


def _find_on_server(server: str, name: str, alias: str | None, version: int | None) -> RegisteredVersion:
    try:
        if alias:
            version_info = _get(server, "registered-models/alias", name=name, alias=alias)["model_version"]
        else:
            version_info = _get(server, "model-versions/get", name=name, version=str(version))["model_version"]
        download = _get(server, "model-versions/get-download-uri", name=name, version=str(version_info["version"]))
    except urllib.error.HTTPError as error:
        error_code = _read_error_code(error)
        if error.code == 404 or error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise _not_found_error(name, alias, version) from None
        if error.code == 403 and not error_code:
            raise Misconfigured(
                "MLflow refuses requests to this host name (HTTP 403)",
                reason=Reason.INVALID_ARGUMENT,
                subject=server,
                next_step="add this name to its server's --allowed-hosts",
            ) from None
        raise _unreachable_error(server, f"HTTP {error.code} {error_code}") from None
    except OSError as error:
        raise _unreachable_error(server, str(getattr(error, "reason", error))) from None
    tags = {tag["key"]: tag["value"] for tag in version_info.get("tags", ())}
    return RegisteredVersion(
        name,
        int(version_info["version"]),
        version_info["source"],
        download["artifact_uri"],
        tags.get(DIGEST_TAG, ""),
        tags,
    )


def _unreachable_error(server: str, message: str) -> StepError:
    return StepError(
        f"MLflow does not answer: {message}",
        reason=Reason.INTERNAL_ERROR,
        subject=server,
        next_step="start it (make up), or set MLFLOW_TRACKING_URI to where it is",
    )


def _get(server: str, path: str, **query: str) -> dict[str, Any]:
    url = f"{server.rstrip('/')}/api/2.0/mlflow/{path}?{urllib.parse.urlencode(query)}"
    request = urllib.request.Request(url, headers=_authorization_header())
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _authorization_header() -> dict[str, str]:
    """Credentials from MLflow's own environment variables."""
    if token := os.environ.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    if user := os.environ.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{user}:{os.environ.get('MLFLOW_TRACKING_PASSWORD', '')}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}


def _read_error_code(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error).get("error_code", ""))
    except ValueError:
        return ""


# ---- a store without a server -----------------------------------------------------------------------------------


def _find_in_store(tracking: str, name: str, alias: str | None, version: int | None) -> RegisteredVersion:
    if tracking.startswith("sqlite:///") and not Path(tracking.removeprefix("sqlite:///")).is_file():
        raise _not_found_error(name, alias, version)  # MLflow would create the database
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=tracking, registry_uri=tracking)
    try:
        version_info = (
            client.get_model_version_by_alias(name, alias) if alias else client.get_model_version(name, str(version))
        )
        location = str(client.get_model_version_download_uri(name, version_info.version))
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise _not_found_error(name, alias, version) from None
        raise
    tags = dict(version_info.tags)
    return RegisteredVersion(
        name, int(version_info.version), str(version_info.source), location, tags.get(DIGEST_TAG, ""), tags
    )
