"""Where a transport stream's sound moves: to another PID, or to another codec on the same one.

A transport stream says in its program map (PMT, ISO/IEC 13818-1) which PID carries what. Recorders see it change
between programmes, and files are put together from recordings with different maps. FFmpeg makes a new stream for a new
PID, which PyAV 18.1 cannot see, and decodes another codec on an old PID as the old one. So the file is opened anew
where the map changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SYNC = 0x47
PACKET_BYTES = 188
STRIDES = (188, 192, 204)  # plain, M2TS with time stamps, with error correction
SYNCS_TO_BELIEVE = 5
MIN_SECTION_BYTES, MAX_SECTION_BYTES = 12, 1024
PROGRAMS_TABLE, MAP_TABLE = 0x00, 0x02
MIN_SLACK_BYTES = 100_000  # tracks are interleaved: where one ends and another begins is known this well
MAX_MAPS = 256

# Stream types of audio; 6 is private data, which is audio with one of the descriptors below.
AUDIO_TYPES = frozenset((0x03, 0x04, 0x0F, 0x11, 0x1C, *range(0x80, 0x88), 0xA1, 0xC1, 0xC2))
PRIVATE_TYPE = 0x06
REGISTRATION, EXTENSION = 0x05, 0x7F
CODEC_DESCRIPTORS = frozenset((REGISTRATION, 0x6A, 0x7A, 0x7B, 0x7C, 0x73, EXTENSION))  # AC-3, E-AC-3, DTS, AAC
AUDIO_REGISTRATIONS = frozenset((b"AC-3", b"EAC3", b"Opus", b"BSSD", b"DTS1", b"DTS2", b"DTS3", b"AC-4"))
AUDIO_DESCRIPTORS = frozenset((0x6A, 0x7A, 0x7B, 0x7C))

AudioMap = dict[int, tuple[int, bytes]]  # by PID: stream type, and the descriptors that name its codec


def packet_stride(head: bytes) -> tuple[int, int] | None:
    """The distance of packets and the first one's place, for a file that begins with `head`. None: no such stream."""
    for stride in STRIDES:
        for first in range(min(stride, len(head))):
            syncs = head[first : first + stride * SYNCS_TO_BELIEVE : stride]
            if len(syncs) == SYNCS_TO_BELIEVE and syncs.count(SYNC) == SYNCS_TO_BELIEVE:
                return stride, first
    return None


@dataclass(frozen=True)
class Move:
    """Where needed audio moves: the file is opened anew at `begin`, preceded by `prefix`: the maps that hold there."""

    begin: int
    prefix: bytes
    except_pids: frozenset[int] = frozenset()  # that have ended


