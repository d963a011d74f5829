"""`serve.py PORT`: serve the desk at `/airscript` to one who may read everything, without Airflow's login."""

from __future__ import annotations

import sys

import uvicorn
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.core_api import security
from fastapi import FastAPI

from dags.plugins.desk import programme
from dags.plugins.desk.app import app as desk

READER = SimpleAuthManagerUser(username="reader", role="viewer")


def main() -> None:
    guards = {depends.dependency for route in desk.routes for depends in getattr(route, "dependencies", ())}
    desk.dependency_overrides = {guard: lambda: None for guard in guards}
    desk.dependency_overrides[security.get_user] = lambda: READER
    programme.may_edit = lambda user: False
    app = FastAPI()
    app.mount("/airscript", desk)
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
