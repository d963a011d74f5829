"""Serve the desk alone, behind Airflow's own login and permissions: for its tests, benchmark and screenshots.

    AIRSCRIPT_TRANSCRIPTS=/data/transcripts AIRFLOW_HOME=/tmp/airflow python -m benchmarks.support.desk_server

Airflow's simple auth manager issues the tokens and checks them; its database is an empty SQLite file with Airflow's
tables, made here in place of `airflow db migrate`, which takes half a minute. No scheduler runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

USERS = {"ada": "user", "bo": "user", "vera": "viewer"}
"""Names and roles: a user may edit DAGs, a viewer may read them."""
COOKIE = "_token"  # airflow.api_fastapi.auth.managers.base_auth_manager.COOKIE_NAME_JWT_TOKEN
CHECKOUT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class DeskServer:
    """A running server."""

    url: str
    """Of the desk, with a slash at its end."""
    tokens: Mapping[str, str]
    """Airflow's token of each user, for the cookie."""
    process: subprocess.Popen[str]

    def cookie(self, user: str) -> dict[str, str]:
        """The login of a user as Playwright takes cookies."""
        return {"name": COOKIE, "value": self.tokens[user], "url": self.url}


@contextlib.contextmanager
def serve_desk(transcripts: Path | str, environ: Mapping[str, str] = os.environ) -> Iterator[DeskServer]:
    """Start the server in a process of its own, with an Airflow home of its own; stop it at the end."""
    with tempfile.TemporaryDirectory(prefix="airscript-desk-") as home:
        inherited = {name: value for name, value in environ.items() if not name.startswith("AIRFLOW_")}
        settings = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in USERS.items()),
            "AIRSCRIPT_HOME": home,
            "AIRSCRIPT_TRANSCRIPTS": str(transcripts),
        }
        command = [sys.executable, "-m", "benchmarks.support.desk_server"]
        process = subprocess.Popen(
            command,
            cwd=CHECKOUT,
            env=inherited | settings,
            stdin=subprocess.PIPE,  # closed when this process ends, however it ends: the server ends with it
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith("{"):
                    ready = json.loads(line)
                    break
            else:
                raise RuntimeError(f"the desk's server ended with {process.wait()}")
            yield DeskServer(ready["url"], ready["tokens"], process)
        finally:
            process.terminate()
            process.wait(10)


def _end_with_the_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until stopped; the first line of the output has the address and the tokens."""
    import uvicorn
    from airflow import settings
    from airflow.api_fastapi.app import create_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models import import_all_models
    from airflow.models.base import Base
    from fastapi import FastAPI

    from dags.common.links import PAGES
    from dags.plugins.desk.app import app as desk

    import_all_models()
    assert settings.engine is not None
    Base.metadata.create_all(settings.engine)
    manager = create_auth_manager()
    app = FastAPI()
    app.mount(PAGES, desk)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    with contextlib.closing(server.config.bind_socket()) as socket:
        socket.listen()  # what comes before the server runs waits
        users = [SimpleAuthManagerUser(username=name, role=role) for name, role in USERS.items()]
        tokens = {user.username: manager.generate_jwt(user) for user in users}
        url = f"http://127.0.0.1:{socket.getsockname()[1]}{PAGES}/"
        threading.Thread(target=_end_with_the_parent, daemon=True).start()
        print(json.dumps({"url": url, "tokens": tokens}), flush=True)
        server.run(sockets=[socket])


if __name__ == "__main__":
    main()
