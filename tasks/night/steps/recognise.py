"""recognise: the words of one prepared batch. The model is loaded once, and chunks of many programmes are packed."""

from __future__ import annotations

import sys
import time

from tasks import models
from tasks.contract import Reason, StepError
from tasks.contract.arguments import AUTO_LANGUAGE, Recognise
from tasks.models import ModelReference
from tasks.night.chunk_reading import BatchAudio, group_chunks, prefetch, read_chunks
from tasks.night.decoding import AudioChunk, ProgrammeDecoding
from tasks.night.fallback import decode_with_isolated_errors
from tasks.night.kept_outputs import KeptOutputs
from tasks.night.pipeline import RECOGNISE_VERSION
from tasks.night.records import PREPARED, Preparation, truncate
from tasks.recognition import load_engine
from tasks.step import StepContext, StepOutput, load_result, output_uri
from tasks.storage.records import read_lines

VERSION = RECOGNISE_VERSION
# Chunks of a group with a fixed window: as many encodings are kept between language detection and decoding, and some of
# the language chunks of a long programme.
MAX_WINDOWS = 48


def inputs(arguments: Recognise) -> dict[str, str]:
    return {
        "prepared": load_result(arguments.prepared).content_digest,
        "model": models.resolve(arguments.model).digest,
    }


def run(arguments: Recognise, context: StepContext) -> StepOutput:
    prepared = load_result(arguments.prepared)
    preparations = [
        p for p in read_lines(Preparation, output_uri(arguments.prepared, prepared, PREPARED)) if p.has_audio
    ]
    reference = models.resolve(arguments.model)
    language = None if arguments.language == AUTO_LANGUAGE else arguments.language
    outputs = KeptOutputs(context)
    decodings = [ProgrammeDecoding(preparation, language) for preparation in preparations]
    pending = [decoding for decoding in decodings if not decoding.load_kept(outputs)]
    started = time.monotonic()
    recogniser = BatchRecogniser(pending, outputs, detect_languages=language is None)
    if any(decoding.preparation.speech for decoding in pending):
        recogniser.load(reference)
        recogniser.recognise(BatchAudio(arguments.prepared, prepared, context.scratch))
    for decoding in pending:
        if not decoding.preparation.speech:
            decoding.keep(outputs)
    failed = publish_failures(decodings, context)
    seconds = time.monotonic() - started - recogniser.load_s
    pending_s = sum(decoding.preparation.duration_ms for decoding in pending) / 1000
    return StepOutput(
        counts={
            "programmes": len(decodings),
            "failed": len(failed),
            "words": sum(decoding.n_words for decoding in decodings),
            "chunks": sum(decoding.n_chunks for decoding in decodings),
            "suspect": sum(decoding.n_suspect for decoding in decodings),
        },
        metrics={
            "audio_hours": round(sum(p.duration_ms for p in preparations) / 1000 / 3600, 4),
            "load_s": round(recogniser.load_s, 3),
            "rtfx": round(pending_s / seconds, 1) if recogniser.recognised_s else 0.0,
            "redecoded_s": round(sum(decoding.redecoded_ms for decoding in decodings) / 1000, 1),
        },
        labels={"model": reference.uri, "model_version": reference.version},
        warnings=truncate([f"{decoding.programme}: not recognised: {decoding.error}" for decoding in failed]),
        n_retryable=len(failed),
    )


class BatchRecogniser:
    """Runs the chunks of a batch's programmes through one engine. An error in one programme does not affect others."""

    def __init__(self, decodings: list[ProgrammeDecoding], outputs: KeptOutputs, detect_languages: bool) -> None:
        self._decodings, self._outputs, self._detect_languages = decodings, outputs, detect_languages
        self.load_s = self.recognised_s = 0.0

    def load(self, reference: ModelReference) -> None:
        began = time.monotonic()
        self._engine = load_engine(models.fetch(reference, self._outputs.context.scratch))
        self.load_s = time.monotonic() - began

    def recognise(self, audio: BatchAudio) -> None:
        """Decode all chunks and publish the words of each programme when its last chunk is decoded."""
        engine = self._engine
        for decoding in self._decodings:
            with decoding.isolate_errors():
                decoding.cut_into_chunks(engine.max_chunk_s, engine.join_pause_s, engine.has_fixed_window)
        total_s = sum(chunk.duration_ms for decoding in self._decodings for chunk in decoding.chunks) / 1000
        chunks = read_chunks(self._decodings, audio, engine.detects_languages and self._detect_languages)
        max_chunks = MAX_WINDOWS if engine.has_fixed_window else sys.maxsize
        for group in prefetch(group_chunks(chunks, engine.batch_s, max_chunks)):
            self._recognise_group(group)
            programme = group[-1].decoding.programme
            self._outputs.context.progress("recognise", round(self.recognised_s), round(total_s), "s", programme)

    def _recognise_group(self, group: list[AudioChunk]) -> None:
        programmes = {id(chunk.decoding): chunk.decoding for chunk in group}.values()
        decodings = [decoding for decoding in programmes if not decoding.error]
        for decoded in decode_with_isolated_errors(self._engine, group):
            with decoded.chunk.decoding.isolate_errors():
                decoded.chunk.decoding.add(self._engine.name, decoded)
            self.recognised_s += decoded.chunk.span.duration_ms / 1000
        for decoding in decodings:
            self._keep_if_complete(decoding)

    def _keep_if_complete(self, decoding: ProgrammeDecoding) -> None:
        with decoding.isolate_errors():
            if decoding.is_complete and not decoding.error:
                decoding.keep(self._outputs)


def publish_failures(decodings: list[ProgrammeDecoding], context: StepContext) -> list[ProgrammeDecoding]:
    """Publish a failed result for each failed programme. Return the failed programmes.

    Raises:
        StepError: all of several programmes failed, so that the cause lies elsewhere.
    """
    failed = [decoding for decoding in decodings if decoding.error]
    if len(failed) > 1 and all(decoding.error for decoding in decodings if decoding.preparation.speech):
        raise StepError(f"none of {len(failed)} programmes: {failed[0].error}", reason=Reason.INTERNAL_ERROR)
    for decoding in failed:
        decoding.publish_failure(context)
    return failed
