"""Models of the hub, from a server that answers as it does: what is read is downloaded, and nothing else."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tasks.models.hub import needed_files

TURBO = (".gitattributes", "README.md", "added_tokens.json", "config.json", "flax_model.msgpack")
TURBO += ("generation_config.json", "merges.txt", "model.fp32-00001-of-00002.safetensors")
TURBO += ("model.fp32-00002-of-00002.safetensors", "model.safetensors", "model.safetensors.index.fp32.json")
TURBO += ("preprocessor_config.json", "pytorch_model.bin", "pytorch_model.fp32-00001-of-00002.bin")
TURBO += ("tokenizer.json", "vocab.json", "onnx/model.onnx")
WEIGHTS = {"model.safetensors": b"w" * 2048}
FILES = {name: WEIGHTS.get(name, json.dumps({"model_type": "whisper", "of": name}).encode()) for name in TURBO}
COMMIT = "a" * 40


def test_one_format_of_the_weights_is_needed() -> None:
    needed = needed_files(TURBO)
    assert "model.safetensors" in needed
    assert not [name for name in needed if name.endswith((".msgpack", ".bin", ".onnx")) or "fp32-" in name]
    assert {"config.json", "tokenizer.json", "generation_config.json", "README.md", "vocab.json"} <= set(needed)


@pytest.mark.parametrize(
    ("names", "left_out"),
    [
        (["config.json", "model.bin", "tokenizer.json", "vocabulary.txt"], []),
        (["config.json", "model.safetensors", "parakeet-ctc-1.1b.nemo", "processor_config.json"], [".nemo"]),
        (["config.json", "pytorch_model.bin", "tf_model.h5"], [".h5"]),
        (["config.yaml", "pytorch_model.bin", "embedding/pytorch_model.bin"], []),
        (
            [
                "config.json",
                "model-00001-of-00002.safetensors",
                "model-00002-of-00002.safetensors",
                "model.safetensors.index.json",
                "pytorch_model-00001-of-00001.bin",
                "pytorch_model.bin.index.json",
                "LICENSE",
            ],
            ["00001.bin"],
        ),
    ],
)
def test_what_each_kind_of_repository_needs(names: list[str], left_out: list[str]) -> None:
    assert set(names) - set(needed_files(names)) == {n for n in names if n.endswith(tuple(left_out) or "\0")}


class Hub(BaseHTTPRequestHandler):
    """The hub's answers about one repository."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/openai/turbo/tree/"):
            tree = [{"type": "file", "path": n, "size": len(d), "oid": "0" * 40} for n, d in FILES.items()]
            body, kind = json.dumps(tree).encode(), "json"
        elif path.startswith("/api/models/openai/turbo"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in FILES.items()]
            body, kind = json.dumps({"id": "openai/turbo", "sha": COMMIT, "siblings": siblings}).encode(), "json"
        elif (name := path.rpartition(f"/openai/turbo/resolve/{COMMIT}/")[2]) in FILES:
            body, kind = FILES[name], "octet-stream"
            if self.command == "GET":
                self.server.downloaded.append(name)
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", f"application/{kind}")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha1(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture
def hub() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.downloaded = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


FETCH = """
import pathlib, sys, tempfile
from tasks import models
reference = models.resolve(sys.argv[1])
models.check(reference)
print(reference.version)
folder = models.fetch(reference, pathlib.Path(tempfile.mkdtemp()))
print(*sorted(path.name for path in folder.iterdir()))
"""


def test_a_hub_name_downloads_what_is_needed(hub: ThreadingHTTPServer, tmp_path: object) -> None:
    """In a process of its own: the client reads its address and its offline switch once."""
    import os

    def run(name: str, **variables: str) -> list[str]:
        environment = os.environ | {"HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}", "HF_HOME": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-c", FETCH, name],
            env=environment | {"HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"} | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not done.returncode, done.stderr
        return done.stdout.splitlines()

    version, names = run("openai/turbo")
    assert version == f"openai/turbo@{COMMIT[:12]}"
    assert set(names.split()) == set(needed_files(TURBO))
    assert set(hub.downloaded) == set(needed_files(TURBO))
    hub.downloaded.clear()
    assert run(f"openai/turbo@{COMMIT}", HF_HUB_OFFLINE="1") == [version, names], (
        "the local copy is used without a network"
    )
    assert not hub.downloaded
