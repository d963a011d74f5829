"""The commands in the documents: their shell syntax, their flags, and the files that they name.

kubectl, helm, eksctl, docker, shellcheck and aws are asked where they are installed; Python's own modules always.
"""

from __future__ import annotations

import io
import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tasks.command import COMMANDS
from tasks.contract import STEPS
from tasks.streaming.command import ARGUMENTS as STREAM
from tests.docs.documents import CHECKOUT, DOCUMENTS, SHELLS, Block, blocks, calls_of, commands, flags_of, text_of

FILE = re.compile(r"(?<![\w./:<-])((?:k8s|docs|images|dags|local|tasks|training|tests|benchmarks|\.github)/[\w*./-]+)")


@cache
def output_of(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=CHECKOUT)
    return done.stdout + done.stderr


def test_the_runbooks_commands_are_found() -> None:
    assert "docs/deploy-eks.md" in {block.document for block in blocks("bash")}
    assert ["kubectl", "get", "nodepools,nodeclaims"] in commands()
    assert len(calls_of("aws")) > 25
    in_a_loop = next(words for words in commands() if words[1:3] == ["iam", "create-policy"])
    assert flags_of(in_a_loop) == {"--policy-name", "--policy-document"}
    in_a_substitution = next(words for words in commands() if words[1:3] == ["sts", "get-caller-identity"])
    assert in_a_substitution[3:] == ["--query", "Account", "--output", "text"]


def test_commands_are_found_in_every_form() -> None:
    found = commands()
    assert ["python", "-m", "tasks"] in found  # behind the environment's folder
    assert ["make", "demo"] in found
    assert ["python", "-m", "pytest", "tests/dags/test_golden_pods.py"] in found  # behind a variable
    in_running_text = next(words for words in found if words[:4] == ["python", "-m", "training", "rollback"])
    assert flags_of(in_running_text) == {"--by", "--because"}


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=str)
def test_blocks_are_valid_shell(block: Block) -> None:
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="no shellcheck")
@pytest.mark.parametrize("block", blocks("bash"), ids=str)
def test_shellcheck_finds_nothing(block: Block) -> None:
    # Blocks share variables: one may be set in an earlier block, or used in a later one. $0 is the inner shell's.
    command = ["shellcheck", "--shell=bash", "--exclude=SC2034,SC2154,SC2016", "-"]
    done = subprocess.run(command, input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("block", blocks("json", "yaml"), ids=str)
def test_data_is_well_formed(block: Block) -> None:
    assert (json.loads if block.language == "json" else yaml.safe_load)(block.text)


@pytest.mark.parametrize("block", blocks(*SHELLS), ids=str)
def test_data_in_commands_is_well_formed(block: Block) -> None:
    for text in re.findall(r"'(\{\s*\".*?\})'", block.text, re.DOTALL):
        assert json.loads(text)
    for text in re.findall(r"<<'EOF'\n(.*?)^EOF$", block.text, re.MULTILINE | re.DOTALL):
        assert list(yaml.safe_load_all(text))


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_named_files_exist(path: Path) -> None:
    text = text_of(path)
    named = {name.rstrip(".") for name in FILE.findall(text)}
    missing = [name for name in named if not any(CHECKOUT.glob(name.rstrip("/")))]
    linked = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)
    missing += [target for target in linked if not (path.parent / target).exists()]
    assert missing == []


def test_pythons_modules_exist_and_take_the_flags() -> None:
    for words in calls_of("python"):
        if words[1] != "-m":
            assert (CHECKOUT / words[1]).is_file(), words
            continue
        module, *rest = words[2:]
        if "<" in module:
            continue
        package = find_spec(module)
        assert package, words
        assert not package.submodule_search_locations or find_spec(f"{module}.__main__"), words
        operands = [word for word in rest if not word.startswith(("-", "<", "…"))]
        if module in ("tasks", "training") and operands:
            assert operands[0] in {name for name, step in STEPS.items() if step.program == module} | set(
                COMMANDS[module]
            ), words
        if module == "pytest":
            assert all((CHECKOUT / operand.partition("::")[0]).exists() for operand in operands), words
        flags = flags_of(words) - {"--help"}
        if module.startswith("benchmarks."):  # they import for seconds, so their sources have to do
            paths = (f"{module.replace('.', '/')}.py", "benchmarks/support/harness.py")
            sources = "".join((CHECKOUT / path).read_text() for path in paths)
            assert all(f'"{flag}"' in sources for flag in flags), words
        elif flags:
            assert flags <= flags_of_module(module, operands), words


