"""The argument models of all steps: set by a DAG, parsed by the step's process from its command line.

Docstrings and descriptions are what `--help` and the Airflow forms show. Fields are flat: text, numbers, booleans, and
sequences of these. Fields that do not affect the output (`OPERATIONAL`) are left out of the step's key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tasks.contract.field_types import EMPTY_IS_NONE, OptionalInt, OptionalText
from tasks.contract.recipe import PresetName, RecipeFields

OPERATIONAL = frozenset({"output", "receipt", "workers"})


class StepArguments(BaseModel):
    """Base class: the arguments that all steps have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    output: str = Field(description="URI prefix; the step writes to a folder below it, named after the step's key")
    receipt: OptionalText = Field("", description="URI of the receipt, which tells the launcher how the attempt ended")

    def canonical(self) -> dict[str, Any]:
        """Return the arguments that determine the output, as part of the step's key."""
        return self.model_dump(mode="json", exclude=set(OPERATIONAL))


# ---- corpus → dataset -------------------------------------------------------------------------------------------


class ContentKeyed(StepArguments):
    """Arguments of a step that is cached by the content of its inputs, not by their URIs.

    The fields in `NOT_IN_KEY` are left out of the key; digests of what they point to are in it. Two scans that produce
    the same shard therefore share its prepared audio.
    """

    NOT_IN_KEY: ClassVar[frozenset[str]] = frozenset()

    def canonical(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude=set(OPERATIONAL | self.NOT_IN_KEY))


class ScanCorpus(ContentKeyed):
    """List raw media and their transcripts, and split them into balanced shards.

    The result's label `features` names the features that the base model takes; none without `base` and `features`.
    """

    # The name of the features is in the key, and so are the reviews.
    NOT_IN_KEY = frozenset({"base", "fallback", "features", "reviews"})

    media: str = Field(description="URI prefix of the raw media and their transcripts")
    reviews: OptionalText = Field(
        "", description="URI prefix of transcripts: programmes that people have checked are added; empty: none"
    )
    held_out: OptionalText = Field(
        "", description="reviewed programmes that are only tested on: names, one a line, `*` and `?` as in file names"
    )
    shards: OptionalInt = Field(None, ge=1, le=800, description="maximum number of shards; empty: shards of about 1 GB")
    language: str = Field("en", description="language of the transcripts to use (BCP 47)")
    validation_share: float = Field(0.08, ge=0, lt=0.5, description="share of the programmes in the validation split")
    test_share: float = Field(0.12, ge=0, lt=0.5, description="share of the programmes in the test split")
    base: OptionalText = Field(
        "", description="model to be trained on the dataset: a folder, s3:// prefix, models:/name@alias or hub name"
    )
    fallback: OptionalText = Field("", description="model to be trained if the alias in `base` does not exist yet")
    features: OptionalText = Field(
        "", description="name of the feature configuration; empty: the one that the base model takes"
    )


class PrepareCorpus(ContentKeyed):
    """Decode the media of one shard and cut them into utterances at the times in their transcripts."""

    NOT_IN_KEY = frozenset({"shard"})

    shard: str = Field(description="URI of one shard's list of programmes, written by scan-corpus")
    language: str = Field("en", description="language of the transcripts (BCP 47)")
    audio_description: bool = Field(False, description="use the audio-description track instead of the main sound")
    track: OptionalInt = Field(
        None, ge=0, description="index of the audio track, from 0; empty: choose by language, kind and disposition"
    )
    channel: OptionalInt = Field(
        None, ge=0, description="index of the channel, or of an MXF's mono track, from 0; empty: downmix all"
    )
    max_lost_share: float = Field(
        0.1, ge=0, le=1, description="reject a file if more than this share of its audio is damaged or missing"
    )
    min_duration_s: float = Field(0.3, gt=0, description="drop utterances shorter than this, in seconds")
    max_duration_s: float = Field(20.0, gt=0, description="drop utterances longer than this, in seconds")
    join_duration_s: float = Field(12.0, ge=0, description="join consecutive captions up to this duration, in seconds")
    min_characters_per_s: float = Field(
        1.0, ge=0, description="drop utterances with fewer characters per second than this"
    )
    max_characters_per_s: float = Field(
        25.0, gt=0, description="drop utterances with more characters per second than this"
    )


