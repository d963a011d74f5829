"""# Corpus to dataset

Builds a training dataset of log-mel features from raw media and the transcripts beside them.

**Reads** every media file below the form's *media* prefix and its transcript (`.srt`, `.vtt`, `.ttml`, `.stl`, `.scc`,
`.txt`, or a JSON Lines manifest), and the base model's settings. **Writes** a dataset: Parquet shards and, last,
`manifest.json`, whose sha256 is the dataset's version. Programmes that people have checked are added with their exact
words; those *held out* are only tested on, from then on. The asset `dataset` then starts `finetune_acoustic_model`.

**Steps.** `scan_corpus` looks up the features that the base model takes, lists the media, assigns every programme to a
split and makes shards of equal size in bytes. For each shard, `prepare_corpus` decodes the media and cuts utterances,
`match_captions` recognises them (only with a *match model*) and `extract_features` computes features.
`assemble_dataset` drops utterances whose caption does not match the audio and duplicates (of an utterance, or of a
programme under another name), rejects a dataset whose splits leak, and writes the card, the report and the manifest.

**What is normal.** Some utterances are dropped: the log of `assemble_dataset` gives hours per reason, and `report.html`
beside the manifest shows examples. `match_captions` is skipped (pink) without a *match model*. A second run over the
same media finishes within seconds, and every step logs `cached`.

**When it fails.**
- `scan_corpus` rejected its input: the prefix is empty or unreadable, or the *base* was not found. Check the form.
- `scan_corpus` is misconfigured: the *features* in the form are not those of the *base*. Leave one of them empty.
- One `prepare_corpus` is red: its log names the file. A damaged file does not fail a shard; a full disk does. Media are
  rejected, and named in the log, if more than *largest lost share* of them is damaged or missing (truncated).
- `match_captions` rejected its input: the *match model* was not found. Leave it empty until there is a champion.
- `assemble_dataset` has nothing to assemble: every utterance was dropped, and its log counts the reasons. With a *match
  model*, look at the match errors in the log of `match_captions`: a weak recogniser needs a higher limit.

**To resume**, clear the failed task (with downstream). Finished work is found by its key and not repeated, so clearing
too much costs seconds.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, XComArg, task_group

from dags.common.assets import DATASET
from dags.common.base_model import base_arguments, base_param
from dags.common.forms import LINES, FormField, params_of, template_arguments
from dags.common.settings import settings
from dags.common.step import step
from tasks.contract.arguments import AssembleDataset, PrepareCorpus, ScanCorpus

CUTTING = {
    "track": "Audio track",
    "channel": "Channel",
    "audio_description": "Audio description",
    "min_duration_s": "Shortest utterance (seconds)",
    "max_duration_s": "Longest utterance (seconds)",
    "min_characters_per_s": "Fewest characters a second",
    "max_characters_per_s": "Most characters a second",
    "max_lost_share": "Largest lost share",
}
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
            description="URI prefix of the raw media and their transcripts",
        ),
        "name": Param(
            "corpus",
            type="string",
            pattern=r"^[a-z0-9][a-z0-9._-]*$",
            title="Name",
            description="Name of the dataset: lower-case letters, digits, dots and dashes",
        ),
        "language": Param(
            "en", type="string", pattern="^[a-z]{2,3}(-[A-Za-z0-9]+)*$", title="Language", description="BCP 47"
        ),
        "reviews": Param(True, type="boolean", title="Reviewed programmes", description="Add what people have checked"),
        **params_of(ScanCorpus, {"held_out": FormField("Held out", schema=LINES)}),
        "base": base_param("Model to be trained on the dataset"),
        "features": Param(
            None,
            type=["null", "string"],
            pattern="^[a-z0-9-]+$",
            title="Features",
            description="Feature configuration; empty: the one that the base model takes",
        ),
        **params_of(PrepareCorpus, CUTTING),
        "match_model": Param(
            None,
            type=["null", "string"],
            minLength=1,
            examples=["models:/acoustic-model@champion"],
            title="Match model",
            description="Recogniser to check the captions against; empty: captions are not checked",
        ),
        **params_of(AssembleDataset, {"max_match_error": "Largest match error"}),
        "shards": Param(
            None,
            type=["null", "integer"],
            minimum=1,
            maximum=800,
            title="Shards",
            description="Maximum number of shards; empty: as many as give shards of about 1 GB",
        ),
    },
):
    scan = step(
        "scan-corpus",
        **template_arguments(("media", "held_out", "shards", "language", "features")),
        reviews=f"{{{{ '{settings().transcripts}' if params.reviews else '' }}}}",
        **base_arguments("params.base or params.features"),
    )

    @task_group
    def shard(name: Any, uri: Any) -> Any:
        """One shard, from media to features."""
        cutting = template_arguments(CUTTING)
        prepared = step("prepare-corpus", item=name, shard=uri, language="{{ params.language }}", **cutting)
        matched = step(
            "match-captions",
            item=name,
            prepared=prepared.output,
            model="{{ params.match_model }}",
            skip_if_argument_is_empty="model",
        )
        extracted = step(
            "extract-features",
            item=name,
            prepared=prepared.output,
            matched=matched.output,
            features=XComArg(scan, "features"),
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
