"""recognise: windows of speech without pauses are bounded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tasks.contract import Misconfigured
from tasks.corpus.utterances.matching import edit_distance, without_punctuation
from tasks.streaming.runtime.messages import (
    LiveVoices,
    LiveWords,
    from_floats,
)
from tasks.streaming.runtime.session import Component
from tests.tasks.streaming.conftest import SENTENCES, blocks_of, push_all


def test_speech_without_a_pause_is_cut_and_loses_nothing(
    components: list[Component], spoken: tuple[np.ndarray, int]
) -> None:
    """The window is trimmed between committed words; the state is bounded."""
    from tasks.streaming.decoding.ctc import PACE

    samples, rate_hz = spoken
    sentence = samples[int(3.0 * rate_hz) : int(11.2 * rate_hz)]
    crowded = np.concatenate([sentence] * 4)
    messages: list[Any] = blocks_of(crowded, rate_hz)
    for component in components[:3]:
        messages = push_all(component, messages)
    # No pause anywhere.
    messages = [m.model_copy(update={"speech": (1.0,) * len(m.speech)}) for m in messages]
    session = components[3].open("s", None)
    words: list[LiveWords] = []
    for message in messages:
        words += list(session.push(message))
        assert len(session.save()) < (PACE.max_window_ms + 2 * PACE.step_ms) / 20 * 80 * 4 * 1.34 + 14_000
    # espeak varies, and the base model misspells: a lost sentence would be a quarter of the text.
    hypothesis = without_punctuation(" ".join(word.text for message in words for word in message.committed))
    reference = " ".join([without_punctuation(SENTENCES[1].lower())] * 4)
    assert edit_distance(reference, hypothesis) < 0.22 * len(reference), hypothesis


@pytest.mark.parametrize("word_ms", [None, (0, 800), (200, 0)], ids=["no word", "a late word", "one word throughout"])
def test_memory_is_bounded_when_no_words_are_committed(word_ms: tuple[int, int] | None) -> None:
    """Crowd noise: constant speech in which the model recognises nothing, or one word that never ends."""
    from tasks.features.config import parakeet
    from tasks.recognition.engine import RecognisedWord
    from tasks.streaming.components.recognise import RecogniseSession
    from tasks.streaming.decoding.ctc import PACE, CtcDecoder
    from tasks.transcripts.document import WordTiming

    def recognise_features(_features: Any, length_ms: int) -> Any:
        if word_ms is None:
            return SimpleNamespace(words=())
        start_ms = word_ms[0] if not word_ms[1] else max(0, length_ms - word_ms[1])
        return SimpleNamespace(words=(RecognisedWord("a", start_ms, length_ms, 0.5, WordTiming.CTC),))

    config = parakeet(hop_samples=320, n_mels=8)
    engine: Any = SimpleNamespace(name="crowd", recognise_features=recognise_features)
    model: Any = SimpleNamespace(uri="m", version="m/1")
    session = RecogniseSession(CtcDecoder(engine, config), model, "s")
    outputs: list[LiveWords] = []
    for number in range(5 * 60):
        message = LiveVoices(
            session="s",
            sequence=number,
            start_ms=number * 192,
            first_sample=number * 3_200,
            n_features=8,
            features=np.zeros((10, 8), np.float32).tobytes(),
            speech=(0.9,) * 6,
        )
        outputs += list(session.push(message))
        session.save()
        n_frames = len(from_floats(session.state.window, config.n_mels))
        assert n_frames * 20 <= PACE.max_window_ms + 2 * PACE.step_ms
    # Captions are shown up to the watermark.
    assert outputs[-1].settled_ms > outputs[-1].end_ms - PACE.max_window_ms - PACE.step_ms


def test_features_of_another_model_are_refused() -> None:
    from tasks.features.config import parakeet
    from tasks.streaming.components.recognise import RecogniseSession
    from tasks.streaming.decoding.ctc import CtcDecoder

    engine: Any = SimpleNamespace(name="other")
    model: Any = SimpleNamespace(uri="m", version="m/1")
    session = RecogniseSession(CtcDecoder(engine, parakeet(n_mels=128)), model, "s")
    message = LiveVoices(
        session="s", sequence=0, start_ms=0, first_sample=0, n_features=80, features=b"\0" * 320, speech=(0.0,)
    )
    with pytest.raises(Misconfigured, match="80 values"):
        list(session.push(message))