def test_make_has_the_targets() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (CHECKOUT / "Makefile").read_text(), re.MULTILINE))
    for words in calls_of("make"):
        assert {word for word in words[1:] if "=" not in word and not word.startswith("-")} <= targets, words


@cache
def help_of(module: str, *command: str) -> str:
    """What `python -m module command --help` prints; run here, as each process would import for a second."""
    shown = io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(shown):
        patched.setattr(sys, "argv", [module, *command, "--help"])
        with pytest.raises(SystemExit) as ended:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    assert not ended.value.code, (module, *command)
    return shown.getvalue()


def flags_of_module(module: str, words: list[str]) -> set[str]:
    """The flags of `python -m module words …`: from the argument models if there are any, else from its help."""
    if module in ("tasks", "training") and words[:1] == ["stream"]:
        fields: Iterable[str] = STREAM[words[1]].model_fields if words[1:] else ()
    elif module in ("tasks", "training") and words and words[0] in STEPS:
        fields = STEPS[words[0]].arguments.model_fields
    elif words or "." in module:
        command = words[:1] if module in ("tasks", "training") else []
        return set(re.findall(r"--[a-z][a-z-]*", help_of(module, *command)))
    else:
        fields = ()
    return {f"--{field.replace('_', '-')}" for field in fields}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl")
def test_kubectl_has_the_flags() -> None:
    general = output_of("kubectl", "options")
    for words in calls_of("kubectl"):
        # `kubectl --namespace x get` would be parsed wrongly; no document writes it that way.
        verbs = words[1:3] if words[1] in ("create", "rollout", "config") else words[1:2]
        known = output_of("kubectl", *verbs, "--help")
        assert "Usage:" in known, words
        for flag in flags_of(words):
            assert re.search(rf"{flag}\b", known + general), (words, flag)


@pytest.mark.skipif(shutil.which("docker") is None, reason="no docker")
def test_docker_takes_the_flags() -> None:
    general = output_of("docker", "--help")
    for words in calls_of("docker"):
        verbs = words[1:3] if words[1] in ("buildx", "compose") else words[1:2]
        if f"  {verbs[0]}" not in general:  # a plug-in that is not installed
            continue
        known = output_of("docker", *verbs, "--help")
        assert "Usage:" in known, words
        for flag in flags_of(words):
            assert re.search(rf"{flag}\b", known + general), (words, flag)


@pytest.mark.parametrize("program", ["helm", "eksctl"])
def test_helm_and_eksctl_have_the_flags(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"no {program}")
    for words in calls_of(program):
        verbs = [word for word in words[1:3] if not word.startswith("-")]
        verbs = verbs if program == "eksctl" or words[1] in ("repo", "registry") else verbs[:1]
        known = output_of(program, *verbs, "--help")
        for flag in flags_of(words):
            assert re.search(rf"{flag}\b", known), (words, flag)


# Global flags of the CLI, not parameters of the service.
OF_THE_CLI = {"--output", "--query", "--region"}
MADE_BY_THE_CLI = {
    ("ec2", "authorize-security-group-ingress"): {"--protocol", "--port", "--source-group", "--cidr"},
    ("cloudformation", "deploy"): {"--stack-name", "--template-file", "--capabilities", "--parameter-overrides"},
    ("eks", "update-kubeconfig"): {"--name"},
    ("s3", "sync"): set(),
}


def test_aws_has_the_operations_and_their_parameters() -> None:
    """By botocore's models, from which the CLI is generated."""
    import botocore.session
    from botocore import xform_name

    session = botocore.session.get_session()
    for words in calls_of("aws"):
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
