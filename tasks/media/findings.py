"""Findings of a decode, the warnings derived from them, and the item outcome."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.contract import Frozen, ItemOutcome, Outcome, Reason

SILENT_PEAK_DBFS = -75.0
HEADER_TOLERANCE = (0.25, 0.01)  # seconds, share of the duration: codec padding and muxer rounding


class MediaRejected(Exception):
    """The medium has no usable audio. Retrying helps only if the reason is a transient one."""

    def __init__(self, reason: Reason, detail: str, findings: AudioFindings | None = None) -> None:
        """`findings`: those up to the rejection, if decoding had begun."""
        self.reason, self.detail, self.findings = reason, detail, findings
        super().__init__(f"{reason}: {detail}")


class MediaWarning(Frozen):
    """A defect of a medium that was decoded nevertheless."""

    reason: Reason
    detail: str


class ChannelLevel(Frozen):
    """One channel of the chosen track (or one of several mono tracks), over the whole programme."""

    rms_dbfs: float
    clipped_share: float
    is_dead: bool  # 40 dB or more below the loudest channel, or digital silence


class Loudness(Frozen):
    """Levels of the mono mix at the target rate, before any gain. -120 dBFS means digital silence."""

    rms_dbfs: float
    gated_dbfs: float  # RMS over 400 ms with the gates of EBU R128, without its frequency weighting
    peak_dbfs: float
    channels: tuple[ChannelLevel, ...] = ()
    cancelling_s: float = 0.0  # time with channels in opposite phase, where one was taken instead of their sum
    unlike_s: float = 0.0  # time in which both of two channels carry sound, and not the same


class AudioFindings(Frozen):
    """Facts about the audio, measured while decoding.

    Sample times are the medium's own: a track that starts after the medium is preceded by `starts_at_s` of silence,
    and lost audio is replaced by silence of the same length.
    """

    complete: bool  # False if the caller stopped reading before the end
    cut_short: bool = False  # the file is shorter than its container declares
    sample_rate_hz: int
    n_samples: int
    header_duration_s: float | None  # None if the header has none, or only an estimate from the bit rate
    header_excludes_lead: bool = False  # it is that of the track alone, without the silence before a late one
    starts_at_s: float = 0.0
    packets: int = 0
    packets_failed: int = 0
    first_error: str = ""
    gaps: int = 0  # gaps filled with silence
    lost_s: float = 0.0  # their length, and that of packets that failed at the very end
    lost: tuple[tuple[float, float], ...] = ()  # start and end of each gap, in the track that lost most
    missing_s: float = 0.0  # audio missing at the end of a truncated file
    clock_resets: int = 0  # timestamp jumps without missing audio
    read_errors: int = 0  # read errors in the container that were skipped
    source_rates_hz: tuple[int, ...] = ()  # more than one if the stream changed
    source_channels: tuple[int, ...] = ()
    loudness: Loudness
    warnings: tuple[MediaWarning, ...] = ()

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate_hz

    @property
    def is_silent(self) -> bool:
        """Whether it has samples, and none of them is audible."""
        return self.n_samples > 0 and self.loudness.peak_dbfs < SILENT_PEAK_DBFS

    @property
    def header_mismatch_s(self) -> float | None:
        """Header duration minus audio duration; None if they agree or the header has no duration.

        A track that starts late is preceded by silence here. MP4 counts without it (an empty edit, HandBrake#465),
        other containers with it or without.
        """
        if not self.complete or self.header_duration_s is None:
            return None
        tolerance_s, tolerance_share = HEADER_TOLERANCE
        tolerance_s = max(tolerance_s, tolerance_share * self.duration_s)
        excess_s = self.header_duration_s - (self.duration_s - self.starts_at_s)
        if not self.header_excludes_lead and abs(excess_s - self.starts_at_s) <= tolerance_s:
            return None
        return excess_s if abs(excess_s) > tolerance_s else None

    @property
    def lost_share(self) -> float:
        """Share of the programme that was lost, from 0 to 1: replaced by silence, or missing at the end."""
        lost_s = self.lost_s + self.missing_s
        return min(1.0, lost_s / max(self.duration_s + self.missing_s, lost_s, 1e-9))


def find_warnings(findings: AudioFindings, *, passed_over: str = "") -> tuple[MediaWarning, ...]:
    """Return the warnings for the findings, most serious first. `passed_over`: why other tracks were used instead."""
    track_warning = (MediaWarning(reason=Reason.NO_SPEECH, detail=passed_over),) if passed_over else ()
    return (*_warnings(findings), *track_warning)


def _warnings(findings: AudioFindings) -> Iterator[MediaWarning]:
    if findings.is_silent:
        yield MediaWarning(reason=Reason.SILENCE, detail=f"never louder than {findings.loudness.peak_dbfs:.0f} dBFS")
    if findings.missing_s:
        yield MediaWarning(
            reason=Reason.TRUNCATED,
            detail=f"the file is truncated after {findings.duration_s:.3f} s, {findings.missing_s:.3f} s are missing",
        )
    if findings.packets_failed or findings.gaps or findings.read_errors:
        yield MediaWarning(
            reason=Reason.DAMAGED,
            detail=f"{findings.lost_s:.3f} s lost: {findings.packets_failed} of {findings.packets} packets could not "
            f"be decoded, {findings.gaps} gaps filled with silence, {findings.read_errors} read errors",
        )
    if findings.cut_short and not findings.missing_s:
        yield MediaWarning(
            reason=Reason.TRUNCATED,
            detail=f"the file is shorter than its container declares; it ends after {findings.duration_s:.3f} s",
        )
    elif findings.header_mismatch_s is not None and not findings.missing_s:
        yield MediaWarning(
            reason=Reason.HEADER_MISMATCH,
            detail=f"the header says {findings.header_duration_s:.3f} s, the audio has {findings.duration_s:.3f} s",
        )
    if findings.clock_resets:
        yield MediaWarning(reason=Reason.DAMAGED, detail=f"its timestamps jump {findings.clock_resets} times")


def outcome_of(item: str, findings: AudioFindings, speech_ms: int | None = None) -> ItemOutcome:
    """Return the outcome of a medium that was decoded to its end.

    `speech_ms` comes from speech activity detection; None if that was not run. Warnings always go into the detail.
    """
    detail = "; ".join(warning.detail for warning in findings.warnings)
    reason = findings.warnings[0].reason if findings.warnings else None
    outcome = Outcome.DONE_WITH_WARNINGS if findings.warnings else Outcome.DONE
    if any(warning.reason is Reason.SILENCE for warning in findings.warnings):
        outcome, reason = Outcome.DONE_NO_SPEECH, Reason.SILENCE
    elif speech_ms == 0:
        outcome, reason = Outcome.DONE_NO_SPEECH, Reason.NO_SPEECH
    return ItemOutcome(
        item=item, outcome=outcome, reason=reason, detail=detail, duration_s=round(findings.duration_s, 3)
    )


def rejection_of(item: str, rejected: MediaRejected) -> ItemOutcome:
    """Return the outcome of a medium that was rejected."""
    duration_s = round(rejected.findings.duration_s, 3) if rejected.findings else 0.0
    return ItemOutcome(
        item=item, outcome=Outcome.REJECTED, reason=rejected.reason, detail=rejected.detail, duration_s=duration_s
    )
