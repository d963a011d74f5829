"""recognise: the words of one prepared batch, with one model loaded once and chunks of many programmes packed."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

import structlog

from tasks import models
from tasks.audio import SAMPLES_PER_MS
from tasks.contract import Reason, StepError
from tasks.contract.arguments import AUTO_LANGUAGE, Recognise
from tasks.night.faults import own_fault
from tasks.night.decoding import Hearing, Piece
from tasks.night.pipeline import RECOGNISE_VERSION
from tasks.night.records import PREPARED, Preparation, in_brief
from tasks.night.kept_outputs import Shelf
from tasks.night.windows import AudioSource, ahead, listen, windows
from tasks.step import StepContext, StepOutput, load_result, output_uri
from tasks.storage.records import read_lines

if TYPE_CHECKING:
    from tasks.recognition import Engine, Recognition
    from tasks.recognition.quality import QualityFlag

log = structlog.get_logger()

VERSION = RECOGNISE_VERSION


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
    audio_s = sum(p.duration_ms for p in preparations) / 1000
    reference = models.resolve(arguments.model)
    shelf = Shelf(context)
    given = None if arguments.language == AUTO_LANGUAGE else arguments.language
    hearings = [Hearing(p, given) for p in preparations]
    unheard = [hearing for hearing in hearings if not hearing.recall(shelf)]
    started = time.monotonic()
    load_s = heard_s = 0.0
    if any(hearing.preparation.speech for hearing in unheard):
        from tasks.recognition import load_engine

        engine = load_engine(models.fetch(reference, context.scratch))
        load_s = time.monotonic() - started
        audio = AudioSource(arguments.prepared, prepared, context.scratch)
        for hearing in unheard:
            with hearing.answering():
                hearing.cut(engine.max_chunk_s, engine.join_pause_s, engine.has_fixed_window)
        chunk_s = sum(chunk.duration_ms for hearing in unheard for chunk in hearing.chunks) / 1000
        for window in ahead(windows(listen(unheard, audio, engine.detects_languages and not given), engine.portion_s)):
            in_window = [h for h in {id(p.hearing): p.hearing for p in window}.values() if not h.fault]
            for hearing in in_window:
                with hearing.answering():
                    if hearing.ballot_samples:
                        hearing.vote(engine.languages(hearing.ballot_samples))
            for piece, recognition, signs, again in hear_each(engine, window):
                with piece.hearing.answering():
                    piece.hearing.add(engine.name, piece, recognition, signs, again)
                heard_s += piece.span.duration_ms / 1000
            for hearing in in_window:
                if hearing.is_complete and not hearing.fault:
                    with hearing.answering():
                        hearing.keep(shelf)
            context.progress("recognise", round(heard_s), round(chunk_s), "s", window[-1].hearing.programme)
    for hearing in unheard:
        if not hearing.preparation.speech:
            hearing.keep(shelf)
    failed = given_up(hearings, context)
    seconds = time.monotonic() - started - load_s
    unheard_s = sum(hearing.preparation.duration_ms for hearing in unheard) / 1000
    return StepOutput(
        counts={
            "programmes": len(hearings),
            "failed": len(failed),
            "words": sum(hearing.n_words for hearing in hearings),
            "chunks": sum(hearing.n_chunks for hearing in hearings),
            "suspect": sum(hearing.n_doubts for hearing in hearings),
        },
        metrics={
            "audio_hours": round(audio_s / 3600, 4),
            "load_s": round(load_s, 3),
            "rtfx": round(unheard_s / seconds, 1) if heard_s else 0.0,
            "redecoded_s": round(sum(hearing.redecoded_ms for hearing in hearings) / 1000, 1),
        },
        labels={"model": reference.uri, "model_version": reference.version},
        warnings=in_brief([f"{hearing.programme}: not recognised: {hearing.fault}" for hearing in failed]),
        n_retryable=len(failed),
    )


def given_up(hearings: list[Hearing], context: StepContext) -> list[Hearing]:
    """The programmes that failed, told to the steps that follow.

    Raises:
        StepError: all of several failed, which is no fault of theirs.
    """
    failed = [hearing for hearing in hearings if hearing.fault]
    if len(failed) > 1 and all(hearing.fault for hearing in hearings if hearing.preparation.speech):
        raise StepError(f"none of {len(failed)} programmes: {failed[0].fault}", reason=Reason.INTERNAL_ERROR)
    for hearing in failed:
        hearing.give_up(context)
    return failed


def hear_each(engine: Engine, window: list[Piece]) -> list[tuple[Piece, Recognition, tuple[QualityFlag, ...], bool]]:
    """The same as `hear`; where that fails, programme by programme, to find the one that it fails for."""
    by_programme: dict[int, list[Piece]] = defaultdict(list)
    for piece in window:
        if not piece.hearing.fault:
            by_programme[id(piece.hearing)].append(piece)
    if len(by_programme) > 1:
        try:
            return list(hear(engine, [piece for pieces in by_programme.values() for piece in pieces]))
        except Exception as error:
            log.warning("a window is heard again programme by programme", fault=own_fault(error))
    found = []
    for pieces in by_programme.values():
        with pieces[0].hearing.answering():
            found += list(hear(engine, pieces))
    return found


def hear(engine: Engine, window: list[Piece]) -> Iterator[tuple[Piece, Recognition, tuple[QualityFlag, ...], bool]]:
    """Each piece with what was recognised, the signs that speak against it, and whether it was decoded again.

    What fails the gate goes down a ladder: in two split_at_quietest, which breaks a loop and gives each half levels of its own;
    then carefully, each half in the language heard in it unless one was given. A later hearing counts if fewer signs
    speak against it; what stays doubtful is kept and marked. Words give way to none only where nobody speaks.
    """
    from tasks.recognition.quality import QualityFlag

    found = engine.recognise([piece.samples for piece in window], [piece.hearing.hints for piece in window])
    signs = [piece.doubts(r.words) for piece, r in zip(window, found, strict=True)]
    doubted = [index for index, shown in enumerate(signs) if shown]
    for careful in (False, True):
        failing = [index for index in doubted if signs[index]]
        for index, again in zip(failing, hear_again(engine, [window[i] for i in failing], careful), strict=True):
            left = window[index].doubts(again.words)
            # A short stretch may have no word and shows no sign then: that answers no other doubt than of silence.
            may_replace = again.words or QualityFlag.WORDS_WITHOUT_SPEECH in signs[index]
            if may_replace and len(left) < len(signs[index]):
                found[index], signs[index] = again, left
    again_heard = set(doubted)
    for index, piece in enumerate(window):
        yield piece, found[index], signs[index], index in again_heard


def hear_again(engine: Engine, pieces: list[Piece], careful: bool) -> Iterator[Recognition]:
    """Each piece in two split_at_quietest."""
    from tasks.recognition.retry import split_at_quietest
    from tasks.recognition.retry import join_halves

    cuts = [split_at_quietest(piece.samples) for piece in pieces]
    hints = [piece.hearing.hints_again if careful else piece.hearing.hints for piece in pieces for _ in range(2)]
    second = engine.recognise([half for pair in cuts for half in pair], hints, careful) if pieces else []
    for place, (first_half, _) in enumerate(cuts):
        yield join_halves(second[2 * place], second[2 * place + 1], len(first_half) // SAMPLES_PER_MS)
