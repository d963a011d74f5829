"""One programme: from a medium and its transcript to rows of utterances, and what became of everything else."""

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
from tasks.dataset import flac
from tasks.dataset.schema import SPOOLED
from tasks.dataset.summary import Drops, Summary, Tally, merge
from tasks.media.container.tracks import TrackChoice, TrackPolicy
from tasks.media.decoding.isolated import IsolatedAudio, IsolatedDecoder
from tasks.media.findings import AudioFindings, MediaRejected, outcome_of, rejection_of
from tasks.media.limits import MediaLimits

STEP = "prepare-corpus"
SPOOLED_ROWS = 64
CLIPPED_END_MS = 500  # a last caption often stays a little longer than the programme
MAX_LOST_SHARE = 0.05  # of an utterance; more, and words may be gone that its text still has
SILENT_PEAK = 6  # of 16 bit, -75 dBFS: nobody speaks there
UNTIMED_ALLOWANCE = 3  # so many times the longest utterance is looked at in a file without times, for its silences


class DecodedMedium(Frozen):
    """What was listened to, and what the decode found: a line of `media.jsonl`."""

    programme_id: str
    media: str
    container: str
    start_timecode: str | None
    choice: TrackChoice
    findings: AudioFindings


@dataclass(frozen=True)
class PreparedProgramme:
    """What a programme gave. Its rows lie in `spool`."""

    outcome: ItemOutcome
    dropped: tuple[ItemOutcome, ...]
    summary: Summary
    medium: DecodedMedium | None = None
    spool: Path | None = None
    left_out: frozenset[str] = frozenset()
    """Utterances in `spool` that turned out not to be usable when the last block was read."""
    sha256: str = ""
    """Of all of its audio, as 16-bit PCM: equal for the same programme under two names, whatever its captions."""

    def rows(self) -> Iterator[dict[str, Any]]:
        """Rows of the schema `PREPARED`, in order of time."""
        if self.spool is None:
            return
        with pa.ipc.open_file(pa.memory_map(str(self.spool))) as file:
            for number in range(file.num_record_batches):
                for row in file.get_batch(number).to_pylist():
                    if row["utterance_id"] not in self.left_out:
                        yield row | {"programme_sha256": self.sha256}


def prepare_programme(
    programme: Programme,
    rules: CutRules,
    policy: TrackPolicy,
    limits: MediaLimits,
    decoder: IsolatedDecoder,
    scratch: Path,
) -> PreparedProgramme:
    """Decode and cut one programme. What is wrong with it ends in its outcome; faults of the machine are raised."""
    try:
        changed = _changed(programme)
        if changed:
            return _lost(programme, Outcome.FAILED, Reason.CHANGED_WHILE_READ, changed)
        transcript = _transcript(programme, rules.normaliser.language)
        with open_programme_audio(programme, rules.normaliser.language, policy, limits, decoder, scratch) as audio:
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
        # A file that a library stumbles over. Storage and disk fail with other types: those are not its fault.
        return _lost(programme, Outcome.FAILED, Reason.INTERNAL_ERROR, f"{type(error).__name__}: {error}")


def _changed(programme: Programme) -> str:
    """Whether the objects are still those that were listed; says which is not."""
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
    planned, dropped = cut(transcript.supervisions, rules, join=transcript.are_captions)
    limit_ms = UNTIMED_ALLOWANCE * rules.max_duration_ms
    untimed = {u.start_ms for u in planned if u.end_ms is None}
    slicer = Slicer([replace(u, end_ms=u.end_ms or u.start_ms + limit_ms) for u in planned])
    kept: list[CutUtterance] = []
    whole = hashlib.sha256()
    with _Spool(spool) as rows:
        for utterance, samples in slicer.slice(_digested(audio, whole)):
            pcm = flac.to_pcm(samples)
            if utterance.start_ms in untimed:
                utterance, pcm = _trimmed(utterance, pcm)
            utterance, fault = _fitted(utterance, pcm, rules)
            if fault:
                dropped.append(fault)
                continue
            kept.append(utterance)
            rows.write(_row(programme, utterance, pcm))
    findings = audio.findings
    medium = DecodedMedium(
        programme_id=programme.programme_id,
        media=programme.media,
        container=audio.probe.container,
        start_timecode=audio.probe.start_timecode,
        choice=audio.choice,
        findings=findings,
    )
    media_ms = slicer.n_samples // SAMPLES_PER_MS
    if findings.missing_s:
        dropped = [_beyond_the_end(d, media_ms, round(findings.missing_s * 1000)) for d in dropped]
    kept, damaged = _without_lost_audio(kept, findings)
    dropped += damaged
    out_of_range = [d for d in dropped if d.reason is Reason.TRANSCRIPT_OUT_OF_RANGE]
    begins_after_the_end = all(d.utterance.start_ms >= media_ms for d in dropped)
    if not kept and out_of_range and (len(out_of_range) == len(dropped) or begins_after_the_end):
        return _lost(
            programme, Outcome.REJECTED, Reason.TRANSCRIPT_OUT_OF_RANGE, _out_of_range(programme, dropped, media_ms)
        )
    if untimed and (media_ms > limit_ms or any(d.reason is Reason.TOO_LONG for d in dropped)):
        return _lost(programme, Outcome.REJECTED, Reason.TOO_LONG, _too_long(programme, media_ms, rules), media_ms)
    return PreparedProgramme(
        outcome=_outcome(programme, findings, transcript, kept, dropped),
        dropped=tuple(_dropped(programme, d) for d in dropped),
        summary=_account(kept, dropped, media_ms, findings),
        medium=medium,
        spool=spool,
        left_out=frozenset(utterance_id(programme, d.utterance) for d in damaged),
        sha256=whole.hexdigest(),
    )


