"""Whisper through faster-whisper (CTranslate2): our chunks, its decoder.

Its own voice activity and its chunking are not used, and nothing is carried from one chunk to the next.
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from tasks.audio import SAMPLE_RATE_HZ
from tasks.contract import InputRejected, Misconfigured, Reason, digest_of
from tasks.recognition.allocation import keep_freed_memory
from tasks.recognition.engine import Hints, Recognition, Word
from tasks.recognition.packing import evenly
from tasks.recognition.vocabulary import written
from tasks.transcripts.document import WordTiming
from tasks.transcripts.text import space_between

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel
    from faster_whisper.transcribe import Segment
    from faster_whisper.transcribe import Word as Piece

T = TypeVar("T")
R = TypeVar("R")

WINDOW_S = 30
WINDOW_SAMPLES = WINDOW_S * SAMPLE_RATE_HZ
COMPUTE_TYPES = {"cpu": "int8", "cuda": "float16"}
BATCH_CHUNKS = {"cpu": 8, "cuda": 24}
# On processors batches go side by side, with few threads each: a decoder's products are too small to be shared out.
WORKERS, THREADS_A_WORKER = 4, 4  # at most
PORTION_S = {"cpu": 300.0, "cuda": 1440.0}
BEAM_SIZE = 5
# A model's own word for a window without speech; the second is that of vocabularies before large-v3. Upstream asks that
# the text be improbable too, but what is invented in silence often is not: Whisper base is 0.93 sure of digital silence
# and hears "you" in it, at a mean log probability of -0.4. Of people's sentences in as much noise it was 0.33 at most,
# and of single words above 0.6 only where it misheard them.
NO_SPEECH_TOKENS = ("<|nospeech|>", "<|nocaptions|>")
NO_SPEECH = 0.6
MOST_KEPT = 64  # encodings of large-v3 take 3.8 MB each on accelerators
ONLY_LANGUAGE = "en"  # of the models that are not multilingual
# What faster-whisper needs beside the weights; without a tokenizer it would ask the hub.
COMPANIONS = ("tokenizer.json", "preprocessor_config.json")


class WindowFeatures:
    """In place of faster-whisper's extractor: our features of a whole window, the silence behind the chunk included.

    Whisper was trained on sound that was filled up with silence. Upstream fills up the features, with zeros, which no
    silence gives; and its extractor takes several times as long.
    """

    def __init__(self, model: WhisperModel) -> None:
        from tasks.features.config import whisper
        from tasks.features.logmel import LogMel

        vars(self).update(vars(model.feature_extractor))  # rates and lengths, which the model reads here
        self._log_mel = LogMel(whisper(model.model.n_mels))

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        """`(n_samples,)` at 16 kHz to `(n_mels, n_frames + 1)`: the callers drop the last."""
        features = self._log_mel([waveform])[0].numpy().T
        return np.pad(features, ((0, 0), (0, 1)))


class Encodings:
    """In place of a model's encoder: what it made of a window that was heard for its language is kept until the window
    is decoded. On processors a window costs as much to encode as to decode."""

    def __init__(self, model: WhisperModel) -> None:
        self._encode = model.encode if model.model.device == "cuda" else _one_by_one(model.encode)
        self._kept: dict[bytes, np.ndarray] = {}
        self._lock = Lock()

    def hear(self, features: np.ndarray) -> StorageView:
        """`(n, n_mels, n_frames)` to encodings, of which the latest are kept."""
        encoded = self._encode(features)
        heard = {_digest(window): np.copy(e) for window, e in zip(features, _on_host(encoded), strict=True)}
        with self._lock:
            self._kept |= heard
            while len(self._kept) > MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
        return encoded

    def __call__(self, features: np.ndarray) -> StorageView:
        """`(n, n_mels, n_frames)` to encodings; what was kept is given away."""
        from ctranslate2 import StorageView

        found = {}
        if self._kept:
            digests = [_digest(window) for window in features]
            with self._lock:
                found = {index: self._kept.pop(d) for index, d in enumerate(digests) if d in self._kept}
        if not found:
            return self._encode(features)
        if missing := [index for index in range(len(features)) if index not in found]:
            found |= dict(zip(missing, _on_host(self._encode(features[missing])), strict=True))
        return StorageView.from_array(np.stack([found[index] for index in range(len(features))]))


def _one_by_one(encode: Callable[[np.ndarray], StorageView]) -> Callable[[np.ndarray], StorageView]:
    """On processors: what a window's attention needs stays small (a window of small takes 2.1 s so, 2.4 among six)."""

    def encode_each(features: np.ndarray) -> StorageView:
        from ctranslate2 import StorageView

        windows = features.reshape(-1, 1, *features.shape[-2:])  # upstream asks for a single one without its number
        return StorageView.from_array(np.concatenate([_on_host(encode(window)) for window in windows]))

    return encode_each


def _on_host(encoded: StorageView) -> np.ndarray:
    from ctranslate2 import Device

    return np.asarray(encoded.to_device(Device.cpu))


def _digest(window: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(window).data, digest_size=16).digest()


