"""A feeder: whatever FFmpeg reads, cut into blocks of sound, at real time or faster."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import structlog

from tasks import kafka, storage
from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import InputRejected, Misconfigured, Reason
from tasks.streaming.runtime.messages import AudioBlock

if TYPE_CHECKING:
    from av.container import InputContainer

log = structlog.get_logger()

SCHEMES = {
    "file": "file,crypto,data",
    "http": "http,https,tcp,tls,crypto",
    "https": "http,https,tcp,tls,crypto",
    "icecast": "icecast,http,https,tcp,tls",
    "rtp": "rtp,udp",
    "udp": "udp",
    "srt": "srt,udp",
}
"""Addresses that may be read, and what FFmpeg may use for each: a playlist on the network opens no file here."""
OPEN_TIMEOUT_S = 20.0
READ_TIMEOUT_S = 20.0


def open_input(address: str) -> InputContainer:
    """Open a path or an address.

    Raises:
        Misconfigured: a scheme that is not in `SCHEMES`.
        InputRejected: nothing that FFmpeg reads is there.
    """
    import av

    scheme = address.partition("://")[0].lower() if "://" in address else "file"
    if scheme not in SCHEMES:
        raise Misconfigured(
            f"addresses may begin with {', '.join(SCHEMES)}",
            reason=Reason.INVALID_ARGUMENT,
            subject=address,
            next_step="give a file or one of these",
        )
    try:
        return av.open(
            address,
            options={"protocol_whitelist": SCHEMES[scheme]},
            timeout=(OPEN_TIMEOUT_S, READ_TIMEOUT_S),
        )
    except (OSError, ValueError) as error:
        raise InputRejected(
            f"it cannot be opened: {error}",
            reason=Reason.NOT_FOUND,
            subject=address,
            next_step="check the address; FFmpeg must be able to read it",
        ) from None


def pcm_blocks(container: InputContainer, block_ms: int) -> Iterator[tuple[bytes, int, int]]:
    """Bytes of 16-bit samples, interleaved, with their rate and channels; each `block_ms` long, the last shorter."""
    from av import AudioResampler

    stream = container.streams.audio[0]
    rate_hz = stream.rate
    n_channels = min(stream.channels, 2)
    resampler = AudioResampler(format="s16", layout="mono" if n_channels == 1 else "stereo", rate=rate_hz)
    block_bytes = rate_hz * block_ms // 1000 * 2 * n_channels
    waiting = bytearray()
    for packet in container.demux(stream):
        for frame in _decoded(packet):
            for part in resampler.resample(frame):
                waiting += bytes(part.planes[0])[: part.samples * 2 * n_channels]
        while len(waiting) >= block_bytes:
            yield bytes(waiting[:block_bytes]), rate_hz, n_channels
            del waiting[:block_bytes]
    if waiting:
        yield bytes(waiting), rate_hz, n_channels


def _decoded(packet: Any) -> list[Any]:
    from av.error import FFmpegError

    try:
        return list(packet.decode())
    except FFmpegError as error:
        log.warning("a packet cannot be decoded", error=str(error))
        return []


def feed(address: str, session: str, speed: float, block_ms: int, stop: threading.Event, blobs: str = "") -> int:
    """Send all of an address as one session. Returns how many blocks there were.

    Where `blobs` is the URI of a folder, blocks lie there under the session's name and Kafka carries their addresses.
    At `speed` 1 a block is sent when its last sample has been played; 0 is as fast as Kafka takes them. A session
    ends with its input, also when that breaks off, or when the feeder is told to stop.

    Raises:
        InputRejected: the input broke off; what had come before is sent, and the session is ended.
        ConnectionError: Kafka did not take it.
    """
    from av.error import FFmpegError

    kafka.wait_for_topics([AudioBlock.TOPIC])
    client = kafka.producer()
    failures: list[str] = []
    sequence = sent_ms = 0
    started = time.monotonic()

    def send(audio: bytes, rate_hz: int, n_channels: int, is_last: bool) -> None:
        nonlocal sequence
        uri = storage.join(blobs, session, f"{sequence:09d}.pcm") if blobs and audio else ""
        if uri:
            storage.write(uri, audio)
        block = AudioBlock(
            session=session,
            sequence=sequence,
            start_ms=sent_ms,
            sample_rate_hz=rate_hz,
            n_channels=n_channels,
            audio=b"" if uri else audio,
            audio_uri=uri,
            captured_at=round(time.time(), 3),
            is_last=is_last,
        )
        kafka.send(client, block.TOPIC, session, block.to_bytes(), kafka.failure_recorder(failures))
        sequence += 1

    broke_off: FFmpegError | None = None
    with open_input(address) as container:
        rate_hz, n_channels = SAMPLE_RATE_HZ, 1
        n_samples = 0
        try:
            for audio, rate_hz, n_channels in pcm_blocks(container, block_ms):
                n_samples += len(audio) // (2 * n_channels)
                if speed:
                    stop.wait(max(0.0, started + n_samples / rate_hz / speed - time.monotonic()))
                if stop.is_set():
                    break
                send(audio, rate_hz, n_channels, is_last=False)
                sent_ms = 1000 * n_samples // rate_hz
                if failures:
                    break
        except FFmpegError as error:
            broke_off = error
    send(b"", rate_hz, n_channels, is_last=True)
    left = client.flush(kafka.FLUSH_S)
    if failures or left:
        raise ConnectionError(f"Kafka did not take the sound: {failures[0] if failures else 'no answer'}")
    if broke_off is not None:
        raise InputRejected(
            f"it broke off after {sent_ms / 1000:.0f} s: {broke_off}",
            reason=Reason.TRUNCATED,
            subject=address,
            next_step="the session has ended; feed what follows under another name",
        )
    log.info("fed", session=session, blocks=sequence, seconds=round(sent_ms / 1000, 1))
    return sequence