class MatchCaptions(ContentKeyed):
    """Recognise the utterances of one shard and measure the character error against their captions."""

    NOT_IN_KEY = frozenset({"prepared", "model"})

    prepared: str = Field(description="URI of prepare-corpus's result.json")
    model: OptionalText = Field(description="recogniser: models:/name@alias, a folder, an s3:// prefix or a hub name")


class ExtractFeatures(ContentKeyed):
    """Compute log-mel features for the utterances of one shard."""

    NOT_IN_KEY = frozenset({"prepared", "matched"})

    prepared: str = Field(description="URI of prepare-corpus's result.json")
    matched: OptionalText = Field("", description="URI of match-captions' result.json; empty: captions are not checked")
    features: str = Field("parakeet-80-20ms", description="name of the feature configuration")
    with_audio: bool = Field(True, description="store the FLAC audio along with the features")


class AssembleDataset(ContentKeyed):
    """Drop duplicates and mismatched captions, check the splits for leakage, write manifest, card and report."""

    NOT_IN_KEY = frozenset({"scan", "extracted"})

    scan: str = Field(description="URI of scan-corpus's result.json")
    extracted: tuple[str, ...] = Field(description="URIs of extract-features' result.json, one per shard")
    name: str = Field("corpus", pattern=r"^[a-z0-9][a-z0-9._-]*$", description="name of the dataset")
    max_match_error: float = Field(
        0.5,
        ge=0,
        description="drop utterances whose character error rate against the recognised text is higher than this",
    )


# ---- dataset → model --------------------------------------------------------------------------------------------


class Train(RecipeFields, ContentKeyed):
    """Fine-tune an acoustic model on a dataset.

    The key contains the resolved recipe (`training.steps.train.inputs`). The same recipe gives the same key, whether it
    is set by a preset or by single fields.
    """

    # The recipe's own fields are left out too, because the resolved recipe is in the key.
    NOT_IN_KEY = frozenset({"dataset", "base", "fallback", "preset"}) | frozenset(RecipeFields.model_fields)

    dataset: str = Field(description="URI of a dataset's manifest.json")
    base: OptionalText = Field(
        "", description="base model: a folder, s3:// prefix, models:/name@alias or hub name; empty: the preset's"
    )
    fallback: OptionalText = Field(
        "",
        description="base model if the alias in `base` does not exist yet; with it, a model that was trained on this "
        "dataset gives way to the one that it was trained from",
    )
    preset: Annotated[PresetName | None, EMPTY_IS_NONE] = Field(
        None,
        description="recipe in training/presets/ for fields that are not set; empty: by the base model's family and "
        "size and by the GPU",
    )
    workers: int = Field(0, ge=0, le=64, description="number of training processes (data parallel); 0: one per GPU")
    experiment: str = Field("acoustic-model", description="MLflow experiment")


