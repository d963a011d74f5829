"""Open the sections of a medium one after the other, and account for audio that none of them yields."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import numpy as np

from tasks.contract import Reason
from tasks.media.container.ogg_links import CAPTURE, OggLink, find_links
from tasks.media.container.partial_sources import TransportSource, Window
from tasks.media.container.program_maps import Move, packet_stride
from tasks.media.container.source import MediaSource, open_container
from tasks.media.container.tracks import TrackPolicy
from tasks.media.decoding.section import Section
from tasks.media.decoding.track_decoder import BLOCK_S, DamageCount
from tasks.media.findings import HEADER_TOLERANCE, MediaRejected
from tasks.media.limits import MediaLimits, Progress

MAX_SECTIONS = 10_000
LIMITS = (Reason.DECODER_LIMIT, Reason.TIME_LIMIT, Reason.MEMORY_LIMIT)  # the whole medium's, not a section's
MAX_OVERLAP_S = 1.0  # a continuation may start this long before the end of the track that it continues
MIN_UNREAD_BYTES, MIN_UNREAD_SHARE = 1 << 16, 0.05  # of a program stream, after its track's last packet


class SectionSequence:
    """Yields the blocks of a medium's sections as one stream. `first` stays open until `open_sections` exits."""

    def __init__(
        self, source: MediaSource, policy: TrackPolicy, limits: MediaLimits, progress: Progress, sample_rate_hz: int
    ) -> None:
        self._source, self._policy, self._limits, self._progress = source, policy, limits, progress
        self._rate_hz = sample_rate_hz
        self._links: list[OggLink] = []
        self._lead_s = 0.0  # duration of links before the first that has audio
        self._transport: TransportSource | None = None
        self.first: Section
        self.last: Section
        self.damage: list[tuple[float, list[DamageCount]]] = []  # of each section, with its start in seconds
        self._closed_read_errors = 0  # in sections already closed, without `first`

    @property
    def read_errors(self) -> int:
        later = 0 if self.last is self.first else self.last.read_errors
        return self._closed_read_errors + self.first.read_errors + later

    def blocks(self, position_s: Callable[[], float]) -> Iterator[np.ndarray]:
        """Yield blocks of `(n_samples,)` float32. `position_s` returns the duration yielded so far."""
        if self._lead_s:
            yield from self._insert_silence(self._lead_s, 0.0, "an earlier link has no audio that can be decoded")
        self._begin_section(self.first, position_s())
        yield from self.first.blocks()
        if self._links:
            yield from self._fill_up(self._links[0], self.damage[-1][0], position_s())
            for link in self._links[1:]:
                yield from self._link_blocks(link, position_s)
        elif self._transport is not None:
            yield from self._moved_blocks(self._transport, position_s)
        elif self.first.probe.container == "mpeg":
            yield from self._program_blocks(position_s)

    def _begin_section(self, section: Section, start_s: float) -> None:
        self.last = section
        self.damage.append((start_s, section.damage))

    @contextmanager
    def _open(
        self,
        source: MediaSource,
        policy: TrackPolicy,
        *,
        resumes_at_s: float | None = None,
        except_ids: frozenset[int] = frozenset(),
    ) -> Iterator[Section]:
        """Open a section. `resumes_at_s`: end of the previous section on the container's clock."""
        with open_container(source) as opened:
            yield Section(
                source,
                opened,
                policy,
                self._limits,
                self._progress,
                self._rate_hz,
                origin_s=resumes_at_s,
                is_continuation=resumes_at_s is not None,
                except_ids=except_ids,
            )

    # chained Ogg

    def open_links(self, links: list[OggLink]) -> Generator[Section]:
        """Open the first link that has audio."""
        for number, link in enumerate(links):
            source = self._link_source(link)
            try:
                with self._open(source, self._policy) as section:
                    self._links = links[number:]
                    yield section
                    return
            except MediaRejected as rejected:
                if self._links or number == len(links) - 1 or rejected.reason in LIMITS:
                    raise
                self._lead_s += link.duration_s + link.lost_s

    def _link_source(self, link: OggLink) -> MediaSource:
        window = Window(self._source.file, link.begin, link.end)
        return MediaSource(window, self._limits, self._progress)

    def _link_blocks(self, link: OggLink, position_s: Callable[[], float]) -> Iterator[np.ndarray]:
        start_s, rejection = position_s(), ""
        try:
            with self._open(self._link_source(link), self._later_policy()) as section:
                yield from self._later_section(section, start_s)
        except MediaRejected as rejected:
            if rejected.reason in LIMITS:
                raise
            rejection = rejected.detail
        yield from self._fill_up(link, start_s, position_s(), rejection)

    def _fill_up(self, link: OggLink, start_s: float, now_s: float, cause: str = "") -> Iterator[np.ndarray]:
        """Yield silence for the audio that a link declares beyond what was decoded."""
        missing_s = link.duration_s + link.lost_s - (now_s - start_s)
        tolerance_s, tolerance_share = HEADER_TOLERANCE
        if missing_s > max(tolerance_s, tolerance_share * link.duration_s):
            yield from self._insert_silence(
                missing_s, now_s, cause or "a link of the chained Ogg has fewer samples than it declares"
            )

    # transport and program streams whose audio moves

    def _moved_blocks(self, source: TransportSource, position_s: Callable[[], float]) -> Iterator[np.ndarray]:
        origin_s = self.first.probe.starts_at_s
        begin = 0
        for _ in range(MAX_SECTIONS):
            move = source.next_move()
            if move is None or move.begin <= begin:
                return
            begin = move.begin
            source = TransportSource(self._source.file, self._limits, self._progress, begin, move.prefix)
            try:
                with self._open(
                    source,
                    self._later_policy(),
                    resumes_at_s=origin_s + position_s(),
                    except_ids=move.except_pids,
                ) as section:
                    source.watch_pids(section.track_ids)
                    yield from self._later_section(section, position_s())
            except MediaRejected as rejected:
                if rejected.reason in LIMITS:
                    raise
                source.skip_to_move()
                if source.next_move() is None:
                    yield from self._replace_rest(move, rejected, position_s())

    def _replace_rest(self, move: Move, rejected: MediaRejected, now_s: float) -> Iterator[np.ndarray]:
        """Yield silence for the rest of a stream whose audio cannot be followed, its duration estimated from bytes."""
        if rejected.reason is Reason.NO_AUDIO_TRACK:
            return  # the new program map lists no audio: nothing is lost
        lost_s = now_s * (self._source.n_bytes - move.begin) / move.begin
        yield from self._insert_silence(
            min(lost_s, self._limits.max_gap_s), now_s, f"its audio moves to another stream: {rejected.detail}"
        )

    def _program_blocks(self, position_s: Callable[[], float]) -> Iterator[np.ndarray]:
        """Yield the audio after the last packet of a program stream's track, if it is in a track that starts there."""
        at, n_bytes = self.first.last_packet_at, self._source.n_bytes
        if at is None or n_bytes - at < max(MIN_UNREAD_BYTES, MIN_UNREAD_SHARE * n_bytes):
            return
        window = Window(self._source.file, at + 1, n_bytes)
        source = MediaSource(window, self._limits, self._progress)
        origin_s = self.first.probe.starts_at_s + position_s()
        other_tracks = self.first.ids_before(origin_s - MAX_OVERLAP_S)
        try:
            with self._open(source, self._later_policy(), resumes_at_s=origin_s, except_ids=other_tracks) as section:
                yield from self._later_section(section, position_s())
        except MediaRejected as rejected:
            if rejected.reason in LIMITS:
                raise

    def _later_policy(self) -> TrackPolicy:
        """Return the policy for later sections: lanes selected by speech detection index the first section's tracks."""
        return self._policy.model_copy(update={"lanes": ()})

    def _later_section(self, section: Section, start_s: float) -> Iterator[np.ndarray]:
        """Yield the audio of a section that is closed afterwards."""
        self._begin_section(section, start_s)
        yield from section.blocks()
        self._closed_read_errors += section.read_errors
        self.last = self.first

    def _insert_silence(self, length_s: float, at_s: float, cause: str) -> Iterator[np.ndarray]:
        """Yield silence in place of lost audio, and count it as a gap."""
        damage = DamageCount(first_error=cause, gaps=1, lost_s=length_s)
        damage.note_loss(0.0, length_s)
        self.damage.append((at_s, [damage]))
        left = round(length_s * self._rate_hz)
        while left > 0:
            n_block = min(left, round(BLOCK_S * self._rate_hz))
            yield np.zeros(n_block, np.float32)
            left -= n_block

    # opening

    def open_transport(self) -> Generator[Section]:
        """Open the first part of a transport stream that has audio."""
        source = TransportSource(self._source.file, self._limits, self._progress)
        begin, origin_s = 0, None
        while True:
            try:
                with open_container(source) as opened:
                    if origin_s is None:
                        origin_s = (opened.container.start_time or 0) / 1_000_000
                    section = Section(
                        source,
                        opened,
                        self._policy,
                        self._limits,
                        self._progress,
                        self._rate_hz,
                        origin_s=origin_s,
                    )
                    source.watch_pids(section.track_ids)
                    self._transport = source
                    yield section
                    return
            except MediaRejected as rejected:
                if self._transport is not None or rejected.reason is not Reason.NO_AUDIO_TRACK:
                    raise
                source.skip_to_move()
                move = source.next_move()
                if move is None or move.begin <= begin:
                    raise
                begin = move.begin
                source = TransportSource(self._source.file, self._limits, self._progress, begin, move.prefix)

    def open_plain(self) -> Generator[Section]:
        """Open a medium of a single section."""
        with self._open(self._source, self._policy) as section:
            yield section


@contextmanager
def open_sections(
    source: MediaSource, policy: TrackPolicy, limits: MediaLimits, progress: Progress, sample_rate_hz: int
) -> Iterator[SectionSequence]:
    """Open a medium's first section. Raises `MediaRejected` if it has none with usable audio."""
    sequence = SectionSequence(source, policy, limits, progress, sample_rate_hz)
    links = find_links(source.n_bytes, source.read_at) if source.head.startswith(CAPTURE) else []
    source.seek(0)
    if len(links) > 1 or any(link.lost_s > HEADER_TOLERANCE[0] for link in links):
        opening = sequence.open_links(links)
    elif packet_stride(source.head):
        opening = sequence.open_transport()
    else:
        opening = sequence.open_plain()
    try:
        sequence.first = sequence.last = next(opening)
        yield sequence
    finally:
        opening.close()
