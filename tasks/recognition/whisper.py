"""Whisper through faster-whisper (CTranslate2): its decoder on our chunks.

Upstream's voice activity detection and chunking are not used, and no text is carried from one chunk to the next.
"""

from __future__ import annotations

import math
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import Misconfigured, Reason
from tasks.media.speech_activity import has_speech
from tasks.recognition.allocator import keep_freed_memory, return_freed_memory
from tasks.recognition.engine import Hints, Recognition
from tasks.recognition.languages import corrected
from tasks.recognition.packing import split_evenly
from tasks.recognition.vocabulary import spell_as_listed
from tasks.recognition.whisper_encoder import FRAMES_PER_S, WINDOW_S, EncoderCache, WindowFeatures, encoded_s, pooled
from tasks.recognition.whisper_words import as_segment, words_of_segments
from tasks.transcripts.spans import Span

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer
    from faster_whisper.transcribe import TranscriptionOptions

T = TypeVar("T")
R = TypeVar("R")

WINDOW_SAMPLES = WINDOW_S * SAMPLE_RATE_HZ
COMPUTE_TYPES = {"cpu": "int8", "cuda": "float16"}
BATCH_CHUNKS = {"cpu": 8, "cuda": 24}
# On CPUs batches run in parallel, with few threads each: a decoder's matrix products are too small for more.
MAX_WORKERS, MAX_THREADS_PER_WORKER = 4, 4
BATCH_S = {"cpu": 300.0, "cuda": 1440.0}
BEAM_SIZE = 5
PREPENDED, APPENDED = "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、"  # upstream's punctuation that belongs to a word
# The model's token for a window without speech; the second name is that of vocabularies before large-v3. As upstream,
# a high probability of it counts only if the text is improbable: digits read slowly have 0.7 and a right text at -0.4.
# But text hallucinated in silence may be as probable: Whisper base gives digital silence 0.93 and "you" at -0.4. So a
# probable text also needs speech by the voice activity network.
NO_SPEECH_TOKENS = ("<|nospeech|>", "<|nocaptions|>")
NO_SPEECH_THRESHOLD = 0.6
MIN_LOG_PROBABILITY = -1.0  # mean over the text's tokens
ONLY_LANGUAGE = "en"  # for models that are not multilingual