class ProgramMapWatch:
    """Reads the program maps from the bytes of a stream, in order, and finds where audio that is needed moves."""

    def __init__(self, stride: int, first: int) -> None:
        self._stride = stride
        self._position = first  # of the next packet
        self._rest = b""
        self._map_pids: set[int] = set()
        self._sections: dict[int, tuple[int, bytearray]] = {}  # by PID: place and content so far
        self._seen: dict[int, bytes] = {}  # content of the last packet that was a whole map
        self._audio: dict[int, AudioMap] = {}  # by program number
        self._packets: dict[int, bytes] = {}  # the last whole packet of each map
        self._spans: dict[int, tuple[int, int]] = {}  # by PID of audio: places of its first and its last packets
        self.needed: frozenset[int] | None = None  # PIDs that are decoded; None: not chosen yet, all

    @property
    def n_read(self) -> int:
        """The place up to which bytes have been read."""
        return self._position + len(self._rest)

    def feed(self, data: bytes) -> Move | None:
        """Read the bytes that follow those read before. Return the place where needed audio moves, if it does."""
        data = self._rest + data
        begin = self._position
        n_packets = (len(data) - PACKET_BYTES) // self._stride + 1 if len(data) >= PACKET_BYTES else 0
        if n_packets:
            packets = np.frombuffer(data, np.uint8, (n_packets - 1) * self._stride + PACKET_BYTES)
            high, low = packets[1 :: self._stride][:n_packets], packets[2 :: self._stride][:n_packets]
            pids = (high & 0x1F).astype(np.uint16) << 8 | low  # (n_packets,)
            for number in np.flatnonzero(np.isin(pids, [0, *self._map_pids])).tolist():
                at = number * self._stride
                moved_at = self._read(int(pids[number]), data[at : at + PACKET_BYTES], begin + at)
                if moved_at is not None:
                    self._note_audio(pids[:number], begin)
                    return Move(moved_at, self._packets.get(0, b""))
            self._note_audio(pids, begin)
        self._position = begin + n_packets * self._stride
        self._rest = data[n_packets * self._stride :]
        return None

    def move_at_end(self) -> Move | None:
        """The move to a PID that the map lists all along, and that begins where the needed ones have ended."""
        ended = [self._spans[pid][1] for pid in self.needed or () if pid in self._spans]
        if not ended:
            return None
        end = max(ended)
        slack = max(MIN_SLACK_BYTES, end // 50)
        others = [span for pid, span in self._spans.items() if pid not in (self.needed or ())]
        if not any(last > end + slack and first > end - slack for first, last in others):
            return None
        return Move(end + self._stride, b"".join(self._packets.values()), self.needed or frozenset())

    def _note_audio(self, pids: np.ndarray, begin: int) -> None:
        for pid in {pid for audio in self._audio.values() for pid in audio}:
            places = np.flatnonzero(pids == pid)
            if len(places):
                first, last = begin + int(places[0]) * self._stride, begin + int(places[-1]) * self._stride
                self._spans[pid] = self._spans.get(pid, (first, last))[0], last

    def _read(self, pid: int, packet: bytes, at: int) -> int | None:
        """Read a packet of a map. Return the map's place if needed audio moves by it."""
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
        gone = [audio for program, audio in self._audio.items() if program not in programs]
        return is_whole and any(self._used(audio) for audio in gone)

    def _read_map(self, section: bytearray, length: int) -> bool:
        if section[0] != MAP_TABLE:
            return False
        program = section[3] << 8 | section[4]
        new, old = _audio_of(bytes(section[:length])), self._audio.get(program)
        if old is not None and any(new.get(pid) != kind for pid, kind in self._used(old).items()):
            return True
        has_begun = old is not None and bool(new) and not any(self._audio.values())
        self._audio[program] = new
        return has_begun

    def _used(self, audio: AudioMap) -> AudioMap:
        return {pid: kind for pid, kind in audio.items() if self.needed is None or pid in self.needed}


def _audio_of(section: bytes) -> AudioMap:
    """The audio streams in a program map."""
    found: AudioMap = {}
    at = 12 + ((section[10] & 0x0F) << 8 | section[11])
    while at + 5 <= len(section) - 4:
        kind, pid = section[at], (section[at + 1] & 0x1F) << 8 | section[at + 2]
        end = at + 5 + ((section[at + 3] & 0x0F) << 8 | section[at + 4])
        descriptors = list(_descriptors(section[at + 5 : end]))
        is_audio = kind in AUDIO_TYPES or (
            kind == PRIVATE_TYPE
            and any(
                tag in AUDIO_DESCRIPTORS or (tag == REGISTRATION and content[:4] in AUDIO_REGISTRATIONS)
                for tag, content in descriptors
            )
        )
        if is_audio:
            named = (bytes((tag,)) + content[:4] * (tag == REGISTRATION) for tag, content in descriptors)
            found[pid] = kind, b"".join(sorted(name for name in named if name[0] in CODEC_DESCRIPTORS))
        at = end
    return found


def _descriptors(content: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + 2 <= len(content):
        yield content[at], content[at + 2 : at + 2 + content[at + 1]]
        at += 2 + content[at + 1]
