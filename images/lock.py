"""Lock each image's packages with hashes: `python images/lock.py` rewrites `images/<image>/requirements.txt`.

Versions are those of `constraints.txt`. Torch and what it brings are left out of the worker's list: its wheels differ
by index and backend, so the Dockerfile takes their versions from `constraints.txt` and checks no hash.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
EXTRAS = {
    "airflow": ("orchestrator", "deployed", "postgres"),
    "mlflow": ("tracking", "postgres"),
    "worker": ("worker",),
}
MIN_PYTHON = "3.11.5"
OF_TORCH = re.compile(r"(torch(audio|codec)?|triton|cuda-[\w-]+|nvidia-(?!ml-py)[\w-]+)==")


def locked(image: str) -> str:
    """Return the image's requirements, one `name==version` each with its hashes, for every supported Python."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "pyproject.toml", "--universal"]
    command += [f"--python-version={MIN_PYTHON}", "--generate-hashes", "--no-annotate", "--no-header"]
    command += ["--constraint=constraints.txt", *(f"--extra={extra}" for extra in EXTRAS[image])]
    resolved = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    entries = re.split(r"\n(?=\S)", resolved.strip())
    return "".join(f"{entry}\n" for entry in entries if not OF_TORCH.match(entry))


def main() -> None:
    """Rewrite all lists."""
    for image in EXTRAS:
        path = CHECKOUT / "images" / image / "requirements.txt"
        path.write_text(locked(image))
        print(f"{path.relative_to(CHECKOUT)}: {path.read_text().count('==')} packages")


if __name__ == "__main__":
    main()
