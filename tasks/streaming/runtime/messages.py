"""What stands in the topics between the components. JSON; sound and features are base64 inside it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Frozen
from tasks.contract.events import Milliseconds, Session

LONGEST_BLOCK_MS = 1_000
INLINE_BYTES = 700_000  # more than a second of 16 channels at 16 kHz; what is larger lies in storage
LARGEST_BLOB_BYTES = 8_000_000  # a second of 16 channels at 192 kHz has 6.1

_BINARY = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")


class State(BaseModel):
    """What a session remembers. Changes with every message, and is saved as JSON."""

    model_config = ConfigDict(**_BINARY, extra="forbid", validate_assignment=False)


class LiveMessage(Frozen):
    """What every message has."""

    model_config = ConfigDict(**_BINARY, frozen=True, extra="forbid", protected_namespaces=())

    TOPIC: ClassVar[str]

    schema_version: Literal[1] = 1
    session: Session
    sequence: int = Field(ge=0, description="rises by one from each message of the topic and session to the next")
    start_ms: Milliseconds = Field(description="presentation time of what it begins with")
    sample_rate_hz: Annotated[int, Field(ge=8_000, le=192_000)] = SAMPLE_RATE_HZ
    captured_at: float = Field(0.0, description="when its last sample could be heard, seconds since 1970; 0: unknown")
    is_last: bool = Field(False, description="the session ends with it")

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode()


class AudioBlock(LiveMessage):
    """Sound as it came. The last block may be empty.

    `pcm`: 16-bit little-endian samples, channels interleaved. `opus`: an Ogg of its own with one Opus track of
    `duration_ms`; rate and channels then do not count. Blocks that are coded apart meet with a small seam: it costs
    some accuracy and saves nine tenths of the bytes.

    What is too large for Kafka lies in storage: `audio_uri` then names an object with the bytes that `audio` lacks.
    """

    TOPIC = "live.audio"

    n_channels: int = Field(1, ge=1, le=16)
    encoding: Literal["pcm", "opus"] = "pcm"
    duration_ms: int = Field(
        default=0, ge=0, le=LONGEST_BLOCK_MS, description="of an opus block, which decodes to more"
    )
    audio: bytes = Field(b"", max_length=INLINE_BYTES)
    audio_uri: str = Field(
        default="",
        pattern=r"^(s3://[a-z0-9.-]+/.+|file:///.+)?$",  # obstore panics at other bucket names
        description="where the bytes are, if not in `audio`",
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.audio and self.audio_uri:
            raise ValueError("its sound is either in it or elsewhere, not both")
        if self.encoding == "pcm":
            self.check(self.audio)
        return self

    def check(self, audio: bytes) -> None:
        """Raises ValueError when these are no samples of such a block, or too many."""
        if len(audio) % (2 * self.n_channels):
            raise ValueError(f"{len(audio)} bytes are no whole samples of {self.n_channels} channels")
        n_samples = len(audio) // (2 * self.n_channels)
        if n_samples > LONGEST_BLOCK_MS * self.sample_rate_hz // 1000:
            raise ValueError(f"{n_samples} samples at {self.sample_rate_hz} Hz are longer than a second")


class PreparedAudio(LiveMessage):
    """Mono at 16 kHz in whole windows of voice activity."""

    TOPIC = "live.prepared"

    first_sample: int = Field(ge=0, description="place of its first sample on the session's time line")
    audio: bytes = Field(description="16-bit samples")
    speech: tuple[float, ...] = Field(description="probability of speech, one for each 512 samples")
    digest: str = Field("", description="with the last message: sha256 over the session's audio, chained by blocks")


class LiveFeatures(LiveMessage):
    """Log-mels of the model, not normalised: each window is normalised as a whole where it is recognised."""

    TOPIC = "live.features"

    first_sample: int = Field(ge=0, description="centre of its first frame on the session's time line")
    n_features: int = Field(ge=1)
    features: bytes = Field(description="float32, (n_frames, n_features)")
    audio: bytes = Field(description="as in the message before, for telling speakers apart")
    speech: tuple[float, ...]
    digest: str = ""


class LiveTurn(Frozen):
    """One speaker talks. Until it is final, all of it may change."""

    start_ms: Milliseconds
    end_ms: Milliseconds
    speaker: str
    is_final: bool


class LiveVoices(LiveMessage):
    """Features with the turns that are new or changed."""

    TOPIC = "live.voices"

    first_sample: int = Field(ge=0)
    n_features: int = Field(ge=1)
    features: bytes
    speech: tuple[float, ...]
    turns: tuple[LiveTurn, ...] = ()
    digest: str = ""


class LiveWord(Frozen):
    """A recognised word on the session's time line."""

    text: str
    start_ms: Milliseconds
    end_ms: Milliseconds
    confidence: float = Field(ge=0, le=1)


class LiveSpan(Frozen):
    start_ms: Milliseconds
    end_ms: Milliseconds


class LiveWords(LiveMessage):
    """What one decode settled, and what it leaves open."""

    TOPIC = "live.words"

    end_ms: Milliseconds = Field(description="so far the session was heard")
    settled_ms: Milliseconds = Field(description="no word that starts before will be committed any more")
    committed: tuple[LiveWord, ...] = ()
    pending: tuple[LiveWord, ...] = ()
    turns: tuple[LiveTurn, ...] = ()
    spoken: LiveSpan | None = Field(None, description="a stretch of speech that has ended")
    engine: str = ""
    model: str = ""
    model_version: str = ""
    digest: str = ""


def pcm(samples: np.ndarray) -> bytes:
    """Float samples in -1..1 as 16-bit ones, rounded as the night's FLAC is."""
    return np.clip(np.rint(samples * 32_768.0), -32_768, 32_767).astype("<i2").tobytes()


def from_pcm(data: bytes) -> np.ndarray:
    """`(n_samples,)` float32."""
    return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32_768.0)


def from_floats(data: bytes, width: int) -> np.ndarray:
    """`(n, width)` float32."""
    return np.frombuffer(data, "<f4").reshape(-1, width)
