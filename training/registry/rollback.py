"""Rollback: `python -m training rollback --by NAME --because WHY [--to VERSION] [--name MODEL]`.

Gives the `champion` alias back to the version before (or to `--to`), and marks the version that failed, so that the
rule does not promote it again. The next night transcribes with the old model.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Annotated

import typer

from tasks import kafka
from tasks.contract import ExitCode, StepError
from tasks.contract.events import ModelPromoted

app = typer.Typer()


@app.command()
def rollback(
    by: Annotated[str, typer.Option(help="who decides")],
    because: Annotated[str, typer.Option(help="what is wrong with the present champion")],
    to: Annotated[int | None, typer.Option(help="version to go back to; without it, the champion before")] = None,
    name: Annotated[str, typer.Option(help="registered model")] = "acoustic-model",
) -> None:
    from training.registry.tracking import connect
    from training.registry.versions import roll_back

    try:
        left, taken = roll_back(connect(), name, by, because, to)
    except StepError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    print(f"champion of {name}: version {taken} again, version {left} marked as rolled back")
    now = datetime.now(UTC)
    version, before = str(taken), str(left)
    try:
        kafka.publish(
            ModelPromoted(produced_at=now, name=name, version=version, before=before, decided_by=by, because=because)
        )
    except (ConnectionError, StepError) as error:
        # Whoever takes this for a failure would roll back the good model too.
        print(f"the rollback stands; only {ModelPromoted.TOPIC} was not sent: {error}", file=sys.stderr)


def main(argv: list[str]) -> int:
    app(argv, prog_name="python -m training rollback")
    return ExitCode.DONE
