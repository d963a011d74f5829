"""Prepare one programme: cut its media file into utterances by its transcript, with a reason for each one dropped."""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tasks import storage
from tasks.audio import SAMPLE_RATE_HZ, SAMPLES_PER_MS
from tasks.contract import Frozen, InputRejected, ItemOutcome, Outcome, Reason
from tasks.corpus.captions import SourceTranscript, read_transcript
from tasks.corpus.records import Programme
from tasks.corpus.utterances.cutting import CutRules, CutUtterance, DroppedUtterance, check, covered_ms, cut
from tasks.corpus.utterances.programme_audio import open_programme_audio, speech_bounds_ms
from tasks.corpus.utterances.slicing import Slicer
from tasks.corpus.utterances.start_timecode import from_first_frame
from tasks.dataset import flac
from tasks.dataset.schema import SPOOLED
from tasks.dataset.summary import Drops, Summary, Tally, merge
from tasks.media.container.tracks import TrackChoice, TrackPolicy
from tasks.media.decoding.isolated import IsolatedAudio, IsolatedDecoder
from tasks.media.findings import AudioFindings, MediaRejected, outcome_of, rejection_of
from tasks.media.limits import MediaLimits

STEP = "prepare-corpus"
SPOOLED_ROWS = 64
MAX_MISSING_END_MS = 500  # the last caption often lasts a little longer than the programme
MAX_LOST_SHARE = 0.05  # share of an utterance; beyond that, words of its text may be missing in the audio
SILENT_PEAK = 6  # in 16-bit samples (-75 dBFS); audio that is never louder contains no speech
UNTIMED_FACTOR = 3  # without times, audio may be this many times as long as an utterance: its silence is trimmed


class DecodedMedium(Frozen):
    """The chosen track of a programme and the findings of its decode: a line of `media.jsonl`."""

    programme_id: str
    media: str
    container: str
    start_timecode: str | None
    choice: TrackChoice
    findings: AudioFindings


@dataclass(frozen=True)
class PreparedProgramme:
    """The result for one programme. Its rows are in `spool`."""

    outcome: ItemOutcome
    dropped: tuple[ItemOutcome, ...]
    summary: Summary
    medium: DecodedMedium | None = None
    spool: Path | None = None
    excluded: frozenset[str] = frozenset()
    """Ids of utterances in `spool` that turned out to be damaged once decoding was complete."""
    sha256: str = ""
    """Digest of the whole audio as 16-bit PCM. Finds the same programme under two names, even with other captions."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the kept utterances as rows of `tasks.dataset.schema.PREPARED`, ordered by time."""
        if self.spool is None:
            return
        with pa.ipc.open_file(pa.memory_map(str(self.spool))) as file:
            for number in range(file.num_record_batches):
                for row in file.get_batch(number).to_pylist():
                    if row["utterance_id"] not in self.excluded:
                        yield row | {"programme_sha256": self.sha256}