class Quantization(StrEnum):
    """Quantization of a converted model's weights."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT8_FLOAT16 = "int8_float16"


class ImportModel(ContentKeyed):
    """Fetch a model off the shelf, check that it decodes, and bring it into the layout of trained models.

    A Whisper may come in any layout; pickled weights become safetensors.
    """

    NOT_IN_KEY = frozenset({"model"})

    model: str = Field(description="a folder, .pt file, s3:// prefix, models:/name@alias or hub name")
    licence: OptionalText = Field(
        "", description="licence of the weights, for the model card; empty: as the model's card or licence file says"
    )


class ConvertModel(ContentKeyed):
    """Convert a Whisper model to CTranslate2, and reject the conversion if it raises the WER by too much.

    The WER is measured on a fixed sample of the dataset, and may rise by `max_wer_change`. A CTC model needs no
    conversion.
    """

    NOT_IN_KEY = frozenset({"trained", "dataset"})

    trained: str = Field(description="URI of train's or import-model's result.json")
    dataset: OptionalText = Field(
        "", description="URI of the manifest.json to compare on; empty: the dataset trained on, or no comparison"
    )
    quantization: Quantization = Field(
        Quantization.FLOAT16, description="quantization of a converted Whisper; int8 is smaller, and faster on CPUs"
    )
    max_wer_change: float = Field(
        0.005,
        ge=0,
        description="maximum increase of the WER on a fixed sample, absolute: 0.005 is half a percentage point",
    )


class Evaluate(ContentKeyed):
    """Score a model on one split of a dataset."""

    # `model` is not left out: the same digest gives another result when scored as `fallback` (label `fell_back`).
    NOT_IN_KEY = frozenset({"dataset", "fallback", "out_of_domain"})

    model: str = Field(description="model: a result.json with a model, a folder, an s3:// prefix or models:/name@alias")
    fallback: OptionalText = Field("", description="model to score if the alias in `model` does not exist yet")
    dataset: OptionalText = Field(description="URI of a dataset's manifest.json")
    split: str = Field("test", pattern="^(train|validation|test)$", description="split to score")
    out_of_domain: OptionalText = Field(
        "", description="URI of the manifest.json of another dataset, not trained on, whose test split is scored too"
    )


class CompareModels(ContentKeyed):
    """Decide from two evaluations whether the challenger is significantly better than the champion."""

    NOT_IN_KEY = frozenset({"challenger", "champion"})

    challenger: OptionalText = Field(description="URI of evaluate's result.json for the challenger")
    champion: OptionalText = Field(
        description="URI of evaluate's result.json for the champion, or else for the base model"
    )
    slowest_share: float = Field(
        0.5, gt=0, le=1, description="reject a challenger slower than this share of the champion's speed"
    )
    on_reviewed: bool = Field(
        False, description="compare on the programmes of the test split that people have checked, and on no others"
    )


class RegisterModel(ContentKeyed):
    """Register a model version in MLflow, with everything needed to use it offline."""

    NOT_IN_KEY = frozenset({"trained", "converted", "evaluation", "comparison"})

    trained: str = Field(description="URI of train's result.json")
    converted: str = Field(description="URI of convert-model's result.json for that model")
    evaluation: str = Field(description="URI of evaluate's result.json for that model")
    comparison: str = Field(description="URI of compare-models' result.json")
    name: str = Field("acoustic-model", description="name of the registered model")


class RegisterImport(ContentKeyed):
    """Register an imported model in MLflow, with its licence, digest and, where it was evaluated, its error rate."""

    NOT_IN_KEY = frozenset({"imported", "converted", "evaluation", "comparison"})

    imported: str = Field(description="URI of import-model's result.json")
    converted: str = Field(description="URI of convert-model's result.json for that model")
    evaluation: OptionalText = Field(
        "", description="URI of evaluate's result.json for that model; empty: not evaluated"
    )
    comparison: OptionalText = Field("", description="URI of compare-models' result.json; empty: not compared")
    name: str = Field("acoustic-model", description="name of the registered model")


class Promotion(StrEnum):
    """Whether to promote a challenger."""

    YES = "yes"
    NO = "no"
    IF_BETTER = "if-better"


class PromoteModel(ContentKeyed):
    """Move the `champion` alias to a registered version, if the comparison or a person decides so.

    The result's label `promoted` is `yes`, `no`, or `already` (this version is the champion). With `yes` and `already`,
    the asset that triggers the night is updated.
    """

    NOT_IN_KEY = frozenset({"registered", "comparison"})

    registered: str = Field(description="URI of register-model's or register-import's result.json")
    comparison: OptionalText = Field(
        description="URI of compare-models' result.json; empty: the model was not evaluated, and by rule it is promoted"
        " only if there is no champion"
    )
    promote: Promotion = Field(Promotion.IF_BETTER, description="yes, no, or if-better: follow the comparison")
    decided_by: str = Field("rule", description="who decided: rule, or a person's name")


# ---- media → transcripts ----------------------------------------------------------------------------------------


class CueProfileName(StrEnum):
    """The names of the cue profiles in `tasks.transcripts.cues.profiles`."""

    BBC = "bbc-37"
    STREAMING = "streaming-42"


AUTO_LANGUAGE = "auto"
SpokenLanguage = Annotated[str, Field(pattern=r"^(auto|[a-z]{2,3}(-[A-Za-z0-9]{2,8})*)$")]
_SPOKEN = "spoken language (BCP 47); auto: detected in each passage, or en if the model cannot detect it"


class PlanNight(StepArguments):
    """Find new media in the inbox and split them into batches of equal work."""

    inbox: str = Field(description="URI prefix of the media to transcribe")
    transcripts: str = Field(description="URI prefix of the published transcripts")
    model: str = Field(
        "models:/acoustic-model@champion",
        description="recogniser: models:/name@alias, a folder, an s3:// prefix or a hub name",
    )
    diarizer: str = Field(
        "embedded",
        description="diarizer: embedded (the small one in this package), a folder, an s3:// prefix or a hub name",
    )
    language: SpokenLanguage = Field(AUTO_LANGUAGE, description=_SPOKEN)
    cues: CueProfileName = Field(CueProfileName.BBC, description="cue profile for subtitles: bbc-37 or streaming-42")
    batches: int = Field(4, ge=1, le=800, description="maximum number of batches, besides those that retry failures")
    settle_s: float = Field(
        10.0,
        ge=0,
        description="if a file was modified within this many seconds, wait until it is older and check that it has not "
        "changed, because it may still be growing; ignored with `arrived`",
    )
    arrived: Annotated[tuple[str, ...], AfterValidator(lambda uris: tuple(sorted(set(uris))))] = Field(
        (), description="URIs announced by events, to plan only these; empty: the whole inbox"
    )


class PrepareMedia(ContentKeyed):
    """Decode the media of one batch to 16 kHz mono and detect speech (VAD)."""

    NOT_IN_KEY = frozenset({"batch"})

    batch: str = Field(description="URI of one batch's list of programmes, written by plan-night")
    workers: int = Field(2, ge=1, le=64, description="number of programmes decoded in parallel")


class Recognise(ContentKeyed):
    """Recognise the words of one prepared batch."""

    NOT_IN_KEY = frozenset({"prepared"})

    prepared: str = Field(description="URI of prepare-media's result.json")
    model: str = Field(description="recogniser: models:/name/version or a folder, as resolved by plan-night")
    language: SpokenLanguage = Field(AUTO_LANGUAGE, description=_SPOKEN)


class Diarize(ContentKeyed):
    """Diarize one prepared batch."""

    NOT_IN_KEY = frozenset({"prepared"})

    prepared: str = Field(description="URI of prepare-media's result.json")
    diarizer: str = Field("embedded", description="diarizer, as resolved by plan-night")


class Publish(ContentKeyed):
    """Publish the transcripts of one batch in every format, each programme's manifest last."""

    NOT_IN_KEY = frozenset({"batch", "prepared", "recognised", "diarized"})

    batch: str = Field(description="URI of one batch's list of programmes, written by plan-night")
    prepared: str = Field(description="URI of prepare-media's result.json")
    recognised: str = Field(description="URI of recognise's result.json")
    diarized: OptionalText = Field(
        "", description="URI of diarize's result.json; failed: it has none because it failed; empty: it was not run"
    )
    transcripts: str = Field(description="URI prefix of the published transcripts")


class ReportNight(ContentKeyed):
    """Report the outcome of every programme of a night."""

    NOT_IN_KEY = frozenset({"plan", "published"})

    plan: str = Field(description="URI of plan-night's result.json")
    published: tuple[str, ...] = Field((), description="URIs of publish's result.json, one per batch")
    transcripts: str = Field(description="URI prefix of the published transcripts")
    night: OptionalText = Field(
        "", pattern="^[A-Za-z0-9_.-]*$", description="name of the night in reports, e.g. its date"
    )
    cpu_hour_price: float = Field(
        0.0, ge=0, description="price of an hour of a CPU pod; no costs are reported if both are 0"
    )
    gpu_hour_price: float = Field(0.0, ge=0, description="price of an hour of a GPU pod")
