"""Speech synthesis with espeak-ng through ctypes.

The library and its data come from the `espeakng-loader` wheel. espeak-ng is GPL v3: development and demo only, never
imported by `tasks`, never part of the images. The engine is global state of the C library: one for the process, and
not thread-safe.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

ESPEAK_RATE_HZ = 22_050  # every voice has this rate, except MBROLA's

# Constants of speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_POS_CHARACTER = 1
_CHARS_UTF8 = 1
_RATE, _PITCH, _RANGE = 1, 3, 4
_PATH_BYTES = 160  # size of espeak-ng's buffer for its data path (N_PATH_HOME)


class SynthesisError(RuntimeError):
    """espeak-ng could not be started or does not know a voice."""


@dataclass(frozen=True)
class Voice:
    """One synthetic speaker: an accent, the build of a vocal tract, and a way of speaking.

    `variant` names a file of espeak-ng's `voices/!v`. `pitch` and `pitch_range` are from 0 to 100; 50 is the variant's
    own. `words_per_minute` counts espeak-ng's words of five or six letters: 130 gives about 160 words of English prose,
    the pace of a newsreader.
    """

    accent: str
    variant: str
    pitch: int = 50
    pitch_range: int = 50
    words_per_minute: int = 130

    @property
    def name(self) -> str:
        return f"{self.accent}+{self.variant}"


def speak(text: str, voice: Voice) -> np.ndarray:
    """Speech for `text`, `(n_samples,)` float32 in -1..1 at `ESPEAK_RATE_HZ`."""
    library, chunks, _ = engine()
    # espeak-ng reports no error for an unknown variant: it falls back to the accent's default voice.
    if voice.variant not in installed_variants() or library.espeak_SetVoiceByName(voice.name.encode()):
        raise SynthesisError(f"espeak-ng has no voice {voice.name!r}")
    # After the voice, because a voice file sets pitch and range itself.
    for parameter, setting in (
        (_RATE, voice.words_per_minute),
        (_PITCH, voice.pitch),
        (_RANGE, voice.pitch_range),
    ):
        library.espeak_SetParameter(parameter, setting, 0)
    chunks.clear()
    encoded = text.encode() + b"\0"
    library.espeak_Synth(encoded, len(encoded), 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
    pcm = np.frombuffer(b"".join(chunks), dtype=np.int16)
    return pcm.astype(np.float32) / 32_768.0


@cache
def installed_variants() -> frozenset[str]:
    """The voice variants in espeak-ng's data, about a hundred."""
    import espeakng_loader

    return frozenset(path.name for path in (Path(espeakng_loader.get_data_path()) / "voices" / "!v").iterdir())


@cache
def engine() -> tuple[Any, list[bytes], Callable[..., int]]:
    """The initialised library, the list that its callback appends chunks of PCM to, and that callback."""
    import espeakng_loader

    data = espeakng_loader.get_data_path()
    if len(data.encode()) >= _PATH_BYTES:
        raise SynthesisError(
            f"espeak-ng supports data paths of less than {_PATH_BYTES} bytes: {data}; "
            "create the virtual environment in a shorter path"
        )
    library = ctypes.CDLL(str(espeakng_loader.get_library_path()))
    rate_hz = library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, str(data).encode(), _INITIALIZE_DONT_EXIT)
    if rate_hz != ESPEAK_RATE_HZ:
        raise SynthesisError(f"espeak-ng did not start from {data} (it returned {rate_hz})")
    chunks: list[bytes] = []
    callback = _sample_callback(chunks)
    library.espeak_SetSynthCallback(callback)
    return library, chunks, callback  # C holds only a pointer to the callback, so a reference must be kept


def _sample_callback(chunks: list[bytes]) -> Callable[..., int]:
    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

    def append(samples: int | None, n_samples: int, _events: int | None) -> int:
        if samples and n_samples > 0:
            chunks.append(ctypes.string_at(samples, 2 * n_samples))
        return 0  # continue

    return signature(append)
