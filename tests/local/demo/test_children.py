"""Commands beside the demo's main thread."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from local.demo.children import Children


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_output_goes_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    assert Children().run(python("import os; print(os.environ['WORD'])"), log, {"WORD": "hello"})
    assert log.read_text() == "hello\n"
    assert not Children().run(python("raise SystemExit('broken')"), log)
    assert log.read_text() == "broken\n"


def test_stopping_ends_what_runs_and_starts_nothing_more(tmp_path: Path) -> None:
    children, log = Children(), tmp_path / "a.log"
    with ThreadPoolExecutor(1) as background:
        running = background.submit(children.run, python("print('up', flush=True); import time; time.sleep(600)"), log)
        while not log.exists() or not log.read_text():
            time.sleep(0.05)
        children.stop()
        assert not running.result(timeout=30)
    assert not children.run(python("pass"), log)
