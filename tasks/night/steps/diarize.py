"""diarize: who speaks when in the programmes of one prepared batch. The diarizer is loaded once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from tasks import diarization
from tasks.contract import Outcome
from tasks.contract.arguments import Diarize
from tasks.models import ModelReference
from tasks.night.chunk_reading import BatchAudio
from tasks.night.faults import describe_or_reraise
from tasks.night.kept_outputs import KeptOutputs
from tasks.night.pipeline import DIARIZE_VERSION
from tasks.night.records import PREPARED, DiarizedProgramme, Preparation, truncate, turns_name
from tasks.step import StepContext, StepOutput, load_result, output_uri
from tasks.storage.records import read_lines, read_one

if TYPE_CHECKING:
    from tasks.diarization.diarizer import Diarizer

log = structlog.get_logger()

VERSION = DIARIZE_VERSION


def inputs(arguments: Diarize) -> dict[str, str]:
    return {
        "prepared": load_result(arguments.prepared).content_digest,
        "diarizer": diarization.resolve(arguments.diarizer).digest,
    }


def run(arguments: Diarize, context: StepContext) -> StepOutput:
    prepared = load_result(arguments.prepared)
    preparations = [
        p for p in read_lines(Preparation, output_uri(arguments.prepared, prepared, PREPARED)) if p.has_audio
    ]
    reference = diarization.resolve(arguments.diarizer)
    runner = BatchDiarizer(BatchAudio(arguments.prepared, prepared, context.scratch), reference, context, preparations)
    diarized = [runner.diarize(preparation) for preparation in preparations]
    failed = [d for d in diarized if not d.outcome.is_done]
    names = {p.arrival.id: p.arrival.programme for p in preparations}
    return StepOutput(
        counts={
            "programmes": len(diarized),
            "done": len(diarized) - len(failed),
            "failed": len(failed),
            "speakers": sum(len({turn.speaker for turn in d.turns}) for d in diarized),
            "turns": sum(len(d.turns) for d in diarized),
        },
        metrics={
            "speech_hours": round(runner.total_s / 3600, 4),
            "load_s": round(runner.load_s, 3),
            "rtfx": round(runner.diarized_s / runner.compute_s, 1) if runner.compute_s else 0.0,
        },
        labels={"diarizer": reference.version},
        warnings=truncate([f"{names[d.arrival]}: not diarized: {d.detail}" for d in failed]),
        n_retryable=len(failed),
    )


class BatchDiarizer:
    """Diarizes the programmes of a batch one by one. If one fails, only that programme has no speakers."""

    def __init__(
        self, audio: BatchAudio, reference: ModelReference, context: StepContext, preparations: list[Preparation]
    ) -> None:
        self._audio, self._reference, self._context = audio, reference, context
        self._kept = KeptOutputs(context)
        self._diarizer: Diarizer | None = None
        self.total_s = sum(p.speech_ms for p in preparations) / 1000
        self._done_s = self.load_s = self.compute_s = self.diarized_s = 0.0

    def diarize(self, preparation: Preparation) -> DiarizedProgramme:
        """Diarize a programme and publish its turns, or load those that an earlier attempt kept."""
        name = turns_name(preparation.arrival.id)
        if uri := self._kept.find(name):
            diarized = read_one(DiarizedProgramme, uri)
        else:
            diarized = self._diarize_or_fail(preparation)
            data = diarized.model_dump_json().encode() + b"\n"
            if diarized.outcome.is_done:
                self._kept.keep(name, data)
            else:
                self._context.publish(name, data)  # in this attempt's folder, so that the next one tries again
        self._done_s += preparation.speech_ms / 1000
        self._report_progress(preparation, 0.0)
        return diarized

    def _diarize_or_fail(self, preparation: Preparation) -> DiarizedProgramme:
        """Diarize a programme; an error that concerns it only becomes its outcome."""
        try:
            return self._diarize(preparation)
        except Exception as error:
            detail = describe_or_reraise(error)
            log.exception("a programme could not be diarized", programme=preparation.arrival.programme)
            return DiarizedProgramme(
                arrival=preparation.arrival.id,
                diarizer=self._reference.version,
                outcome=Outcome.FAILED,
                detail=detail,
            )

    def _diarize(self, preparation: Preparation) -> DiarizedProgramme:
        if not preparation.speech:
            return DiarizedProgramme(arrival=preparation.arrival.id, diarizer=self._reference.version)
        diarizer = self._load()
        began = time.monotonic()
        with self._audio.open_programme(preparation) as read:
            diarization_result = diarizer.diarize(
                read,
                preparation.speech,
                lambda share: self._report_progress(preparation, share * preparation.speech_ms / 1000),
            )
        self.compute_s += time.monotonic() - began
        self.diarized_s += preparation.duration_ms / 1000
        turns, exclusive = tuple(diarization_result.turns), tuple(diarization_result.exclusive)
        return DiarizedProgramme(
            arrival=preparation.arrival.id, diarizer=diarizer.name, turns=turns, exclusive=exclusive
        )

    def _load(self) -> Diarizer:
        if self._diarizer is None:
            began = time.monotonic()
            from tasks.diarization.diarizer import load_diarizer

            folder = diarization.fetch(self._reference, self._context.scratch)
            self._diarizer = load_diarizer(folder, self._reference.version)
            self.load_s = time.monotonic() - began
        return self._diarizer

    def _report_progress(self, preparation: Preparation, partial_s: float) -> None:
        done_s = min(self.total_s, self._done_s + partial_s)
        self._context.progress("diarize", round(done_s), round(self.total_s), "s", preparation.arrival.programme)
