import json
import stat
from pathlib import Path

import pytest

from local.settings import CHECKOUT, Installation, UserError, path_of


def installation(tmp_path: Path, **environ: str) -> Installation:
    return Installation.from_environment({"AIRSCRIPT_HOME": str(tmp_path / "home"), **environ})


def test_defaults_are_in_the_checkout() -> None:
    made = Installation.from_environment({})
    assert made.home == CHECKOUT / ".airscript"
    assert path_of(made.settings.corpus) == CHECKOUT / ".airscript" / "storage" / "corpus"
    assert (made.airflow_port, made.mlflow_port) == (8080, 5000)


def test_paths_become_uris_and_back(tmp_path: Path) -> None:
    made = installation(tmp_path, AIRSCRIPT_INBOX=str(tmp_path / "with space ä"))
    assert made.settings.inbox.startswith("file:///")
    assert path_of(made.settings.inbox) == tmp_path / "with space ä"


@pytest.mark.parametrize("port", ["http", "80", "70000", "-1"])
def test_an_invalid_port_is_named(tmp_path: Path, port: str) -> None:
    with pytest.raises(UserError, match=f"AIRSCRIPT_AIRFLOW_PORT={port}"):
        installation(tmp_path, AIRSCRIPT_AIRFLOW_PORT=port)


def test_storage_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="s3://bucket"):
        installation(tmp_path, AIRSCRIPT_STORAGE="s3://bucket")


def test_credentials_are_generated_once_and_private(tmp_path: Path) -> None:
    made = installation(tmp_path)
    first = made.credentials()
    assert made.credentials() == first
    assert len(first.password) >= 12
    assert len(first.jwt_secret) >= 64
    mode = (made.home / "credentials.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert json.loads((made.home / "credentials.json").read_text())["password"] == first.password


def test_services_listen_on_localhost_and_need_a_password(tmp_path: Path) -> None:
    environment = installation(tmp_path, AIRSCRIPT_AIRFLOW_PORT="18080").environment({})
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__PORT"] == "18080"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:18080/execution/"
    assert "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS" not in environment


def test_settings_of_another_airflow_do_not_leak_in(tmp_path: Path) -> None:
    foreign = {
        "AIRFLOW_HOME": "/elsewhere",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": "postgresql://production",
        "NO_PROXY": "intranet",
        "KEPT": "yes",
    }
    environment = installation(tmp_path).environment(foreign)
    assert environment["AIRFLOW_HOME"] == str(tmp_path / "home" / "airflow")
    assert "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" not in environment
    assert environment["KEPT"] == "yes"
    assert environment["NO_PROXY"] == "intranet,127.0.0.1,localhost"
