"""prepare-media: 16 kHz audio and speech segments of one batch's media."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue

import structlog

from tasks import storage
from tasks.contract import TRANSIENT_REASONS, InputRejected, Outcome, Reason, StepError
from tasks.contract.arguments import AUTO_LANGUAGE, PrepareMedia
from tasks.media.container.tracks import TrackPolicy
from tasks.media.decoding.isolated import IsolatedDecoder
from tasks.media.findings import MediaRejected
from tasks.media.limits import MediaLimits
from tasks.night.audio_extraction import extract_audio
from tasks.night.faults import describe_or_reraise
from tasks.night.kept_outputs import KeptOutputs
from tasks.night.ledger import Ledger
from tasks.night.pipeline import PREPARE_VERSION
from tasks.night.records import PREPARED, Arrival, Batch, Preparation, content_digest, truncate
from tasks.recognition.vocabulary import MAX_LIST_BYTES, MAX_PHRASES, parse_phrases
from tasks.step import StepContext, StepOutput
from tasks.storage.records import read_one, to_lines

log = structlog.get_logger()

VERSION = PREPARE_VERSION
# A logger's hourly files have equal sizes, and differ in their headers or first seconds.
HEAD_BYTES = 1 << 20


def inputs(arguments: PrepareMedia) -> dict[str, str]:
    return {"batch": storage.digest(arguments.batch)}


def run(arguments: PrepareMedia, context: StepContext) -> StepOutput:
    batch = read_one(Batch, arguments.batch)
    by_arrival: dict[str, Preparation] = {}
    for preparation in prepare_all(batch, context, arguments.workers):
        by_arrival[preparation.arrival.id] = preparation
        context.progress("prepare", len(by_arrival), len(batch.programmes), "programmes", preparation.arrival.programme)
    prepared = [by_arrival[arrival.id] for arrival in batch.programmes]
    context.publish(PREPARED, to_lines(prepared))
    done = [p for p in prepared if p.outcome.is_done]
    counts = Counter(str(p.outcome) for p in prepared) + Counter(
        f"{p.outcome}:{p.reason}" for p in prepared if p.reason is not None
    )
    return StepOutput(
        counts={"programmes": len(prepared), **dict(sorted(counts.items()))},
        metrics={
            "hours": round(sum(p.duration_ms for p in done) / 3_600_000, 4),
            "speech_hours": round(sum(p.speech_ms for p in done) / 3_600_000, 4),
        },
        warnings=truncate(
            [f"{p.arrival.programme}: {p.outcome} ({p.reason}): {p.detail}" for p in prepared if not p.outcome.is_done]
        ),
        n_retryable=sum(p.reason in TRANSIENT_REASONS for p in prepared),
    )


def prepare_all(batch: Batch, context: StepContext, workers: int) -> Iterator[Preparation]:
    """Prepare the batch's programmes in parallel and yield them as they complete.

    Files that may be copies go to one worker in order, so that always the first is decoded.
    """
    with ExitStack() as stack, ThreadPoolExecutor(workers) as pool:
        decoders: SimpleQueue[IsolatedDecoder] = SimpleQueue()
        for _ in range(workers):
            decoders.put(stack.enter_context(IsolatedDecoder(context.stop)))
        groups = group_possible_copies(batch.programmes)
        running = [pool.submit(Preparer(batch, context, decoders).prepare_group, group) for group in groups]
        try:
            for done in as_completed(running):
                yield from done.result()
        except BaseException:
            context.stop.set()  # ends the other workers' decoding
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def group_possible_copies(arrivals: Sequence[Arrival]) -> list[list[Arrival]]:
    """Group files that may be copies: of equal size and with the same first bytes."""
    n_of_size = Counter(arrival.n_bytes for arrival in arrivals)
    groups: dict[tuple[int, bytes], list[Arrival]] = defaultdict(list)
    for arrival in arrivals:
        head = _head(arrival.uri) if n_of_size[arrival.n_bytes] > 1 else b""
        groups[arrival.n_bytes, head].append(arrival)
    return list(groups.values())


def _head(uri: str) -> bytes:
    try:
        with storage.open_reader(uri) as file:
            return hashlib.sha256(file.read(HEAD_BYTES)).digest()
    except Exception:  # preparing the file reports the error
        return b""


class Preparer:
    """Prepares programmes one by one. An error in one does not affect the others."""

    def __init__(self, batch: Batch, context: StepContext, decoders: SimpleQueue[IsolatedDecoder]) -> None:
        self._context, self._decoders = context, decoders
        self._ledger = Ledger(batch.transcripts, batch.pipeline)
        self._kept = KeptOutputs(context)
        language = batch.pipeline.language
        self._tracks = TrackPolicy(languages=() if language == AUTO_LANGUAGE else (language,))
        self._by_content: dict[str, Preparation] = {}
        self._channel_vocabulary = read_vocabulary(batch.vocabulary) if batch.vocabulary else ()

    def prepare_group(self, arrivals: Sequence[Arrival]) -> list[Preparation]:
        return [self.prepare(arrival) for arrival in arrivals]

    def prepare(self, arrival: Arrival) -> Preparation:
        """Prepare a programme. If it has audio of its own, the audio is published before the record.

        An earlier attempt's preparation is used as it is; after a transient failure the programme is prepared again.
        """
        name = f"preparations/{arrival.id}.json"
        if uri := self._kept.find(name):
            preparation = read_one(Preparation, uri)
            if not preparation.has_audio or self._kept.find(preparation.audio):
                return self._remember(preparation)
        preparation = self._prepare_anew(arrival)
        if preparation.reason not in TRANSIENT_REASONS:
            self._kept.keep(name, preparation.model_dump_json().encode())
        return self._remember(preparation)

    def _remember(self, preparation: Preparation) -> Preparation:
        if preparation.sha256 and not preparation.is_copy:
            self._by_content.setdefault(preparation.content, preparation)
        return preparation

    def _prepare_anew(self, arrival: Arrival) -> Preparation:
        folder = self._context.scratch / arrival.id
        folder.mkdir()
        try:
            return self._prepare(arrival, folder)
        except InputRejected as error:
            return reject(arrival, error.reason, error.message)
        except MediaRejected as error:
            return reject(arrival, error.reason, error.detail)
        except StepError as error:
            if error.subject != arrival.uri or error.reason not in TRANSIENT_REASONS:
                raise
            return reject(arrival, error.reason, error.message)  # storage has the others
        except OSError as error:
            if storage.is_disk_full(error):
                raise  # it concerns the machine, not the programme
            return reject(arrival, Reason.UNREADABLE, str(error))
        except Exception as error:
            detail = describe_or_reraise(error)
            log.exception("a programme could not be prepared", programme=arrival.programme, media=arrival.uri)
            return reject(arrival, Reason.INTERNAL_ERROR, detail)
        finally:
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()

    def _prepare(self, arrival: Arrival, folder: Path) -> Preparation:
        MediaLimits().check_size(arrival.n_bytes)  # before it is copied
        try:
            media = storage.local_copy(arrival.uri, folder)
        except StepError as error:
            if error.reason is not Reason.DISK_FULL:
                raise
            return reject(arrival, error.reason, f"{error.message} ({error.next_step})")
        sha256 = storage.digest_file(media)
        if storage.info(arrival.uri).etag != arrival.etag:
            return reject(arrival, Reason.CHANGED_WHILE_READ, "the file changed after it was planned", sha256)
        own = read_vocabulary(arrival.vocabulary) if arrival.vocabulary else ()
        vocabulary = tuple(dict.fromkeys((*own, *self._channel_vocabulary)))[:MAX_PHRASES]
        content = content_digest(sha256, vocabulary)
        if known := self._ledger.manifest_of_content(content):
            return Preparation(
                arrival=arrival, outcome=Outcome.DONE, sha256=sha256, vocabulary=vocabulary, published=known
            )
        if original := self._by_content.get(content):
            return self._as_copy(original, arrival)
        preparation = self._decode(arrival, media, sha256, folder / "audio.flac")
        return preparation.model_copy(update={"vocabulary": vocabulary})

    def _as_copy(self, original: Preparation, arrival: Arrival) -> Preparation:
        """Return the copy's preparation, with the outcome and the transcript of the original."""
        same_as = original.arrival.id if original.outcome.is_done else ""
        return original.model_copy(update={"arrival": arrival, "same_as": same_as, "speech": ()})

    def _decode(self, arrival: Arrival, media: Path, sha256: str, flac: Path) -> Preparation:
        decoder = self._decoders.get()  # never waits: there is one for each worker
        try:
            audio = extract_audio(media, flac, self._context.stop, decoder, self._tracks)
        except MediaRejected as error:
            return reject(arrival, error.reason, error.detail, sha256)
        finally:
            self._decoders.put(decoder)
        if storage.info(arrival.uri).etag != arrival.etag:
            return reject(arrival, Reason.CHANGED_WHILE_READ, "the file changed while it was decoded", sha256)
        preparation = Preparation(
            arrival=arrival,
            outcome=audio.outcome,
            reason=audio.reason,
            detail=audio.detail,
            sha256=sha256,
            duration_ms=audio.duration_ms,
            track=audio.track,
            start_timecode=audio.start_timecode,
            timecode_rate=audio.timecode_rate,
            speech=audio.speech,
            channel_starts_ms=audio.channel_starts_ms,
        )
        self._kept.keep_file(preparation.audio, flac)
        return preparation


def read_vocabulary(uri: str) -> tuple[str, ...]:
    """Return the phrases of a list beside the media; none if the list was removed since it was listed."""
    try:
        with storage.open_reader(uri) as file:
            return parse_phrases(file.read(MAX_LIST_BYTES).decode(errors="replace"))
    except InputRejected:
        return ()


def reject(arrival: Arrival, reason: Reason, detail: str, sha256: str = "") -> Preparation:
    return Preparation(arrival=arrival, outcome=Outcome.REJECTED, reason=reason, detail=detail, sha256=sha256)
