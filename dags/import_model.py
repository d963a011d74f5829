"""# Model off the shelf to champion

Imports a speech recogniser that others trained, and promotes it to champion: nights can use it on the first day, and
`finetune_acoustic_model` can start from it.

**Starts** by hand, with the form. **Reads** the *model*: a hub name, a folder, an `s3://` prefix, a `.pt` file or a
registered version; a Whisper in any layout (transformers, CTranslate2, OpenAI, MLflow), or a Parakeet or wav2vec2-BERT
CTC model. With a *dataset*, its test split. **Writes** the model to storage, and a version in MLflow's registry with
its model card, content digest and licence. When the alias `champion` moves, the asset `champion` starts
`nightly_transcription`.

**Steps.** `import_model` downloads one format of the weights, checks that the model decodes, and writes it as trained
models are written. `convert_model` makes CTranslate2's form of a Whisper that has none, and with a *dataset* compares
the word error rates of both. Only with a *dataset*: `evaluate_challenger`, `evaluate_champion` and `compare_models`, as
after fine-tuning. Then `register_model` → `decide` → `promote_model`.

**What is normal.** Without a *dataset* the evaluations are skipped (pink), and nothing is known of the model's error
rate here. With *promote* `if-better` it then becomes champion only if there is none yet; beside a champion it is
registered, not promoted, and `promote_model` says so in its log. With a *dataset* and no champion it is compared with
itself, and promoted unless its error rate is useless. `promote_model` skipped (pink) means that the champion stayed.

**When it fails.**
- `import_model` rejected its input: the log names the file that is missing or damaged, and what to do. A hub name needs
  a network: where pods have none, download the model elsewhere, copy it to storage and give the `s3://` prefix.
- `import_model` is misconfigured: no engine runs this kind of model.
- `convert_model` rejected its input: the converted model has a higher WER than the original. Its log has both.
- `evaluate_challenger` rejected its input: the *dataset* has no test split, or no audio.

**To resume**, clear the failed task (with downstream). What was imported is found by its key.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param, XComArg

from dags.common.approval import ASK, QUESTION, PromotionGate
from dags.common.assets import CHAMPION
from dags.common.forms import FormField, params_of
from dags.common.links import ReportLink
from dags.common.settings import CHAMPION_MODEL
from dags.common.step import step
from tasks.contract.arguments import ConvertModel, ImportModel, Promotion

with DAG(
    dag_id="import_model",
    dag_display_name="Model → champion",
    description="Check, convert, evaluate, register and promote a model that others trained",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "speech-platform"},
    tags=["airscript", "training"],
    params={
        **params_of(
            ImportModel,
            {
                "model": FormField(
                    "Model",
                    default="openai/whisper-large-v3-turbo",
                    schema={
                        "minLength": 1,
                        "examples": ["openai/whisper-large-v3-turbo", "nvidia/parakeet-ctc-1.1b", "s3://models/base"],
                    },
                )
            },
        ),
        "licence": Param(
            None,
            type=["null", "string"],
            minLength=1,
            title="Licence",
            description="Licence of the weights; empty: as the model's own card or licence file says",
        ),
        "dataset": Param(
            None,
            type=["null", "string"],
            pattern="^(file:///|s3://).+/manifest[.]json$",
            title="Dataset",
            description="manifest.json of a dataset to evaluate on; empty: the model is not evaluated",
        ),
        **params_of(ConvertModel, {"quantization": "Quantization"}),
        "promote": Param(
            Promotion.IF_BETTER.value,
            type="string",
            enum=[*(choice.value for choice in Promotion), ASK],
            title="Promote",
            description="Make it the champion: yes, no, if it is better or the first, or ask a person",
        ),
    },
):
    imported = step("import-model", model="{{ params.model }}", licence="{{ params.licence }}")
    converted = step(
        "convert-model",
        trained=imported.output,
        dataset="{{ params.dataset }}",
        quantization="{{ params.quantization }}",
    )
    model = XComArg(converted, "model")
    on: dict[str, Any] = {"dataset": "{{ params.dataset }}", "skip_if_argument_is_empty": "dataset"}
    challenger = step("evaluate", task_id="evaluate_challenger", model=model, **on)
    champion = step("evaluate", task_id="evaluate_champion", model=CHAMPION_MODEL, fallback=model, **on)
    compared = step(
        "compare-models",
        challenger=challenger.output,
        champion=champion.output,
        skip_if_argument_is_empty="challenger",
        trigger_rule="none_failed",
    )
    registered = step(
        "register-import",
        task_id="register_model",
        imported=imported.output,
        converted=converted.output,
        evaluation=challenger.output,
        comparison=compared.output,
        trigger_rule="none_failed",
    )
    registered.operator_extra_links = (ReportLink(),)
    decision = PromotionGate(
        task_id="decide",
        promote="{{ params.promote }}",
        subject="Promote the imported model?",
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
        trigger_rule="none_failed",
        skip_if_label_is_no="promoted",
    )
