"""Images are pinned by digest, all or none."""

from __future__ import annotations

import os
import re
import shutil
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest
import yaml

CHECKOUT = Path(__file__).parents[2]
PUBLIC = {
    "docker.io/library/postgres:17.10",
    "docker.io/chrislusf/seaweedfs:4.48",
    "docker.io/apache/kafka:4.3.1",
    "docker.io/library/python:3.11-slim-bookworm",
    "docker.io/nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04",
}


@pytest.fixture
def pin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The command, on a copy of the repository's files."""
    spec = spec_from_file_location("pin", CHECKOUT / "images" / "pin.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    for pattern in module.FILES:
        for path in CHECKOUT.glob(pattern):
            copy = tmp_path / path.relative_to(CHECKOUT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    monkeypatch.setattr(module, "CHECKOUT", tmp_path)
    return module


def images(folder: Path) -> dict[str, str]:
    services = yaml.safe_load((folder / "docker-compose.yaml").read_text())["services"]
    return {name: service["image"] for name, service in services.items()}


def digest_of(tagged: str) -> str:
    return f"sha256:{abs(hash(tagged)):064x}"


def test_public_images_are_pinned_behind_their_tags(pin: ModuleType, tmp_path: Path) -> None:
    asked: list[str] = []

    def resolve(tagged: str) -> str:
        asked.append(tagged)
        return digest_of(tagged)

    before = images(tmp_path)
    assert pin.main([], resolve) == 0
    assert sorted(asked) == sorted(PUBLIC), "each is asked for once"
    for name, image in images(tmp_path).items():
        tagged = before[name].partition("@")[0]
        assert image == (tagged if tagged.startswith("docker.io/airscript/") else f"{tagged}@{digest_of(tagged)}")
    bases = re.findall(r"docker\.io/library/python\S+?@(sha256:\w+)", (tmp_path / "images/docker-bake.hcl").read_text())
    assert bases == [digest_of("docker.io/library/python:3.11-slim-bookworm")]

    # A later digest replaces the earlier one.
    assert pin.main([], lambda _: f"sha256:{'e' * 64}") == 0
    assert images(tmp_path)["postgres"] == f"docker.io/library/postgres:17.10@sha256:{'e' * 64}"


def test_ours_are_pinned_when_they_are_released(pin: ModuleType, tmp_path: Path) -> None:
    assert pin.main(["--ours"], digest_of) == 0
    assert all("@sha256:" in image for image in images(tmp_path).values())
    assert (tmp_path / "images/compose/Dockerfile").read_text().count("@sha256:") == 2


def test_nothing_is_changed_when_one_registry_does_not_answer(
    pin: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the real resolver, and a `docker` that has no network."""
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\necho 'ERROR: dial tcp: lookup registry-1.docker.io: no such host' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before = images(tmp_path)
    assert pin.main([]) == 1
    assert images(tmp_path) == before
    said = capsys.readouterr().err
    assert re.search(r"nothing was changed: docker\.io/\S+: ERROR: dial tcp: .* no such host", said)


def test_the_resolver_reads_what_buildx_prints(
    pin: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "docker"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nassert sys.argv[1:4] == ['buildx', 'imagetools', 'inspect'], sys.argv\n"
        f'print(\'{{"schemaVersion": 2, "digest": "sha256:{"a" * 64}", "size": 1609}}\')\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert pin.digest_in_registry("docker.io/library/postgres:17.10") == f"sha256:{'a' * 64}"
