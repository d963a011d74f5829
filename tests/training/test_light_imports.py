"""A cached step must start fast: step modules import neither torch nor transformers nor MLflow."""

from __future__ import annotations

import subprocess
import sys

from tasks.contract import STEPS

HEAVY = {"torch", "transformers", "mlflow", "pandas", "peft", "sklearn"}


def test_step_modules_import_nothing_heavy() -> None:
    modules = [step.module for step in STEPS.values() if step.program == "training"]
    assert len(modules) == 8
    code = f"import sys, {', '.join(modules)}; print(*sorted({HEAVY!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""
