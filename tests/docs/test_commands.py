"""What the documents tell people to type: it is shell, its flags exist, the files that it names are there.

kubectl, helm, eksctl, shellcheck and aws are asked where they are installed; Python's own modules always.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.contract import STEPS
from tasks.streaming.command import ARGUMENTS as STREAM

CHECKOUT = Path(__file__).parents[2]
DOCUMENTS = sorted([CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md"), *(CHECKOUT / "k8s").glob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHELLS = ("bash", "console", "sh")
# A word of one of these begins a command, however deep it stands in a pipe, a loop or a substitution.
PROGRAMS = ("aws", "eksctl", "helm", "kubectl", "python")
FILE = re.compile(r"(?<![\w./:<-])((?:k8s|docs|images|dags|tasks|training|tests|benchmarks)/[\w*./-]+)")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    document: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.document}-{self.number}"


def blocks(*languages: str) -> list[Block]:
    return [
        Block(str(path.relative_to(CHECKOUT)), number, language, text)
        for path in DOCUMENTS
        for number, (language, text) in enumerate(FENCE.findall(path.read_text()))
        if language in languages
    ]


def commands() -> list[list[str]]:
    """Every call of a program that we know, as words; also those in running text between backquotes."""
    texts = [block.text for block in blocks(*SHELLS)]
    for path in DOCUMENTS:
        texts += re.findall(r"`([a-z]+ [^`\n]+(?:\n[^`\n]+)?)`", FENCE.sub("", path.read_text()))
    found = []
    for text in texts:
        plain = re.sub(r"\\\n", " ", text)
        plain = re.sub(r"<<-? *'?EOF'?\n.*?^EOF$", "", plain, flags=re.MULTILINE | re.DOTALL)
        plain = re.sub(r"(^|\s)#.*", "", plain)
        for match in re.finditer(rf"(?:^|[|;&({{]|\$\(|\bdo)\s*(?:{'|'.join(PROGRAMS)})\s", plain, re.MULTILINE):
            start = match.start() + re.search(rf"\b(?:{'|'.join(PROGRAMS)})\s", match.group()).start()  # type: ignore[union-attr]
            found.append(words_of(plain[start:]))
    return found


def words_of(text: str) -> list[str]:
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


def flags_of(words: list[str]) -> set[str]:
    """The long flags of a command, up to `--`."""
    before = words[: words.index("--")] if "--" in words else words
    return {word.partition("=")[0] for word in before if word.startswith("--")}


@cache
def output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    return done.stdout + done.stderr


def of_program(program: str) -> list[list[str]]:
    unique = {tuple(words): words for words in commands() if words[0] == program and len(words) > 1}
    assert unique, f"no document has a command of {program}: does this test still find them?"
    return list(unique.values())


def test_the_runbook_is_read() -> None:
    assert "docs/deploy-eks.md" in {block.document for block in blocks("bash")}
    assert ["kubectl", "get", "nodepools,nodeclaims"] in commands()
    assert len(of_program("aws")) > 25
    in_a_loop = next(words for words in commands() if words[1:3] == ["iam", "create-policy"])
    assert flags_of(in_a_loop) == {"--policy-name", "--policy-document"}
    in_a_substitution = next(words for words in commands() if words[1:3] == ["sts", "get-caller-identity"])
    assert in_a_substitution[3:] == ["--query", "Account", "--output", "text"]


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=str)
def test_it_is_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
@pytest.mark.parametrize("block", blocks("bash"), ids=str)
def test_shellcheck_finds_nothing(block: Block) -> None:
    # Blocks follow one another: a variable comes from an earlier one, or is used in a later. $0 is the inner shell's.
    command = ["shellcheck", "--shell=bash", "--exclude=SC2034,SC2154,SC2016", "-"]
    done = subprocess.run(command, input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", blocks("json", "yaml"), ids=str)
def test_data_is_well_formed(block: Block) -> None:
    assert (json.loads if block.language == "json" else yaml.safe_load)(block.text)


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=str)
def test_data_inside_of_commands_is_well_formed(block: Block) -> None:
    for text in re.findall(r"'(\{\s*\".*?\})'", block.text, re.DOTALL):
        assert json.loads(text)
    for text in re.findall(r"<<'EOF'\n(.*?)^EOF$", block.text, re.MULTILINE | re.DOTALL):
        assert list(yaml.safe_load_all(text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_the_files_that_it_names_are_there(path: Path) -> None:
    text = path.read_text()
    named = {name.rstrip(".") for name in FILE.findall(text)}
    missing = [name for name in named if not any(CHECKOUT.glob(name.rstrip("/")))]
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing += [target for target in linked if not (path.parent / target).exists()]
    assert missing == []


def test_pythons_modules_take_the_flags() -> None:
    for words in of_program("python"):
        if words[1] != "-m":
            assert (CHECKOUT / words[1]).is_file(), words
            continue
        module, *rest = words[2:]
        if "<" in module:
            continue
        if module.startswith("benchmarks."):  # they import for seconds, to say what they say in their first lines
            assert (CHECKOUT / f"{module.replace('.', '/')}.py").is_file(), words
            continue
        flags = flags_of(words) - {"--help"}
        assert flags <= flags_of_module(module, [word for word in rest if not word.startswith("-")]), words


def flags_of_module(module: str, words: list[str]) -> set[str]:
    """What `python -m module words …` takes: from the models where they are at hand, else from its help."""
    if module in ("tasks", "training") and words[:1] == ["stream"]:
        fields: Iterable[str] = STREAM[words[1]].model_fields if words[1:] else ()
    elif module in ("tasks", "training") and words and words[0] in STEPS:
        fields = STEPS[words[0]].arguments.model_fields
    elif words or "." in module:
        return set(re.findall(r"--[a-z][a-z-]*", output_of(sys.executable, "-m", module, *words[:1], "--help")))
    else:
        fields = ()
    return {f"--{field.replace('_', '-')}" for field in fields}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl")
def test_kubectl_takes_the_flags() -> None:
    general = output_of("kubectl", "options")
    for words in of_program("kubectl"):
        # `kubectl --namespace x get` would be read wrongly; nobody writes so here.
        verbs = words[1:3] if words[1] in ("create", "rollout", "config") else words[1:2]
        told = output_of("kubectl", *verbs, "--help")
        assert "Usage:" in told, words
        for flag in flags_of(words):
            assert re.search(rf"{flag}\b", told + general), (words, flag)


@pytest.mark.parametrize("program", ["helm", "eksctl"])
def test_helm_and_eksctl_take_the_flags(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program}")
    for words in of_program(program):
        verbs = [word for word in words[1:3] if not word.startswith("-")]
        verbs = verbs if program == "eksctl" or words[1] in ("repo", "registry") else verbs[:1]
        told = output_of(program, *verbs, "--help")
        for flag in flags_of(words):
            assert re.search(rf"{flag}\b", told), (words, flag)


# Not parameters of the service: the command line's own.
OF_THE_CLI = {"--output", "--query", "--region"}
MADE_BY_THE_CLI = {
    ("ec2", "authorize-security-group-ingress"): {"--protocol", "--port", "--source-group"},
    ("cloudformation", "deploy"): {"--stack-name", "--template-file", "--capabilities", "--parameter-overrides"},
    ("eks", "update-kubeconfig"): {"--name"},
    ("s3", "sync"): set(),
}


def test_aws_has_the_operations_and_their_parameters() -> None:
    """By botocore's models, from which the command line itself is made."""
    import botocore.session
    from botocore import xform_name

    session = botocore.session.get_session()
    for words in of_program("aws"):
        service, operation = words[1:3]
        flags = flags_of(words) - OF_THE_CLI
        if (service, operation) in MADE_BY_THE_CLI:
            flags -= MADE_BY_THE_CLI[service, operation]
            if service in ("s3", "cloudformation") or operation == "update-kubeconfig":
                assert flags == set(), words
                continue
        service = {"s3api": "s3"}.get(service, service)
        model: Any = session.get_service_model(service)
        if operation == "wait":
            waiters = session.get_waiter_model(service)
            names = {xform_name(name, "-"): name for name in waiters.waiter_names}
            operation_name = waiters.get_waiter(names[words[3]]).operation
        else:
            operation_name = {xform_name(name, "-"): name for name in model.operation_names}[operation]
        shape = model.operation_model(operation_name).input_shape
        members = {f"--{xform_name(member, '-')}" for member in shape.members} if shape else set()
        members |= {flag.replace("--", "--no-", 1) for flag in members}
        assert flags <= members, (words, flags - members)


def test_the_costs_add_up() -> None:
    text = (CHECKOUT / "docs" / "deploy-eks.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| ([\d.]+) \| [^|]+ \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    assert len(rows) >= 9
    for name, quantity, price, amount in rows:
        assert float(amount) == pytest.approx(float(quantity) * float(price), abs=0.006), name
    (total,) = re.findall(r"^\| \*\*a month.*\*\*([\d.]+)\*\* \|$", text, re.MULTILINE)
    monthly = text[: text.index("**a month")]
    always = re.findall(r"^\| [^|]+ \| [\d.]+ \| [^|]+ \| [\d.]+ \| ([\d.]+) \|$", monthly, re.MULTILINE)
    assert float(total) == pytest.approx(sum(map(float, always)))
