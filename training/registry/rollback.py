"""Roll back the champion: `python -m training rollback --by NAME --because WHY [--to VERSION] [--name MODEL]`.

Moves the `champion` alias back to the previous version (or to `--to`), and tags the failed version, so that the rule
does not promote it again. The next night transcribes with the previous model.
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
    by: Annotated[str, typer.Option(help="name of the person who decides")],
    because: Annotated[str, typer.Option(help="what is wrong with the current champion")],
    to: Annotated[int | None, typer.Option(help="version to restore (default: the previous champion)")] = None,
    name: Annotated[str, typer.Option(help="registered model")] = "acoustic-model",
) -> None:
    """Move the champion alias back, and publish the change."""
    from training.registry.tracking import connect
    from training.registry.versions import roll_back

    try:
        failed, restored = roll_back(connect(), name, by, because, to)
    except StepError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(error.exit_code) from None
    print(f"champion of {name}: version {restored} again, version {failed} marked as rolled back")
    now = datetime.now(UTC)
    version, before = str(restored), str(failed)
    try:
        kafka.publish(
            ModelPromoted(produced_at=now, name=name, version=version, before=before, decided_by=by, because=because)
        )
    except (ConnectionError, StepError) as error:
        # Exit code 0: an operator who took this for a failure would roll back the good model as well.
        print(f"rollback done, but {ModelPromoted.TOPIC} could not be published: {error}", file=sys.stderr)


def main(argv: list[str]) -> int:
    app(argv, prog_name="python -m training rollback")
    return ExitCode.DONE
