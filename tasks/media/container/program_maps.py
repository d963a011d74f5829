"""Detect where the audio of a transport stream moves to another PID, or changes codec on the same PID.

The program map table (PMT, ISO/IEC 13818-1) lists the PIDs of a program and their codecs. It changes between
programmes of a recording and where recordings were concatenated. FFmpeg creates a new stream for a new PID, which PyAV
18.1 does not expose, and keeps decoding a PID with its first codec. So the file is reopened where the map changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SYNC = 0x47
PACKET_BYTES = 188
STRIDES = (188, 192, 204)  # plain, M2TS with time stamps, with error correction
MIN_SYNCS = 5
MIN_SECTION_BYTES, MAX_SECTION_BYTES = 12, 1024
PROGRAMS_TABLE, MAP_TABLE = 0x00, 0x02
MAX_TRAILING_PACKETS = 40  # one PES packet
MIN_SLACK_BYTES = 20_000  # interleaving blurs by this much where one track ends and another begins
MAX_MAPS = 256

# Stream types of audio. Private data (6) is audio with one of the descriptors below.
AUDIO_TYPES = frozenset((0x03, 0x04, 0x0F, 0x11, 0x1C, *range(0x80, 0x88), 0xA1, 0xC1, 0xC2))
REGISTRATION, EXTENSION = 0x05, 0x7F
CODEC_DESCRIPTORS = frozenset((REGISTRATION, 0x6A, 0x7A, 0x7B, 0x7C, 0x73, EXTENSION))  # AC-3, E-AC-3, DTS, AAC
AUDIO_REGISTRATIONS = frozenset((b"AC-3", b"EAC3", b"Opus", b"BSSD", b"DTS1", b"DTS2", b"DTS3", b"AC-4"))
AUDIO_DESCRIPTORS = frozenset((0x6A, 0x7A, 0x7B, 0x7C))


@dataclass(frozen=True)
class Stream:
    """The entry of one PID in a program map."""

    kind: int
    codec: bytes  # the descriptors that identify it
    is_audio: bool


StreamMap = dict[int, Stream]
"""Streams by PID."""


def packet_stride(head: bytes) -> tuple[int, int] | None:
    """Return packet stride and offset of the first packet; None if `head` is not of a transport stream."""
    for stride in STRIDES:
        for first in range(min(stride, len(head))):
            syncs = head[first : first + stride * MIN_SYNCS : stride]
            if len(syncs) == MIN_SYNCS and syncs.count(SYNC) == MIN_SYNCS:
                return stride, first
    return None


@dataclass(frozen=True)
class Move:
    """A position where decoded audio moves: reopen the file at `begin`, preceded by `prefix`, the maps in force."""

    begin: int
    prefix: bytes
    except_pids: frozenset[int] = frozenset()  # PIDs whose audio has ended


class _Extent:
    """The extent of a PID's packets in the file."""

    def __init__(self, first: int) -> None:
        self.first = self.last = first
        self._n_packets = self._n_before_gap = 0
        self._gap, self._gap_begin = 0, first  # the longest distance between two packets

    def add(self, places: np.ndarray) -> None:
        steps = np.diff(places, prepend=self.last)
        longest = int(steps.argmax())
        if steps[longest] > self._gap:
            self._gap, self._gap_begin = int(steps[longest]), int(places[longest] - steps[longest])
            self._n_before_gap = self._n_packets + longest
        self.last = int(places[-1])
        self._n_packets += len(places)

    @property
    def end(self) -> int:
        """Position of the last packet, without those that FFmpeg's muxer holds back until the end of the file."""
        n_after = self._n_packets - self._n_before_gap
        is_trailing = self._gap > MIN_SLACK_BYTES and n_after <= max(MAX_TRAILING_PACKETS, self._n_packets // 100)
        return self._gap_begin if is_trailing else self.last


class ProgramMapWatch:
    """Parses the program maps of a stream, fed in order, and detects where decoded audio moves."""

    def __init__(self, stride: int, first: int) -> None:
        self._stride = stride
        self._position = first  # of the next packet
        self._rest = b""
        self._map_pids: set[int] = set()
        self._sections: dict[int, tuple[int, bytearray]] = {}  # by PID: place and content so far
        self._seen: dict[int, bytes] = {}  # by PID: content of the last packet that held a whole map
        self._streams: dict[int, StreamMap] = {}  # by program number
        self._packets: dict[int, bytes] = {}  # by PID: the last packet that held a whole map
        self._extents: dict[int, _Extent] = {}  # by audio PID
        self.decoded_pids: frozenset[int] | None = None  # None until tracks are chosen

    @property
    def n_read(self) -> int:
        """Number of bytes of the stream that have been fed."""
        return self._position + len(self._rest)

    def feed(self, data: bytes) -> Move | None:
        """Parse the next bytes of the stream. Return the move of decoded audio, if there is one."""
        data = self._rest + data
        begin = self._position
        n_packets = (len(data) - PACKET_BYTES) // self._stride + 1 if len(data) >= PACKET_BYTES else 0
        if n_packets:
            packets = np.frombuffer(data, np.uint8, (n_packets - 1) * self._stride + PACKET_BYTES)
            high, low = packets[1 :: self._stride][:n_packets], packets[2 :: self._stride][:n_packets]
            pids = (high & 0x1F).astype(np.uint16) << 8 | low  # (n_packets,)
            has_payload = (
                packets[3 :: self._stride][:n_packets] & 0x10 > 0
            )  # a PID may carry clock references (PCR) only
            waiting = self._find_map_packets(pids, 0)
            while waiting:
                number = waiting.pop()
                at, n_known = number * self._stride, len(self._map_pids)
                moved_at = self._read_packet(int(pids[number]), data[at : at + PACKET_BYTES], begin + at)
                if moved_at is not None:
                    self._note_audio(pids[:number], has_payload[:number], begin)
                    return Move(moved_at, self._packets.get(0, b""))
                if len(self._map_pids) > n_known:
                    waiting = self._find_map_packets(pids, number + 1)
            self._note_audio(pids, has_payload, begin)
        self._position = begin + n_packets * self._stride
        self._rest = data[n_packets * self._stride :]
        return None

    def move_at_end(self) -> Move | None:
        """Return the move to a PID that the map always listed, but whose packets begin where the decoded PIDs end."""
        ended = [self._extents[pid].end for pid in self.decoded_pids or () if pid in self._extents]
        if not ended:
            return None
        end = max(ended)
        slack = max(MIN_SLACK_BYTES, end // 50)
        others = [extent for pid, extent in self._extents.items() if pid not in (self.decoded_pids or ())]
        if not any(other.last > end + slack and other.first > end - slack for other in others):
            return None
        return Move(end + self._stride, b"".join(self._packets.values()), self.decoded_pids or frozenset())

    def _find_map_packets(self, pids: np.ndarray, first: int) -> list[int]:
        """Return the numbers of packets with maps from `first` on, in descending order."""
        numbers: list[int] = (first + np.flatnonzero(np.isin(pids[first:], [0, *self._map_pids]))).tolist()
        return numbers[::-1]

    def _note_audio(self, pids: np.ndarray, has_payload: np.ndarray, begin: int) -> None:
        audio = {pid for streams in self._streams.values() for pid, stream in streams.items() if stream.is_audio}
        for pid in audio | (self.decoded_pids or frozenset()):
            places = begin + self._stride * np.flatnonzero((pids == pid) & has_payload)
            if len(places):
                self._extents.setdefault(pid, _Extent(int(places[0]))).add(places)

    def _read_packet(self, pid: int, packet: bytes, at: int) -> int | None:
        """Parse a packet of a map. Return the map's position if decoded audio moves with it."""
        content = packet[4:]
        if packet[0] != SYNC or not packet[3] & 0x10:
            return None
        if packet[3] & 0x20:  # an adaptation field first
            content = content[1 + content[0] :]
        if not content or self._seen.get(pid) == content:
            return None
        if packet[1] & 0x40:  # a section begins
            self._sections[pid] = at, bytearray(content[1 + content[0] :])
        elif pid in self._sections:
            self._sections[pid][1].extend(content)
        begin, section = self._sections.get(pid, (at, bytearray()))
        if len(section) < 3:
            return None
        length = 3 + ((section[1] & 0x0F) << 8 | section[2])
        if len(section) < length <= MAX_SECTION_BYTES:
            return None
        del self._sections[pid]
        if length > MAX_SECTION_BYTES or length < MIN_SECTION_BYTES or not section[5] & 1:  # not valid yet
            return None
        has_moved = self._read_programs(section) if pid == 0 else self._read_map(section, length)
        if begin == at:
            self._seen[pid], self._packets[pid] = content, packet.ljust(self._stride, b"\0")
        return begin if has_moved else None

    def _read_programs(self, section: bytearray) -> bool:
        length = 3 + ((section[1] & 0x0F) << 8 | section[2])
        programs = {
            section[at] << 8 | section[at + 1]: (section[at + 2] & 0x1F) << 8 | section[at + 3]
            for at in range(8, length - 7, 4)
        }
        if section[0] != PROGRAMS_TABLE or len(self._map_pids) > MAX_MAPS:
            return False
        self._map_pids |= {pid for program, pid in programs.items() if program}
        is_whole = not section[7]  # the list is a single section
        gone = [streams for program, streams in self._streams.items() if program not in programs]
        return is_whole and any(self._select_decoded(streams) for streams in gone)

    def _read_map(self, section: bytearray, length: int) -> bool:
        if section[0] != MAP_TABLE:
            return False
        program = section[3] << 8 | section[4]
        new, old = _parse_streams(bytes(section[:length])), self._streams.get(program)
        if old is not None and any(new.get(pid) != stream for pid, stream in self._select_decoded(old).items()):
            return True
        had_audio = any(stream.is_audio for streams in self._streams.values() for stream in streams.values())
        self._streams[program] = new
        return old is not None and not had_audio and not self.decoded_pids and any(s.is_audio for s in new.values())

    def _select_decoded(self, streams: StreamMap) -> StreamMap:
        """Return the streams that are decoded; before tracks are chosen, all that are known to be audio."""
        return {
            pid: stream
            for pid, stream in streams.items()
            if (stream.is_audio if self.decoded_pids is None else pid in self.decoded_pids)
        }


def _parse_streams(section: bytes) -> StreamMap:
    """Return the streams that a program map lists."""
    streams: StreamMap = {}
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while at + 5 <= len(section) - 4:
        kind, pid = section[at], (section[at + 1] & 0x1F) << 8 | section[at + 2]
        end = at + 5 + ((section[at + 3] & 0x0F) << 8 | section[at + 4])
        descriptors = list(_descriptors(section[at + 5 : end]))
        is_audio = kind in AUDIO_TYPES or any(
            tag in AUDIO_DESCRIPTORS or (tag == REGISTRATION and content[:4] in AUDIO_REGISTRATIONS)
            for tag, content in descriptors
        )
        codec = sorted(
            bytes((tag,)) + (content[:4] if tag == REGISTRATION else b"")
            for tag, content in descriptors
            if tag in CODEC_DESCRIPTORS
        )
        streams[pid] = Stream(kind, b"".join(codec), is_audio)
        at = end
    return streams


def _descriptors(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(content):
        yield content[at], content[at + 2 : at + 2 + content[at + 1]]
        at += 2 + content[at + 1]
