"""diarize: who speaks when in the programmes of one prepared batch, with one diarizer loaded once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from tasks import diarization
from tasks.contract import Outcome
from tasks.contract.arguments import Diarize
from tasks.models import ModelReference
from tasks.night.faults import own_fault
from tasks.night.pipeline import DIARIZE_VERSION
from tasks.night.records import PREPARED, DiarizedProgramme, Preparation, in_brief, turns_name
from tasks.night.kept_outputs import Shelf
from tasks.night.windows import AudioSource
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
    listener = Listener(AudioSource(arguments.prepared, prepared, context.scratch), reference, context, preparations)
    found = [listener.listen(preparation) for preparation in preparations]
    failed = [d for d in found if not d.outcome.is_done]
    names = {p.arrival.arrival: p.arrival.programme for p in preparations}
    return StepOutput(
        counts={
            "programmes": len(found),
            "done": len(found) - len(failed),
            "failed": len(failed),
            "speakers": sum(len({turn.speaker for turn in d.turns}) for d in found),
            "turns": sum(len(d.turns) for d in found),
        },
        metrics={
            "speech_hours": round(listener.total_s / 3600, 4),
            "load_s": round(listener.load_s, 3),
            "rtfx": round(listener.heard_audio_s / listener.heard_s, 1) if listener.heard_s else 0.0,
        },
        labels={"diarizer": reference.version},
        warnings=in_brief([f"{names[d.arrival]}: speakers were not told apart: {d.detail}" for d in failed]),
        n_retryable=len(failed),
    )


class Listener:
    """Listens to the programmes of a batch, one after the other; a bad one costs only its own speakers."""

    def __init__(
        self, audio: AudioSource, reference: ModelReference, context: StepContext, preparations: list[Preparation]
    ) -> None:
        self._audio, self._reference, self._context = audio, reference, context
        self._shelf = Shelf(context)
        self._diarizer: Diarizer | None = None
        self.total_s = sum(p.speech_ms for p in preparations) / 1000
        self._done_s = self.load_s = self.heard_s = self.heard_audio_s = 0.0

    def listen(self, preparation: Preparation) -> DiarizedProgramme:
        """The programme's turns, published; what an attempt before this one has found is taken as it is."""
        name = turns_name(preparation.arrival.arrival)
        if uri := self._shelf.find(name):
            found = read_one(DiarizedProgramme, uri)
        else:
            found = self._try(preparation)
            data = found.model_dump_json().encode() + b"\n"
            if found.outcome.is_done:
                self._shelf.keep(name, data)
            else:
                self._context.publish(name, data)  # the next attempt tries again
        self._done_s += preparation.speech_ms / 1000
        self._tell(preparation, 0.0)
        return found

    def _try(self, preparation: Preparation) -> DiarizedProgramme:
        try:
            return self._listen(preparation)
        except Exception as error:
            detail = own_fault(error)
            log.exception("speakers could not be told apart", programme=preparation.arrival.programme)
            return DiarizedProgramme(
                arrival=preparation.arrival.arrival,
                diarizer=self._reference.version,
                outcome=Outcome.FAILED,
                detail=detail,
            )

    def _listen(self, preparation: Preparation) -> DiarizedProgramme:
        if not preparation.speech:
            return DiarizedProgramme(arrival=preparation.arrival.arrival, diarizer=self._reference.version)
        diarizer = self._loaded()
        began = time.monotonic()
        with self._audio.opened(preparation) as read:
            found = diarizer.diarize(
                read,
                preparation.speech,
                lambda share: self._tell(preparation, share * preparation.speech_ms / 1000),
            )
        self.heard_s += time.monotonic() - began
        self.heard_audio_s += preparation.duration_ms / 1000
        turns, exclusive = (tuple(some) for some in (found.turns, found.exclusive))
        return DiarizedProgramme(
            arrival=preparation.arrival.arrival, diarizer=diarizer.name, turns=turns, exclusive=exclusive
        )

    def _loaded(self) -> Diarizer:
        if self._diarizer is None:
            began = time.monotonic()
            from tasks.diarization.diarizer import load_diarizer

            folder = diarization.fetch(self._reference, self._context.scratch)
            self._diarizer = load_diarizer(folder, self._reference.version)
            self.load_s = time.monotonic() - began
        return self._diarizer

    def _tell(self, preparation: Preparation, heard_s: float) -> None:
        done_s = min(self.total_s, self._done_s + heard_s)
        self._context.progress("diarize", round(done_s), round(self.total_s), "s", preparation.arrival.programme)