def prepare_programme(
    programme: Programme,
    rules: CutRules,
    policy: TrackPolicy,
    limits: MediaLimits,
    decoder: IsolatedDecoder,
    scratch: Path,
) -> PreparedProgramme:
    """Decode and cut one programme. Errors caused by its files are returned as its outcome; all others are raised."""
    try:
        if changed := _changed(programme):
            return _lost(programme, Outcome.FAILED, Reason.CHANGED_WHILE_READ, changed)
        transcript = _transcript(programme, rules.normaliser.language)
        with open_programme_audio(
            programme, transcript, rules.normaliser.language, policy, limits, decoder, scratch
        ) as audio:
            return _cut_programme(programme, transcript, rules, audio, scratch / "programme.arrow")
    except MediaRejected as rejected:
        outcome = rejection_of(programme.programme_id, rejected)
        return _without_rows(outcome)
    except InputRejected as rejected:
        return _lost(programme, Outcome.REJECTED, rejected.reason, str(rejected))
    except OSError as error:
        if not storage.is_permanent_file_error(error):
            raise
        return _lost(programme, Outcome.REJECTED, Reason.UNREADABLE, str(error))
    except (ValueError, LookupError, ArithmeticError, TypeError, RuntimeError, AssertionError) as error:
        # Probably a library that cannot cope with this file. Storage and disk errors have other types and are raised.
        return _lost(programme, Outcome.FAILED, Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")


def _changed(programme: Programme) -> str:
    """Return a message if an object has changed since it was listed, else an empty string."""
    for uri, etag in ((programme.media, programme.etag), (programme.transcript, programme.transcript_etag)):
        if etag and storage.info(uri).etag != etag:
            return f"{uri} changed after it was listed; scan the corpus again"
    return ""


def _transcript(programme: Programme, language: str) -> SourceTranscript:
    if programme.supervisions:
        return SourceTranscript(programme.supervisions, are_captions=False)
    return read_transcript(programme.transcript, language)


def _cut_programme(
    programme: Programme, transcript: SourceTranscript, rules: CutRules, audio: IsolatedAudio, spool: Path
) -> PreparedProgramme:
    transcript = from_first_frame(transcript, audio.probe)
    planned, dropped = cut(transcript.supervisions, rules, join=transcript.are_captions, problems=transcript.problems)
    max_untimed_ms = UNTIMED_FACTOR * rules.max_duration_ms
    untimed_starts = {u.start_ms for u in planned if u.end_ms is None}
    # A provisional end for these: `_trimmed` determines the real one.
    slicer = Slicer([replace(u, end_ms=u.end_ms or u.start_ms + max_untimed_ms) for u in planned])
    audio_digest = hashlib.sha256()
    kept, dropped_by_audio = _spool_utterances(
        programme, slicer.slice(_digested(audio, audio_digest)), untimed_starts, rules, spool
    )
    dropped += dropped_by_audio
    # Only now, with all audio read, are the findings complete. Drop what they show to be damaged.
    findings = audio.findings
    media_ms = slicer.n_samples // SAMPLES_PER_MS
    if findings.missing_s:
        dropped = [_truncated(d, media_ms, round(findings.missing_s * 1000)) for d in dropped]
    kept, damaged = _without_lost_audio(kept, findings)
    dropped += damaged
    # Reject the whole programme if its transcript cannot belong to it, or has no times and the audio is too long.
    if not kept and _is_out_of_range(dropped, media_ms):
        return _lost(
            programme, Outcome.REJECTED, Reason.TRANSCRIPT_OUT_OF_RANGE, _out_of_range(programme, dropped, media_ms)
        )
    if untimed_starts and (media_ms > max_untimed_ms or any(d.reason is Reason.TOO_LONG for d in dropped)):
        return _lost(programme, Outcome.REJECTED, Reason.TOO_LONG, _too_long(programme, media_ms, rules), media_ms)
    return PreparedProgramme(
        outcome=_outcome(programme, findings, transcript, kept, dropped),
        dropped=tuple(_dropped(programme, d) for d in dropped),
        summary=_summary(kept, dropped, media_ms, findings),
        medium=_decoded_medium(programme, audio),
        spool=spool,
        excluded=frozenset(utterance_id(programme, d.utterance) for d in damaged),
        sha256=audio_digest.hexdigest(),
    )


def _spool_utterances(
    programme: Programme,
    slices: Iterable[tuple[CutUtterance, np.ndarray]],
    untimed_starts: set[int],
    rules: CutRules,
    spool: Path,
) -> tuple[list[CutUtterance], list[DroppedUtterance]]:
    """Write the usable utterances to `spool`. `untimed_starts`: `start_ms` of those without an end of their own."""
    kept: list[CutUtterance] = []
    dropped: list[DroppedUtterance] = []
    with _Spool(spool) as rows:
        for utterance, samples in slices:
            pcm = flac.to_pcm(samples)
            if utterance.start_ms in untimed_starts:
                utterance, pcm = _trimmed(utterance, pcm)
            utterance, fault = _fitted(utterance, pcm, rules)
            if fault:
                dropped.append(fault)
                continue
            kept.append(utterance)
            rows.write(_row(programme, utterance, pcm))
    return kept, dropped


def _decoded_medium(programme: Programme, audio: IsolatedAudio) -> DecodedMedium:
    return DecodedMedium(
        programme_id=programme.programme_id,
        media=programme.media,
        container=audio.probe.container,
        start_timecode=audio.probe.start_timecode,
        choice=audio.choice,
        findings=audio.findings,
    )


def _is_out_of_range(dropped: list[DroppedUtterance], media_ms: int) -> bool:
    """Whether the transcript is for other audio: all utterances are out of range, or some are and none starts in it."""
    n_out_of_range = sum(d.reason is Reason.TRANSCRIPT_OUT_OF_RANGE for d in dropped)
    is_beyond_end = all(d.utterance.start_ms >= media_ms for d in dropped)
    return n_out_of_range > 0 and (n_out_of_range == len(dropped) or is_beyond_end)


def _digested(blocks: Iterable[np.ndarray], digest: hashlib._Hash) -> Iterator[np.ndarray]:
    """Yield the blocks unchanged, and feed their samples to `digest`."""
    for block in blocks:
        digest.update(flac.to_pcm(block).tobytes())
        yield block


def _truncated(dropped: DroppedUtterance, media_ms: int, missing_ms: int) -> DroppedUtterance:
    """Attribute utterances in the missing part to the truncated file, not to the transcript."""
    begin_ms, end_ms = dropped.utterance.start_ms, dropped.utterance.end_ms or 0
    is_missing = end_ms > media_ms and begin_ms < media_ms + missing_ms
    if dropped.reason is not Reason.TRANSCRIPT_OUT_OF_RANGE or not is_missing:
        return dropped
    detail = f"the file is truncated at {media_ms / 1000:.1f} s: {dropped.utterance.text[:60]!r}"
    return replace(dropped, reason=Reason.TRUNCATED, detail=detail)


def _without_lost_audio(
    kept: list[CutUtterance], findings: AudioFindings
) -> tuple[list[CutUtterance], list[DroppedUtterance]]:
    """Split utterances, ordered by time, into intact ones and those with too much audio replaced by silence."""
    lost_ms = [(round(begin_s * 1000), round(end_s * 1000)) for begin_s, end_s in findings.lost]
    intact: list[CutUtterance] = []
    damaged: list[DroppedUtterance] = []
    for utterance in kept:
        end_ms = utterance.end_ms or 0
        first = bisect_right(lost_ms, utterance.start_ms, key=lambda place: place[1])
        last = bisect_left(lost_ms, end_ms, key=lambda place: place[0])
        missing_ms = sum(min(end_ms, end) - max(utterance.start_ms, begin) for begin, end in lost_ms[first:last])
        if missing_ms > MAX_LOST_SHARE * utterance.duration_ms:
            detail = f"{missing_ms} ms of its audio were lost: {utterance.text[:60]!r}"
            damaged.append(DroppedUtterance(utterance, Reason.DAMAGED, detail))
        else:
            intact.append(utterance)
    return intact, damaged


def _trimmed(utterance: CutUtterance, pcm: np.ndarray) -> tuple[CutUtterance, np.ndarray]:
    """Trim an utterance without times to its speech."""
    start_ms, end_ms = speech_bounds_ms(flac.to_float(pcm))
    if end_ms is not None:
        pcm = pcm[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS]  # (n_speech_samples,)
    start_ms += utterance.start_ms
    return replace(utterance, start_ms=start_ms, end_ms=start_ms + len(pcm) // SAMPLES_PER_MS), pcm


def _fitted(utterance: CutUtterance, pcm: np.ndarray, rules: CutRules) -> tuple[CutUtterance, DroppedUtterance | None]:
    """Shorten an utterance to its audio. Return it with the reason to drop it, if there is one."""
    missing_ms = utterance.duration_ms - len(pcm) // SAMPLES_PER_MS
    if not len(pcm) or missing_ms > MAX_MISSING_END_MS:
        return utterance, DroppedUtterance(
            utterance, Reason.TRANSCRIPT_OUT_OF_RANGE, "the audio ends before the utterance does"
        )
    if missing_ms > 0:
        utterance = replace(utterance, end_ms=(utterance.end_ms or 0) - missing_ms)
    if int(np.abs(pcm.astype(np.int32)).max()) <= SILENT_PEAK:
        return utterance, DroppedUtterance(
            utterance, Reason.SILENCE, f"silence where the transcript has {utterance.text[:60]!r}"
        )
    return utterance, check(utterance, rules)


def utterance_id(programme: Programme, utterance: CutUtterance) -> str:
    """Programme and times: `news.2026-03-01@0000012340-0000018200`. Sorts by time inside a programme."""
    return f"{programme.programme_id}@{max(0, utterance.start_ms):010d}-{max(0, utterance.end_ms or 0):010d}"


def _row(programme: Programme, utterance: CutUtterance, pcm: np.ndarray) -> dict[str, Any]:
    return {
        "utterance_id": utterance_id(programme, utterance),
        "programme_id": programme.programme_id,
        "speaker": utterance.speaker,
        "text": utterance.text,
        "duration_s": len(pcm) / SAMPLE_RATE_HZ,
        "sample_rate_hz": SAMPLE_RATE_HZ,
        "split": str(programme.split),
        "audio": flac.encode(pcm),
        "sha256": flac.digest(pcm),
    }


def _outcome(
    programme: Programme,
    findings: AudioFindings,
    transcript: SourceTranscript,
    kept: list[CutUtterance],
    dropped: list[DroppedUtterance],
) -> ItemOutcome:
    outcome = outcome_of(programme.programme_id, findings)
    details = [outcome.detail] if outcome.detail else []
    reason = outcome.reason
    if transcript.problems:
        first, n_more = transcript.problems[0], len(transcript.problems) - 1
        details.append(f"{programme.transcript} {first}" + (f" and {n_more} more places" if n_more else ""))
        reason = reason or Reason.TRANSCRIPT_UNREADABLE
    if transcript.warnings:
        details += [f"{programme.transcript}: {warning}" for warning in transcript.warnings]
        reason = reason or Reason.TRANSCRIPT_OUT_OF_RANGE
    if not kept:
        # The most common reason; with no utterance at all, the transcript is empty.
        (most_common, _), *_ = Counter(d.reason for d in dropped).most_common(1) or [(Reason.TRANSCRIPT_EMPTY, 0)]
        details.append("no utterance was kept")
        reason = reason or most_common
    has_warnings = outcome.outcome is Outcome.DONE and (details or not kept)
    details += [f"{programme.transcript}: {remark}" for remark in transcript.remarks]
    return outcome.model_copy(
        update={
            "outcome": Outcome.DONE_WITH_WARNINGS if has_warnings else outcome.outcome,
            "reason": reason,
            "detail": "; ".join(details),
        }
    )


def _summary(
    kept: list[CutUtterance], dropped: list[DroppedUtterance], media_ms: int, findings: AudioFindings
) -> Summary:
    drops: Drops = merge({STEP: {d.reason: Tally(count=1, ms=d.utterance.duration_ms)}} for d in dropped)
    kept_tally = Tally(count=len(kept), ms=sum(u.duration_ms for u in kept))
    dropped_tally = Tally(count=len(dropped), ms=sum(d.utterance.duration_ms for d in dropped))
    covered = covered_ms([*kept, *(d.utterance for d in dropped)])
    return Summary(
        media=Tally(count=1, ms=media_ms),
        warned={STEP: {warning.reason: Tally(count=1, ms=media_ms) for warning in findings.warnings}},
        lost_ms=round(findings.lost_s * 1000),
        missing_ms=round(findings.missing_s * 1000),
        cut=kept_tally + dropped_tally,  # the total: all utterances that were cut from the transcript
        kept=kept_tally,
        dropped=drops,
        uncaptioned_ms=max(0, media_ms - covered),
    )


def _dropped(programme: Programme, dropped: DroppedUtterance) -> ItemOutcome:
    return ItemOutcome(
        item=utterance_id(programme, dropped.utterance),
        outcome=Outcome.REJECTED,
        reason=dropped.reason,
        detail=dropped.detail,
        duration_s=dropped.utterance.duration_ms / 1000,
    )


def _lost(programme: Programme, outcome: Outcome, reason: Reason, detail: str, media_ms: int = 0) -> PreparedProgramme:
    """Return the result for a programme that was rejected or failed as a whole."""
    return _without_rows(
        ItemOutcome(
            item=programme.programme_id, outcome=outcome, reason=reason, detail=detail, duration_s=media_ms / 1000
        )
    )


def _without_rows(outcome: ItemOutcome) -> PreparedProgramme:
    reason = outcome.reason or Reason.INTERNAL_ERROR
    tally = Tally(count=1, ms=round(outcome.duration_s * 1000))
    return PreparedProgramme(outcome=outcome, dropped=(), summary=Summary(rejected={STEP: {reason: tally}}))


def _out_of_range(programme: Programme, dropped: list[DroppedUtterance], media_ms: int) -> str:
    first_s = min(d.utterance.start_ms for d in dropped) / 1000
    return (
        f"{programme.transcript} starts at {first_s:.1f} s, the audio has {media_ms / 1000:.1f} s; "
        "shift its times to start at the programme's first frame, or check that it belongs to this programme"
    )


def _too_long(programme: Programme, media_ms: int, rules: CutRules) -> str:
    return (
        f"{programme.transcript} has no times and the audio has {media_ms / 1000:.1f} s, more than "
        f"{rules.max_duration_ms / 1000:g} s; give captions (.srt, .vtt, .ttml), or cut the file into utterances"
    )


class _Spool:
    """Writes rows to an Arrow file in batches, so that a programme's utterances are not kept in memory."""

    def __init__(self, path: Path) -> None:
        self._rows: list[dict[str, Any]] = []
        self._writer = pa.ipc.new_file(path, SPOOLED)

    def __enter__(self) -> _Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self._flush()
        self._writer.close()

    def write(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        if len(self._rows) >= SPOOLED_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=SPOOLED))
            self._rows = []
