"""The command line of steps: `python -m tasks <step> --flag=value …`, and the same for `training`."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Callable
from importlib import import_module

import structlog

from tasks.contract import STEPS, ExitCode, Misconfigured, Reason, StepDefinition, StepError, from_argv
from tasks.progress import BarProgress, progress_for
from tasks.step import run_step

COMMANDS = {
    "tasks": {
        "index-transcripts": "tasks.desk.index.command",  # make the search index of the desk
        "stream": "tasks.streaming.command",  # run a worker of live captions, or the feeder
        "topics": "tasks.streaming.topics",  # create and check Kafka's topics
        "announce": "tasks.streaming.announce",  # publish media.arrived events
    },
    "training": {
        "convert-whisper": "training.families.convert_whisper",  # between CTranslate2, transformers, OpenAI's .pt
        "rollback": "training.registry.rollback",  # move the `champion` alias back to the previous version
        "score-reviews": "training.registry.review_scores",  # the machine's words against people's, in MLflow
        "score-night": "training.scoring.nights",  # WER of published transcripts against references
    },
}
"""Commands that are not steps, by program. Each module has `main(argv) -> exit code`."""


def main(program: str, argv: list[str] | None = None) -> int:
    """Run the step that `argv` names and return its exit code."""
    argv = sys.argv[1:] if argv is None else argv
    # Steps share a machine, and torch's OpenMP threads spin while they wait unless this is set before torch loads.
    # Beside one other process on two cores: base model 20 times real time spinning, 107 passive; diarizer 2.7 and 48.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    configure_logging()
    steps = {name: step for name, step in STEPS.items() if step.program == program}
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview(program, steps))
        return ExitCode.DONE
    log = structlog.get_logger()
    if argv[0] in COMMANDS[program]:
        return _run_command(COMMANDS[program][argv[0]], argv)
    try:
        definition = _find(program, steps, argv[0])
        arguments = from_argv(definition.arguments, argv[1:], prog=f"python -m {program} {definition.name}")
        progress = progress_for(definition.name, arguments.receipt)
        try:
            receipt = run_step(definition, arguments, progress)
        finally:
            if isinstance(progress, BarProgress):
                progress.close()
    except StepError as error:
        if error.reason is Reason.INTERNAL_ERROR:
            traceback.print_exception(error.__cause__ or error)
        log.error("step failed", exit_code=int(error.exit_code), reason=str(error.reason), error=str(error))
        return error.exit_code
    for warning in receipt.warnings:
        log.warning(warning)
    facts = {
        **receipt.counts,
        **{name: round(value, 4) for name, value in receipt.metrics.items()},
        **receipt.labels,
    }
    log.info(f"step {receipt.status}", seconds=receipt.seconds, result=receipt.result, **facts)
    return ExitCode.DONE


def _run_command(module: str, argv: list[str]) -> int:
    """Run a command that is not a step: it writes no result and may run until it is stopped."""
    try:
        command: Callable[[list[str]], int] = import_module(module).main
        return command(argv[1:])
    except StepError as error:
        structlog.get_logger().error(f"{argv[0]} failed", reason=str(error.reason), error=str(error))
        return error.exit_code


def _find(program: str, steps: dict[str, StepDefinition], name: str) -> StepDefinition:
    if name not in steps:
        raise Misconfigured(
            f"unknown step; steps are {', '.join(steps)}",
            reason=Reason.INVALID_ARGUMENT,
            subject=name,
            next_step=f"see python -m {program} --help",
        )
    return steps[name]


def _overview(program: str, steps: dict[str, StepDefinition]) -> str:
    lines = [f"usage: python -m {program} <step> [--flag=value ...]", "", "steps:"]
    lines += [f"  {name:<18} {(step.arguments.__doc__ or '').splitlines()[0]}" for name, step in steps.items()]
    lines += ["", "other commands:", *(f"  {name}" for name in COMMANDS[program])]
    return "\n".join([*lines, "", f"python -m {program} <step> --help lists the flags of a step."])


def configure_logging() -> None:
    """Log to standard output: coloured on a terminal, `key=value` elsewhere, JSON with `AIRSCRIPT_LOG_FORMAT=json`."""
    renderer: structlog.typing.Processor
    if os.environ.get("AIRSCRIPT_LOG_FORMAT") == "json":
        renderer = structlog.processors.JSONRenderer()
    elif sys.stdout.isatty():
        renderer = structlog.dev.ConsoleRenderer()
    else:
        renderer = structlog.processors.LogfmtRenderer(key_order=["level", "event"])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=sys.stdout, format="%(levelname)s %(name)s %(message)s")