class WhisperEngine:
    """A Whisper of any size in CTranslate2's format, with its `tokenizer.json`."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        import ctranslate2
        from faster_whisper import WhisperModel

        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        if device == "cpu":
            keep_freed_memory()
        cores = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
        self._n_workers = min(MAX_WORKERS, cores) if device == "cpu" else 1
        self._model = WhisperModel(
            str(folder),
            device=device,
            compute_type=COMPUTE_TYPES[device],
            cpu_threads=min(MAX_THREADS_PER_WORKER, cores // self._n_workers),
            num_workers=self._n_workers,
            local_files_only=True,
        )
        return_freed_memory()  # loading takes three times what the model does
        self._is_on_cpu = device == "cpu"
        self._model.feature_extractor = WindowFeatures(self._model)
        self._encoder = EncoderCache(self._model)
        self._model.encode = self._encode
        self._batch_chunks, self._compute_type = BATCH_CHUNKS[device], COMPUTE_TYPES[device]

    @property
    def name(self) -> str:
        return f"faster-whisper {self._compute_type}, beam {BEAM_SIZE}"

    @property
    def model(self) -> WhisperModel:
        """For `whisper_windows`, which decodes features instead of audio."""
        return self._model

    @property
    def max_chunk_s(self) -> float:
        return float(WINDOW_S)

    @property
    def join_pause_s(self) -> float:
        """A window costs the same however little speech it has, but long silence makes Whisper hallucinate."""
        return 3.0

    @property
    def batch_s(self) -> float:
        return BATCH_S[self._model.model.device]

    @property
    def has_fixed_window(self) -> bool:
        return True

    @property
    def detects_languages(self) -> bool:
        return bool(self._model.model.is_multilingual)

    def detect_languages(self, chunks: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """See `Engine.detect_languages`. Each chunk costs one encoder pass, which decoding it then saves."""
        if not self.detects_languages:
            return []

        def detect(batch: Sequence[int]) -> list[dict[str, float]]:
            return self._detect(self._encoder.on_host(self._features([chunks[index] for index in batch])))

        of_length: dict[int, list[int]] = defaultdict(list)
        for index, chunk in enumerate(chunks):
            of_length[self._encoded_s(chunk)].append(index)
        detected: list[dict[str, float]] = [{} for _ in chunks]
        # On CPUs windows are encoded one by one; apart, they keep all workers busy to the end.
        batches = [
            batch
            for length_s in sorted(of_length, reverse=True)
            for batch in split_evenly(of_length[length_s], 1 if self._is_on_cpu else self._batch_chunks)
        ]
        for batch, probabilities in self._in_parallel(detect, batches):
            for index, probability in zip(batch, probabilities, strict=True):
                detected[index] = probability
        return detected

    def detect_languages_within(self, chunk: np.ndarray, stretches: Sequence[Span]) -> list[dict[str, float]]:
        """See `Engine.detect_languages_within`. The encoder runs once; the decoder sees the frames of one stretch.

        With Whisper base the stretches of a window differ little from the same audio alone: German between English
        sentences has 0.96 where it has 0.97 alone, French of 2.5 s 0.87 where it has 1.00.
        """
        if not self.detects_languages:
            return []
        (encoded,) = self._encoder.on_host(self._features([chunk]))  # (n_frames, d_model)
        detected = []
        for stretch in stretches:
            frames = slice(stretch.start_ms * FRAMES_PER_S // 1000, max(stretch.end_ms * FRAMES_PER_S // 1000, 1))
            detected += self._detect(np.ascontiguousarray(encoded[None, frames]))
        return detected

    def _encoded_s(self, chunk: np.ndarray) -> int:
        """The seconds to encode for a chunk: on accelerators, always a whole window."""
        return encoded_s(len(chunk) / SAMPLE_RATE_HZ) if self._is_on_cpu else WINDOW_S

    def _encode(self, features: np.ndarray) -> StorageView:
        """Replaces the model's encoder, for the decoder's search."""
        from ctranslate2 import StorageView

        encoded = self._encoder.on_host(features)
        return StorageView.from_array(pooled(encoded) if self._is_on_cpu else encoded)

    def _features(self, chunks: Sequence[np.ndarray]) -> np.ndarray:
        """Features of each chunk in a window of its own, all as long as the longest needs: `(n, n_mels, n_frames)`."""
        n_frames = 2 * FRAMES_PER_S * max(map(self._encoded_s, chunks))
        return np.stack([self._model.feature_extractor(chunk)[..., :n_frames] for chunk in chunks])

    def _detect(self, encoded: np.ndarray) -> list[dict[str, float]]:
        """The probability of each language in each of `(n, n_frames, d_model)`.

        From all frames: from the mean of three, English with an accent is more often taken for another language.
        """
        from ctranslate2 import StorageView

        detected = [
            ranked
            for part in self._in_parts(encoded)
            for ranked in self._model.model.detect_language(StorageView.from_array(part))
        ]
        return [corrected({token[2:-2]: p for token, p in ranked}) for ranked in detected]  # "<|en|>"

    def recognise(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None = None, fallback: bool = False
    ) -> list[Recognition]:
        """See `Engine.recognise`. A chunk without a language in its hints is decoded in its detected language.

        The fallback uses no prompt and forbids repeated 4-grams of tokens. Sampling at rising temperatures, upstream's
        own fallback, is not reproducible.
        """
        recognitions = [Recognition(())] * len(chunks)
        batches = [
            (hint, batch)
            for (hint, _), indexes in self._group_by_hints(chunks, hints, fallback).items()
            for batch in split_evenly(indexes, self._batch_chunks, self._n_workers)
        ]

        def decode(batch: tuple[Hints, Sequence[int]]) -> list[Recognition]:
            hint, indexes = batch
            return self._decode([chunks[index] for index in indexes], hint, fallback)

        for (_, indexes), recognised in self._in_parallel(decode, batches):
            for index, recognition in zip(indexes, recognised, strict=True):
                recognitions[index] = recognition
        return recognitions

    def _in_parallel(self, work: Callable[[T], R], batches: Sequence[T]) -> Iterator[tuple[T, R]]:
        """Batches and their results from `work`, in order; the workers run in parallel."""
        with ThreadPoolExecutor(self._n_workers) as workers:
            yield from zip(batches, workers.map(work, batches), strict=True)

    def _group_by_hints(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None, fallback: bool
    ) -> dict[tuple[Hints, int], list[int]]:
        """Indexes of the chunks that are not empty, by their hints and the seconds to encode, longest first.

        Chunks of similar length have texts of similar length, and a batch takes as long as its longest text.
        """
        completed = list(hints) if hints else [Hints()] * len(chunks)
        undetected = [index for index, hint in enumerate(completed) if len(chunks[index]) and not hint.language]
        detected = self.detect_languages([chunks[index] for index in undetected]) or [{} for _ in undetected]
        for index, probabilities in zip(undetected, detected, strict=True):
            language = max(probabilities, key=probabilities.__getitem__, default=ONLY_LANGUAGE)
            completed[index] = replace(completed[index], language=language)
        groups: dict[tuple[Hints, int], list[int]] = defaultdict(list)
        for index in sorted(range(len(chunks)), key=lambda i: -len(chunks[i])):
            hint, chunk = completed[index], chunks[index]
            # In noise Whisper says what it was prompted with: white noise became "Dr. Smith, Margaret".
            if hint.vocabulary and (fallback or not has_speech(chunk)):
                hint = replace(hint, vocabulary=())
            if len(chunk):
                groups[hint, self._encoded_s(chunk)].append(index)
        return groups

    def _language_code(self, language: str | None) -> str | None:
        """Whisper's code of a language: it has no regions."""
        code = language and language.split("-")[0]
        if code and code not in self._model.supported_languages:
            raise Misconfigured(
                f"the model does not support {language}",
                reason=Reason.INVALID_ARGUMENT,
                subject="language",
                next_step="give another language, or auto",
            )
        return code

    def _decode(self, chunks: Sequence[np.ndarray], hints: Hints, fallback: bool) -> list[Recognition]:
        """Decode one batch. In upstream's times one chunk begins every 30 s."""
        from faster_whisper import BatchedInferencePipeline
        from faster_whisper.tokenizer import Tokenizer

        code = self._language_code(hints.language)
        tokenizer = Tokenizer(self._model.hf_tokenizer, self.detects_languages, "transcribe", code)
        chunks = [chunk[:WINDOW_SAMPLES] for chunk in chunks]
        lengths_s = [len(chunk) / SAMPLE_RATE_HZ for chunk in chunks]
        features = self._features(chunks)
        decoded = BatchedInferencePipeline(self._model).forward(
            features,
            tokenizer,
            [{"offset": index * WINDOW_S, "duration": length_s} for index, length_s in enumerate(lengths_s)],
            decoding_options(tokenizer, hints.vocabulary, fallback),
        )
        self._add_word_times(decoded, features, lengths_s, tokenizer)
        recognitions = []
        for index, (chunk, length_s, parts) in enumerate(zip(chunks, lengths_s, decoded, strict=True)):
            # Decoding cannot end the text at its first token, so there is always some text.
            segments = [
                segment
                for segment in map(as_segment, parts)
                if segment.no_speech_prob <= NO_SPEECH_THRESHOLD
                or (segment.avg_logprob >= MIN_LOG_PROBABILITY and has_speech(chunk))
            ]
            words = words_of_segments(segments, index * WINDOW_S, length_s, hints.language or "")
            log_probability = sum(segment.avg_logprob * (len(segment.tokens) + 1) for segment in segments)
            recognitions.append(Recognition(spell_as_listed(words, hints.vocabulary), hints.language, log_probability))
        return recognitions

    def _add_word_times(
        self,
        decoded: list[list[dict[str, Any]]],
        features: np.ndarray,
        lengths_s: Sequence[float],
        tokenizer: Tokenizer,
    ) -> None:
        """Add upstream's words to the segments of each window, from all frames of its encoding."""
        from ctranslate2 import StorageView

        n_frames = [math.ceil(length_s) * self._model.frames_per_second for length_s in lengths_s]
        first, end_s = 0, 0.0
        for part in self._in_parts(self._encoder.on_host(features)):
            windows = slice(first, first + len(part))
            end_s = self._model.add_word_timestamps(
                decoded[windows],
                tokenizer,
                StorageView.from_array(part),
                n_frames[windows],
                PREPENDED,
                APPENDED,
                end_s,
            )
            first += len(part)

    def _in_parts(self, encoded: np.ndarray) -> list[np.ndarray]:
        """Divide `(n, n_frames, d_model)`, of which the decoder gets all frames, into what it gets at once.

        On CPUs that is one window: of a batch of four, keys, values and posteriors take 300 MB, and it is no faster.
        """
        return np.split(encoded, len(encoded)) if self._is_on_cpu else [encoded]


