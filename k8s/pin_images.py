"""Pin the images of a release by digest, for the manifests and for Airflow's chart.

    python k8s/pin_images.py bake.json

`bake.json` is written by `docker buildx bake --metadata-file` and attached to every release.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
KUSTOMIZE = HERE / "components" / "images" / "kustomization.yaml"
HELM = HERE / "helm" / "images.yaml"
WORKERS = {"AIRSCRIPT_CPU_IMAGE": "worker-cpu", "AIRSCRIPT_GPU_IMAGE": "worker-gpu"}
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digests(metadata: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Repository and digest of each target.

    Raises:
        ValueError: a target without name or digest, which means that it was not pushed.
    """
    found = {}
    for target, facts in metadata.items():
        if not isinstance(facts, dict) or target == "buildx.build.warnings":
            continue
        name, digest = facts.get("image.name", ""), facts.get("containerimage.digest", "")
        if not name or not _DIGEST.fullmatch(digest):
            raise ValueError(f"{target}: name {name!r}, digest {digest!r}: was it pushed?")
        found[target] = (name.split(",")[0].rpartition(":")[0], digest)
    return found


def pin(kustomization: dict[str, Any], values: dict[str, Any], built: dict[str, tuple[str, str]]) -> None:
    """Write the digests of `built` to both, in place.

    Raises:
        KeyError: an image was not built.
    """
    for image in kustomization["images"]:
        repository, digest = built[image["name"].rpartition("/")[2]]
        image.pop("newTag", None)
        image |= {"newName": repository, "digest": digest}
    repository, digest = built["airflow"]
    values["images"]["airflow"] = {"repository": repository, "digest": digest}
    for variable in values["env"]:
        variable["value"] = "@".join(built[WORKERS[variable["name"]]])


def main() -> None:
    built = digests(json.loads(Path(sys.argv[1]).read_bytes()))
    files = {path: yaml.safe_load(path.read_text()) for path in (KUSTOMIZE, HELM)}
    pin(files[KUSTOMIZE], files[HELM], built)
    for path, content in files.items():
        comment = [line for line in path.read_text().splitlines(keepends=True) if line.startswith("#")]
        path.write_text("".join(comment) + yaml.safe_dump(content, sort_keys=False))


if __name__ == "__main__":
    main()
