"""Pin the images of a release by digest, for the manifests and for Airflow's chart.

    python k8s/pin_images.py bake.json
    python k8s/pin_images.py bake.json --cache 111122223333.dkr.ecr.eu-central-1.amazonaws.com/docker-hub

`bake.json` is written by `docker buildx bake --metadata-file` and attached to every release. `--cache` names a registry
that fetches Docker Hub's images once and hands them out: they keep their digests.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
HUB = "docker.io/"
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


def through_cache(built: dict[str, tuple[str, str]], cache: str) -> dict[str, tuple[str, str]]:
    """The same images, as pulled through the cache of Docker Hub at `cache`.

    Raises:
        ValueError: an image is in another registry.
    """
    elsewhere = [repository for repository, _ in built.values() if not repository.startswith(HUB)]
    if elsewhere:
        raise ValueError(f"not in Docker Hub, and so not in its cache: {', '.join(elsewhere)}")
    return {
        target: (f"{cache.rstrip('/')}/{repository.removeprefix(HUB)}", digest)
        for target, (repository, digest) in built.items()
    }


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metadata", type=Path, help="bake.json")
    parser.add_argument("--cache", default="", help="registry and prefix of a pull-through cache of Docker Hub")
    given = parser.parse_args()
    built = digests(json.loads(given.metadata.read_bytes()))
    if given.cache:
        built = through_cache(built, given.cache)
    files = {path: yaml.safe_load(path.read_text()) for path in (KUSTOMIZE, HELM)}
    pin(files[KUSTOMIZE], files[HELM], built)
    for path, content in files.items():
        comment = [line for line in path.read_text().splitlines(keepends=True) if line.startswith("#")]
        path.write_text("".join(comment) + yaml.safe_dump(content, sort_keys=False))


if __name__ == "__main__":
    main()
