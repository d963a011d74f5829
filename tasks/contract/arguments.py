"""The arguments of every step. A DAG fills them in, a process reads them from its argument vector.

Fields are flat: text, numbers, yes or no, and sequences of these. A field that ends in `result` takes the URI of
another step's `result.json`. Fields that do not change what is produced (`OPERATIONAL`) stay out of the key.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

# Form fields and templates give "" or "None" for what was left empty.
OptionalText = Annotated[str, BeforeValidator(lambda value: "" if value in (None, "None") else value)]
_left_out = BeforeValidator(lambda value: None if value in ("", "None") else value)
OptionalInt = Annotated[int | None, _left_out]
OptionalFloat = Annotated[float | None, _left_out]
OptionalBool = Annotated[bool | None, _left_out]

OPERATIONAL = frozenset({"output", "receipt", "workers", "tracking"})


class StepArguments(BaseModel):
    """What every step takes."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    output: str = Field(description="URI prefix under which the step makes its own folder, named by its key")
    receipt: OptionalText = Field("", description="URI at which to say how the attempt ended; for launchers")

    def canonical(self) -> dict[str, Any]:
        """The arguments that decide what is produced."""
        return self.model_dump(mode="json", exclude=set(OPERATIONAL))


# ---- corpus → dataset -------------------------------------------------------------------------------------------


class ReadsByContent(StepArguments):
    """Arguments whose inputs count by their digests alone: where they lie does not decide what is produced.

    So a shard that two scans cut alike is prepared once, whichever scan listed it.
    """

    LOCATIONS: ClassVar[frozenset[str]] = frozenset()

    def canonical(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude=set(OPERATIONAL | self.LOCATIONS))


class ScanCorpus(StepArguments):
    """List raw media and the transcripts beside them, and cut them into balanced shards."""

    media: str = Field(description="URI prefix of the raw media and their transcripts")
    shards: OptionalInt = Field(
        None, ge=1, le=800, description="at most this many shards; empty: as many as give shards of about 1 GB"
    )
    language: str = Field("en", description="which of a programme's transcripts to take (BCP 47)")
    validation_share: float = Field(0.08, ge=0, lt=0.5, description="share of the programmes for validation")
    test_share: float = Field(0.12, ge=0, lt=0.5, description="share of the programmes for the test split")


class PrepareCorpus(ReadsByContent):
    """Decode one shard's media and cut it into utterances by its transcripts."""

    LOCATIONS = frozenset({"shard"})

    shard: str = Field(description="URI of one shard's list of programmes, from scan-corpus")
    language: str = Field("en", description="language of the transcripts (BCP 47)")
    audio_description: bool = Field(False, description="take the audio description instead of the programme's sound")
    track: OptionalInt = Field(
        None, ge=0, description="audio track, from 0; empty chooses by language, kind and disposition"
    )
    channel: OptionalInt = Field(
        None, ge=0, description="one channel of the track, or one of an MXF's mono tracks, from 0; empty: a mix"
    )
    max_lost_share: float = Field(
        0.1, ge=0, le=1, description="media of which a larger share is damaged or missing are rejected"
    )
    min_duration_s: float = Field(0.3, gt=0, description="shorter utterances are dropped")
    max_duration_s: float = Field(20.0, gt=0, description="longer utterances are dropped")
    join_duration_s: float = Field(12.0, ge=0, description="captions that follow each other are joined up to this")
    min_characters_per_s: float = Field(1.0, ge=0, description="utterances with less text are dropped")
    max_characters_per_s: float = Field(25.0, gt=0, description="utterances with more text are dropped")


class MatchCaptions(ReadsByContent):
    """Recognise one shard's utterances and measure how far what is heard is from what their captions say."""

    LOCATIONS = frozenset({"prepared", "model"})

    prepared: str = Field(description="URI of prepare-corpus's result.json")
    model: OptionalText = Field(description="recogniser: models:/name@alias, a folder, an s3:// prefix or a hub name")


class ExtractFeatures(ReadsByContent):
    """Turn one shard's utterances into log-mel features."""

    LOCATIONS = frozenset({"prepared", "matched"})

    prepared: str = Field(description="URI of prepare-corpus's result.json")
    matched: OptionalText = Field("", description="URI of match-captions' result.json; empty: captions are believed")
    features: str = Field("parakeet-80-20ms", description="name of the feature configuration")
    with_audio: bool = Field(True, description="keep the FLAC audio beside the features")


class AssembleDataset(ReadsByContent):
    """Drop repeats and what does not match, check the splits for leaks, write the manifest, card and report."""

    LOCATIONS = frozenset({"scan", "extracted"})

    scan: str = Field(description="URI of scan-corpus's result.json")
    extracted: tuple[str, ...] = Field(description="URIs of extract-features' result.json, one a shard")
    name: str = Field("corpus", pattern=r"^[a-z0-9][a-z0-9._-]*$", description="name of the dataset")
    max_match_error: float = Field(
        0.5, ge=0, description="share of a caption's characters that may differ from what was recognised, if it was"
    )


