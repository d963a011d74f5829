"""The documents, their fenced blocks, and the commands in blocks and in running text."""

from __future__ import annotations

import re
import shlex
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
ROOMS = ("benchmarks", "dags", "docs", "images", "k8s", "local", "tasks", "tests", "training")
DOCUMENTS = sorted([*CHECKOUT.glob("*.md"), *(path for room in ROOMS for path in (CHECKOUT / room).rglob("*.md"))])
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)  # indentation, language, text
SHELLS = ("bash", "console", "sh")
# One of these words begins a command, however deep it is nested in a pipe, a loop or a substitution.
PROGRAMS = ("aws", "docker", "eksctl", "helm", "kubectl", "make", "python")
WORD = rf"(?:[A-Z_]+=[^\s$(]* )*(?:\.venv/bin/)?(?:{'|'.join(PROGRAMS)})\s"
# The changelog also names what was renamed.
RENAMED = re.compile(r"\(before:[^)]*\)")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    document: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}-{self.number}"


@cache
def text_of(path: Path) -> str:
    return RENAMED.sub("", path.read_text())


def prose_of(path: Path) -> str:
    """A document without its fenced blocks."""
    return FENCE.sub("", text_of(path))


def blocks(*languages: str) -> list[Block]:
    return [
        Block(str(path.relative_to(CHECKOUT)), number, language, textwrap.dedent(text))
        for path in DOCUMENTS
        for number, (_, language, text) in enumerate(FENCE.findall(text_of(path)))
        if language in languages
    ]


def commands() -> list[list[str]]:
    """Return each call of a known program as words, also those in backquotes in running text."""
    texts = [block.text for block in blocks(*SHELLS)]
    for path in DOCUMENTS:
        inline = re.findall(r"`((?:[A-Z_]+=\S* )*(?:\.venv/bin/)?[a-z]+ [^`\n]+(?:\n[^`\n]+)?)`", prose_of(path))
        texts += [re.sub(r"\s*\n\s*", " ", command) for command in inline]
    found = []
    for text in texts:
        plain = re.sub(r"\\\n", " ", text)
        plain = re.sub(r"<<-? *'?EOF'?\n.*?^EOF$", "", plain, flags=re.MULTILINE | re.DOTALL)
        plain = re.sub(r"(^|\s)#.*", "", plain)
        for match in re.finditer(rf"(?:^|[|;&({{]|\$\(|\bdo)\s*{WORD}", plain, re.MULTILINE):
            program = re.search(rf"\b(?:{'|'.join(PROGRAMS)})\s$", match.group())
            assert program
            found.append(_words_of(plain[match.start() + program.start() :]))
    return found


def _words_of(text: str) -> list[str]:
    """The words of the first command in a text: up to a pipe, a bracket, the end of its line."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|;&)\n")
    lexer.whitespace = " \t"
    lexer.whitespace_split = True
    lexer.commenters = ""
    words = []
    try:
        for word in lexer:
            if set(word) <= set("|;&)\n<"):
                break
            words.append(word)
    except ValueError:  # a quotation that opened outside
        pass
    return words


def calls_of(program: str) -> list[list[str]]:
    """Each distinct call of a program that has arguments."""
    unique = {tuple(words): words for words in commands() if words[0] == program and len(words) > 1}
    assert unique, f"no document has a command of {program}: does this test still find them?"
    return list(unique.values())


def flags_of(words: list[str]) -> set[str]:
    """The long flags of a command, up to `--`."""
    before = words[: words.index("--")] if "--" in words else words
    return {word.partition("=")[0] for word in before if word.startswith("--")}
