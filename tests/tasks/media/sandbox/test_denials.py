"""What code that a file smuggled into the decoder cannot do, as root's worker and as an ordinary user's."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.tasks.media.acting import write_acting_child
from tests.tasks.media.making import wav

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems give less")

# Each is an expression that must raise. `worker` is the process with the credentials, `folder` one that it can write.
ATTEMPTS = {
    "the worker's environment": "open(f'/proc/{worker}/environ', 'rb').read()",
    "the fork server's environment": "open(f'/proc/{server}/environ', 'rb').read()",
    "its own environment": "open('/proc/self/environ', 'rb').read()",
    "the worker's memory": "os.open(f'/proc/{worker}/mem', os.O_RDWR)",
    "the worker's memory by call": "call(310, worker, vector, 1, vector, 1, 0)",
    "tracing the worker": "call(101, 16, worker, 0, 0)",
    "a descriptor of the worker": "call(438, call(434, worker, 0), 0, 0)",
    "a signal to the worker": "os.kill(worker, 0)",
    "a signal to everybody": "os.kill(-1, 0)",
    "the worker's priority": "os.setpriority(os.PRIO_PROCESS, worker, 19)",
    "a TCP socket": "socket.socket()",
    "a UDP socket": "socket.socket(type=socket.SOCK_DGRAM)",
    "a unix socket": "socket.socket(socket.AF_UNIX)",
    "a netlink socket": "socket.socket(16, socket.SOCK_RAW)",
    "a pair of sockets": "socket.socketpair()",
    "connecting a descriptor": "call(42, 0, pointer, 16)",
    "resolving a name": "socket.getaddrinfo(b'example.org', 80)",
    "an abstract unix socket": "socket.socket(socket.AF_UNIX).connect(chr(0) + 'airscript')",
    "fork": "os.fork()",
    "a thread": "threading.Thread(target=print).start()",
    "spawn": "os.posix_spawn('/bin/true', ['true'], {})",
    "exec": "os.execv('/bin/true', ['true'])",
    "system": "0 / (os.system('true') == 0)",
    "reading a file": "open('/etc/passwd').read()",
    "reading the file beside it": "open(f'{folder}/beside').read()",
    "listing a folder": "os.listdir(folder)",
    "the status of a file": "os.stat(folder)",
    "writing a file": "open(f'{folder}/new', 'w')",
    "appending to a file": "open(f'{folder}/beside', 'a')",
    "a file in memory": "os.memfd_create('x')",
    "truncating": "os.truncate(f'{folder}/beside', 0)",
    "unlink": "os.unlink(f'{folder}/beside')",
    "rename": "os.rename(f'{folder}/beside', f'{folder}/moved')",
    "a link": "os.link(f'{folder}/beside', f'{folder}/linked')",
    "a symbolic link": "os.symlink('/etc', f'{folder}/linked')",
    "a folder": "os.mkdir(f'{folder}/new')",
    "chmod": "os.chmod(f'{folder}/beside', 0)",
    "chown": "os.chown(f'{folder}/beside', 1, 1)",
    "another working folder": "os.chdir('/')",
    "another root": "os.chroot('/')",
    "a mount": "call(165, b'none', b'/mnt', b'tmpfs', 0, 0)",
    "namespaces": "call(272, 0x10000000)",
    "root's user": "os.setresuid(0, 0, 0)",
    "executable memory": "mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC)",
    "making memory executable": "call(10, 0x10000, 4096, 7)",
    "shared memory": "call(29, 0, 4096, 0o1777)",
    "io_uring": "call(425, 8, pointer)",
    "BPF": "call(321, 0, pointer, 64)",
    "keys": "call(250, 0, 0, 0)",
    "performance counters": "call(298, pointer, 0, -1, -1, 0)",
    "page faults of its own": "call(323, 0)",
    "wider limits": "__import__('resource').setrlimit(7, (100, 100))",
    "tracing it": "call(157, 4, 1, 0, 0, 0)",
    "another filter": "call(317, 1, 0, pointer)",
}
if platform.machine() != "x86_64":  # the numbers above are those of its system calls
    ATTEMPTS = {name: attempt for name, attempt in ATTEMPTS.items() if "call(" not in attempt}
ACT = """
libc = ctypes.CDLL(None, use_errno=True)
pointer = ctypes.create_string_buffer(256)
vector = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(pointer), 8))
def call(*arguments):
    passed = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if libc.syscall(*passed) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return 0
