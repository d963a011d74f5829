"""`prepare-corpus`: decode a shard's media, cut utterances by the transcripts, store them as FLAC in Parquet.

Programmes are streamed one after the other: memory depends on the longest utterance. A programme's rows are spooled to
a file until it is completely decoded, since only then is it known whether it is usable.
"""

from __future__ import annotations

from tasks import storage
from tasks.contract import TRANSIENT_REASONS, ItemOutcome, Misconfigured, Reason
from tasks.contract.arguments import PrepareCorpus
from tasks.corpus.records import MEDIA, OUTCOMES, UTTERANCES, Programme, read_programmes
from tasks.corpus.utterances.cutting import CutRules
from tasks.corpus.utterances.text import LETTERS, Normaliser, normaliser_for
from tasks.dataset.summary import SUMMARY, Summary, counts_of, hours_of, total
from tasks.step import StepContext, StepOutput

VERSION = 5
GROUP_ROWS, GROUP_BYTES = 256, 16 << 20
MAX_WARNINGS = 10


def inputs(arguments: PrepareCorpus) -> dict[str, str]:
    return {"shard": storage.digest(arguments.shard)}


def run(arguments: PrepareCorpus, context: StepContext) -> StepOutput:
    rules = cut_rules(arguments)
    programmes = list(read_programmes(arguments.shard))
    summary, lost = _prepare_all(programmes, arguments, rules, context)
    for name in (UTTERANCES, OUTCOMES, MEDIA):
        context.publish(name, context.scratch / name)
    context.publish(SUMMARY, summary.model_dump_json().encode())
    return StepOutput(
        counts={
            "programmes": len(programmes),
            "programmes_used": summary.media.count,
            "utterances": summary.kept.count,
            **counts_of(summary.rejected, "rejected"),
            **counts_of(summary.dropped, "dropped"),
            **counts_of(summary.warned, "warned"),
        },
        metrics={
            "hours_media": summary.media.hours,
            "hours_kept": summary.kept.hours,
            "hours_uncaptioned": summary.uncaptioned_ms / 3_600_000,
            "hours_lost": summary.lost_ms / 3_600_000,
            "hours_missing": summary.missing_ms / 3_600_000,
            **hours_of(summary.dropped, "dropped"),
        },
        labels={"normaliser": rules.normaliser.name},
        warnings=_warnings(lost),
        n_retryable=sum(outcome.reason in TRANSIENT_REASONS for outcome in lost),
    )


def _prepare_all(
    programmes: list[Programme], arguments: PrepareCorpus, rules: CutRules, context: StepContext
) -> tuple[Summary, list[ItemOutcome]]:
    """Prepare all programmes into files in the scratch folder. Return the summary and the unused ones' outcomes."""
    from tasks.corpus.utterances.programme import prepare_programme
    from tasks.dataset.schema import PREPARED, RowWriter
    from tasks.media.container.tracks import TrackPolicy
    from tasks.media.decoding.isolated import IsolatedDecoder
    from tasks.media.limits import MediaLimits

    limits = MediaLimits(max_lost_share=arguments.max_lost_share)
    policy = TrackPolicy(
        languages=(arguments.language,),
        audio_description=arguments.audio_description,
        track=arguments.track,
        channel=arguments.channel,
    )
    summaries: list[Summary] = []
    lost: list[ItemOutcome] = []
    with (
        RowWriter(context.scratch / UTTERANCES, PREPARED, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES) as writer,
        (context.scratch / OUTCOMES).open("wb") as outcomes,
        (context.scratch / MEDIA).open("wb") as media,
        IsolatedDecoder(context.stop) as decoder,
    ):
        for done, programme in enumerate(programmes):
            context.progress("prepare", done, len(programmes), "programmes", programme.programme_id)
            prepared = prepare_programme(programme, rules, policy, limits, decoder, context.scratch)
            for row in prepared.rows():
                writer.write(row)
            for outcome in (prepared.outcome, *prepared.dropped):
                outcomes.write(outcome.model_dump_json().encode() + b"\n")
            if prepared.medium:
                media.write(prepared.medium.model_dump_json().encode() + b"\n")
            summaries.append(prepared.summary)
            if not prepared.outcome.is_done:
                lost.append(prepared.outcome)
    context.progress("prepare", len(programmes), len(programmes), "programmes")
    return total(summaries), lost


def cut_rules(arguments: PrepareCorpus) -> CutRules:
    """The rules given by the arguments. Raises Misconfigured for a language without an alphabet."""
    return CutRules(
        normaliser=_normaliser(arguments.language),
        min_duration_ms=round(arguments.min_duration_s * 1000),
        max_duration_ms=round(arguments.max_duration_s * 1000),
        join_duration_ms=round(min(arguments.join_duration_s, arguments.max_duration_s) * 1000),
        min_characters_per_s=arguments.min_characters_per_s,
        max_characters_per_s=arguments.max_characters_per_s,
    )


def _normaliser(language: str) -> Normaliser:
    try:
        return normaliser_for(language)
    except KeyError:
        raise Misconfigured(
            f"no alphabet for this language; available are {', '.join(sorted(LETTERS))}",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--language={language}",
            next_step="add its letters to tasks/corpus/utterances/text.py",
        ) from None


def _warnings(lost: list[ItemOutcome]) -> tuple[str, ...]:
    """One line for each programme that was not used, up to a screenful."""
    lines = [f"{o.item}: {o.outcome} ({o.reason}) {o.detail}" for o in lost[:MAX_WARNINGS]]
    more = len(lost) - MAX_WARNINGS
    return (*lines, *([f"and {more} more, see {OUTCOMES}"] if more > 0 else []))
