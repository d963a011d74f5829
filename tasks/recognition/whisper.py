"""Whisper through faster-whisper (CTranslate2): our chunks, its decoder.

Its own voice activity and its chunking are not used, and nothing is carried from one chunk to the next.
"""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.contract import InputRejected, Reason, digest_of
from tasks.recognition.engine import SAMPLE_RATE_HZ, Recognition, Word
from tasks.transcripts.document import WordTiming

if TYPE_CHECKING:
    from faster_whisper.transcribe import Segment

WINDOW_S = 30
WINDOW_SAMPLES = WINDOW_S * SAMPLE_RATE_HZ
COMPUTE_TYPES = {"cpu": "int8", "cuda": "float16"}
BATCH_CHUNKS = {"cpu": 8, "cuda": 24}
BEAM_SIZE = 5
# What faster-whisper needs beside the weights; without a tokenizer it would ask the hub.
COMPANIONS = ("tokenizer.json", "preprocessor_config.json")


class WhisperEngine:
    """A converted Whisper of any size."""

    def __init__(self, folder: Path, device: str = "auto", language: str | None = None) -> None:
        """`language` (BCP 47) spares the detection."""
        import ctranslate2
        from faster_whisper import BatchedInferencePipeline, WhisperModel

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
        threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
        self._model = WhisperModel(
            str(folder), device=device, compute_type=COMPUTE_TYPES[device], cpu_threads=threads, local_files_only=True
        )
        self._pipeline = BatchedInferencePipeline(self._model)
        self._batch_chunks = BATCH_CHUNKS[device]
        self._language = language
        self._compute_type = COMPUTE_TYPES[device]

    @property
    def name(self) -> str:
        return f"faster-whisper {self._compute_type}, beam {BEAM_SIZE}"

    @property
    def longest_chunk_s(self) -> float:
        return float(WINDOW_S)

    def recognise(self, chunks: Sequence[np.ndarray]) -> list[Recognition]:
        """See `Engine.recognise`. Each chunk is decoded in the language that is heard in it."""
        recognitions = [Recognition(())] * len(chunks)
        for language, indexes in self._by_language(chunks).items():
            for first in range(0, len(indexes), self._batch_chunks):
                batch = indexes[first : first + self._batch_chunks]
                found = self._decode([chunks[index] for index in batch], language)
                for index, recognition in zip(batch, found, strict=True):
                    recognitions[index] = recognition
        return recognitions

    def _by_language(self, chunks: Sequence[np.ndarray]) -> dict[str, list[int]]:
        """Indexes of the chunks that hold a sample, by language."""
        from faster_whisper.audio import pad_or_trim

        heard = [index for index, chunk in enumerate(chunks) if len(chunk)]
        if self._language or not self._model.model.is_multilingual:
            return {self._language or "en": heard}
        groups: dict[str, list[int]] = defaultdict(list)
        for first in range(0, len(heard), self._batch_chunks):
            batch = heard[first : first + self._batch_chunks]
            features = [pad_or_trim(self._model.feature_extractor(chunks[index])[..., :-1]) for index in batch]
            guesses = self._model.model.detect_language(self._model.encode(np.stack(features)))
            for index, likely_first in zip(batch, guesses, strict=True):
                token, _ = likely_first[0]  # "<|en|>"
                groups[token[2:-2]].append(index)
        return groups

    def _decode(self, chunks: Sequence[np.ndarray], language: str) -> list[Recognition]:
        """One batch. Each chunk gets a window of its own on one line, so that a segment's place says whose it is."""
        line = np.zeros(len(chunks) * WINDOW_SAMPLES, dtype=np.float32)
        clips, lengths_s = [], []
        for index, chunk in enumerate(chunks):
            chunk = chunk[:WINDOW_SAMPLES]
            line[index * WINDOW_SAMPLES : index * WINDOW_SAMPLES + len(chunk)] = chunk
            lengths_s.append(len(chunk) / SAMPLE_RATE_HZ)
            clips.append({"start": index * WINDOW_S, "end": index * WINDOW_S + lengths_s[-1]})
        segments, _ = self._pipeline.transcribe(
            line,
            language=language,
            beam_size=BEAM_SIZE,
            word_timestamps=True,
            vad_filter=False,
            clip_timestamps=clips,
            batch_size=len(clips),
        )
        heard: list[list[Segment]] = [[] for _ in chunks]
        frames_per_window = WINDOW_S * self._model.frames_per_second
        for segment in segments:
            heard[segment.seek // frames_per_window].append(segment)
        return [
            Recognition(_words(heard[index], index * WINDOW_S, length_s), language)
            for index, length_s in enumerate(lengths_s)
        ]


def _words(segments: Iterable[Segment], offset_s: float, length_s: float) -> tuple[Word, ...]:
    """A chunk's words, their times counted from its start, held inside it and in order."""
    words: list[Word] = []
    start_ms = end_ms = 0
    length_ms = int(length_s * 1000)
    for word in (word for segment in segments for word in segment.words or ()):
        text = word.word.strip()
        if not text:
            continue
        start_ms = min(max(round((word.start - offset_s) * 1000), start_ms), length_ms)
        end_ms = min(max(round((word.end - offset_s) * 1000), start_ms, end_ms), length_ms)
        words.append(Word(text, start_ms, end_ms, min(max(word.probability, 0.0), 1.0), WordTiming.ATTENTION))
    return tuple(words)


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
