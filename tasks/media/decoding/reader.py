"""Decode any medium to mono float32 blocks at one rate, as a stream.

Memory does not depend on the duration. Sample times are the medium's own: see `findings.AudioFindings`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Reason
from tasks.media.container.probe import MediaProbe
from tasks.media.container.source import Media, MediaSource, open_source
from tasks.media.container.tracks import TrackChoice, TrackPolicy
from tasks.media.decoding.section import merge_damage
from tasks.media.decoding.section_sequence import SectionSequence, open_sections
from tasks.media.findings import AudioFindings, Loudness, MediaRejected, find_warnings
from tasks.media.limits import MediaLimits, Progress
from tasks.media.loudness import LevelMeter

# Containers whose headers give the duration of a track without the empty edit before it.
TRACK_DURATIONS = frozenset({"mov"})
MAX_SECONDS_IN_MEMORY = 3600.0  # 230 MB at 16 kHz


@contextmanager
def open_audio(
    media: Media,
    policy: TrackPolicy | None = None,
    limits: MediaLimits | None = None,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
    progress: Progress | None = None,
) -> Iterator[AudioReader]:
    """Decode `media` (a path, bytes or a seekable file object) in this process.

        with open_audio(path) as audio:
            for block in audio:  # (n_samples,) float32, a second or two
                ...
            audio.findings

    Raises `MediaRejected`: on opening if the medium is unusable, while iterating if a limit is exceeded, and at the end
    if nothing was decoded or too much was lost. A file that makes FFmpeg spin is stopped only where FFmpeg reads or
    yields, and one that exploits it has this process: use `IsolatedDecoder` for files from outside.
    """
    policy, limits = policy or TrackPolicy(), limits or MediaLimits()
    progress = progress or Progress(limits)
    with (
        open_source(media, limits, progress) as source,
        open_sections(source, policy, limits, progress, sample_rate_hz) as sections,
    ):
        reader = AudioReader(source, sections, limits, progress, sample_rate_hz)
        progress.pause()
        yield reader


def load_audio(
    media: Media,
    policy: TrackPolicy | None = None,
    limits: MediaLimits | None = None,
    *,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> np.ndarray:
    """Decode a whole medium to mono, `(n_samples,)` float32. More than an hour is rejected as too_long."""
    limits = limits or MediaLimits()
    limits = limits.model_copy(update={"max_duration_s": min(limits.max_duration_s, MAX_SECONDS_IN_MEMORY)})
    with open_audio(media, policy, limits, sample_rate_hz=sample_rate_hz) as audio:
        return np.concatenate(list(audio))


class AudioReader:
    """Iterates once over the blocks of an opened medium. Created by `open_audio`."""

    def __init__(
        self,
        source: MediaSource,
        sections: SectionSequence,
        limits: MediaLimits,
        progress: Progress,
        sample_rate_hz: int,
    ) -> None:
        self.sample_rate_hz = sample_rate_hz
        self._sections = sections
        self.probe: MediaProbe = sections.first.probe
        self.choice: TrackChoice = sections.first.choice
        self._limits, self._progress = limits, progress
        self._n_bytes, self._declared_bytes = source.n_bytes, source.declared_bytes()
        self._meter = LevelMeter(sample_rate_hz)
        self._complete = False

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield blocks of `(n_samples,)` float32 at `sample_rate_hz`."""
        max_samples = int(self._limits.max_duration_s * self.sample_rate_hz)
        self._progress.resume()
        for block in self._sections.blocks(lambda: self._meter.n_samples / self.sample_rate_hz):
            self._meter.push(block)
            if self._meter.n_samples > max_samples:
                raise MediaRejected(Reason.TOO_LONG, f"longer than {self._limits.max_duration_s:g} s", self.findings)
            self._progress.note_audio(len(block) / self.sample_rate_hz)
            self._progress.pause()
            yield block
            self._progress.resume()
            self._progress.check()
        self._progress.pause()
        self._complete = True
        self._reject_if_unusable()

    @property
    def findings(self) -> AudioFindings:
        """The findings so far; complete after the last block."""
        sections = self._sections.damage or [(0.0, self._sections.first.damage)]
        damage, mono = merge_damage(sections), self._sections.first.mono
        findings = AudioFindings(
            complete=self._complete,
            cut_short=self._declared_bytes > self._n_bytes,
            sample_rate_hz=self.sample_rate_hz,
            n_samples=self._meter.n_samples,
            header_duration_s=self.probe.header_duration_of(self.choice.tracks[0]) if len(sections) == 1 else None,
            header_excludes_lead=self.probe.container in TRACK_DURATIONS,
            starts_at_s=round(min(d.starts_at_s for d in damage), 6),
            packets=sum(d.packets for d in damage),
            packets_failed=sum(d.packets_failed for d in damage),
            first_error=next((d.first_error for d in damage if d.first_error), ""),
            gaps=sum(d.gaps for d in damage),
            lost_s=round(max(d.lost_s for d in damage), 6),
            lost=tuple((round(a, 3), round(b, 3)) for a, b in max(damage, key=lambda d: d.lost_s).lost),
            clock_resets=max(d.clock_resets for d in damage),
            read_errors=self._sections.read_errors,
            source_rates_hz=tuple(dict.fromkeys(rate for d in damage for rate in d.rates_hz)),
            source_channels=tuple(dict.fromkeys(n for d in damage for n in d.n_channels)),
            loudness=Loudness(
                rms_dbfs=self._meter.rms_dbfs,
                gated_dbfs=self._meter.gated_dbfs,
                peak_dbfs=self._meter.peak_dbfs,
                channels=mono.levels,
                cancelling_s=round(mono.cancelling_s, 3),
                unlike_s=round(mono.unlike_s, 3),
            ),
        )
        missing_s = self._missing_s(findings, all(d.ends_in_failure for d in damage))
        findings = findings.model_copy(update={"missing_s": missing_s})
        return findings.model_copy(update={"warnings": find_warnings(findings, passed_over=self.choice.because)})

    def _missing_s(self, findings: AudioFindings, ends_in_failure: bool) -> float:
        """Duration missing at the end of a truncated file; 0 if it is not truncated.

        A file is truncated if it is shorter in bytes than declared, or if it ends inside a packet before its header's
        duration. That duration alone proves nothing; one beyond `max_duration_s` is ignored.
        """
        missing_s = 0.0
        if findings.complete and (findings.cut_short or ends_in_failure):
            by_bytes_s = findings.duration_s * (self._declared_bytes / self._n_bytes - 1) if findings.cut_short else 0.0
            missing_s = max(findings.header_mismatch_s or by_bytes_s, 0.0)
        return round(missing_s, 6) if findings.duration_s + missing_s <= self._limits.max_duration_s else 0.0

    def _reject_if_unusable(self) -> None:
        findings = self.findings
        if not findings.n_samples:
            if findings.packets_failed:
                detail = f"none of its {findings.packets} packets could be decoded: {findings.first_error}"
                raise MediaRejected(Reason.DAMAGED, detail, findings)
            if findings.cut_short:
                raise MediaRejected(Reason.TRUNCATED, "it ends before its audio starts: a partial copy?", findings)
            raise MediaRejected(Reason.EMPTY, "its audio track has no samples", findings)
        if findings.lost_share > self._limits.max_lost_share:
            if findings.missing_s > findings.lost_s:
                raise MediaRejected(Reason.TRUNCATED, f"{findings.warnings[0].detail}: a partial copy?", findings)
            detail = f"{findings.lost_s:.1f} s of {findings.duration_s:.1f} s were lost: {findings.first_error}"
            raise MediaRejected(Reason.DAMAGED, detail.rstrip(": "), findings)
