"""A programme's row in the night's report, from its published transcript."""

from __future__ import annotations

from tasks import storage
from tasks.contract import Outcome, Reason
from tasks.publishing.transcripts import read_published_transcript
from tasks.reporting.records import Publication
from tasks.transcripts.document import Transcript, WarningCode

# Voice activity detection takes some music for speech rather than miss a word (up to 3 s of interludes of 45 s). A
# programme without words whose detected speech is below both limits has no speech.
MAX_NOISE_S, MAX_NOISE_SHARE = 10.0, 0.1
# Share of cues beyond their rules above which the row has a warning: fast speech cannot always keep the reading speed.
MAX_BEYOND_SHARE = 0.25


def complete_row(manifest_uri: str, base: Publication) -> Publication:
    """Complete `base` from the published transcript, which may be another publisher's with other words.

    Raises:
        InputRejected: the transcript is damaged or incomplete.
    """
    manifest, transcript = read_published_transcript(manifest_uri)
    row = add_figures(base, transcript).model_copy(
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
    if manifest.cues.beyond > MAX_BEYOND_SHARE * manifest.cues.total:
        remarks.append(str(manifest.cues))
    is_noise = not row.words and row.speech_s < min(MAX_NOISE_S, MAX_NOISE_SHARE * row.duration_s)
    if row.outcome is Outcome.DONE and is_noise and WarningCode.SUSPECT_SEGMENTS not in warned:
        row = row.model_copy(update={"outcome": Outcome.DONE_NO_SPEECH, "reason": Reason.NO_SPEECH})
    elif remarks:
        row = row.model_copy(update={"outcome": Outcome.DONE_WITH_WARNINGS, "detail": "; ".join(remarks)})
    details = (f"the same recording as {manifest.programme}" if row.is_copy else "", row.detail, manifest.remark)
    return row.model_copy(update={"detail": "; ".join(filter(None, details))})


def add_figures(base: Publication, transcript: Transcript) -> Publication:
    """Return `base` with the transcript's own figures."""
    confidences = [word.confidence for word in transcript.words if word.confidence is not None]
    coverage = transcript.coverage
    figures = {
        "duration_s": round(transcript.media.duration_ms / 1000, 3),
        "language": transcript.language,
        "model": transcript.provenance.model_version,
        "speakers": len(transcript.speakers) if transcript.provenance.diarizer else None,
        "words": sum(1 for _ in transcript.words),
        "speech_s": round(coverage.speech_ms / 1000, 3),
        "coverage": round(coverage.covered_ms / coverage.speech_ms, 4) if coverage.speech_ms else None,
        "confidence": round(sum(confidences) / len(confidences), 4) if confidences else None,
        "suspect_s": round(coverage.suspect_ms / 1000, 3),
        "redecoded_s": round(coverage.redecoded_ms / 1000, 3),
    }
    return base.model_copy(update=figures)