found = {}
for name, attempt in attempts.items():
    try:
        found[name] = f"possible: {eval(attempt)!r}"
    except (OSError, RuntimeError, ArithmeticError, ValueError) as error:
        found[name] = type(error).__name__
found["descriptors"] = [n for n in range(3, 64) if n not in (media.fileno(), output.fileno()) and is_open(n)]
found["environment"] = sorted(os.environ)
content = json.dumps({"reason": "damaged", "detail": json.dumps(found), "findings": None}).encode()
output.write(b"R" + len(content).to_bytes(4, "little") + content)
"""
IS_OPEN = """
def is_open(descriptor):
    try:
        os.lseek(descriptor, 0, os.SEEK_CUR)
    except OSError as error:
        return error.errno != errno.EBADF
    return True
"""
WORKER = """
import json, os, sys
from tasks.media.decoding import isolated
from tasks.media.findings import MediaRejected
isolated.sys.executable, media = sys.argv[1:]
with isolated.IsolatedDecoder() as decoder:
    try:
        with decoder.open_audio(media):
            pass
    except MediaRejected as rejected:
        print(json.dumps({"found": rejected.detail, "user": os.getuid(), "measures": decoder.sandbox.measures}))
"""
ORDINARY_USER = (
    *("setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"),
    # To reach Python, which may be in root's home. The decoder's process must give this up too.
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


def as_user(command: list[str]) -> list[str]:
    """A command as an ordinary user; skips where there is no way to become one."""
    if os.getuid() != 0:
        return command
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    return [*ORDINARY_USER, *command]


def run_attempts(folder: Path, *, is_ordinary: bool, without: str = "") -> dict:
    """Make all attempts in a decoder's process. `without`: code that removes a measure."""
    (folder / "beside").write_text("beside")
    (folder / "beside").chmod(0o666)
    folder.chmod(0o777)
    (folder / "a.wav").write_bytes(wav(np.zeros((1, 16_000), np.float32)))
    setup = f"server, worker, folder = os.getpid(), os.getppid(), {str(folder)!r}\nattempts = {ATTEMPTS!r}\n"
    setup += IS_OPEN + without
    child = write_acting_child(folder, ACT, setup + without)
    command = [sys.executable, "-c", WORKER, str(child), str(folder / "a.wav")]
    done = subprocess.run(
        as_user(command) if is_ordinary else command,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"AWS_SECRET_ACCESS_KEY": "secret"},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer | {"found": json.loads(answer["found"])}


@pytest.mark.parametrize("is_ordinary", [False, True], ids=["as it is", "as an ordinary user"])
def test_each_attempt_is_denied(is_ordinary: bool, tmp_path: Path):
    answer = run_attempts(tmp_path, is_ordinary=is_ordinary)
    found = answer["found"]
    assert (answer["user"] != 0) is (is_ordinary or os.getuid() != 0)
    assert {name: result for name, result in found.items() if name in ATTEMPTS and "possible" in result} == {}
    assert set(ATTEMPTS) < set(found)
    assert found["descriptors"] == []
    assert not [name for name in found["environment"] if "AWS" in name]
    assert (tmp_path / "beside").read_text() == "beside"


# What the filter of system calls alone denies: harmless to others, or undone by the other measures.
ONLY_BY_FILTER = {
    "its own environment", "the status of a file", "another working folder", "executable memory",
    "making memory executable", "shared memory", "a file in memory", "keys", "page faults of its own", "tracing it",
    "another filter", "wider limits", "the worker's priority", "namespaces",
    "a signal to everybody",  # which reaches its own fork server and nobody else
}  # fmt: skip


@pytest.mark.parametrize("is_ordinary", [False, True], ids=["as it is", "as an ordinary user"])
def test_most_are_denied_on_a_host_that_has_no_filter(is_ordinary: bool, tmp_path: Path):
    """The other measures hold on their own: no credentials, no files, no network, no processes."""
    without = "isolated_child.filter_system_calls = lambda: 'not on this host'\n"
    answer = run_attempts(tmp_path, is_ordinary=is_ordinary, without=without)
    found = answer["found"]
    assert answer["measures"]["system_calls"] == "not on this host"
    if any(answer["measures"][name] != "given" for name in ("no_files", "no_network", "closed_to_others")):
        pytest.skip(f"this host gives only {answer['measures']}")
    possible = {name for name, result in found.items() if name in ATTEMPTS and "possible" in result}
    assert possible - ONLY_BY_FILTER == set()
