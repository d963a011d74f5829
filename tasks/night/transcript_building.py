"""Building the canonical transcript of one programme from the results of earlier steps. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import get_args

from tasks.contract import Reason
from tasks.night.pipeline import Pipeline
from tasks.night.records import DiarizedProgramme, Preparation, RecognisedProgramme, truncate
from tasks.night.unlike_channels import ChannelTimes
from tasks.transcripts.document import (
    Coverage,
    LanguagePassage,
    Media,
    Provenance,
    SuspectPassage,
    Transcript,
    TranscriptWarning,
    WarningCode,
    Word,
)
from tasks.transcripts.merging import Span, into_segments, speakers_in, with_monotonic_times, with_speakers
from tasks.transcripts.sentences import with_capitals
from tasks.transcripts.spans import total_ms, union
from tasks.transcripts.text import clean
from tasks.transcripts.timecode import Clock, FrameRate

NORMALISER = "sentence-capitals-2"
UNKNOWN_LANGUAGE = "und"
# Bounds beyond which the transcript has a warning.
MIN_COVERAGE = 0.8  # share of the speech covered by words
MIN_PASSED_OVER_MS, MIN_PASSED_OVER = 5_000, 0.02  # speech far from any word: time, and share of the speech
MAX_WITHOUT_SPEAKER = 0.1  # share of words
MAX_PASSAGES = 10  # suspect passages that a warning names; the document has them all


def build_transcript(
    preparation: Preparation,
    recognised: RecognisedProgramme,
    pipeline: Pipeline,
    code_version: str,
    diarized: DiarizedProgramme | None = None,
) -> Transcript:
    """Build the transcript. Without diarization the words have no speakers; if it failed, there is a warning."""
    has_speakers = diarized is not None and diarized.outcome.is_done
    recognised_words = tuple(
        Word(
            text=text,
            start_ms=word.start_ms,
            end_ms=word.end_ms,
            confidence=word.confidence,
            speaker=None,
            timing=word.timing,
        )
        for word in recognised.words
        if (text := clean(word.text))
    )
    language = recognised.language or UNKNOWN_LANGUAGE
    times = ChannelTimes(preparation.channel_starts_ms, preparation.duration_ms)
    ordered = with_monotonic_times(recognised_words, times.audio_ms)
    spoken = ordered
    if diarized is not None and has_speakers:
        spoken = with_speakers(ordered, diarized.exclusive)
    names = {part for phrase in preparation.vocabulary for part in phrase.split()}
    words = times.merge(with_capitals(spoken, language, names))
    recognised = recognised.model_copy(
        update={name: times.moved(getattr(recognised, name)) for name in ("suspect_chunks", "passages", "sounds_like")}
    )
    passages = tuple(
        SuspectPassage(start_ms=chunk.start_ms, end_ms=chunk.end_ms, reasons=chunk.flags)
        for chunk in recognised.suspect_chunks
    )
    suspect = [Span(passage.start_ms, passage.end_ms) for passage in passages]
    start_timecode, rate, timecode_warnings = _clock(preparation)
    speech_ms = preparation.speech_ms
    return Transcript(
        media=Media(
            uri=preparation.arrival.uri,
            sha256=preparation.sha256,
            duration_ms=preparation.duration_ms,
            track=preparation.track,
            start_timecode=start_timecode,
            timecode_rate=rate,
        ),
        provenance=Provenance(
            model_name=pipeline.model,
            model_version=pipeline.model_version,
            engine=recognised.engine or "none: no speech to recognise",
            code_version=code_version,
            normaliser=NORMALISER,
            diarizer=diarized.diarizer if diarized is not None and has_speakers else None,
        ),
        language=language,
        language_passages=tuple(
            LanguagePassage(start_ms=passage.start_ms, end_ms=passage.end_ms, language=passage.language)
            for passage in recognised.passages
        ),
        speakers=speakers_in(words),
        segments=into_segments(words, suspect),
        suspect_passages=passages,
        coverage=Coverage(
            speech_ms=speech_ms,
            covered_ms=min(recognised.covered_ms, speech_ms),
            redecoded_ms=recognised.redecoded_ms,
            suspect_ms=total_ms(union(suspect)),
        ),
        warnings=(
            *timecode_warnings,
            *_warnings(preparation, recognised, passages, speech_ms, moved=ordered != recognised_words),
            *_speaker_warnings(diarized, spoken, speech_ms),
        ),
    )


def _warnings(
    preparation: Preparation,
    recognised: RecognisedProgramme,
    passages: Sequence[SuspectPassage],
    speech_ms: int,
    moved: bool,
) -> list[TranscriptWarning]:
    warnings = []
    if preparation.detail and speech_ms:
        code = WarningCode.OTHER_TRACK if preparation.reason is Reason.NO_SPEECH else WarningCode.DAMAGED_MEDIA
        warnings.append(TranscriptWarning(code=code, detail=preparation.detail))
    if not speech_ms:
        return [TranscriptWarning(code=WarningCode.NO_SPEECH, detail=preparation.detail or "no speech was found")]
    if recognised.covered_ms < MIN_COVERAGE * speech_ms:
        share = f"{100 * recognised.covered_ms / speech_ms:.0f} % of {speech_ms / 1000:.0f} s of speech have words"
        warnings.append(TranscriptWarning(code=WarningCode.LOW_COVERAGE, detail=share))
    elif recognised.passed_over_ms >= max(MIN_PASSED_OVER_MS, MIN_PASSED_OVER * speech_ms):
        lost = f"{recognised.passed_over_ms / 1000:.0f} s of {speech_ms / 1000:.0f} s of speech are far from any word"
        warnings.append(TranscriptWarning(code=WarningCode.LOW_COVERAGE, detail=lost))
    if preparation.channel_starts_ms:
        detail = "two channels with different speech, transcribed apart and merged by time"
        warnings.append(TranscriptWarning(code=WarningCode.CHANNELS_APART, detail=detail))
    if passages:
        described = truncate([*map(_describe_passage, passages)], MAX_PASSAGES, "see the transcript")
        detail = f"{len(passages)} passages: {'; '.join(described)}"
        warnings.append(TranscriptWarning(code=WarningCode.SUSPECT_SEGMENTS, detail=detail))
    if languages := _describe_languages(recognised):
        detail = "; ".join(truncate(languages, MAX_PASSAGES, "see the transcript"))
        warnings.append(TranscriptWarning(code=WarningCode.LANGUAGE_DOUBTFUL, detail=detail))
    if moved:
        warnings.append(TranscriptWarning(code=WarningCode.TIMES_REPAIRED, detail="words were moved into order"))
    return warnings


def _describe_passage(passage: SuspectPassage) -> str:
    """`00:00:10–00:00:21 speech_without_words`."""
    return f"{_describe_times(passage.start_ms, passage.end_ms)} {', '.join(passage.reasons)}"


def _describe_languages(recognised: RecognisedProgramme) -> list[str]:
    """The passages in another language than the programme's, and those that only sound like one."""
    in_other = [passage for passage in recognised.passages if passage.language != recognised.language]
    return [
        *(f"{_describe_times(p.start_ms, p.end_ms)} transcribed in {p.language}" for p in in_other),
        *(f"{_describe_times(p.start_ms, p.end_ms)} sounds like {p.language}" for p in recognised.sounds_like),
    ]


