"""Regular expressions take time that grows linearly with their input, whatever a file or a name contains.

All patterns of `tasks` and of scoring are collected: compiled ones from the modules, others from the source. Each gets
inputs of growing size that are made of its own pieces, and is called as the product calls it. It runs in a process of
its own with limited processor time, so a pattern that backtracks exponentially fails too, with its name. The process is
a fork: it has the modules already, which take seconds to import.
"""

from __future__ import annotations

import ast
import multiprocessing
import re
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from re import _constants as sre  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
SOURCES = ("tasks", "training/scoring")
METHODS = ("match", "fullmatch", "search", "findall", "finditer", "sub", "split")

SIZES = (64, 512, 4096, 32768)
MAX_GROWTH = 4 * 8
"""Of the time from one size to the next, eight times as large. Linear: 8; quadratic: 64."""
SHORTEST_S = 200e-6
"""Shorter times are noise."""
REPEATS = 3
"""Of a time that seems too long: the machine may have been busy with others."""
CPU_LIMIT_S = 120


@dataclass(frozen=True)
class Use:
    """A pattern, and how the product calls it."""

    where: str
    pattern: re.Pattern[Any]
    method: str


def collect() -> list[Use]:
    """Return all patterns of the product with their methods."""
    files = [path for source in SOURCES for path in sorted((CHECKOUT / source).rglob("*.py"))]
    trees = {path: ast.parse(path.read_text()) for path in files}
    called: dict[str, set[str]] = {}
    for tree in trees.values():
        for name, method in _method_calls(tree):
            called.setdefault(name, set()).add(method)
    uses: dict[tuple[Any, int, str], Use] = {}
    for path, tree in trees.items():
        if not any(isinstance(node, ast.Import) and "re" in {a.name for a in node.names} for node in ast.walk(tree)):
            continue
        name = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts).removesuffix(".__init__")
        module = import_module(name)
        found = [
            Use(f"{name}.{attribute}", value, method)
            for attribute, value in vars(module).items()
            if isinstance(value, re.Pattern)
            for method in called.get(attribute) or ("search", "fullmatch")
        ]
        for use in [*found, *_inline(name, tree)]:
            uses.setdefault((use.pattern.pattern, use.pattern.flags, use.method), use)
    return list(uses.values())


def _method_calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield `NAME.method` and `module.NAME.method`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in METHODS:
            if isinstance(node.value, ast.Name) and node.value.id != "re":
                yield node.value.id, node.attr
            elif isinstance(node.value, ast.Attribute):
                yield node.value.attr, node.attr


def _inline(name: str, tree: ast.AST) -> Iterator[Use]:
    """Yield the patterns of `re.sub(r"…", …)` and its like."""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "re"
            and node.func.attr in METHODS
            and isinstance(node.args[0], ast.Constant)
        ):
            flags = re.DOTALL if "DOTALL" in ast.unparse(node) else 0
            yield Use(f"{name}, line {node.lineno}", re.compile(node.args[0].value, flags), node.func.attr)


class Pieces:
    """Texts that a pattern matches in part: a sample of the whole, and of each repetition with what precedes it."""

    def __init__(self, pattern: re.Pattern[Any]) -> None:
        self.repeated: list[tuple[str, str]] = []
        flags = pattern.flags & ~re.UNICODE if isinstance(pattern.pattern, bytes) else pattern.flags
        self.whole = self._sample(parser.parse(pattern.pattern, flags), "")

    def _sample(self, nodes: Any, before: str) -> str:
        text = ""
        for kind, value in nodes:
            text += self._sample_node(kind, value, before + text)
        return text

    def _sample_node(self, kind: Any, value: Any, before: str) -> str:
        if kind is sre.LITERAL:
            return chr(value)
        if kind is sre.NOT_LITERAL:
            return "a" if value != ord("a") else "b"
        if kind is sre.ANY:
            return "a"
        if kind is sre.IN:
            return self._sample_set(value)
        if kind is sre.BRANCH:
            return [self._sample(branch, before) for branch in value[1]][-1]
        if kind is sre.SUBPATTERN:
            return self._sample(value[-1], before)
        if kind is sre.ATOMIC_GROUP:
            return self._sample(value, before)
        if kind in (sre.MAX_REPEAT, sre.MIN_REPEAT, sre.POSSESSIVE_REPEAT):
            least, _, inner = value
            sample = self._sample(inner, before)
            self.repeated.append((before, sample))
            for extra in self._all_of_set(inner):
                self.repeated.append((before, extra))
            return sample * max(1, least)
        return ""  # positions, look-around and back references take no text of their own

    def _sample_set(self, items: Any) -> str:
        texts = [self._of_item(*item) for item in items]
        if items[0][0] is sre.NEGATE:
            return next(c for c in "a <1.\n" if c not in texts)
        return texts[0]

    def _all_of_set(self, nodes: Any) -> list[str]:
        """A sample of each kind of character in a repeated set: \\s and \\w, and white space for a negated set."""
        if len(nodes) != 1 or nodes[0][0] is not sre.IN:
            return []
        items = nodes[0][1]
        if items[0][0] is sre.NEGATE:
            return [" ", "\n", "#", "-"]
        return [self._of_item(*item) for item in items[1:4]]

    def _of_item(self, kind: Any, value: Any) -> str:
        if kind is sre.LITERAL:
            return chr(value)
        if kind is sre.RANGE:
            return chr(value[0])
        names = {sre.CATEGORY_DIGIT: "1", sre.CATEGORY_SPACE: " ", sre.CATEGORY_WORD: "a", sre.CATEGORY_NOT_WORD: "-"}
        return names.get(value, "a") if kind is sre.CATEGORY else ""


