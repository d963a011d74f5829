"""The names in the documents: every path, module, setting and heading that they mention exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.docs.documents import CHECKOUT, DOCUMENTS, ROOMS, Block, blocks, prose_of, text_of

CODE = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"[\w.*-]+(?:/[\w.*-]+)*/?")
MODULE = re.compile(r"(?:benchmarks|dags|local|tasks|training)(?:\.\w+)+")
VARIABLE = re.compile(r"\bAIRSCRIPT_[A-Z0-9_]*[A-Z0-9]\b")
SOURCES = {".py", ".yaml", ".yml", ".hcl", ".sh"}
# What begins with these is not in the repository.
IN_STORAGE = {"_ledger", "_nights", "_quarantine", "blocks", "corpus", "inbox", "logs", "models", "transcripts", "work"}
IN_A_DIARIZER = {"segmentation", "embedding", "plda"}
IN_A_CLUSTER = {"airscript", "airscript.io", "nvidia.com", "deployment", "job", "service"}
ELSEWHERE = IN_STORAGE | IN_A_DIARIZER | IN_A_CLUSTER | {".airscript", "runs"}


def paths_in(text: str) -> set[str]:
    """The words in backquotes that look like paths of the repository: with a slash, and none of `ELSEWHERE`."""
    words = {word for code in CODE.findall(text) for word in code.split() if PATH.fullmatch(word) and "/" in word}
    return {word for word in words if word.split("/")[0] not in ELSEWHERE}


@cache
def names_of(path: Path) -> frozenset[str]:
    """What a module defines or imports, with the members of its classes as `Class.member`."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    return frozenset(names)


def exists(dotted: str) -> bool:
    """Whether a module, or a name in a module, is there."""
    place, rest = CHECKOUT, dotted.split(".")
    while rest and (place / rest[0]).is_dir():
        place, rest = place / rest[0], rest[1:]
    if rest and (place / f"{rest[0]}.py").is_file():
        place, rest = place / f"{rest[0]}.py", rest[1:]
    elif rest:
        place = place / "__init__.py"
    return not rest or (place.is_file() and set(rest) <= names_of(place))


def headings_of(path: Path) -> set[str]:
    """The anchors that GitHub makes of a document's headings."""
    titles = re.findall(r"^#+ (.+)$", prose_of(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_the_checks_find_what_they_should() -> None:
    assert exists("tasks.step.step_key")
    assert exists("training.registry.versions")
    assert not exists("tasks.step.nothing")
    assert not exists("training.nothing")
    assert paths_in("`dags/*.py` and `helm/` in `inbox/`, `3/4 h`") == {"dags/*.py", "helm/", "3/4"}
    assert "how-a-pod-ends" in headings_of(CHECKOUT / "docs" / "kubernetes.md")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(CHECKOUT)))
class TestDocument:
    def test_its_paths_exist(self, path: Path) -> None:
        missing = [
            name
            for name in paths_in(prose_of(path))
            if not any(any(place.glob(name.rstrip("/"))) for place in (CHECKOUT, path.parent))
        ]
        assert missing == []

    def test_its_modules_exist(self, path: Path) -> None:
        assert [name for name in MODULE.findall(text_of(path)) if not name.endswith(".py") and not exists(name)] == []

    def test_its_links_lead_to_files_and_headings(self, path: Path) -> None:
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", text_of(path)):
            file = path.parent / target if target else path
            assert file.exists(), target
            assert not anchor or anchor in headings_of(file), (target, anchor)

    def test_its_settings_are_read_somewhere(self, path: Path) -> None:
        assert set(VARIABLE.findall(text_of(path))) <= settings_in_code()


@cache
def settings_in_code() -> set[str]:
    """The settings that code, tests, manifests or images mention."""
    files = [path for room in ROOMS for path in (CHECKOUT / room).rglob("*") if path.suffix in SOURCES]
    files += [CHECKOUT / name for name in ("Makefile", "docker-compose.yaml", ".env.example")]
    return {name for path in files for name in VARIABLE.findall(path.read_text())}


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_is_python_and_imports_what_exists(block: Block) -> None:
    of_examples = {
        node.name
        for other in blocks("python")
        for node in ast.parse(other.text).body
        if other.document == block.document and isinstance(node, ast.ClassDef)
    }
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOMS:
            names = {alias.name for alias in node.names} - of_examples
            assert [name for name in names if not exists(f"{node.module}.{name}")] == [], node.module
