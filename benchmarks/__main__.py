"""Run every benchmark, each in a process of its own so that memory is its own."""

import subprocess
import sys
from pathlib import Path

FRAME = {
    "__init__",
    "__main__",
    "airflow_services",
    "corpus_steps",
    "digit_material",
    "loopback",
    "measure",
    "media_files",
    "night_steps",
    "parrot",
    "projection",
    "small_dataset",
}

if __name__ == "__main__":
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in FRAME)
    failed = [
        name for name in names if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
