"""`python -m local.weights`: install the trained models of the demo, the tests and the benchmarks."""

from __future__ import annotations

import sys

from local.settings import UserError
from local.weights.catalogue import CATALOGUE
from local.weights.installing import ROOT, install


def main() -> int:
    """Install and list what is new. Returns 0 without a network too: demo and tests then do without the models."""
    try:
        for name in install():
            print(f"installed {name} in {ROOT / name} ({CATALOGUE[name].licence})")
    except UserError as error:
        print(f"note: {error}\nTests, benchmarks and demo go without these models.", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
