"""`prepare-corpus`: decode a shard's media, cut it into utterances by its transcripts, keep them as FLAC in Parquet.

One programme after the other, each as a stream: memory depends on the longest utterance. A programme's rows wait in a
file of their own until its last block was read, since only then is it known whether it is to be trusted.
"""

from __future__ import annotations

from tasks import storage
from tasks.contract import TRANSIENT_REASONS, ItemOutcome, Misconfigured, Reason
from tasks.contract.arguments import PrepareCorpus
from tasks.corpus.records import MEDIA, OUTCOMES, UTTERANCES, read_programmes
from tasks.corpus.utterances.cutting import CutRules
from tasks.corpus.utterances.text import LETTERS, Normaliser, normaliser_for
from tasks.dataset.summary import SUMMARY, Summary, counts_of, hours_of, total
from tasks.step import StepContext, StepOutput

VERSION = 4
GROUP_ROWS, GROUP_BYTES = 256, 16 << 20
MAX_WARNINGS = 10


def inputs(arguments: PrepareCorpus) -> dict[str, str]:
    return {"shard": storage.digest(arguments.shard)}


def run(arguments: PrepareCorpus, context: StepContext) -> StepOutput:
    from tasks.corpus.utterances.programme import prepare_programme
    from tasks.dataset.schema import PREPARED, RowWriter
    from tasks.media.container.tracks import TrackPolicy
    from tasks.media.decoding.isolated import IsolatedDecoder
    from tasks.media.limits import MediaLimits

    limits = MediaLimits(max_lost_share=arguments.max_lost_share)
    rules = cut_rules(arguments)
    policy = TrackPolicy(
        languages=(arguments.language,),
        audio_description=arguments.audio_description,
        track=arguments.track,
        channel=arguments.channel,
    )
    programmes = list(read_programmes(arguments.shard))
    parquet, outcomes, media = (context.scratch / name for name in (UTTERANCES, OUTCOMES, MEDIA))
    summaries: list[Summary] = []
    lost: list[ItemOutcome] = []
    with (
        RowWriter(parquet, PREPARED, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES) as writer,
        outcomes.open("wb") as sink,
        media.open("wb") as heard,
        IsolatedDecoder() as decoder,
    ):
        for done, programme in enumerate(programmes):
            context.progress("prepare", done, len(programmes), "programmes", programme.programme_id)
            prepared = prepare_programme(programme, rules, policy, limits, decoder, context.scratch)
            for row in prepared.rows():
                writer.write(row)
            for outcome in (prepared.outcome, *prepared.dropped):
                sink.write(outcome.model_dump_json().encode() + b"\n")
            if prepared.medium:
                heard.write(prepared.medium.model_dump_json().encode() + b"\n")
            summaries.append(prepared.summary)
            if not prepared.outcome.is_done:
                lost.append(prepared.outcome)
    context.progress("prepare", len(programmes), len(programmes), "programmes")
    summary = total(summaries)
    context.publish(UTTERANCES, parquet)
    context.publish(OUTCOMES, outcomes)
    context.publish(MEDIA, media)
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


def cut_rules(arguments: PrepareCorpus) -> CutRules:
    """The arguments as rules. Raises Misconfigured for a language without an alphabet."""
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
            f"no alphabet for it; there are {', '.join(sorted(LETTERS))}",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--language={language}",
            next_step="add its letters to tasks/corpus/utterances/text.py",
        ) from None


def _warnings(lost: list[ItemOutcome]) -> tuple[str, ...]:
    """One line for each programme that was not taken, up to a screenful."""
    lines = [f"{o.item}: {o.outcome} ({o.reason}) {o.detail}" for o in lost[:MAX_WARNINGS]]
    more = len(lost) - MAX_WARNINGS
    return (*lines, *([f"and {more} more, see {OUTCOMES}"] if more > 0 else []))
