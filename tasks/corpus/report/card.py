"""A dataset's card: Markdown with the metadata that dataset catalogues read."""

from __future__ import annotations

from tasks.corpus.assembly.statistics import Statistics
from tasks.dataset.manifest import MANIFEST, DatasetManifest, Split
from tasks.dataset.summary import Drops, Summary


def card(manifest: DatasetManifest, version: str, source: str, statistics: Statistics) -> str:
    """The README of a dataset made from the media under `source`."""
    rows = "\n".join(
        f"| {split} | {manifest.programmes[split]} | {manifest.kept[split].count} | {manifest.kept[split].hours:.2f} |"
        for split in Split
    )
    return f"""---
language: [{manifest.language}]
task_categories: [automatic-speech-recognition]
pretty_name: {manifest.name}
---

# {manifest.name}

{manifest.account.kept.hours:.2f} hours of speech with text, cut from {manifest.account.media.hours:.2f} hours of
programmes under `{source}`. Version `{version}` (the sha256 of `{MANIFEST}`).

| split | programmes | utterances | hours |
|---|---:|---:|---:|
{rows}

Splits go by programme and date. Audio that occurs twice, a programme's or an utterance's, is kept once, in the split
that is held out.

The shards stay where they were made; `locations.json` says where. To stream them:

    from datasets import load_dataset
    from tasks.dataset.manifest import load_manifest

    manifest, version = load_manifest("…/{MANIFEST}")
    rows = load_dataset("parquet", data_files=manifest.uris("train"), streaming=True, split="train")

## Columns

`utterance_id`, `programme_id`, `speaker`, `text`, `duration_s`, `sample_rate_hz`, `audio` (FLAC, 16 bit, mono; where it
was kept), `input_features` (float16, frames by mels), `features_config`, `sha256` (of the audio's samples),
`match_error` (character errors a character of the text, against what a recogniser heard; null where none was asked).

Text is normalised by `{manifest.normaliser}`: lower case, letters of the language, `. , ?` and the apostrophe.
{_matching(manifest)} Features are `{manifest.features}`. There are {statistics.n_words} words.

## What was left out

{_markdown_drops(manifest.account.dropped, "utterances")}
{_markdown_drops(manifest.account.rejected, "programmes")}
No transcript covers {manifest.account.uncaptioned_ms / 3_600_000:.2f} hours of the programmes.
{damage(manifest.account)}
Each dropped utterance and programme is in `outcomes.jsonl` of the step that dropped it. See also `report.html`.
"""


def damage(account: Summary) -> str:
    """A sentence about what could not be decoded of the programmes that were."""
    told = ", ".join(
        f"{tally.count:,} {str(reason).replace('_', ' ')}"
        for reasons in account.warned.values()
        for reason, tally in reasons.items()
    )
    return (
        f"{account.lost_ms / 1000:,.1f} s of the programmes could not be decoded, and "
        f"{account.missing_ms / 1000:,.1f} s are missing at the end of files that broke off. "
        f"Programmes with a warning: {told or 'none'}."
    )


def _matching(manifest: DatasetManifest) -> str:
    if not manifest.matched_by:
        return "Captions are taken at their word."
    bound = manifest.configuration["assemble-dataset"]["max_match_error"]
    return f"Captions were held against {', '.join(manifest.matched_by)}; a match error above {bound:g} is dropped."


def _markdown_drops(drops: Drops, what: str) -> str:
    lines = [
        f"- {tally.count} {what} ({tally.hours:.3f} h): {str(reason).replace('_', ' ')}, by `{step}`"
        for step, reasons in drops.items()
        for reason, tally in reasons.items()
    ]
    return "\n".join(lines) or f"No {what}."
