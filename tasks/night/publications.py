"""A programme's row in the night's report, filled in from the transcript that stands."""

from __future__ import annotations

from tasks import storage
from tasks.contract import Outcome, Reason
from tasks.night.records import Publication
from tasks.publishing.transcripts import published_transcript
from tasks.transcripts.document import Transcript, WarningCode

# Listening takes some music for speech rather than miss a word (of interludes of 45 s up to 3 s); where less than both
# of these has no words, the recogniser knew better.
MOST_NOISE_S, MOST_NOISE_SHARE = 10.0, 0.1
# Where people talk faster than viewers read, some cues cannot keep the rules; more than this share is worth a warning.
MANY_BEYOND = 0.25


def published_row(manifest_uri: str, base: Publication) -> Publication:
    """`base` with what stands behind a manifest: another publisher may have won with other words.

    Raises:
        InputRejected: the transcript is damaged, or not all there.
    """
    manifest, transcript = published_transcript(manifest_uri)
    found = row(transcript, base).model_copy(
        update={
            "transcript": storage.parent(manifest_uri),
            "key": manifest.key,
            "model": manifest.model,
            "cues": manifest.cues.total,
            "cues_beyond": manifest.cues.beyond,
            "is_copy": base.is_copy or manifest.media != base.media,
        }
    )
    warned = {warning.code for warning in transcript.warnings}
    remarks = [w.detail for w in transcript.warnings if w.code is not WarningCode.NO_SPEECH]
    if manifest.cues.beyond > MANY_BEYOND * manifest.cues.total:
        remarks.append(str(manifest.cues))
    is_noise = not found.words and found.speech_s < min(MOST_NOISE_S, MOST_NOISE_SHARE * found.duration_s)
    if found.outcome is Outcome.DONE and is_noise and WarningCode.SUSPECT_SEGMENTS not in warned:
        found = found.model_copy(update={"outcome": Outcome.DONE_NO_SPEECH, "reason": Reason.NO_SPEECH})
    elif remarks:
        found = found.model_copy(update={"outcome": Outcome.DONE_WITH_WARNINGS, "detail": "; ".join(remarks)})
    details = (f"the same recording as {manifest.programme}" if found.is_copy else "", found.detail, manifest.remark)
    return found.model_copy(update={"detail": "; ".join(filter(None, details))})


def row(transcript: Transcript, base: Publication) -> Publication:
    """`base` with the figures that the transcript itself tells."""
    confidences = [word.confidence for word in transcript.words if word.confidence is not None]
    coverage = transcript.coverage
    no_speakers = any(warning.code is WarningCode.NO_SPEAKERS for warning in transcript.warnings)
    figures = {
        "duration_s": round(transcript.media.duration_ms / 1000, 3),
        "language": transcript.language,
        "model": transcript.provenance.model_version,
        "speakers": None if no_speakers else len(transcript.speakers),
        "words": sum(1 for _ in transcript.words),
        "speech_s": round(coverage.speech_ms / 1000, 3),
        "coverage": round(coverage.covered_ms / coverage.speech_ms, 4) if coverage.speech_ms else None,
        "confidence": round(sum(confidences) / len(confidences), 4) if confidences else None,
        "suspect_s": round(coverage.suspect_ms / 1000, 3),
        "redecoded_s": round(coverage.redecoded_ms / 1000, 3),
    }
    return base.model_copy(update=figures)
