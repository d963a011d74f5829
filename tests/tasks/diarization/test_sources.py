from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tasks.contract import InputRejected, Misconfigured
from tasks.diarization import EMBEDDED, fetch, resolve
from tasks.diarization.sources import WEIGHTS


def test_the_embedded_diarizer_is_independent_of_the_installation(tmp_path: Path) -> None:
    """A plan made in one image is run in another."""
    reference = resolve(EMBEDDED)
    assert reference.uri == EMBEDDED
    assert reference.version == f"embedded-{reference.digest[:12]}"
    assert resolve(reference.uri) == reference
    assert fetch(reference, tmp_path) == WEIGHTS


def test_names_that_are_not_found() -> None:
    with pytest.raises(InputRejected, match="neither here nor on the hub"):
        resolve("pyannote/speaker-diarization-9000")
    with pytest.raises(Misconfigured):
        resolve("what is this?")
    with pytest.raises(InputRejected, match=r"config\.yaml"):
        resolve("file:///nowhere/at/all")


def local_copy(cache: Path, name: str, revision: str) -> Path:
    """A model as huggingface_hub keeps it."""
    model = cache / f"models--{name.replace('/', '--')}"
    (model / "refs").mkdir(parents=True)
    (model / "refs" / "main").write_text(revision)
    snapshot = model / "snapshots" / revision
    (snapshot / "segmentation").mkdir(parents=True)
    (snapshot / "segmentation" / "pytorch_model.bin").write_bytes(b"a pickle")
    (snapshot / "config.yaml").write_text("pipeline: {}\n")
    return snapshot


def test_only_pyannotes_pickles_come_from_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    theirs = local_copy(tmp_path, "pyannote/speaker-diarization-community-1", "a" * 40)
    local_copy(tmp_path, "somebody/diarization", "b" * 40)
    reference = resolve("pyannote/speaker-diarization-community-1")
    assert reference.uri.endswith("@" + "a" * 40)
    assert resolve(reference.uri) == reference, "what a plan says can be looked up again"
    assert fetch(reference, tmp_path) == theirs
    with pytest.raises(Misconfigured, match=r"pytorch_model\.bin is a pickle"):
        fetch(resolve("somebody/diarization"), tmp_path)


@pytest.fixture
def hub() -> Iterator[str]:
    """A hub with one gated model."""

    class Gated(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if "/tree/" in self.path:
                self.answer(200, b'[{"type": "file", "path": "config.yaml", "size": 1, "oid": "d"}]')
            elif self.path.startswith("/api/models/"):
                self.answer(
                    200,
                    b'{"id": "pyannote/gated", "sha": "%s", "siblings": [{"rfilename": "config.yaml"}]}' % (b"c" * 40),
                )
            else:
                self.answer(403, b"", gated=True)

        do_HEAD = do_GET

        def answer(self, status: int, body: bytes, gated: bool = False) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Type", "application/json")
            if gated:
                self.send_header("X-Error-Code", "GatedRepo")
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Gated)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def test_the_error_of_a_gated_model_says_what_to_do(hub: str, tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from tasks.contract import InputRejected
        from tasks.diarization import fetch, resolve
        try:
            fetch(resolve("pyannote/gated"), Path(sys.argv[1]))
        except InputRejected as error:
            print(error)
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "pyannote/gated: gated" in done.stdout
    assert "HF_TOKEN" in done.stdout
