"""What decoding found out about a medium, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator

from tasks.contract import Frozen, ItemOutcome, Outcome, Reason

SILENT_PEAK_DBFS = -75.0
HEADER_TOLERANCE = (0.25, 0.01)  # seconds, share of the duration: a codec's padding and a muxer's rounding


class MediaRejected(Exception):
    """This medium gives no usable audio; unless the reason is a passing one, nor will it when tried again."""

    def __init__(self, reason: Reason, detail: str, findings: AudioFindings | None = None) -> None:
        """`findings`: what was known when it was rejected, if decoding had begun."""
        self.reason, self.detail, self.findings = reason, detail, findings
        super().__init__(f"{reason}: {detail}")


class MediaWarning(Frozen):
    """Something that a person should know about a medium that was decoded all the same."""

    reason: Reason
    detail: str


class ChannelLevel(Frozen):
    """One channel of the chosen track (or one of several mono tracks), over the whole programme."""

    rms_dbfs: float
    clipped_share: float
    is_dead: bool  # 40 dB or more below the loudest channel, or digital silence


class Loudness(Frozen):
    """Levels of the mono mix at the target rate, before any gain. -120 dBFS stands for digital silence."""

    rms_dbfs: float
    gated_dbfs: float  # RMS over 400 ms with the gates of EBU R128, without its frequency weighting
    peak_dbfs: float
    channels: tuple[ChannelLevel, ...] = ()
    cancelling_s: float = 0.0  # channels in opposite phase: one of them was taken instead of their sum


class AudioFindings(Frozen):
    """The truth about the audio, taken from the decode.

    Times in the blocks are the medium's own: `starts_at_s` of silence stands for a track that begins after the
    medium does, and what was lost inside is replaced by silence of the same length.
    """

    complete: bool  # False: the caller stopped reading before the end
    cut_short: bool = False  # the file ends before its container says it does
    sample_rate_hz: int
    n_samples: int
    header_duration_s: float | None  # None: the header says nothing, or only guesses from the bit rate
    starts_at_s: float = 0.0
    packets: int = 0
    packets_failed: int = 0
    first_error: str = ""
    gaps: int = 0  # places where audio was missing and silence was put in
    lost_s: float = 0.0  # length of those, and of what failed at the very end
    lost: tuple[tuple[float, float], ...] = ()  # their begins and ends, of the track that lost most
    missing_s: float = 0.0  # at the end of a file that shows that it broke off
    clock_resets: int = 0  # jumps of the timestamps that are no missing audio
    read_errors: int = 0  # places where the container could not be read on
    source_rates_hz: tuple[int, ...] = ()  # more than one: the stream changed
    source_channels: tuple[int, ...] = ()
    loudness: Loudness
    warnings: tuple[MediaWarning, ...] = ()

    @property
    def duration_s(self) -> float:
        return self.n_samples / self.sample_rate_hz

    @property
    def header_mismatch_s(self) -> float | None:
        """By how much the header is longer than the audio; None when it agrees or says nothing."""
        if not self.complete or self.header_duration_s is None:
            return None
        excess_s = self.header_duration_s - self.duration_s
        tolerance_s, tolerance_share = HEADER_TOLERANCE
        return excess_s if abs(excess_s) > max(tolerance_s, tolerance_share * self.duration_s) else None

    @property
    def lost_share(self) -> float:
        """Share of the programme that was lost, from 0 to 1: replaced by silence, or missing at its end."""
        lost_s = self.lost_s + self.missing_s
        return min(1.0, lost_s / max(self.duration_s + self.missing_s, lost_s, 1e-9))


def find_warnings(findings: AudioFindings) -> tuple[MediaWarning, ...]:
    """What of the findings a person should know, the worst first."""
    return tuple(_warnings(findings))


def _warnings(findings: AudioFindings) -> Iterator[MediaWarning]:
    if findings.n_samples and findings.loudness.peak_dbfs < SILENT_PEAK_DBFS:
        yield MediaWarning(reason=Reason.SILENCE, detail=f"never louder than {findings.loudness.peak_dbfs:.0f} dBFS")
    if findings.missing_s:
        yield MediaWarning(
            reason=Reason.TRUNCATED,
            detail=f"the file breaks off after {findings.duration_s:.3f} s, {findings.missing_s:.3f} s are missing",
        )
    if findings.packets_failed or findings.gaps or findings.read_errors:
        yield MediaWarning(
            reason=Reason.DAMAGED,
            detail=f"{findings.lost_s:.3f} s lost: {findings.packets_failed} of {findings.packets} packets could not "
            f"be decoded, {findings.gaps} gaps were filled with silence, {findings.read_errors} read errors",
        )
    if findings.cut_short and not findings.missing_s:
        yield MediaWarning(
            reason=Reason.TRUNCATED,
            detail=f"the file ends before its container does, after {findings.duration_s:.3f} s",
        )
    elif findings.header_mismatch_s is not None and not findings.missing_s:
        yield MediaWarning(
            reason=Reason.HEADER_MISMATCH,
            detail=f"the header says {findings.header_duration_s:.3f} s, there are {findings.duration_s:.3f} s",
        )
    if findings.clock_resets:
        yield MediaWarning(reason=Reason.DAMAGED, detail=f"its clock jumps {findings.clock_resets} times")


def outcome_of(item: str, findings: AudioFindings, speech_ms: int | None = None) -> ItemOutcome:
    """What became of a medium that was decoded to its end.

    `speech_ms` from speech activity; None when nobody looked for speech. Warnings stay in the detail either way.
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
    """The outcome of a medium that was rejected."""
    duration_s = round(rejected.findings.duration_s, 3) if rejected.findings else 0.0
    return ItemOutcome(
        item=item, outcome=Outcome.REJECTED, reason=rejected.reason, detail=rejected.detail, duration_s=duration_s
    )
