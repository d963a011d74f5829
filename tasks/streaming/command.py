"""`python -m tasks stream <component>`: run one worker of live captions, or the feeder."""

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
    """Run one worker of a component; up to as many as its topic has partitions."""

    metrics_port: int = Field(0, ge=0, le=65_535, description="port of /metrics, /live and /ready; 0: none")


class StreamPrepare(StreamWorker):
    """Resample the audio and detect speech; up to as many workers as the topic has partitions."""

    ends_after_s: float = Field(600.0, ge=0, description="end a session after this time without blocks; 0: never")


class StreamModel(StreamWorker):
    """Compute features, or recognise, with the model; up to as many workers as the topic has partitions."""

    model: str = Field(
        "models:/acoustic-model@champion",
        description="a Parakeet CTC or Whisper, the same for features and recognise: models:/name/version, a folder, s3://…",
    )


class StreamDiarize(StreamWorker):
    """Diarize; up to as many workers as the topic has partitions."""

    diarizer: str = Field("embedded", pattern="^(embedded|none)$", description="embedded, or none: no speakers")


class StreamCaptions(StreamWorker):
    """Write captions and the transcript; up to as many workers as the topic has partitions."""

    live: str = Field(description="URI prefix for WebVTT segments and playlists")
    transcripts: str = Field(description="URI prefix of the published transcripts")
    language: str = Field("en", description="spoken language (BCP 47) if the model does not detect it")


class StreamFeed(_Arguments):
    """Feed a file or a live stream as one session."""

    input: str = Field(description="a path, or a URL: file, http(s) (HLS, Icecast), rtp, udp, srt")
    session: str = Field(pattern=SESSION_PATTERN, description="name of the broadcast; each name is used once")
    speed: float = Field(1.0, ge=0, description="multiple of real time; 0: as fast as possible")
    block_ms: int = Field(200, ge=100, le=500, description="duration of a block")
    blobs: str = Field("", description="URI prefix for audio, so that Kafka carries only URIs; empty: inline")


ARGUMENTS: dict[str, type[_Arguments]] = {
    "prepare": StreamPrepare,
    "features": StreamModel,
    "diarize": StreamDiarize,
    "recognise": StreamModel,
    "captions": StreamCaptions,
    "feed": StreamFeed,
}


def main(argv: list[str]) -> int:
    """Run until SIGTERM or SIGINT, then stop after the current message, within a second."""
    if not argv or argv[0] not in ARGUMENTS:
        asked = argv[0] if argv else ""
        if asked in ("", "-h", "--help"):
            print(_overview())
            return ExitCode.DONE
        raise Misconfigured(
            f"unknown component; components are {', '.join(ARGUMENTS)}",
            reason=Reason.INVALID_ARGUMENT,
            subject=asked,
            next_step="see python -m tasks stream --help",
        )
    arguments = from_argv(ARGUMENTS[argv[0]], argv[1:], prog=f"python -m tasks stream {argv[0]}")
    stop = threading.Event()

    def on_signal(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, on_signal)
    if isinstance(arguments, StreamFeed):
        from tasks.streaming.feed import feed

        feed(
            arguments.input,
            session=arguments.session,
            speed=arguments.speed,
            block_ms=arguments.block_ms,
            blobs=arguments.blobs,
            stop=stop,
        )
    else:
        run_worker(argv[0], arguments, stop)
    return ExitCode.DONE


def run_worker(name: str, arguments: _Arguments, stop: threading.Event) -> None:
    """Run one worker. Loads the model before joining the group, so that partitions never wait for it."""
    from tasks.streaming.runtime.metrics import Health, WorkerMetrics, serve
    from tasks.streaming.runtime.worker import Worker

    assert isinstance(arguments, StreamWorker)
    with scratch_folder(f"stream-{name}") as scratch:
        component = load_component(name, arguments, scratch)
        metrics, health = WorkerMetrics(name), Health()
        shut_down = serve(metrics, health, arguments.metrics_port) if arguments.metrics_port else None
        log.info("worker starts", component=name)
        try:
            Worker(component, metrics, health).run(stop)
        finally:
            if shut_down:
                shut_down()


def load_component(name: str, arguments: _Arguments, scratch: Path) -> Component:
    """Create a component, with its model if it has one. One thread per worker, since many share a machine."""
    if isinstance(arguments, StreamCaptions):
        from tasks.streaming.components import captions

        return captions.component(captions.CaptionsConfig(arguments.live, arguments.transcripts, arguments.language))
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
    return "\n".join([*lines, "", "AIRSCRIPT_KAFKA sets the brokers."])