class WhisperEngine:
    """A converted Whisper of any size."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        import ctranslate2
        from faster_whisper import WhisperModel

        missing = [name for name in COMPANIONS if not (folder / name).is_file()]
        if missing:
            raise InputRejected(
                f"a Whisper without {' and '.join(missing)}",
                reason=Reason.CORRUPT,
                subject=str(folder),
                next_step="save its tokenizer and its feature extractor beside the weights",
            )
        if device == "auto":
            device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        if device == "cpu":
            keep_freed_memory()
        cores = int(os.environ.get("OMP_NUM_THREADS") or len(os.sched_getaffinity(0)))
        self._n_workers = min(WORKERS, cores) if device == "cpu" else 1
        self._model = WhisperModel(
            str(folder),
            device=device,
            compute_type=COMPUTE_TYPES[device],
            cpu_threads=min(THREADS_A_WORKER, cores // self._n_workers),
            num_workers=self._n_workers,
            local_files_only=True,
        )
        self._model.feature_extractor = WindowFeatures(self._model)
        self._encodings = self._model.encode = Encodings(self._model)
        self._batch_chunks = BATCH_CHUNKS[device]
        self._compute_type = COMPUTE_TYPES[device]

    @property
    def name(self) -> str:
        return f"faster-whisper {self._compute_type}, beam {BEAM_SIZE}"

    @property
    def longest_chunk_s(self) -> float:
        return float(WINDOW_S)

    @property
    def join_pause_s(self) -> float:
        """A window costs the same however little is said in it; but long silence in it invites invention."""
        return 3.0

    @property
    def portion_s(self) -> float:
        return PORTION_S[self._model.model.device]

    @property
    def has_fixed_window(self) -> bool:
        return True

    @property
    def tells_languages(self) -> bool:
        return bool(self._model.model.is_multilingual)

    def languages(self, chunks: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """See `Engine.languages`. Each chunk costs one pass of the encoder, which decoding it then saves."""
        if not self.tells_languages:
            return []

        def guess(batch: Sequence[np.ndarray]) -> list[dict[str, float]]:
            features = [self._model.feature_extractor(chunk)[..., :-1] for chunk in batch]
            guesses = self._model.model.detect_language(self._encodings.hear(np.stack(features)))
            return [{token[2:-2]: p for token, p in likely_first} for likely_first in guesses]  # "<|en|>"

        return [found for _, guesses in self._side_by_side(guess, chunks) for found in guesses]

    def recognise(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None = None, careful: bool = False
    ) -> list[Recognition]:
        """See `Engine.recognise`. A chunk without a language in its hints is decoded in the one heard in it.

        Carefully is without prompt, and no four tokens may come twice. Sampling at rising temperatures, upstream's own
        way out of a loop, would give other words each time.
        """
        recognitions = [Recognition(())] * len(chunks)
        for known, indexes in self._alike(chunks, hints, careful).items():

            def decode(batch: Sequence[int], known: Hints = known) -> list[Recognition]:
                return self._decode([chunks[index] for index in batch], known, careful)

            for batch, found in self._side_by_side(decode, indexes):
                for index, recognition in zip(batch, found, strict=True):
                    recognitions[index] = recognition
        return recognitions

    def _side_by_side(
        self, work: Callable[[Sequence[T]], list[R]], items: Sequence[T]
    ) -> Iterator[tuple[Sequence[T], list[R]]]:
        """Batches of `items` and what `work` makes of them, in order; as many at a time as there are workers."""
        batches = evenly(items, self._batch_chunks, self._n_workers)
        with ThreadPoolExecutor(self._n_workers) as workers:
            yield from zip(batches, workers.map(work, batches), strict=True)

    def _alike(
        self, chunks: Sequence[np.ndarray], hints: Sequence[Hints] | None, careful: bool
    ) -> dict[Hints, list[int]]:
        """Indexes of the chunks that hold a sample, by what is known of them, the longest first.

        Neighbours in length say about as much: a batch takes as long as its longest text.
        """
        given = list(hints) if hints else [Hints()] * len(chunks)
        vague = [index for index, hint in enumerate(given) if len(chunks[index]) and not hint.language]
        heard = self.languages([chunks[index] for index in vague]) or [{} for _ in vague]
        for index, likely in zip(vague, heard, strict=True):
            given[index] = replace(given[index], language=max(likely, key=likely.__getitem__, default=ONLY_LANGUAGE))
        groups: dict[Hints, list[int]] = defaultdict(list)
        for index in sorted(range(len(chunks)), key=lambda i: -len(chunks[i])):
            if len(chunks[index]):
                groups[replace(given[index], vocabulary=()) if careful else given[index]].append(index)
        return groups

    def _code(self, language: str | None) -> str | None:
        """Whisper's own name of a language: it knows no regions."""
        code = language and language.split("-")[0]
        if code and code not in self._model.supported_languages:
            raise Misconfigured(
                f"the model does not speak {language}",
                reason=Reason.INVALID_ARGUMENT,
                subject="language",
                next_step="name another, or auto",
            )
        return code

    def _decode(self, chunks: Sequence[np.ndarray], known: Hints, careful: bool) -> list[Recognition]:
        """One batch. Each chunk gets a window of its own on one line, so that a segment's place says whose it is."""
        from faster_whisper import BatchedInferencePipeline

        line = np.zeros(len(chunks) * WINDOW_SAMPLES, dtype=np.float32)
        clips, lengths_s = [], []
        for index, chunk in enumerate(chunks):
            chunk = chunk[:WINDOW_SAMPLES]
            line[index * WINDOW_SAMPLES : index * WINDOW_SAMPLES + len(chunk)] = chunk
            lengths_s.append(len(chunk) / SAMPLE_RATE_HZ)
            clips.append({"start": index * WINDOW_S, "end": index * WINDOW_S + lengths_s[-1]})
        # It remembers where the last batch ended: each has its own, or what is side by side would mix.
        segments, _ = BatchedInferencePipeline(self._model).transcribe(
            line,
            language=self._code(known.language),
            beam_size=BEAM_SIZE,
            word_timestamps=True,
            vad_filter=False,
            clip_timestamps=clips,
            batch_size=len(clips),
            hotwords=", ".join(known.vocabulary) or None,
            repetition_penalty=1.2 if careful else 1.0,
            no_repeat_ngram_size=4 if careful else 0,
        )
        heard: list[list[Segment]] = [[] for _ in chunks]
        frames_per_window = WINDOW_S * self._model.frames_per_second
        for segment in segments:
            if segment.no_speech_prob > NO_SPEECH:
                continue  # decoders may not end a text at once, and so must write something
            heard[segment.seek // frames_per_window].append(segment)
        return [
            Recognition(
                written(_words(heard[index], index * WINDOW_S, length_s, known.language or ""), known.vocabulary),
                known.language,
            )
            for index, length_s in enumerate(lengths_s)
        ]


def _words(segments: Iterable[Segment], offset_s: float, length_s: float, language: str) -> tuple[Word, ...]:
    """A chunk's words, their times counted from its start, held inside it and in order."""
    words: list[Word] = []
    start_ms = end_ms = 0
    length_ms = int(length_s * 1000)
    for text, start_s, end_s, probability, timing in (
        word for segment in segments for word in _timed(segment, language)
    ):
        start_ms = min(max(round((start_s - offset_s) * 1000), start_ms), length_ms)
        end_ms = min(max(round((end_s - offset_s) * 1000), start_ms, end_ms), length_ms)
        words.append(Word(text, start_ms, end_ms, min(max(float(probability), 0.0), 1.0), timing))
    return tuple(words)


def _timed(segment: Segment, language: str) -> Iterator[tuple[str, float, float, float, WordTiming]]:
    """Text, start, end, probability and timing of each word, in seconds of the line.

    Where the attention gave no words for a text, they share the segment by their length: text is never lost.
    """
    if segment.words:
        for word in _whole(segment.words, language):
            yield word.word, word.start, word.end, word.probability, WordTiming.ATTENTION
        return
    texts = segment.text.split()
    n_characters = sum(map(len, texts))
    said = 0
    for text in texts:
        start, end = (
            segment.start + (segment.end - segment.start) * n / n_characters for n in (said, said + len(text))
        )
        yield text, start, end, math.exp(segment.avg_logprob), WordTiming.CHUNK
        said += len(text)


def _whole(pieces: Iterable[Piece], language: str) -> list[Piece]:
    """Words without the spaces before them.

    Upstream begins another at a mark inside ("state", "-of") and, in scripts without spaces, at every token ("20",
    "24"). A piece that has no space before it, where one would be written, belongs to the word before.
    """
    words: list[Piece] = []
    for piece in pieces:
        text = piece.word.strip()
        if text and words and not piece.word[0].isspace() and space_between(words[-1].word, text, language):
            before = words[-1]
            probability = min(before.probability, piece.probability)
            words[-1] = replace(before, word=before.word + text, end=piece.end, probability=probability)
        elif text:
            words.append(replace(piece, word=text))
    return words


def converted(folder: Path) -> Path:
    """The CTranslate2 form of a Whisper that transformers saved, made once on a host and kept.

    Weights are stored as float16; the engine quantises further when it loads them.
    """
    from ctranslate2.converters import TransformersConverter

    files = sorted((p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in folder.iterdir() if p.is_file())
    root = os.environ.get("AIRSCRIPT_MODEL_CACHE") or Path(tempfile.gettempdir()) / f"airscript-models-{os.getuid()}"
    target = Path(root) / f"ctranslate2-{digest_of([str(folder.absolute()), files])[:32]}"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = target.with_name(f".{target.name}-{secrets.token_hex(4)}")
    copied = [name for name in COMPANIONS if (folder / name).is_file()]
    TransformersConverter(str(folder), copy_files=copied).convert(str(partial), quantization="float16")
    try:
        partial.rename(target)
    except OSError:  # another process was first
        shutil.rmtree(partial, ignore_errors=True)
    return target
