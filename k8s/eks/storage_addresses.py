"""Write the addresses of S3 and STS into the network policies of step pods and stream workers.

    python k8s/eks/storage_addresses.py 3.5.134.0/23 52.219.170.0/23 192.168.101.7/32

Kubernetes' network policies know addresses, not names. Those of S3 are AWS's prefix list of the region, those of STS
the interfaces of its endpoint in the VPC: docs/deploy-eks.md shows where both come from. In git stands a block of
documentation (RFC 5737), so that nothing can be reached until this has run.
"""

from __future__ import annotations

import sys
from ipaddress import IPv4Network, collapse_addresses
from pathlib import Path

import yaml

OVERLAYS = Path(__file__).parents[1] / "overlays"
FILES = {
    "airscript-jobs": OVERLAYS / "aws" / "storage-addresses.yaml",
    "airscript-live": OVERLAYS / "aws-live" / "storage-addresses.yaml",
}
COMMENT = "# S3 and STS, written by k8s/eks/storage_addresses.py; 192.0.2.0/24 stands for none yet.\n"
MIN_PREFIX = 12
"""A wider block is not one of S3's: it would open the internet or the whole VPC."""
FORBIDDEN = IPv4Network("169.254.0.0/16")  # the instance metadata, with the node's credentials


def parse(words: list[str]) -> list[IPv4Network]:
    """Return the blocks, adjacent ones joined.

    Raises:
        ValueError: none, or one that is no IPv4 block, too wide, or contains the instance metadata.
    """
    blocks = [IPv4Network(word) for word in words]
    if not blocks:
        raise ValueError("no addresses: give the blocks of S3's prefix list and of the STS endpoint")
    for block in blocks:
        if block.prefixlen < MIN_PREFIX or block.overlaps(FORBIDDEN):
            raise ValueError(f"{block}: not an address block of S3 or of an endpoint")
    return list(collapse_addresses(blocks))


def policy(namespace: str, blocks: list[IPv4Network]) -> dict[str, object]:
    peers = [{"ipBlock": {"cidr": str(block)}} for block in blocks]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "storage", "namespace": namespace},
        "spec": {
            "podSelector": {},
            "policyTypes": ["Egress"],
            "egress": [{"to": peers, "ports": [{"protocol": "TCP", "port": 443}]}],
        },
    }


def main(words: list[str]) -> None:
    blocks = parse(words)
    for namespace, path in FILES.items():
        path.write_text(COMMENT + yaml.safe_dump(policy(namespace, blocks), sort_keys=False))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"storage_addresses.py: {error}")
