"""The accounts of a shared MLflow server: written before the server starts, from the environment.

    DATABASE=postgresql+psycopg2://… MLFLOW_AUTH_CONFIG_PATH=/run/mlflow/login.ini READER=… TRAINER=… REGISTRAR=… \\
        python accounts.py

`reader` loads models, `trainer` also logs runs, `registrar` also registers versions and moves aliases such as
`@champion`. The server's administrator is `admin`, with the password in `MLFLOW_AUTH_ADMIN_PASSWORD`. Passwords that
have changed are replaced, so a restart of the server is all that a rotation needs. An account whose password is not
given is not made.

Anybody with an account may create what does not exist yet, and then owns it: MLflow has no right for that. `MODEL` is
therefore created here.
"""

from __future__ import annotations

import configparser
import os
from collections.abc import Mapping
from pathlib import Path

MODEL = "acoustic-model"
"""The registered model of the DAGs' forms."""
GRANTS: Mapping[str, Mapping[str, str]] = {
    "reader": {},
    "trainer": {"experiment": "EDIT"},
    "registrar": {"experiment": "EDIT", "registered_model": "EDIT"},
}
"""Permissions of each account on all resources of a type. `READ` is everybody's default."""


def login_configuration(database: str) -> configparser.ConfigParser:
    """Return the configuration of MLflow's login."""
    configuration = configparser.ConfigParser()
    configuration["mlflow"] = {
        "default_permission": "READ",
        "database_uri": database.replace("%", "%%"),  # configparser interpolates
        "admin_username": "admin",
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # A verified password is cached: MLflow hashes it with PBKDF2 at every request otherwise.
        "auth_cache_ttl_seconds": "300",
    }
    return configuration


def write_accounts(database: str, passwords: Mapping[str, str]) -> None:
    """Create the accounts and their permissions, or bring them up to date. `passwords`: by name of `GRANTS`."""
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore

    store = SqlAlchemyStore()
    store.init_db(database)
    for name in passwords:
        if not store.has_user(name):
            store.create_user(name, passwords[name])
        elif not store.authenticate_user(name, passwords[name]):
            store.update_user(name, passwords[name])
        for resource, permission in GRANTS[name].items():
            store.grant_user_permission(name, resource, "*", permission)


def create_model(database: str) -> None:
    """Create the registered model, unless it exists."""
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    try:
        MlflowClient(tracking_uri=database, registry_uri=database).create_registered_model(MODEL)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def main(environ: Mapping[str, str]) -> None:
    path = Path(environ["MLFLOW_AUTH_CONFIG_PATH"])
    path.touch(0o600)
    with path.open("w") as file:
        login_configuration(environ["DATABASE"]).write(file)
    create_model(environ["DATABASE"])
    write_accounts(environ["DATABASE"], {name: environ[name.upper()] for name in GRANTS if name.upper() in environ})


if __name__ == "__main__":
    main(os.environ)
