"""# Dataset to champion

Fine-tunes an acoustic model on a dataset, compares it with the champion, and promotes it if it deserves it.

**Starts** by itself when `corpus_features` has made a dataset, or by hand with the form. **Reads** a dataset's
manifest and a base model. **Writes** checkpoints and the model to storage, and a version in MLflow's registry with its
evaluation and model card. When the alias `champion` moves, the asset `champion` starts `nightly_transcription`.

**Steps.** `train` → `evaluate_challenger` and `evaluate_champion` on the same test split → `compare_models` (paired
bootstrap over programmes) → `register_model` → `decide` → `promote_model`.

**What is normal.** The log of `train` begins with the address of its MLflow run, where losses and error rates appear
while it trains. Without a champion yet, the base model stands in for it. `promote_model` skipped (pink) means that the
champion stayed: the decision and its reason are in its log and in MLflow. With *promote* `ask`, `decide` waits for an
answer under *Required actions* for a day, then the champion stays.

**When it fails.**
- `choose_dataset`: there is no dataset yet. Run `corpus_features`, or give a manifest in the form.
- `train` rejected its input: the base model is not found, or its features are not the dataset's. Its log says which.
- `train` was preempted: nothing to do, the next try goes on from its last checkpoint.
- `train` diverged: lower the learning rate and start again.

**To resume**, clear the failed task (with downstream). A trained model is found by its key and not trained again.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, XComArg

from dags.common.approval import ASK, PromotionGate
from dags.common.assets import CHAMPION, DATASET, choose_dataset
from dags.common.settings import settings
from dags.common.step import step
from tasks.contract.arguments import Promotion, Train

DEFAULTS = Train.model_fields

QUESTION = """
{%- set metrics = ti.xcom_pull(task_ids='compare_models', key='metrics') -%}
Word error rate on the test split: **{{ '%.2f' | format(100 * metrics.challenger_wer) }} %** for the new model,
**{{ '%.2f' | format(100 * metrics.champion_wer) }} %** for the champion. The rule says
**{{ ti.xcom_pull(task_ids='compare_models', key='decision') }}**:
{{ ti.xcom_pull(task_ids='compare_models', key='reason') }}.
"""

with DAG(
    dag_id="finetune_acoustic_model",
    dag_display_name="Dataset → champion",
    description="Fine-tune, evaluate, compare, register and promote an acoustic model",
    doc_md=__doc__,
    schedule=[DATASET],
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "speech-platform"},
    tags=["airscript", "training"],
    params={
        "dataset": Param(
            None,
            type=["null", "string"],
            pattern="^(file:///|s3://).+/manifest[.]json$",
            title="Dataset",
            description="URI of a dataset's manifest.json; empty takes the newest",
        ),
        "base": Param(
            settings().base_model,
            type="string",
            minLength=1,
            title="Base model",
            description="A folder, an s3:// prefix, models:/name@alias, models:/name/version or a hub name",
        ),
        "steps": Param(
            DEFAULTS["steps"].default,
            type="integer",
            minimum=1,
            maximum=1_000_000,
            title="Steps",
            description="Optimizer steps",
        ),
        "learning_rate": Param(
            DEFAULTS["learning_rate"].default,
            type="number",
            exclusiveMinimum=0,
            maximum=0.1,
            title="Learning rate",
            description="At its peak",
        ),
        "batch_seconds": Param(
            DEFAULTS["batch_seconds"].default,
            type="number",
            exclusiveMinimum=0,
            title="Batch (seconds)",
            description="Seconds of audio in a batch, padding counted",
        ),
        "seed": Param(
            0, type="integer", minimum=0, title="Seed", description="Of the order, the augmentation and the dropout"
        ),
        "promote": Param(
            Promotion.IF_BETTER.value,
            type="string",
            enum=[*(choice.value for choice in Promotion), ASK],
            title="Promote",
            description="Make it the champion: yes, no, if it is significantly better, or ask a person",
        ),
    },
):
    dataset = choose_dataset()
    trained = step(
        "train",
        dataset=dataset,
        base="{{ params.base }}",
        steps="{{ params.steps }}",
        learning_rate="{{ params.learning_rate }}",
        batch_seconds="{{ params.batch_seconds }}",
        seed="{{ params.seed }}",
    )
    challenger = step("evaluate", task_id="evaluate_challenger", model=trained.output, dataset=dataset)
    champion = step(
        "evaluate",
        task_id="evaluate_champion",
        model="models:/acoustic-model@champion",
        fallback="{{ params.base }}",
        dataset=dataset,
    )
    trained >> champion  # side by side with the challenger, not beside the training
    compared = step("compare-models", challenger=challenger.output, champion=champion.output)
    registered = step(
        "register-model", trained=trained.output, evaluation=challenger.output, comparison=compared.output
    )
    decision = PromotionGate(
        task_id="decide",
        promote="{{ params.promote }}",
        subject="Promote the new acoustic model?",
        body=QUESTION,
    )
    registered >> decision
    step(
        "promote-model",
        registered=registered.output,
        comparison=compared.output,
        promote=XComArg(decision, "promote"),
        decided_by=XComArg(decision, "decided_by"),
        outlets=[CHAMPION],
        skip_if_no="promoted",
    )
