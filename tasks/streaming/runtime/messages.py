"""The messages between components, as JSON with base64 for audio and features."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Frozen
from tasks.contract.events import Milliseconds, Session
from tasks.transcripts.document import WordTiming

MAX_BLOCK_MS = 1_000
MAX_INLINE_BYTES = 700_000  # more than a second of 16 channels at 16 kHz; larger blocks lie in storage
MAX_BLOB_BYTES = 8_000_000  # a second of 16 channels at 192 kHz has 6.1 MB

_BINARY = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class State(BaseModel):
    """A session's mutable state, saved as JSON in snapshots."""

    model_config = ConfigDict(**_BINARY, extra="forbid", validate_assignment=False, serialize_by_alias=True)


class LiveMessage(Frozen):
    """Base of all messages."""

    model_config = ConfigDict(**_BINARY, frozen=True, extra="forbid", protected_namespaces=())

    TOPIC: ClassVar[str]

    schema_version: Literal[1] = 1
    session: Session
    sequence: int = Field(ge=0, description="consecutive number within topic and session")
    start_ms: Milliseconds = Field(description="presentation time of its start")
    sample_rate_hz: Annotated[int, Field(ge=8_000, le=192_000)] = SAMPLE_RATE_HZ
    captured_at: float = Field(0.0, description="capture time of its last sample, in seconds since 1970; 0: unknown")
    is_last: bool = Field(False, description="whether it ends the session")

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


class AudioBlock(LiveMessage):
    """A block of audio as captured. The last block may be empty.

    `pcm`: 16-bit little-endian samples, channels interleaved. `opus`: a complete Ogg file with one Opus track of
    `duration_ms`; rate and channels are then ignored. Blocks are encoded independently, which leaves small
    discontinuities: some loss of accuracy, for a tenth of the bytes.

    If the audio is too large for Kafka, `audio` is empty and `audio_uri` names an object that holds it.
    """

    TOPIC = "live.audio"

    n_channels: int = Field(1, ge=1, le=16)
    encoding: Literal["pcm", "opus"] = "pcm"
    duration_ms: int = Field(
        default=0, ge=0, le=MAX_BLOCK_MS, description="duration of an opus block, which decodes to more samples"
    )
    audio: bytes = Field(b"", max_length=MAX_INLINE_BYTES)
    audio_uri: str = Field(
        default="",
        pattern=r"^(s3://[a-z0-9.-]+/.+|file:///.+)?$",  # obstore panics on other bucket names
        description="URI of the audio, if not inline",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.audio and self.audio_uri:
            raise ValueError("audio and audio_uri exclude each other")
        if self.encoding == "pcm":
            self.validate_pcm(self.audio)
        return self

    def validate_pcm(self, audio: bytes) -> None:
        """Raises ValueError if this is not PCM with the block's channels, or longer than a second."""
        if len(audio) % (2 * self.n_channels):
            raise ValueError(f"{len(audio)} bytes are not whole samples of {self.n_channels} channels")
        n_samples = len(audio) // (2 * self.n_channels)
        if n_samples > MAX_BLOCK_MS * self.sample_rate_hz // 1000:
            raise ValueError(f"{n_samples} samples at {self.sample_rate_hz} Hz are longer than a second")


class PreparedAudio(LiveMessage):
    """Mono audio at 16 kHz, in whole windows of the VAD."""

    TOPIC = "live.prepared"

    first_sample: int = Field(ge=0, description="position of its first sample on the session's timeline")
    audio: bytes = Field(description="16-bit samples")
    speech: tuple[float, ...] = Field(description="speech probability of each window of 512 samples")
    digest: str = Field("", description="in the last message: sha256 over the session's audio, chained by blocks")


class LiveFeatures(LiveMessage):
    """The model's log-mel features before normalisation (Parakeet) or range (Whisper), which depend on the window that
    `recognise` decodes."""

    TOPIC = "live.features"

    first_sample: int = Field(ge=0, description="centre of its first frame on the session's timeline")
    n_features: int = Field(ge=1)
    features: bytes = Field(description="float32, (n_frames, n_features)")
    audio: bytes = Field(description="audio of the input message, for diarization")
    speech: tuple[float, ...]
    digest: str = ""


class LiveTurn(Frozen):
    """A speaker turn. May still change in every respect until it is final."""

    start_ms: Milliseconds
    end_ms: Milliseconds
    speaker: str
    is_final: bool


class LiveVoices(LiveMessage):
    """Features, with the speaker turns that are new or changed."""

    TOPIC = "live.voices"

    first_sample: int = Field(ge=0)
    n_features: int = Field(ge=1)
    features: bytes
    speech: tuple[float, ...]
    turns: tuple[LiveTurn, ...] = ()
    digest: str = ""


class LiveWord(Frozen):
    """A recognised word on the session's timeline."""

    text: str
    start_ms: Milliseconds
    end_ms: Milliseconds
    confidence: float = Field(ge=0, le=1)
    timing: WordTiming = WordTiming.CTC


class LiveSpan(Frozen):
    """A span of the session's timeline."""

    start_ms: Milliseconds
    end_ms: Milliseconds


class LiveWords(LiveMessage):
    """The committed and the pending words of one decoding pass."""

    TOPIC = "live.words"

    end_ms: Milliseconds = Field(description="end of the audio decoded so far")
    settled_ms: Milliseconds = Field(description="watermark: no word that starts earlier will be committed any more")
    committed: tuple[LiveWord, ...] = ()
    pending: tuple[LiveWord, ...] = ()
    turns: tuple[LiveTurn, ...] = ()
    spoken: LiveSpan | None = Field(None, description="an utterance that has ended")
    language: str = Field("", description="the detected language (BCP 47); empty: the model does not detect it")
    engine: str = ""
    model: str = ""
    model_version: str = ""
    digest: str = ""


def pcm(samples: np.ndarray) -> bytes:
    """Convert float samples in [-1, 1] to 16-bit PCM, rounded as in the night's FLAC."""
    return np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype("<i2").tobytes()


def from_pcm(data: bytes) -> np.ndarray:
    """Convert 16-bit PCM to float32 samples, shape (n_samples,)."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32_768.0)


def from_floats(data: bytes, width: int) -> np.ndarray:
    """Read little-endian float32 values, shape (n, width)."""
    return np.frombuffer(data, "<f4").reshape(-1, width)
