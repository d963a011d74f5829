"""Finding Chromium, for pictures, tests and benchmarks of pages."""

from __future__ import annotations

import os
import shutil

MISSING = "no Chromium: apt-get install chromium, or set AIRSCRIPT_CHROMIUM"


def find_chromium() -> str | None:
    """Return the path of `AIRSCRIPT_CHROMIUM`, of Chromium or of Chrome; None if there is none."""
    return os.environ.get("AIRSCRIPT_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
