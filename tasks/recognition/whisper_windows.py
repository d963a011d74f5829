"""Whisper on windows of log-mel frames that grow, for live captions.

The words that are known already are the decoder's prefix, so a pass returns new words only; the words before the window
are its prompt. The encoder gets `MIN_ENCODED_S` of speech and silence instead of 30 s (`whisper_encoder`), and
`MIN_GREEDY_ENCODED_S` for a greedy pass.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from tasks.features.config import whisper as whisper_features
from tasks.features.logmel import whisper_range
from tasks.recognition.engine import RecognisedWord
from tasks.recognition.whisper import (
    APPENDED,
    MIN_LOG_PROBABILITY,
    NO_SPEECH_THRESHOLD,
    ONLY_LANGUAGE,
    PREPENDED,
)
from tasks.recognition.whisper_encoder import FRAMES_PER_S, MIN_ENCODED_S, MIN_SILENCE_S, WINDOW_S, on_host, pooled
from tasks.recognition.whisper_words import merge_parts
from tasks.transcripts.document import WordTiming
from tasks.transcripts.text import join, separates_words

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from ctranslate2.models import WhisperGenerationResult
    from faster_whisper.tokenizer import Tokenizer

    from tasks.recognition.whisper import WhisperEngine

MAX_PROMPT_TOKENS = 64
# Words of a greedy pass are committed only if the next pass agrees. With 15 s, Whisper base makes as many errors live
# (25 of 164 words, 24 with 8 s) and needs 1.1 cores of a processor with AVX2 alone instead of 0.9.
MIN_GREEDY_ENCODED_S = 8
# With so little silence a greedy pass begins to loop: all that is said, again and again. Its first tokens may repeat.
GREEDY_NGRAM = 5
# People speak 4 to 6 tokens a second and spell 10; a repetition loop would fill the decoder's 448.
MAX_TOKENS_PER_S, MAX_EXTRA_TOKENS = 12, 12


@dataclass(frozen=True, slots=True)
class KnownWords:
    """What has been recognised already, and in which language the window is."""

    prompt: tuple[str, ...] = ()
    """Words before the window."""
    prefix: tuple[str, ...] = ()
    """Words at the window's start; the decoder continues after them."""
    prefix_end_ms: int = 0
    """Where the last of these ends, counted from the window's start."""
    language: str = ONLY_LANGUAGE


