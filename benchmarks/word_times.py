"""Accuracy of word start times, on synthetic speech with the true word times from espeak-ng.

Only correctly recognised words are compared. The model is the repository's base model, or that of `--model`.
"""

from __future__ import annotations

import argparse
import ctypes
import difflib
import random
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.support.harness import BASE
from tasks.audio import SAMPLE_RATE_HZ

UTTERANCES = 60

WORD_EVENT, END_OF_SENTENCE = 1, 2


class Event(ctypes.Structure):
    """espeak_EVENT of speak_lib.h."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_void_p),
    )


@dataclass(frozen=True)
class SpokenText:
    """Speech `(n_samples,)` at 16 kHz, with the start time of each word."""

    samples: np.ndarray
    words: list[str]
    starts_ms: list[int]


def speak_with_times(text: str, seed: int) -> SpokenText:
    """Speak `text` in a random voice."""
    import soxr

    from local.demo.synthesis import espeak
    from local.demo.synthesis.voices import VoiceSet, random_voice

    starts: dict[int, int] = {}
    library, _, original = espeak.engine()
    signature = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Event))

    def collect_events(samples: int | None, n_samples: int, events: ctypes._Pointer[Event]) -> int:
        for index in range(10_000):
            event = events[index]
            if event.type == 0:
                break
            if event.type == WORD_EVENT:
                starts.setdefault(event.text_position - 1, event.audio_position)
        return int(original(samples, n_samples, None))

    callback = signature(collect_events)
    library.espeak_SetSynthCallback(callback)
    try:
        samples = espeak.speak(text, random_voice(VoiceSet.BASE_TRAINING, random.Random(seed)))
    finally:
        library.espeak_SetSynthCallback(original)
    found = [(match.group(), starts.get(match.start())) for match in re.finditer(r"[a-z']+", text.lower())]
    kept = [(word, start) for word, start in found if start is not None]
    resampled = soxr.resample(samples, espeak.ESPEAK_RATE_HZ, SAMPLE_RATE_HZ).astype(np.float32)
    return SpokenText(resampled, [word for word, _ in kept], [start for _, start in kept])


def sentences(n: int) -> list[str]:
    """Sentences like those of the base model's training, with another seed."""
    from local.demo.synthesis.sentences import SentenceGenerator

    generator = SentenceGenerator(seed=20261122)
    return [generator.sentence() for _ in range(n)]


def deviations_ms(model: Path, n: int = UTTERANCES) -> np.ndarray:
    """Recognised start minus true start of each correctly recognised word, `(n_words,)`."""
    from tasks.recognition import load_engine

    spoken = [speak_with_times(text, seed) for seed, text in enumerate(sentences(n))]
    found = load_engine(model, "cpu").recognise([utterance.samples for utterance in spoken])
    deviations = []
    for utterance, recognition in zip(spoken, found, strict=True):
        recognised = [re.sub(r"[^a-z']", "", word.text.lower()) for word in recognition.words]
        matcher = difflib.SequenceMatcher(None, utterance.words, recognised, autojunk=False)
        for block in matcher.get_matching_blocks():
            deviations += [
                recognition.words[block.b + k].start_ms - utterance.starts_ms[block.a + k] for k in range(block.size)
            ]
    return np.array(deviations)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=BASE)
    found = deviations_ms(parser.parse_args().model)
    absolute = np.abs(found)
    within = ", ".join(f"{100 * np.mean(absolute <= limit):.0f} % within {limit} ms" for limit in (50, 100, 200))
    print(f"{len(found)} words: median {np.median(found):+.0f} ms, absolute {np.median(absolute):.0f} ms, {within}")


if __name__ == "__main__":
    main()
