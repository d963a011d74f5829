"""`python -m tasks stream <component>`: one worker of live captions, or the feeder."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType

import structlog
from pydantic import BaseModel, ConfigDict, Field

from tasks.contract import ExitCode, Misconfigured, Reason, from_argv
from tasks.contract.events import SESSION_PATTERN
from tasks.storage.scratch import scratch_folder
from tasks.streaming.runtime.session import Component

log = structlog.get_logger()


class _Arguments(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class StreamWorker(_Arguments):
    """One worker. Start as many of a component as its topic has partitions."""

    metrics_port: int = Field(0, ge=0, le=65_535, description="answers /metrics, /live and /ready; 0: nobody")


class StreamPrepare(StreamWorker):
    """One worker that takes the sound in. Start as many as its topic has partitions."""

    ends_after_s: float = Field(600.0, ge=0, description="a session whose feeder is gone so long is ended; 0: never")


class StreamModel(StreamWorker):
    """One worker that needs the model. Start as many of a component as its topic has partitions."""

    model: str = Field(
        "models:/acoustic-model@champion",
        description="a Parakeet CTC model, the same for features and recognise: models:/name/version, a folder, s3://…",
    )


class StreamDiarize(StreamWorker):
    """One worker that tells voices apart. Start as many as its topic has partitions."""

    diarizer: str = Field("embedded", pattern="^(embedded|none)$", description="embedded, or none: no speakers")


class StreamCaptions(StreamWorker):
    """One worker that writes captions. Start as many as its topic has partitions."""

    live: str = Field(description="URI prefix for WebVTT segments and playlists")
    transcripts: str = Field(description="URI prefix under which transcripts are published")
    language: str = Field("en", description="what is spoken (BCP 47)")


class StreamFeed(_Arguments):
    """Send a file or a live address as one session."""

    input: str = Field(description="a path, or an address: file, http(s) (HLS, Icecast), rtp, udp, srt")
    session: str = Field(pattern=SESSION_PATTERN, description="name of the broadcast: one name, one transcript")
    speed: float = Field(1.0, ge=0, description="times real time; 0: as fast as it goes")
    block_ms: int = Field(200, ge=100, le=500, description="length of a block")
    blobs: str = Field("", description="URI prefix for the sound, where Kafka is to carry its addresses only")


ARGUMENTS: dict[str, type[_Arguments]] = {
    "prepare": StreamPrepare,
    "features": StreamModel,
    "diarize": StreamDiarize,
    "recognise": StreamModel,
    "captions": StreamCaptions,
    "feed": StreamFeed,
}


def main(argv: list[str]) -> int:
    """Work until SIGTERM or SIGINT, and then stop within the second that one message takes."""
    if not argv or argv[0] not in ARGUMENTS:
        asked = argv[0] if argv else ""
        if asked in ("", "-h", "--help"):
            print(_overview())
            return ExitCode.DONE
        raise Misconfigured(
            f"no such component; there are {', '.join(ARGUMENTS)}",
            reason=Reason.INVALID_ARGUMENT,
            subject=asked,
            next_step="see python -m tasks stream --help",
        )
    arguments = from_argv(ARGUMENTS[argv[0]], argv[1:], prog=f"python -m tasks stream {argv[0]}")
    stop = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    try:
        if isinstance(arguments, StreamFeed):
            from tasks.streaming.feed import feed

            feed(arguments.input, arguments.session, arguments.speed, arguments.block_ms, stop, arguments.blobs)
        else:
            work(argv[0], arguments, stop)
    except ConnectionError as error:
        log.error("Kafka", error=str(error))
        return ExitCode.FAULT
    return ExitCode.DONE


def work(name: str, arguments: _Arguments, stop: threading.Event) -> None:
    """Run one worker. The model is loaded before the group is joined: partitions never wait for it."""
    from tasks.streaming.runtime.metrics import Health, WorkerMetrics, serve
    from tasks.streaming.runtime.worker import Worker

    assert isinstance(arguments, StreamWorker)
    with scratch_folder(f"stream-{name}") as scratch:
        component = load(name, arguments, scratch)
        metrics, health = WorkerMetrics(name), Health()
        shut_down = serve(metrics, health, arguments.metrics_port) if arguments.metrics_port else None
        log.info("worker starts", component=name)
        try:
            Worker(component, metrics, health).run(stop)
        finally:
            if shut_down:
                shut_down()


def load(name: str, arguments: _Arguments, scratch: Path) -> Component:
    """The component with its model, if it has one. One thread a worker: many of them share a machine."""
    if isinstance(arguments, StreamCaptions):
        from tasks.streaming.components import captions

        return captions.component(captions.Places(arguments.live, arguments.transcripts, arguments.language))
    if isinstance(arguments, StreamModel):
        import torch

        from tasks import models
        from tasks.streaming.components import features, recognise

        torch.set_num_threads(1)
        reference = models.resolve(arguments.model)
        folder = models.fetch(reference, scratch)
        return features.component(folder) if name == "features" else recognise.component(reference, folder)
    if isinstance(arguments, StreamDiarize):
        import torch

        from tasks.streaming.components import diarize

        torch.set_num_threads(1)
        return diarize.component(arguments.diarizer)
    from tasks.streaming.components import prepare

    assert isinstance(arguments, StreamPrepare)
    return prepare.component(arguments.ends_after_s)


def _overview() -> str:
    lines = ["usage: python -m tasks stream <component> [--flag=value ...]", ""]
    lines += [f"  {name:<10} {(model.__doc__ or '').splitlines()[0]}" for name, model in ARGUMENTS.items()]
    return "\n".join([*lines, "", "AIRSCRIPT_KAFKA names the brokers."])
