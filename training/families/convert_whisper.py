"""Convert a Whisper: `python -m training convert-whisper SOURCE FOLDER [--to ctranslate2]`.

SOURCE is a Whisper in any layout: CTranslate2's, OpenAI's `.pt`, transformers', MLflow's, by path, `s3://` prefix,
registered version or hub name. FOLDER is new, and gets transformers' layout with every file that training and decoding
read, or CTranslate2's with its tokenizer. Weights keep their precision; from CTranslate2's float16 to transformers' and
back, every tensor stays the same bit for bit.
"""

from __future__ import annotations

import shutil
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tasks.contract import ExitCode, Misconfigured, Reason
from tasks.contract.arguments import Quantization


class Format(StrEnum):
    """The layout to convert to."""

    TRANSFORMERS = "transformers"
    CTRANSLATE2 = "ctranslate2"


app = typer.Typer(add_completion=False)


@app.command()
def convert_whisper(
    source: Annotated[str, typer.Argument(help="a folder, .pt file, s3:// prefix, models:/name@alias or hub name")],
    folder: Annotated[Path, typer.Argument(help="the new folder")],
    to: Annotated[Format, typer.Option(help="layout of the new folder")] = Format.TRANSFORMERS,
    quantization: Annotated[
        Quantization, typer.Option(help="of the weights in CTranslate2's format")
    ] = Quantization.FLOAT16,
) -> None:
    """Convert a Whisper from any layout to transformers' or to CTranslate2's."""
    from tasks.models import fetch, resolve
    from tasks.models.whisper import ctranslate2_folder
    from tasks.models.whisper.transformers_folder import complete_folder

    if folder.exists():
        raise Misconfigured(
            "exists already",
            reason=Reason.INVALID_ARGUMENT,
            subject=str(folder),
            next_step="name a folder that does not exist",
        )
    with tempfile.TemporaryDirectory() as scratch:
        complete = complete_folder(fetch(resolve(source), Path(scratch)))
        if to is Format.TRANSFORMERS:
            shutil.copytree(complete, folder, ignore=shutil.ignore_patterns("ctranslate2", ".*"))
        else:
            ctranslate2_folder.convert(complete, folder, quantization)
    print(f"{folder}: {', '.join(sorted(path.name for path in folder.iterdir()))}")


def main(argv: list[str]) -> int:
    app(argv, prog_name="python -m training convert-whisper")
    return ExitCode.DONE