# ---- dataset → model --------------------------------------------------------------------------------------------


class Precision(StrEnum):
    """What a training step calculates in; weights and optimizer are float32 in any case."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


class PresetName(StrEnum):
    """The files of `training/presets/`."""

    DEMO = "demo"
    WHISPER_SMALL_LORA = "whisper-small-lora"
    WHISPER_LARGE_V3_TURBO = "whisper-large-v3-turbo"
    PARAKEET_CTC = "parakeet-ctc"


class RecipeFields(BaseModel):
    """How a model is trained, as forms, command lines and presets give it: what is left out comes from the preset."""

    steps: OptionalInt = Field(None, ge=1, description="optimizer steps at most")
    learning_rate: OptionalFloat = Field(None, gt=0, lt=1, description="peak learning rate")
    batch_seconds: OptionalFloat = Field(
        None,
        gt=0,
        description="audio seconds in a step's batch, padding counted, over all accelerators together; augmentation "
        "makes them 1.22 times as long at most, and may add one sound without speech",
    )
    seed: OptionalInt = Field(None, ge=0, description="seed of order, augmentation and dropout")
    lora_rank: OptionalInt = Field(
        None, ge=0, le=512, description="train adapters of this rank instead of all weights; 0: all"
    )
    augment: OptionalBool = Field(
        None, description="warp voices, hide parts of the features, mix in sounds without speech"
    )
    speed_share: OptionalFloat = Field(
        None, ge=0, le=1, description="share of the utterances that are played faster or slower, where there is audio"
    )
    noise_share: OptionalFloat = Field(
        None, ge=0, le=1, description="share of the utterances that get noise behind them, where there is audio"
    )
    precision: Annotated[Precision | None, _left_out] = Field(
        None, description="auto (bfloat16 on a GPU), float32 or bfloat16"
    )
    gradient_checkpointing: OptionalBool = Field(
        None, description="compute activations twice instead of keeping them: a third slower, a fraction of the memory"
    )
    validations: OptionalInt = Field(None, ge=1, description="how often the sample is scored over the whole run")
    validation_seconds: OptionalFloat = Field(
        None, gt=0, description="audio seconds of the sample: what it says by chance decides on weights and early stop"
    )
    patience: OptionalInt = Field(None, ge=0, description="validations without a better WER that end a run; 0: none")

    def given(self) -> dict[str, Any]:
        """The fields that are set."""
        return {name: value for name in RecipeFields.model_fields if (value := getattr(self, name)) is not None}


class Train(RecipeFields, ReadsByContent):
    """Fine-tune an acoustic model on a dataset.

    The key depends on the resolved recipe (`training.steps.train.inputs`), whether a preset or fields gave it.
    """

    LOCATIONS = frozenset({"dataset", "base", "preset"}) | frozenset(RecipeFields.model_fields)

    dataset: str = Field(description="URI of a dataset's manifest.json")
    base: OptionalText = Field(
        "", description="a folder, an s3:// prefix, models:/name@alias or a hub name; without it the preset's"
    )
    preset: PresetName = Field(PresetName.DEMO, description="recipe of training/presets/ for what is not set")
    workers: int = Field(0, ge=0, le=64, description="processes that train together; 0: one for each GPU")
    experiment: str = Field("acoustic-model", description="MLflow experiment")


class Quantization(StrEnum):
    """Of a converted model's weights."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    INT8_FLOAT16 = "int8_float16"


class ConvertModel(ReadsByContent):
    """Convert a Whisper to CTranslate2, and take the conversion only if it reads a fixed set as the original does."""

    LOCATIONS = frozenset({"trained"})

    trained: str = Field(description="URI of train's result.json")
    quantization: Quantization = Field(
        Quantization.FLOAT16, description="of a converted Whisper's weights: int8 is smaller, and faster without a GPU"
    )
    max_wer_change: float = Field(0.005, ge=0, description="WER on the fixed set may be this much higher than before")


class Evaluate(ReadsByContent):
    """Score a model on one split of a dataset."""

    LOCATIONS = frozenset({"dataset", "fallback", "out_of_domain"})

    model: str = Field(description="a result.json with a model, a folder, an s3:// prefix or models:/name@alias")
    fallback: OptionalText = Field("", description="model to score when an alias of `model` does not exist yet")
    dataset: str = Field(description="URI of a dataset's manifest.json")
    split: str = Field("test", pattern="^(train|validation|test)$", description="split to score")
    out_of_domain: OptionalText = Field(
        "", description="manifest.json of a dataset that was not fine-tuned on; its test split is scored too"
    )


class CompareModels(ReadsByContent):
    """Decide from two evaluations whether the challenger is really better."""

    LOCATIONS = frozenset({"challenger", "champion"})

    challenger: str = Field(description="URI of evaluate's result.json for the challenger")
    champion: str = Field(description="URI of evaluate's result.json for the champion, or for the base when none is")
    slowest_share: float = Field(
        0.5, gt=0, le=1, description="share of the champion's speed below which a challenger is too slow"
    )


