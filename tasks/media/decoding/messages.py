"""What a decoder's process and its caller tell each other: messages of one byte for the kind, four for the length, and
the content.
"""

from __future__ import annotations

import struct
from enum import Enum
from typing import NamedTuple

from tasks.contract import Frozen, Reason
from tasks.media.container.probe import MediaProbe
from tasks.media.container.tracks import Lane, TrackChoice, TrackPolicy
from tasks.media.findings import AudioFindings
from tasks.media.limits import MediaLimits

HEADER_BYTES = 5
MAX_MESSAGE_BYTES = 1 << 26
# On the control socket: a process id or an exit code, and the length of the report.
STATUS_BYTES, COUNT_BYTES = 8, 4
MAX_REPORT_BYTES = 1 << 12
MAX_REQUEST_BYTES = 1 << 16


PCM_HEADER = struct.Struct("<IB")


class PcmBlock(NamedTuple):
    """Interleaved 16-bit little-endian samples as captured."""

    audio: bytes
    rate_hz: int
    n_channels: int


class MessageKind(Enum):
    """The content of a message from the decoder."""

    OPENED = b"O"  # OpenedMessage, as JSON
    PROGRESS = b"P"  # nothing: new bytes were read
    BLOCK = b"B"  # float32 samples
    LANE = b"L"  # the index of a lane in one byte, then its float32 samples
    PCM = b"A"  # rate and number of channels (`PCM_HEADER`), then interleaved 16-bit samples
    END = b"E"  # after the last block of all lanes, or of a live stream: the last message
    FINDINGS = b"F"  # AudioFindings, as JSON: the last message
    REJECTED = b"R"  # RejectedMessage, as JSON: the last message


class DecodeRequest(Frozen):
    """How to decode a medium. Its file descriptor is sent along."""

    policy: TrackPolicy
    limits: MediaLimits
    sample_rate_hz: int
    lanes: tuple[Lane, ...] = ()  # decode these separately instead of the policy's choice
    is_live: bool = False  # the descriptor is a pipe: decode the first audio track as it comes


class OpenedMessage(Frozen):
    """The medium was opened and a track was chosen."""

    probe: MediaProbe
    choice: TrackChoice


class RejectedMessage(Frozen):
    """`MediaRejected`, serialised for the parent."""

    reason: Reason
    detail: str
    findings: AudioFindings | None
