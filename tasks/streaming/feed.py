"""The feeder: cuts any input that FFmpeg reads into audio blocks, at real time or faster.

This process has the network and Kafka's credentials, so it decodes nothing: `tasks.media.decoding.isolated` does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import structlog

from tasks import kafka, storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import InputRejected, Preempted, Reason, StepError
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.decoding.messages import PcmBlock
from tasks.media.findings import MediaRejected
from tasks.streaming.live_input import open_input
from tasks.streaming.runtime.messages import AudioBlock

if TYPE_CHECKING:
    from confluent_kafka import KafkaError, Message

log = structlog.get_logger()


def blocks_of(frames: Iterable[PcmBlock], block_ms: int) -> Iterator[PcmBlock]:
    """Join frames to blocks of `block_ms`; the last one, and one before the audio changes its form, are shorter."""
    buffer = bytearray()
    form: tuple[int, int] | None = None
    for audio, rate_hz, n_channels in frames:
        if form not in (None, (rate_hz, n_channels)) and buffer:
            yield PcmBlock(bytes(buffer), *form)
            buffer.clear()
        form = rate_hz, n_channels
        buffer += audio
        n_bytes = rate_hz * block_ms // 1000 * 2 * n_channels
        while len(buffer) >= n_bytes:
            yield PcmBlock(bytes(buffer[:n_bytes]), rate_hz, n_channels)
            del buffer[:n_bytes]
    if buffer and form:
        yield PcmBlock(bytes(buffer), *form)


class BlockSender:
    """Sends a session's audio to Kafka, as consecutive blocks."""

    def __init__(self, session: str, blobs: str = "") -> None:
        self._session, self._blobs = session, blobs
        self._undelivered: dict[int, bytes] = {}
        """Blocks that are not acknowledged, by sequence; as many as the producer's queue holds."""
        self.sequence = self.n_samples = self.sent_ms = 0
        self._open()

    def send(self, audio: bytes, rate_hz: int, n_channels: int, is_last: bool = False) -> None:
        uri = ""
        if self._blobs and audio:
            uri = storage.join(self._blobs, self._session, f"{self.sequence:09d}.pcm")
            storage.write(uri, audio)
        block = AudioBlock(
            session=self._session,
            sequence=self.sequence,
            start_ms=self.sent_ms,
            sample_rate_hz=rate_hz,
            n_channels=n_channels,
            audio=b"" if uri else audio,
            audio_uri=uri,
            captured_at=round(time.time(), 3),
            is_last=is_last,
        )
        self._undelivered[self.sequence] = block.to_bytes()
        self._send(self.sequence)
        self.sequence += 1
        self.n_samples += len(audio) // (2 * n_channels)
        self.sent_ms = 1000 * self.n_samples // rate_hz

    def flush(self) -> None:
        """Wait for delivery. Raises StepError."""
        while True:
            self._failures += kafka.flush(self._producer)
            if not self._failures:
                return
            self._reopen()

    def _open(self) -> None:
        self._failures: list[KafkaError] = []
        self._n_delivered = 0
        self._producer = kafka.producer()

    def _send(self, sequence: int) -> None:
        if not self._failures:
            try:
                self._produce(sequence)
                return
            except StepError as error:
                log.warning("the producer refuses more audio", error=str(error))
        self._reopen()

    def _produce(self, sequence: int) -> None:
        producer = self._producer

        def on_delivery(error: KafkaError | None, _message: Message) -> None:
            if producer is not self._producer:
                return  # an earlier producer's: the block was sent again
            if error is not None:
                self._failures.append(error)
            else:
                self._n_delivered += 1
                self._undelivered.pop(sequence, None)

        kafka.send(producer, AudioBlock.TOPIC, self._session, self._undelivered[sequence], on_delivery)

    def _reopen(self) -> None:
        """Send what is not delivered through a new producer, in order: prepare skips what it has already.

        An idempotent producer refuses all messages after one that it could not place, as when the brokers have lost
        its state.

        Raises:
            StepError: this producer has delivered nothing either.
        """
        failures, blocks = self._failures, sorted(self._undelivered)
        if not self._n_delivered:
            raise kafka.error_of(failures, AudioBlock.TOPIC)
        log.warning("audio is sent again", session=self._session, blocks=len(blocks), error=str(failures[:1]))
        self._producer.purge()
        self._open()
        for sequence in blocks:
            self._produce(sequence)


def feed(address: str, *, session: str, speed: float, block_ms: int, stop: threading.Event, blobs: str = "") -> int:
    """Feed an input as one session, and return the number of blocks sent.

    With `blobs`, a URI prefix, blocks are stored below it under the session's name and Kafka carries their URIs. At
    `speed` 1 a block is sent when its last sample has been played, at 0 as fast as Kafka accepts it. The session ends
    when the input ends or breaks off, or when `stop` is set.

    Raises:
        InputRejected: the input cannot be opened or decoded, or broke off. The audio before that is delivered, and the
            session is ended.
        StepError: Kafka did not accept the audio.
    """
    kafka.wait_for_topics([AudioBlock.TOPIC])
    sender = BlockSender(session, blobs)
    break_off: Exception | None = None
    rate_hz, n_channels = SAMPLE_RATE_HZ, 1
    with open_input(address, stop) as source, IsolatedDecoder(stop) as decoder:
        try:
            with decoder.open_live(source.pipe) as frames:
                source.pipe.close()  # the decoder has it: once it ends, nobody reads on
                started = time.monotonic()
                for audio, rate_hz, n_channels in blocks_of(frames, block_ms):
                    if speed:
                        end_s = (sender.n_samples + len(audio) // (2 * n_channels)) / rate_hz
                        stop.wait(max(0.0, started + end_s / speed - time.monotonic()))
                    if stop.is_set():
                        break
                    sender.send(audio, rate_hz, n_channels)
        except Preempted:
            pass  # `stop` is set
        except MediaRejected as rejected:
            break_off = rejected
        break_off = source.fault or break_off
    if not sender.sequence and break_off is not None:
        raise InputRejected(
            f"cannot be decoded: {break_off}",
            reason=getattr(break_off, "reason", Reason.UNREADABLE),
            subject=address,
            next_step="check the address; FFmpeg must be able to decode it",
        )
    sender.send(b"", rate_hz, n_channels, is_last=True)
    sender.flush()
    if break_off is not None:
        raise InputRejected(
            f"the input broke off after {sender.sent_ms / 1000:.0f} s: {break_off}",
            reason=Reason.TRUNCATED,
            subject=address,
            next_step="the session has ended; feed the rest under another name",
        )
    log.info("fed", session=session, blocks=sender.sequence, seconds=round(sender.sent_ms / 1000, 1))
    return sender.sequence
