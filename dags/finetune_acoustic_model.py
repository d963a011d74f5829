"""# Dataset to champion

Fine-tunes an acoustic model on a dataset, compares it with the champion, and promotes it if it is better. It begins
from the champion, or from `AIRSCRIPT_BASE_MODEL` until there is one.

**Starts** when `corpus_features` has published a dataset, or by hand with the form. **Reads** a dataset's manifest and
a base model. **Writes** checkpoints and the model to storage, and a version in MLflow's registry with its evaluation
and model card. When the alias `champion` moves, the asset `champion` starts `nightly_transcription`.

**Steps.** `train` → `convert_model` (Whisper to CTranslate2, with a parity check; a CTC model needs no conversion) →
`evaluate_challenger` and `evaluate_champion` on the same test split → `compare_models` (paired bootstrap over
programmes) → `register_model` → `decide` → `promote_model`.

**What is normal.** Training again on the dataset of the champion begins where the champion's training began, and is
`cached` with the same recipe. Without a *preset* the base model's family and size and the GPU choose it (label `preset`
of `train`). The log of `train` begins with the address of its MLflow run, which shows losses and error rates
during training. Until there is a champion, the base model takes its place. The run's tab *Report* shows
what was learned. `promote_model` skipped (pink) means that the champion stayed: the decision, who made it and why
are in its log and on the version in MLflow. With *promote* `ask`, `decide` waits for an answer under *Required actions*
for a day; without one the champion stays.

**When it fails.**
- `choose_dataset`: there is no dataset yet. Run `corpus_features`, or give a manifest in the form.
- `train` rejected its input: the base model was not found, or its features differ from the dataset's, because another
  model became champion since. Run `corpus_features` again, or give the *base* that the dataset was made for.
- `train` was preempted: nothing to do, the next try continues from the last checkpoint.
- `train` diverged: start again with a lower learning rate; the last good checkpoint is kept.
- `convert_model` rejected its input: the converted model has a higher WER than the original. Its log has both.

**To resume**, clear the failed task (with downstream). A trained model is found by its key and not trained again.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, XComArg

from dags.common.approval import ASK, QUESTION, PromotionGate
from dags.common.assets import CHAMPION, DATASET, choose_dataset
from dags.common.base_model import base_arguments, base_param
from dags.common.forms import params_of, template_arguments
from dags.common.links import ReportLink
from dags.common.recipe_form import RECIPE
from dags.common.settings import CHAMPION_MODEL
from dags.common.step import step
from tasks.contract.arguments import CompareModels, ConvertModel, Promotion
from tasks.contract.recipe import PresetName, RecipeFields

MANIFEST = "^(file:///|s3://).+/manifest[.]json$"

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
            pattern=MANIFEST,
            title="Dataset",
            description="URI of a dataset's manifest.json; empty: the newest",
        ),
        "preset": Param(
            None,
            type=["null", "string"],
            enum=[None, *(preset.value for preset in PresetName)],
            values_display={"None": "that of the base model"},
            title="Preset",
            description="Recipe for the fields below that are left empty (`training/presets/`)",
        ),
        "base": base_param("Where training begins"),
        **params_of(RecipeFields, RECIPE, inherited_from="the preset"),
        **params_of(ConvertModel, {"quantization": "Quantization"}),
        "out_of_domain": Param(
            None,
            type=["null", "string"],
            pattern=MANIFEST,
            title="Out of domain",
            description="manifest.json of a dataset outside the training domain; the new model must not regress on it",
        ),
        **params_of(CompareModels, {"on_reviewed": "Compare on reviewed programmes"}),
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
    recipe = template_arguments(("preset", *RECIPE))
    trained = step("train", dataset=dataset, **base_arguments(), **recipe)
    converted = step("convert-model", trained=trained.output, quantization="{{ params.quantization }}")
    on: dict[str, Any] = {"dataset": dataset, "out_of_domain": "{{ params.out_of_domain }}"}
    challenger = step("evaluate", task_id="evaluate_challenger", model=XComArg(converted, "model"), **on)
    champion = step(
        "evaluate",
        task_id="evaluate_champion",
        model=CHAMPION_MODEL,
        fallback=XComArg(trained, "base_uri"),
        **on,
    )
    converted >> champion  # in parallel with the challenger's evaluation, not with training
    compared = step(
        "compare-models",
        challenger=challenger.output,
        champion=champion.output,
        on_reviewed="{{ params.on_reviewed }}",
    )
    registered = step(
        "register-model",
        trained=trained.output,
        converted=converted.output,
        evaluation=challenger.output,
        comparison=compared.output,
    )
    registered.operator_extra_links = (ReportLink(),)
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
        skip_if_label_is_no="promoted",
    )
