"""What happens on a host that does not give all measures, and what they leave possible."""

from __future__ import annotations

import platform
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from tasks.contract import ExitCode, Misconfigured
from tasks.media.decoding import isolated
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.sandbox import seccomp
from tasks.media.sandbox.confinement import GIVEN, REQUIRE, SETTING
from tests.tasks.media.acting import write_acting_child
from tests.tasks.media.making import wav

REFUSED = "isolated_child.filter_system_calls = lambda: 'Function not implemented'"
KILLED = "isolated_child.filter_system_calls = lambda: os.kill(os.getpid(), signal.SIGSYS)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "a.wav"
    path.write_bytes(wav(np.zeros((1, 16_000), np.float32)))
    return path


def decode(path: Path) -> tuple[int, dict[str, str]]:
    """Return the number of samples and the measures."""
    with IsolatedDecoder() as decoder, decoder.open_audio(path) as audio:
        n_samples = sum(len(block) for block in audio)
        assert decoder.sandbox is not None
        return n_samples, decoder.sandbox.measures


@pytest.mark.parametrize("setup", [REFUSED, KILLED], ids=["refused", "killed"])
def test_a_host_that_denies_the_filter_decodes_and_says_so(
    setup: str, path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    child = write_acting_child(tmp_path, "decode(media, request, output)", setup)
    monkeypatch.setattr(isolated.sys, "executable", str(child))
    isolated._log_sandbox.cache_clear()
    with capture_logs() as logs:
        n_samples, measures = decode(path)
    assert n_samples == 16_000
    assert measures["system_calls"] != GIVEN
    (line,) = [line for line in logs if "decoders are confined" in line["event"]]
    assert line["log_level"] == "warning"
    assert line["system_calls"] == measures["system_calls"]
    monkeypatch.setenv(SETTING, REQUIRE)
    with pytest.raises(Misconfigured, match="does not give the decoder's sandbox system_calls") as refused:
        decode(path)
    assert refused.value.exit_code is ExitCode.MISCONFIGURED


UNSHARE = {"x86_64": 272, "aarch64": 97}.get(platform.machine(), 0)
CONTAINER = f"""
from tasks.media.sandbox import privileges, seccomp
privileges.forbid_new_privileges()
seccomp._assemble = lambda *_: [
    (seccomp.LOAD, 0, 0, seccomp.CALL_AT),
    (seccomp.JUMP_IF_EQUAL, 0, 1, {UNSHARE}),
    (seccomp.RETURN, 0, 0, seccomp.DENY),
    (seccomp.RETURN, 0, 0, seccomp.RET_ALLOW),
]
seccomp.deny_all_but_computing()
seccomp._assemble = assemble
"""


@pytest.mark.skipif(platform.machine() not in seccomp.MACHINES or sys.platform != "linux", reason="another kernel")
def test_the_rest_holds_in_a_container_that_denies_namespaces(
    path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """As the default profile of containers does, with a filter of its own under which ours is installed."""
    setup = "from tasks.media.sandbox import seccomp\nassemble = seccomp._assemble\n" + CONTAINER
    child = write_acting_child(tmp_path, "decode(media, request, output)", setup)
    monkeypatch.setattr(isolated.sys, "executable", str(child))
    n_samples, measures = decode(path)
    assert n_samples == 16_000
    assert measures["no_network"] != GIVEN
    assert (measures["system_calls"], measures["closed_to_others"]) == (GIVEN, GIVEN)


def test_a_system_without_any_of_it_has_the_limits(path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """macOS: neither prctl nor seccomp, but no new descriptors, processes or written files."""
    act = """
        for attempt in (lambda: open(__file__), socket.socket, lambda: os.pipe()):
            try:
                attempt()
            except OSError as error:
                assert error.errno == errno.EMFILE
            else:
                os.abort()
        decode(media, request, output)
    """
    setup = "import types\nfrom tasks.media.sandbox import confinement\n"
    setup += "confinement.sys = types.SimpleNamespace(platform='darwin', maxsize=sys.maxsize)"
    monkeypatch.setattr(isolated.sys, "executable", str(write_acting_child(tmp_path, act, setup)))
    n_samples, measures = decode(path)
    assert n_samples == 16_000
    assert set(measures.values()) == {"no darwin way"}


def test_a_host_that_gives_all_may_be_required_to(path: Path, monkeypatch: pytest.MonkeyPatch):
    _, measures = decode(path)
    if measures["system_calls"] != GIVEN:
        pytest.skip(f"this host gives only {measures}")
    monkeypatch.setenv(SETTING, REQUIRE)
    assert decode(path)[0] == 16_000


def test_both_lists_of_system_calls_are_complete():
    x86_64, aarch64 = (seccomp.MACHINES[name].calls for name in ("x86_64", "aarch64"))
    assert list(x86_64) == list(aarch64)
    assert all(len(set(calls.values())) == len(calls) for calls in (x86_64, aarch64))


@pytest.mark.parametrize("name", seccomp.MACHINES)
def test_the_filter_allows_its_list_and_nothing_else(name: str):
    """The program is run here by an interpreter of the few operations that it has."""
    machine, pid = seccomp.MACHINES[name], 4711
    program = seccomp._assemble(machine, pid)
    allowed = {call for call in range(600) if verdict(program, machine.audit, call, (pid, 0, 0)) == seccomp.RET_ALLOW}
    assert allowed == set(machine.calls.values())
    assert verdict(program, machine.audit ^ 1, 0, (0, 0, 0)) == seccomp.RET_KILL_PROCESS
    assert verdict(program, machine.audit, machine.calls["read"] | 0x40000000, (0, 0, 0)) == seccomp.DENY  # x32
    for call, arguments in (("kill", (1, 9, 0)), ("tgkill", (1, 1, 9)), ("mmap", (0, 0, 5)), ("mprotect", (0, 0, 4))):
        assert verdict(program, machine.audit, machine.calls[call], arguments) == seccomp.DENY


def verdict(program: list[seccomp.Instruction], audit: int, call: int, arguments: tuple[int, ...]) -> int:
    """Return what the program decides on a system call."""
    data = struct.pack("=iIQ6Q", call, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    at, accumulator = 0, 0
    while True:
        operation, if_true, if_false, operand = program[at]
        at += 1
        if operation == seccomp.LOAD:
            (accumulator,) = struct.unpack_from("=I", data, operand)
        elif operation == seccomp.RETURN:
            return operand
        else:
            holds = accumulator == operand if operation == seccomp.JUMP_IF_EQUAL else bool(accumulator & operand)
            at += if_true if holds else if_false
