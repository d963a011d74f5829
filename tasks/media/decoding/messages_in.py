"""Read what a decoder's process sends. Nothing of it is trusted: the process may have been taken over by the file."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from typing import Protocol, TypeVar

import numpy as np
from pydantic import ValidationError

from tasks.contract import Frozen, Reason
from tasks.media.container.probe import MediaProbe
from tasks.media.container.tracks import TrackChoice
from tasks.media.decoding.lanes import LaneBlock
from tasks.media.decoding.messages import (
    HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    PCM_HEADER,
    DecodeRequest,
    MessageKind,
    OpenedMessage,
    PcmBlock,
    RejectedMessage,
)
from tasks.media.findings import AudioFindings, MediaRejected
from tasks.media.limits import stalled

SAMPLE_BYTES = 4
MIN_RATE_HZ, MAX_RATE_HZ = 8_000, 192_000  # of live audio
SIGNALS = {number.value: number.name for number in signal.Signals}

Message = TypeVar("Message", bound=Frozen)


class Decoder(Protocol):
    """The process that decodes."""

    pid: int | None

    def wait_for_output(self, timeout_s: float) -> bool: ...

    def read_into(self, buffer: memoryview) -> int: ...

    def end(self) -> None: ...

    def exit_state(self) -> tuple[int | None, str]: ...


class MessageReader:
    """Reads a decoder's messages within the limits."""

    def __init__(self, decoder: Decoder, request: DecodeRequest) -> None:
        self._decoder, self._request = decoder, request
        self._max_samples = int(request.limits.max_duration_s * request.sample_rate_hz)

    def lane_blocks(self) -> Iterator[LaneBlock]:
        """Yield the blocks of all lanes in the order of decoding."""
        n_samples: Counter[int] = Counter()
        while True:
            kind, content = self._read_message()
            if kind is MessageKind.END:
                return
            if kind is not MessageKind.LANE or not content or content[0] >= len(self._request.lanes):
                raise invalid(f"{kind.name} among lanes")
            lane, block = content[0], to_samples(bytes(content[1:]))
            n_samples[lane] += len(block)
            if n_samples[lane] > self._max_samples:
                raise MediaRejected(Reason.TOO_LONG, f"longer than {self._request.limits.max_duration_s:g} s")
            yield lane, block

    def pcm_blocks(self) -> Iterator[PcmBlock]:
        """Yield the blocks of a live stream."""
        while True:
            kind, content = self._read_message()
            if kind is MessageKind.END:
                return
            if kind is not MessageKind.PCM or len(content) < PCM_HEADER.size:
                raise invalid(f"{kind.name} in a live stream")
            rate_hz, n_channels = PCM_HEADER.unpack_from(content)
            audio = bytes(content[PCM_HEADER.size :])
            if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ or n_channels not in (1, 2) or len(audio) % (2 * n_channels):
                raise invalid(f"{len(audio)} bytes of {n_channels} channels at {rate_hz} Hz")
            yield PcmBlock(audio, rate_hz, n_channels)

    def _read_message(self) -> tuple[MessageKind, bytearray]:
        """Read the next message with content. The time limit starts anew with each sign of progress."""
        while True:
            deadline = time.monotonic() + self._request.limits.stalled_s
            header = self._read(HEADER_BYTES, deadline)
            n_bytes = int.from_bytes(header[1:], "little")
            try:
                kind = MessageKind(bytes(header[:1]))
            except ValueError:
                raise invalid(f"{bytes(header)!r}") from None
            if n_bytes > MAX_MESSAGE_BYTES:
                raise invalid(f"{kind.name} of {n_bytes} bytes")
            content = self._read(n_bytes, deadline)
            if kind is MessageKind.REJECTED:
                rejection = parse(RejectedMessage, content)
                raise MediaRejected(rejection.reason, rejection.detail, rejection.findings)
            if kind is not MessageKind.PROGRESS:
                return kind, content

    def _read(self, n_bytes: int, deadline: float) -> bytearray:
        """Read exactly `n_bytes` of the decoder's output, until `deadline`."""
        content = bytearray(n_bytes)
        at = 0
        while at < n_bytes:
            if not self._decoder.wait_for_output(max(0.0, deadline - time.monotonic())):
                self._decoder.end()
                limit_s = self._request.limits.stalled_s
                raise MediaRejected(
                    Reason.TIME_LIMIT,
                    f"no progress in {limit_s:g} s, without the processor time to blame it on the file: the host is "
                    "overloaded, or storage hangs",
                )
            n_read = self._decoder.read_into(memoryview(content)[at:])
            if not n_read:
                raise self._crash_error()
            at += n_read
        return content

    def _crash_error(self) -> MediaRejected:
        """Return the error for a process that closed its output without a last message, and so is ending by itself."""
        code, line = self._decoder.exit_state()
        if code is None or -code == signal.SIGKILL:
            return MediaRejected(Reason.MEMORY_LIMIT, "the decoder was killed: the machine was out of memory")
        if -code == signal.SIGPROF:
            return MediaRejected(Reason.DECODER_LIMIT, stalled(self._request.limits))
        if -code == signal.SIGXCPU:
            return MediaRejected(Reason.DECODER_LIMIT, "exceeded the decoder's limit of processor time")
        cause = f"signal {SIGNALS.get(-code, -code)}" if code < 0 else f"exit code {code}"
        return MediaRejected(Reason.DECODE_ERROR, f"the decoder crashed ({cause}) {line}".strip())


