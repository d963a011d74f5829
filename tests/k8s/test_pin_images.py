"""A release's digests are written to the manifests and to the chart's values."""

from __future__ import annotations

import copy
from importlib.util import module_from_spec, spec_from_file_location
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.k8s.manifests import K8S

TARGETS = ("airflow", "worker-cpu", "worker-gpu", "mlflow")
BAKED: dict[str, Any] = {
    target: {
        "containerimage.digest": f"sha256:{n:064x}",
        "image.name": f"docker.io/airscript/{target}:1.2.3,docker.io/airscript/{target}:1.2",
    }
    for n, target in enumerate(TARGETS)
} | {"buildx.build.warnings": {}}


@pytest.fixture(scope="module")
def pin_images() -> ModuleType:
    spec = spec_from_file_location("pin_images", K8S / "pin_images.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_image_is_pinned(pin_images: ModuleType, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    kustomization = yaml.safe_load(pin_images.KUSTOMIZE.read_text())
    values = yaml.safe_load(pin_images.HELM.read_text())
    pin_images.pin(kustomization, values, pin_images.digests(BAKED))
    for image in kustomization["images"]:
        target = image["name"].rpartition("/")[2]
        assert image == {
            "name": f"airscript/{target}",
            "newName": f"docker.io/airscript/{target}",
            "digest": BAKED[target]["containerimage.digest"],
        }
    # A tag beside a digest would be ignored, and misleading.
    assert values["images"]["airflow"] == {
        "repository": "docker.io/airscript/airflow",
        "digest": BAKED["airflow"]["containerimage.digest"],
    }
    assert {variable["name"]: variable["value"] for variable in values["env"]} == {
        "AIRSCRIPT_CPU_IMAGE": f"docker.io/airscript/worker-cpu@{BAKED['worker-cpu']['containerimage.digest']}",
        "AIRSCRIPT_GPU_IMAGE": f"docker.io/airscript/worker-gpu@{BAKED['worker-gpu']['containerimage.digest']}",
    }
    # Idempotent: the next release pins again.
    again = copy.deepcopy(kustomization)
    pin_images.pin(again, values, pin_images.digests(BAKED))
    assert again == kustomization


def test_images_are_pulled_through_a_cache_by_the_same_digests(pin_images: ModuleType) -> None:
    cached = pin_images.through_cache(pin_images.digests(BAKED), "registry.example/docker-hub/")
    assert cached["airflow"] == (
        "registry.example/docker-hub/airscript/airflow",
        BAKED["airflow"]["containerimage.digest"],
    )
    with pytest.raises(ValueError, match=r"ghcr\.io/airscript"):
        pin_images.through_cache({"airflow": ("ghcr.io/airscript/airflow", "sha256:0")}, "registry.example")


def test_an_image_that_was_not_pushed_is_an_error(pin_images: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"airflow.*pushed"):
        pin_images.digests(BAKED | {"airflow": {"image.name": "docker.io/airscript/airflow:1.2.3"}})