class WhisperWindows:
    """Decodes windows with an engine's model."""

    def __init__(self, engine: WhisperEngine) -> None:
        self._whisper = engine.model
        self._model = engine.model.model
        self._tokenizers: dict[str, Tokenizer] = {}
        self._rate_hz = int(whisper_features(self._model.n_mels).frame_rate_hz)
        self._is_on_cpu = self._model.device == "cpu"
        self._features = self._encoded = np.empty(0, np.float32)

    @property
    def is_multilingual(self) -> bool:
        return bool(self._model.is_multilingual)

    def _encode(self, frames: np.ndarray, beam_size: int) -> np.ndarray:
        """Encode log-mel frames without range, `(n_frames, n_mels)`, followed by silence: `(1, n_encoded, d_model)`.

        The last encoding is kept: that in which a language was detected is decoded next.
        """
        from ctranslate2 import StorageView

        min_s = MIN_ENCODED_S if beam_size > 1 else MIN_GREEDY_ENCODED_S
        n_frames = max(min_s * self._rate_hz, len(frames) + MIN_SILENCE_S * self._rate_hz)
        n_frames = min(n_frames, WINDOW_S * self._rate_hz)
        n_frames += n_frames % 2  # the encoder halves them
        ranged = whisper_range(torch.from_numpy(frames[:n_frames].copy()), n_frames)  # (n_frames, n_mels)
        features = np.ascontiguousarray(ranged.numpy().T[None])  # (1, n_mels, n_frames)
        if not np.array_equal(features, self._features):
            self._features, self._encoded = features, on_host(self._model.encode(StorageView.from_array(features)))
        return self._encoded

    def detect_language(self, frames: np.ndarray, from_ms: int = 0, beam_size: int = 1) -> dict[str, float]:
        """Return each language's probability (BCP 47) from a time on. Decoding with this beam then encodes no more.

        With the silence after the speech: English with an accent has 0.33 in the median of 1.5 s, without it 0.03.
        """
        from ctranslate2 import StorageView

        encoded = self._encode(frames, beam_size)[:, max(0, from_ms) * FRAMES_PER_S // 1000 :]
        (most_likely_first,) = self._model.detect_language(StorageView.from_array(np.ascontiguousarray(encoded)))
        return {token[2:-2]: probability for token, probability in most_likely_first}  # "<|en|>"

    def decode(
        self, frames: np.ndarray, known: KnownWords, beam_size: int = 1, forbids_loops: bool = False
    ) -> tuple[RecognisedWord, ...]:
        """Return the words after the known ones. Times count from the window's start and never decrease.

        `frames`: log-mel without range, `(n_frames, n_mels)`.
        """
        from ctranslate2 import StorageView

        tokenizer = self._tokenizer(known.language)
        encoded = self._encode(frames, beam_size)
        # A greedy pass gets every frame: after eight seconds the mean of three ended the text at a sentence's end.
        shown = pooled(encoded) if self._is_on_cpu and beam_size > 1 else encoded
        prefix = _encode_text(tokenizer, known.prefix, known.language)
        prompt = _encode_text(tokenizer, known.prompt, known.language)[-MAX_PROMPT_TOKENS:]
        start = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        tokens_before = [*([tokenizer.sot_prev, *prompt] if prompt else []), *start, *prefix]
        length_ms = len(frames) * 1000 // self._rate_hz
        new_s = max(0, length_ms - known.prefix_end_ms) / 1000
        max_new = MAX_EXTRA_TOKENS + math.ceil(MAX_TOKENS_PER_S * new_s)
        (result,) = self._model.generate(
            StorageView.from_array(shown),
            [tokens_before],
            beam_size=beam_size,
            max_length=min(len(tokens_before) + max_new, self._whisper.max_length),
            # Upstream forbids an empty text, which after known words would add a word to each pass.
            suppress_blank=not prefix,
            suppress_tokens=_suppressed(tokenizer),
            repetition_penalty=1.2 if forbids_loops else 1.0,
            no_repeat_ngram_size=4 if forbids_loops else 0 if beam_size > 1 else GREEDY_NGRAM,
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = [token for token in result.sequences_ids[0][len(prefix) :] if token < tokenizer.eot]
        if not tokens or _has_no_speech(result):
            return ()
        return self._timed_words(tokenizer, StorageView.from_array(encoded), prefix, tokens, known, length_ms)

    def _timed_words(
        self,
        tokenizer: Tokenizer,
        encoded: StorageView,
        prefix: list[int],
        tokens: list[int],
        known: KnownWords,
        length_ms: int,
    ) -> tuple[RecognisedWord, ...]:
        """Align prefix and new tokens by attention, and return the words of the new ones."""
        from faster_whisper.transcribe import Word, merge_punctuations

        n_frames = length_ms * self._rate_hz // 1000
        (parts,) = self._whisper.find_alignment(tokenizer, [prefix + tokens], encoded, n_frames)
        first = 0
        new_parts = []
        for part in parts:
            if first >= len(prefix):
                new_parts.append(part)
            first += len(part["tokens"])
        # A part without a leading space continues the last known word, which does not change any more.
        while prefix and new_parts and separates_words(known.language) and not new_parts[0]["word"][:1].isspace():
            new_parts.pop(0)
        merge_punctuations(new_parts, PREPENDED, APPENDED)
        words: list[RecognisedWord] = []
        start_ms = end_ms = min(known.prefix_end_ms, length_ms)
        for word in merge_parts(
            (Word(p["start"], p["end"], p["word"], p["probability"]) for p in new_parts), known.language
        ):
            start_ms = min(max(round(word.start * 1000), start_ms), length_ms)
            end_ms = min(max(round(word.end * 1000), start_ms, end_ms), length_ms)
            confidence = min(max(float(word.probability), 0.0), 1.0)
            words.append(RecognisedWord(word.word, start_ms, end_ms, confidence, WordTiming.ATTENTION))
        return tuple(words)

    def _tokenizer(self, language: str) -> Tokenizer:
        from faster_whisper.tokenizer import Tokenizer

        if language not in self._tokenizers:
            self._tokenizers[language] = Tokenizer(
                self._whisper.hf_tokenizer, self.is_multilingual, "transcribe", language
            )
        return self._tokenizers[language]


def _encode_text(tokenizer: Tokenizer, words: Sequence[str], language: str) -> list[int]:
    if not words:
        return []
    text = join(words, language)
    return list(tokenizer.encode(f" {text}" if separates_words(language) else text))


def _suppressed(tokenizer: Tokenizer) -> list[int]:
    from faster_whisper.transcribe import get_suppressed_tokens

    return list(get_suppressed_tokens(tokenizer, [-1]))


def _has_no_speech(result: WhisperGenerationResult) -> bool:
    return result.no_speech_prob > NO_SPEECH_THRESHOLD and result.scores[0] < MIN_LOG_PROBABILITY