def inputs(pattern: re.Pattern[Any], size: int) -> Iterator[Any]:
    """Yield adversarial inputs of about `size` characters: a piece repeated, and then what does not match."""
    pieces = Pieces(pattern)
    repeated = list(dict.fromkeys((before, text) for before, text in pieces.repeated if text))[:24]
    units = [(b, t) for b, t in repeated] + [("", pieces.whole)]
    units += [("", one[1] + other[1]) for one, other in pairwise(repeated)]
    units += [("", before + text * 16) for before, text in repeated if before]
    for before, unit in dict.fromkeys(units):
        for end in ("", "\x01", "\n!"):
            if unit:
                text = before + unit * (size // len(unit) + 1) + end
                yield text.encode(errors="replace") if isinstance(pattern.pattern, bytes) else text


def _seconds(use: Use, text: Any, repeats: int = 1) -> float:
    method = getattr(use.pattern, use.method)
    arguments = (text[:0], text) if use.method == "sub" else (text,)
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        result = method(*arguments)
        if use.method == "finditer":
            for _match in result:
                pass
        times.append(time.thread_time() - start)
    return min(times)


def _superlinear(use: Use) -> str:
    """Describe an input for which the time grows faster than the input; empty if there is none."""
    for texts in zip(*(inputs(use.pattern, size) for size in SIZES), strict=True):
        times: list[float] = []
        for text in texts:
            bound = MAX_GROWTH * max(times[-1], SHORTEST_S) if times else float("inf")
            times.append(_seconds(use, text))
            if times[-1] > bound and _seconds(use, text, REPEATS) > bound:
                return f"{use.where} .{use.method}: {[f'{t:.5f}' for t in times]} s for {texts[0][:60]!r}…"
    return ""


def _try(uses: list[Use], limit_s: int, report: Path) -> None:
    """In the process with limited time: write each use before it is tried, and what is wrong with it."""
    resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s))
    with report.open("w", buffering=1) as lines:
        for use in uses:
            print(f"trying {use.where} .{use.method}", file=lines)
            if problem := _superlinear(use):
                print(f"SUPERLINEAR {problem}", file=lines)
        print("finished", file=lines)


def _run(uses: list[Use], folder: Path, limit_s: int = CPU_LIMIT_S) -> list[str]:
    report = folder / "report"
    process = multiprocessing.get_context("fork").Process(target=_try, args=(uses, limit_s, report))
    process.start()
    process.join()
    return report.read_text().splitlines()


def test_every_pattern_is_linear_in_its_input(tmp_path: Path) -> None:
    lines = _run(collect(), tmp_path)
    assert len(lines) > 40
    assert lines[-1] == "finished", f"no end in {CPU_LIMIT_S} s of processor time: {lines[-1]}"
    assert [line for line in lines if line.startswith("SUPERLINEAR")] == []


@pytest.mark.parametrize(("pattern", "method"), [(r"a*b", "search"), (r"\s+$", "search"), (r"(.*)x(.*)y", "fullmatch")])
def test_the_check_finds_what_is_quadratic(pattern: str, method: str) -> None:
    assert _superlinear(Use("here", re.compile(pattern), method)).startswith("here")


@pytest.mark.parametrize(
    "pattern", [r"(?:[^<]{0,64}<[?!][^>]{0,512}>\s*){0,8}<(?:MPD|asx)\b", r"(?:a|aa)+b", r"(\w+\s?)*!"]
)
def test_the_check_finds_what_is_exponential(pattern: str, tmp_path: Path) -> None:
    """The first is the pattern for playlists, as it was."""
    lines = _run([Use("here", re.compile(pattern), "match")], tmp_path, limit_s=1)
    assert lines[-1] == "trying here .match" or lines[1].startswith("SUPERLINEAR here")
