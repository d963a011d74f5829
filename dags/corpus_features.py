"""# Corpus to dataset

Turns raw media with transcripts beside them into a dataset of log-mel features that training reads.

**Reads** every media file below the form's *media* prefix and the transcript beside it (`.txt`, `.srt`, `.vtt`,
`.ttml`, or a JSON Lines manifest). **Writes** a dataset: Parquet shards, and `manifest.json` last, whose sha256 is the
dataset's version. The asset `dataset` then starts `finetune_acoustic_model`.

**Steps.** `scan_corpus` lists the media, gives every programme its split and cuts them into shards of equal bytes. For
each shard, `prepare_corpus` decodes and cuts utterances, `match_captions` recognises them (only with *match model*) and
`extract_features` computes features. `assemble_dataset` drops captions that are not what is said, and repeats (of an
utterance, or of a whole programme under another name), refuses a dataset whose splits leak, and writes the card, the
report and the manifest.

**What is normal.** Utterances are dropped, each with its reason: the log of `assemble_dataset` tells how many hours and
why, and `report.html` beside the manifest shows it with examples. `match_captions` is skipped (pink) without a *match
model*. A second run over the same media ends within seconds and every step says `cached`.

**When it fails.**
- `scan_corpus` rejected its input: the prefix is empty or cannot be read. Check the URI in the form.
- One `prepare_corpus` is red: its log names the file. A damaged file does not fail a shard; a full disk does. Media of
  which more than the *largest lost share* is damaged, or missing at a broken end, are rejected and named.
- `match_captions` rejected its input: the *match model* is not found. Before the first champion, leave it empty.
- `assemble_dataset` has nothing to assemble: every utterance was dropped; its log counts the reasons. With a *match
  model*, look at the match errors in the log of `match_captions`: a weak recogniser needs a higher bound.

**To resume**, clear the failed task (with downstream). What is finished is found by its key and not done again, so
clearing too much costs seconds.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, XComArg, task_group

from dags.common.assets import DATASET
from dags.common.cut_form import cut_arguments, cut_params
from dags.common.settings import settings
from dags.common.step import step
from tasks.contract.arguments import AssembleDataset

with DAG(
    dag_id="corpus_features",
    dag_display_name="Corpus → dataset",
    description="Raw media and transcripts to a dataset of log-mel features",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "speech-platform"},
    tags=["airscript", "corpus"],
    params={
        "media": Param(
            settings().corpus,
            type="string",
            pattern="^(file:///|s3://).+",
            title="Media",
            description="URI prefix of the raw media and the transcripts beside them",
        ),
        "name": Param(
            "corpus",
            type="string",
            pattern=r"^[a-z0-9][a-z0-9._-]*$",
            title="Name",
            description="Name of the dataset: small letters, digits, dots and dashes",
        ),
        "language": Param(
            "en",
            type="string",
            pattern="^[a-z]{2,3}(-[A-Za-z0-9]+)*$",
            title="Language",
            description="Language of the transcripts (BCP 47)",
        ),
        "features": Param(
            "parakeet-80-20ms",
            type="string",
            pattern="^[a-z0-9-]+$",
            title="Features",
            description="Feature configuration; it must be the one of the models to be trained",
        ),
        **cut_params(),
        "match_model": Param(
            None,
            type=["null", "string"],
            minLength=1,
            examples=["models:/acoustic-model@champion"],
            title="Match model",
            description="Recogniser to hold the captions against; empty takes them at their word",
        ),
        "max_match_error": Param(
            AssembleDataset.model_fields["max_match_error"].default,
            type="number",
            minimum=0,
            title="Largest match error",
            description="Drop captions of which a larger share of characters differs from what was recognised",
        ),
        "shards": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=800,
            title="Shards",
            description="Cut the work into at most so many; empty: as many as give shards of about 1 GB",
        ),
    },
):
    scan = step(
        "scan-corpus", media="{{ params.media }}", shards="{{ params.shards }}", language="{{ params.language }}"
    )

    @task_group
    def shard(name: Any, uri: Any) -> Any:
        """One shard, from media to features."""
        prepared = step("prepare-corpus", item=name, shard=uri, language="{{ params.language }}", **cut_arguments())
        matched = step(
            "match-captions",
            item=name,
            prepared=prepared.output,
            model="{{ params.match_model }}",
            skip_without="model",
        )
        extracted = step(
            "extract-features",
            item=name,
            prepared=prepared.output,
            matched=matched.output,
            features="{{ params.features }}",
            trigger_rule="none_failed",
        )
        return extracted.output

    step(
        "assemble-dataset",
        scan=XComArg(scan, "result"),
        extracted=shard.expand_kwargs(scan.output),
        name="{{ params.name }}",
        max_match_error="{{ params.max_match_error }}",
        outlets=[DATASET],
    )