class RegisterModel(ReadsByContent):
    """Make a model version in MLflow that carries everything needed to use it offline."""

    LOCATIONS = frozenset({"trained", "converted", "evaluation", "comparison"})

    trained: str = Field(description="URI of train's result.json")
    converted: str = Field(description="URI of convert-model's result.json for it")
    evaluation: str = Field(description="URI of evaluate's result.json for it")
    comparison: str = Field(description="URI of compare-models' result.json")
    name: str = Field("acoustic-model", description="registered model's name")


class Promotion(StrEnum):
    """What to do with a challenger."""

    YES = "yes"
    NO = "no"
    IF_BETTER = "if-better"


class PromoteModel(ReadsByContent):
    """Move the `champion` alias to a registered version, if it deserves it.

    The result's label `promoted` says yes, already or no; unless no, the asset that starts the nightly run changes.
    """

    LOCATIONS = frozenset({"registered", "comparison"})

    registered: str = Field(description="URI of register-model's result.json")
    comparison: str = Field(description="URI of compare-models' result.json")
    promote: Promotion = Field(Promotion.IF_BETTER, description="yes, no, or if the comparison says it is better")
    decided_by: str = Field("rule", description="who decided: the rule, or a person's name")


# ---- media → transcripts ----------------------------------------------------------------------------------------


class CueRules(StrEnum):
    """Whose rules subtitles keep: the profiles of `tasks.transcripts.cues.profiles`."""

    BBC = "bbc-37"
    STREAMING = "streaming-42"


AUTO_LANGUAGE = "auto"
SpokenLanguage = Annotated[str, Field(pattern=r"^(auto|[a-z]{2,3}(-[A-Za-z0-9]{2,8})*)$")]
_SPOKEN = "language that is spoken (BCP 47); auto: the one that is heard, en where the model cannot tell"


class PlanNight(StepArguments):
    """Find what is new in the inbox and cut it into batches of equal work."""

    inbox: str = Field(description="URI prefix of arrived media")
    transcripts: str = Field(description="URI prefix under which transcripts are published")
    model: str = Field("models:/acoustic-model@champion", description="model to transcribe with")
    diarizer: str = Field("embedded", description="tells speakers apart: embedded, a folder, s3:// prefix or hub name")
    language: SpokenLanguage = Field(AUTO_LANGUAGE, description=_SPOKEN)
    cues: CueRules = Field(CueRules.BBC, description="whose rules subtitles keep: bbc-37 or streaming-42")
    batches: int = Field(4, ge=1, le=800, description="at most this many batches, beside those of what failed before")
    settle_s: float = Field(
        10.0, ge=0, description="a file that changed within this time is looked at again after it, unless it `arrived`"
    )
    arrived: Annotated[tuple[str, ...], AfterValidator(lambda uris: tuple(sorted(set(uris))))] = Field(
        (), description="only these media of the inbox, those that events told of; none: all of it"
    )


class PrepareMedia(ReadsByContent):
    """Decode one batch's media to speech-ready audio and find where speech is."""

    LOCATIONS = frozenset({"batch"})

    batch: str = Field(description="URI of one batch's list of programmes, from plan-night")
    workers: int = Field(2, ge=1, le=64, description="programmes decoded at a time")


class Recognise(ReadsByContent):
    """Recognise the words of one prepared batch."""

    LOCATIONS = frozenset({"prepared"})

    prepared: str = Field(description="URI of prepare-media's result.json")
    model: str = Field(description="models:/name/version or a folder; plan-night's result says which")
    language: SpokenLanguage = Field(AUTO_LANGUAGE, description=_SPOKEN)


class Diarize(ReadsByContent):
    """Tell the speakers of one prepared batch apart."""

    LOCATIONS = frozenset({"prepared"})

    prepared: str = Field(description="URI of prepare-media's result.json")
    diarizer: str = Field("embedded", description="embedded, or what plan-night's result says")


class Publish(ReadsByContent):
    """Write one batch's transcripts in every format, each programme's manifest last."""

    LOCATIONS = frozenset({"batch", "prepared", "recognised", "diarized"})

    batch: str = Field(description="URI of one batch's list of programmes, from plan-night")
    prepared: str = Field(description="URI of prepare-media's result.json")
    recognised: str = Field(description="URI of recognise's result.json")
    diarized: OptionalText = Field("", description="URI of diarize's result.json; without it words have no speakers")
    transcripts: str = Field(description="URI prefix under which transcripts are published")


class ReportNight(ReadsByContent):
    """Say what became of every programme of a night."""

    LOCATIONS = frozenset({"plan", "published"})

    plan: str = Field(description="URI of plan-night's result.json")
    published: tuple[str, ...] = Field((), description="URIs of publish's result.json, one a batch")
    transcripts: str = Field(description="URI prefix under which transcripts are published")
    night: OptionalText = Field("", pattern="^[A-Za-z0-9_.-]*$", description="what people call it, such as its date")
    cpu_hour_price: float = Field(0.0, ge=0, description="what an hour of a pod without accelerator costs; 0: not told")
    gpu_hour_price: float = Field(0.0, ge=0, description="what an hour of a pod with one costs")
