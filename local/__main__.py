"""`python -m local up | down | status | demo | screenshots`."""

from __future__ import annotations

import argparse
import sys

MIN_PYTHON = (3, 11)


def main(argv: list[str] | None = None) -> int:
    """Run one command. Exit codes: 0 success, 1 an error that the message explains, 130 interrupted."""
    if sys.version_info < MIN_PYTHON:
        print("airscript needs Python 3.11 or newer, this is %d.%d." % sys.version_info[:2], file=sys.stderr)  # noqa: UP031
        return 1
    from local import commands

    parser = argparse.ArgumentParser(prog="python -m local", description="Airflow and MLflow on one machine.")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, function in commands.COMMANDS.items():
        subparsers.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
    return commands.run(parser.parse_args(argv).command)


if __name__ == "__main__":
    sys.exit(main())