def _describe_times(start_ms: int, end_ms: int) -> str:
    """`00:00:10–00:00:21`, counted from the start of the media."""
    return "–".join(str(timedelta(seconds=ms // 1000)).zfill(8) for ms in (start_ms, end_ms))


def _speaker_warnings(
    diarized: DiarizedProgramme | None, words: Sequence[Word], speech_ms: int
) -> list[TranscriptWarning]:
    if diarized is None or not speech_ms:
        return []
    if not diarized.outcome.is_done:
        detail = f"speakers were not told apart: {diarized.detail}"
        return [TranscriptWarning(code=WarningCode.NO_SPEAKERS, detail=detail)]
    n_without = sum(word.speaker is None for word in words)
    if n_without > MAX_WITHOUT_SPEAKER * len(words):
        detail = f"{n_without} of {len(words)} words have no speaker"
        return [TranscriptWarning(code=WarningCode.SPEAKERS_DOUBTFUL, detail=detail)]
    return []


def _clock(preparation: Preparation) -> tuple[str | None, FrameRate, list[TranscriptWarning]]:
    """Return the start time code and frame rate; or none, and a warning why the file's are ignored."""
    rates = {str(rate): rate for rate in get_args(FrameRate)}
    start, rate = preparation.start_timecode, rates.get(preparation.timecode_rate)
    if start is None:
        return None, rate or "25", []
    try:
        if rate is None:
            raise ValueError(f"no time code counts {preparation.timecode_rate} frames a second")
        return Clock(start, rate).start, rate, []
    except ValueError as error:
        detail = f"times count from zero, not from {clean(start) or 'the start'}: {error}"
        return None, "25", [TranscriptWarning(code=WarningCode.TIMECODE_IGNORED, detail=detail)]