class IsolatedAudio(MessageReader):
    """Iterates once over the blocks of a medium that another process decodes. Created by `IsolatedDecoder`."""

    def __init__(self, decoder: Decoder, request: DecodeRequest) -> None:
        super().__init__(decoder, request)
        self.sample_rate_hz = request.sample_rate_hz
        self.pid = decoder.pid
        self._findings: AudioFindings | None = None
        kind, content = self._read_message()
        if kind is not MessageKind.OPENED:
            raise invalid(f"{kind.name} before OPENED")
        opened = parse(OpenedMessage, content)
        self.probe: MediaProbe = opened.probe
        self.choice: TrackChoice = opened.choice

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks of `(n_samples,)` float32 at `sample_rate_hz`."""
        n_samples = 0
        while True:
            kind, content = self._read_message()
            if kind is MessageKind.FINDINGS:
                findings = parse(AudioFindings, content)
                if findings.n_samples != n_samples:
                    raise invalid(f"{n_samples} samples, and findings of {findings.n_samples}")
                self._findings = findings
                return
            if kind is not MessageKind.BLOCK:
                raise invalid(f"{kind.name} among blocks")
            block = to_samples(content)
            n_samples += len(block)
            if n_samples > self._max_samples + MAX_MESSAGE_BYTES // SAMPLE_BYTES:  # it checks the limit itself
                raise MediaRejected(Reason.TOO_LONG, f"longer than {self._request.limits.max_duration_s:g} s")
            yield block

    @property
    def findings(self) -> AudioFindings:
        """Available after the last block. Raises RuntimeError before."""
        if self._findings is None:
            raise RuntimeError("the findings are known only when all blocks have been read")
        return self._findings


def invalid(detail: str) -> MediaRejected:
    """Return the error for output that no decoder of ours sends."""
    return MediaRejected(Reason.DECODE_ERROR, f"the decoder sent an invalid message: {detail}")


def parse(kind: type[Message], content: bytearray) -> Message:
    """Parse a message's JSON. Raises MediaRejected."""
    try:
        return kind.model_validate_json(content)
    except ValidationError:
        raise invalid(f"no {kind.__name__}") from None


def to_samples(content: bytes | bytearray) -> np.ndarray:
    """Return the samples of a message, `(n_samples,)` float32. Raises MediaRejected."""
    if len(content) % SAMPLE_BYTES:
        raise invalid(f"{len(content)} bytes of samples")
    samples = np.frombuffer(content, np.float32)
    if not np.isfinite(samples).all():
        raise invalid("samples that are not finite")
    return samples
