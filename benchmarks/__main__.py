"""Run every benchmark, each in its own process so that its memory is its own."""

import subprocess
import sys
from pathlib import Path

# projection only computes with the figures of pipeline; gpu needs one
NOT_RUN = {"__init__", "__main__", "projection", "gpu"}

if __name__ == "__main__":
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in NOT_RUN)
    failed = [
        name for name in names if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
