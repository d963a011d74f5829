"""`python -m local up | down | status | demo | captions | screenshots`."""

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
    from local.settings import EXTRAS

    parser = argparse.ArgumentParser(prog="python -m local", description="Airflow and MLflow on one machine.")
    subparsers = parser.add_subparsers(dest="command", required=True)
    for name, function in commands.COMMANDS.items():
        subparser = subparsers.add_parser(name, help=(function.__doc__ or "").splitlines()[0])
        if name == "up":
            subparser.add_argument("--with", dest="extras", nargs="+", choices=EXTRAS, default=[], help="add services")
    options = parser.parse_args(argv)
    return commands.run(options.command, getattr(options, "extras", []))


if __name__ == "__main__":
    sys.exit(main())
