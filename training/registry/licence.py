"""The licence of a model off the shelf, as its own files say."""

from __future__ import annotations

from pathlib import Path

UNKNOWN = "unknown"
MAX_LENGTH = 200


def find_licence(folder: Path) -> str:
    """Return the licence in the front matter of the model's card (`license: mit`), else the first line of its licence
    file, else `unknown`."""
    for name in ("README.md", "model-card.md"):
        if (card := folder / name).is_file() and (licence := _of_card(card.read_text("utf-8", errors="replace"))):
            return licence
    for path in sorted(folder.glob("LICEN[CS]E*")):
        lines = path.read_text("utf-8", errors="replace").split("\n")
        if line := next((line.strip() for line in lines if line.strip()), ""):
            return line[:MAX_LENGTH]
    return UNKNOWN


def _of_card(card: str) -> str:
    import yaml

    if not card.startswith("---\n"):
        return ""
    try:
        fields = yaml.safe_load(card.split("---\n")[1])
        return str(fields.get("license") or "")[:MAX_LENGTH]
    except (yaml.YAMLError, AttributeError):
        return ""
