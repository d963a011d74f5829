"""Pin images by digest: `python images/pin.py` asks the registries and rewrites the lines that name an image.

    python images/pin.py            # docker-compose.yaml's public images, and the bases of ours
    python images/pin.py --ours     # also ours, once a release has pushed them

A tag may be pushed again, a digest names one content. The tag stays beside it for readers. Run it after changing a tag,
and from time to time for the base images' security updates; review the diff as that of any other update. Needs
`docker buildx`; pulls nothing.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
FILES = ("docker-compose.yaml", "images/docker-bake.hcl", "images/*/Dockerfile")
OURS = "docker.io/airscript/"
_REFERENCE = re.compile(r"(?P<tagged>docker\.io/[a-z0-9._/-]+:[\w.-]+)(?:@sha256:[0-9a-f]{64})?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def digest_in_registry(tagged: str) -> str:
    """The digest of a tag, of all its platforms together.

    Raises:
        ValueError: the registry does not have it, or does not answer.
    """
    command = ["docker", "buildx", "imagetools", "inspect", "--format={{json .Manifest}}", tagged]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"{tagged}: {done.stderr.strip() or 'no answer'}")
    digest = json.loads(done.stdout)["digest"]
    if not _DIGEST.fullmatch(digest):
        raise ValueError(f"{tagged}: {digest!r} is no digest")
    return str(digest)


def pinned(text: str, digest_of: Callable[[str], str], *, ours: bool = False) -> str:
    """Return `text` with the digest of each image behind its tag."""

    def pin(found: re.Match[str]) -> str:
        tagged = found["tagged"]
        return found[0] if tagged.startswith(OURS) and not ours else f"{tagged}@{digest_of(tagged)}"

    return _REFERENCE.sub(pin, text)


def main(argv: list[str] | None = None, digest_of: Callable[[str], str] = digest_in_registry) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", action="store_true", help="also the images of this repository")
    given = parser.parse_args(argv)
    known: dict[str, str] = {}

    def once(tagged: str) -> str:
        if tagged not in known:
            known[tagged] = digest_of(tagged)
        return known[tagged]

    paths = [path for pattern in FILES for path in sorted(CHECKOUT.glob(pattern))]
    try:
        texts = {path: pinned(path.read_text(), once, ours=given.ours) for path in paths}
    except (ValueError, OSError) as error:
        print(f"nothing was changed: {error}", file=sys.stderr)
        return 1
    for path, text in texts.items():
        if text != path.read_text():
            path.write_text(text)
            print(f"{path.relative_to(CHECKOUT)}: changed")
    for tagged, digest in known.items():
        print(f"{tagged}@{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
