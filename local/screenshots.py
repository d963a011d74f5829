"""Pictures of the desk in Airflow's UI, for the documents: of a running installation with a finished night."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.console import Console

from local.airflow_api import AirflowApi
from local.chromium import MISSING, find_chromium
from local.settings import CHECKOUT, USER, Installation, UserError

if TYPE_CHECKING:
    from playwright.sync_api import Page, ViewportSize

FOLDER = CHECKOUT / "docs" / "images"
SIZE: ViewportSize = {"width": 1280, "height": 800}
N_COLOURS = 96  # of a picture: it stays below 150 kB
TIMEOUT_MS = 120_000
SETTLED_MS = 3_000
"""Airflow's pages move for a moment after they are there."""


def take(installation: Installation, console: Console) -> int:
    """Take the pictures of the documents from the running services."""
    found = find_chromium()
    if not found:
        raise UserError(MISSING)
    nights = AirflowApi(installation).runs("nightly_transcription", "success")
    if not nights:
        raise UserError("no night has been transcribed: run `make demo`, then `make up`")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, base_url=installation.airflow_url)
        page.set_default_timeout(TIMEOUT_MS)
        _log_in(page, installation)
        run = f"/dags/nightly_transcription/runs/{quote(nights[0].dag_run_id, safe='')}"
        _save(page, f"{run}/plugin/report", ".problems, .rows", "night-report.png", console)
        _save(page, "/plugin/transcripts", ".hits", "transcripts.png", console)
        page.frame_locator("iframe").locator(".hits a.title").first.click()
        _save(page, "", "#text .turn", "programme.png", console)
        browser.close()
    return 0


def _log_in(page: Page, installation: Installation) -> None:
    page.goto("/auth/login")
    page.fill("input[name=username]", USER)
    page.fill("input[name=password]", installation.credentials().password)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{installation.airflow_url}/")


def _save(page: Page, path: str, ready: str, name: str, console: Console) -> None:
    """Open a page of Airflow, wait for `ready` in its frame, and save its picture."""
    from PIL import Image

    if path:
        page.goto(path)
    page.frame_locator("iframe").locator(ready).first.wait_for()
    page.wait_for_timeout(SETTLED_MS)
    taken = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    target: Path = FOLDER / name
    taken.quantize(N_COLOURS).save(target, optimize=True)
    console.print(f"{target.relative_to(CHECKOUT)}  {target.stat().st_size / 1000:.0f} kB", highlight=False)
