"""Synthesises the demo's channel: `python -m local.demo.synthesis --archive DIR --inbox DIR --references DIR`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from local.demo.synthesis.channel import make_channel


def main(
    archive: Annotated[Path, typer.Option(help="folder for programmes with captions")],
    inbox: Annotated[Path, typer.Option(help="folder for new programmes, without captions")],
    references: Annotated[Path, typer.Option(help="folder for the inbox's reference texts and speaker turns")],
    minutes: Annotated[float, typer.Option(help="minutes of archive; the inbox always has ten files")] = 35.0,
    seed: int = 1,
) -> None:
    columns = (TextColumn("{task.description:40}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, transient=True) as bar:
        task = bar.add_task("channel", total=None)

        def progress(name: str, done: int, total: int) -> None:
            bar.update(task, description=name, completed=done, total=total)

        channel = make_channel(archive, inbox, references, minutes, seed, progress)
    typer.echo(
        f"channel: {len(channel.archive)} archive programmes ({channel.archive_s / 60:.1f} minutes), "
        f"{len(channel.inbox)} inbox files ({channel.inbox_s / 60:.1f} minutes of speech)"
    )


if __name__ == "__main__":
    typer.run(main)
