"""The desk's application, with the routes of every page."""

from __future__ import annotations

from fastapi import FastAPI

from dags.plugins.desk import files, programme, programmes, reports, reviews, static

app = FastAPI(title="airscript", docs_url=None, redoc_url=None, openapi_url=None)
for module in (files, programme, programmes, reports, reviews, static):
    app.include_router(module.router)