def _digested(blocks: Iterable[np.ndarray], digest: hashlib._Hash) -> Iterator[np.ndarray]:
    """The same blocks; their samples go into `digest` on the way."""
    for block in blocks:
        digest.update(flac.to_pcm(block).tobytes())
        yield block


def _beyond_the_end(dropped: DroppedUtterance, media_ms: int, missing_ms: int) -> DroppedUtterance:
    """What lies in the missing part of a file that broke off is not the transcript's fault."""
    begin_ms, end_ms = dropped.utterance.start_ms, dropped.utterance.end_ms or 0
    is_missing = end_ms > media_ms and begin_ms < media_ms + missing_ms
    if dropped.reason is not Reason.TRANSCRIPT_OUT_OF_RANGE or not is_missing:
        return dropped
    detail = f"the file breaks off at {media_ms / 1000:.1f} s: {dropped.utterance.text[:60]!r}"
    return replace(dropped, reason=Reason.TRUNCATED, detail=detail)


def _without_lost_audio(
    kept: list[CutUtterance], findings: AudioFindings
) -> tuple[list[CutUtterance], list[DroppedUtterance]]:
    """The utterances, ordered by time, whose audio is there, and those of which too much is silence put in for it."""
    lost_ms = [(round(begin_s * 1000), round(end_s * 1000)) for begin_s, end_s in findings.lost]
    whole: list[CutUtterance] = []
    damaged: list[DroppedUtterance] = []
    for utterance in kept:
        end_ms = utterance.end_ms or 0
        first = bisect_right(lost_ms, utterance.start_ms, key=lambda place: place[1])
        last = bisect_left(lost_ms, end_ms, key=lambda place: place[0])
        gone_ms = sum(min(end_ms, end) - max(utterance.start_ms, begin) for begin, end in lost_ms[first:last])
        if gone_ms > MAX_LOST_SHARE * utterance.duration_ms:
            detail = f"{gone_ms} ms of its audio were lost: {utterance.text[:60]!r}"
            damaged.append(DroppedUtterance(utterance, Reason.DAMAGED, detail))
        else:
            whole.append(utterance)
    return whole, damaged


def _trimmed(utterance: CutUtterance, pcm: np.ndarray) -> tuple[CutUtterance, np.ndarray]:
    """An utterance without times, cut to where speech is."""
    start_ms, end_ms = speech_bounds_ms(flac.to_float(pcm))
    if end_ms is not None:
        pcm = pcm[start_ms * SAMPLES_PER_MS : end_ms * SAMPLES_PER_MS]
    start_ms += utterance.start_ms
    return replace(utterance, start_ms=start_ms, end_ms=start_ms + len(pcm) // SAMPLES_PER_MS), pcm


def _fitted(utterance: CutUtterance, pcm: np.ndarray, rules: CutRules) -> tuple[CutUtterance, DroppedUtterance | None]:
    """The utterance as long as its audio, and what is wrong with it if anything is."""
    n_missing_ms = utterance.duration_ms - len(pcm) // SAMPLES_PER_MS
    if not len(pcm) or n_missing_ms > CLIPPED_END_MS:
        return utterance, DroppedUtterance(
            utterance, Reason.TRANSCRIPT_OUT_OF_RANGE, "the audio ends before the utterance does"
        )
    if n_missing_ms > 0:
        utterance = replace(utterance, end_ms=(utterance.end_ms or 0) - n_missing_ms)
    if int(np.abs(pcm.astype(np.int32)).max()) <= SILENT_PEAK:
        return utterance, DroppedUtterance(
            utterance, Reason.SILENCE, f"silence where the transcript says {utterance.text[:60]!r}"
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
    if not kept:
        (common, _), *_ = Counter(d.reason for d in dropped).most_common(1) or [(Reason.TRANSCRIPT_EMPTY, 0)]
        details.append("no utterance was kept")
        reason = reason or common
    worse = outcome.outcome is Outcome.DONE and (details or not kept)
    return outcome.model_copy(
        update={
            "outcome": Outcome.DONE_WITH_WARNINGS if worse else outcome.outcome,
            "reason": reason,
            "detail": "; ".join(details),
        }
    )


def _account(
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
        cut=kept_tally + dropped_tally,
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
        f"{programme.transcript} begins at {first_s:.1f} s, the audio has {media_ms / 1000:.1f} s; "
        "let its times count from the programme's first frame, or check that it belongs to this programme"
    )


def _too_long(programme: Programme, media_ms: int, rules: CutRules) -> str:
    return (
        f"{programme.transcript} has no times and the audio has {media_ms / 1000:.1f} s, more than "
        f"{rules.max_duration_ms / 1000:g} s; give captions (.srt, .vtt, .ttml), or cut the file into utterances"
    )


class _Spool:
    """Rows in an Arrow file, in batches: a programme's utterances need no memory while they wait."""

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