def decoding_options(tokenizer: Tokenizer, vocabulary: Sequence[str], fallback: bool) -> TranscriptionOptions:
    """Return upstream's options of the batched pipeline: its defaults."""
    from faster_whisper.transcribe import TranscriptionOptions, get_suppressed_tokens

    return TranscriptionOptions(
        beam_size=BEAM_SIZE,
        best_of=BEAM_SIZE,
        patience=1,
        length_penalty=1,
        repetition_penalty=1.2 if fallback else 1.0,
        no_repeat_ngram_size=4 if fallback else 0,
        log_prob_threshold=None,
        no_speech_threshold=None,
        compression_ratio_threshold=None,
        condition_on_previous_text=False,
        prompt_reset_on_temperature=0.5,
        temperatures=[0.0],
        initial_prompt=None,
        prefix=None,
        suppress_blank=True,
        suppress_tokens=get_suppressed_tokens(tokenizer, [-1]),
        without_timestamps=True,
        max_initial_timestamp=0.0,
        word_timestamps=False,  # they are added from other encodings
        prepend_punctuations=PREPENDED,
        append_punctuations=APPENDED,
        multilingual=False,
        max_new_tokens=None,
        clip_timestamps="0",
        hallucination_silence_threshold=None,
        hotwords=", ".join(vocabulary) or None,
    )
