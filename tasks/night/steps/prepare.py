"""prepare-media: one batch's media as 16 kHz audio, and where to listen in it."""

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
from tasks.night.audio_extraction import listen_to
from tasks.night.faults import own_fault
from tasks.night.kept_outputs import Shelf
from tasks.night.ledger import Ledger
from tasks.night.pipeline import PREPARE_VERSION
from tasks.night.records import PREPARED, Arrival, Batch, Preparation, content_digest, in_brief
from tasks.recognition.vocabulary import MAX_LIST_BYTES, parse_phrases
from tasks.step import StepContext, StepOutput
from tasks.storage.records import read_one, to_lines

log = structlog.get_logger()

VERSION = PREPARE_VERSION
# A logger's hours have one size, and differ in their headers or their first seconds.
HEAD_BYTES = 1 << 20


def inputs(arguments: PrepareMedia) -> dict[str, str]:
    return {"batch": storage.digest(arguments.batch)}


def run(arguments: PrepareMedia, context: StepContext) -> StepOutput:
    batch = read_one(Batch, arguments.batch)
    by_arrival: dict[str, Preparation] = {}
    for preparation in prepare_all(batch, context, arguments.workers):
        by_arrival[preparation.arrival.arrival] = preparation
        context.progress("prepare", len(by_arrival), len(batch.programmes), "programmes", preparation.arrival.programme)
    prepared = [by_arrival[arrival.arrival] for arrival in batch.programmes]
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
        warnings=in_brief(
            [f"{p.arrival.programme}: {p.outcome} ({p.reason}): {p.detail}" for p in prepared if not p.outcome.is_done]
        ),
        n_retryable=sum(p.reason in TRANSIENT_REASONS for p in prepared),
    )


def prepare_all(batch: Batch, context: StepContext, workers: int) -> Iterator[Preparation]:
    """The batch's programmes as they are done, several at once.

    One worker takes what may be copies in their order, so that it is always the first that is decoded.
    """
    with ThreadPoolExecutor(workers) as pool, ExitStack() as stack:
        decoders: SimpleQueue[IsolatedDecoder] = SimpleQueue()
        for _ in range(workers):
            decoders.put(stack.enter_context(IsolatedDecoder()))
        groups = alike(batch.programmes)
        running = [pool.submit(Preparer(batch, context, decoders).prepare_each, group) for group in groups]
        try:
            for done in as_completed(running):
                yield from done.result()
        except BaseException:
            context.stop.set()  # what is being decoded beside it ends too
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def alike(arrivals: Sequence[Arrival]) -> list[list[Arrival]]:
    """Files that may be copies, together: they have one size and begin with the same bytes."""
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
    except Exception:  # its preparation will tell
        return b""


class Preparer:
    """Prepares programmes one after the other; a bad one costs only itself."""

    def __init__(self, batch: Batch, context: StepContext, decoders: SimpleQueue[IsolatedDecoder]) -> None:
        self._context, self._decoders = context, decoders
        self._ledger = Ledger(batch.transcripts, batch.pipeline)
        self._shelf = Shelf(context)
        language = batch.pipeline.language
        self._tracks = TrackPolicy(languages=() if language == AUTO_LANGUAGE else (language,))
        self._by_content: dict[str, Preparation] = {}

    def prepare_each(self, arrivals: Sequence[Arrival]) -> list[Preparation]:
        return [self.prepare(arrival) for arrival in arrivals]

    def prepare(self, arrival: Arrival) -> Preparation:
        """The programme's preparation; its audio, if it has any of its own, is published before it.

        What an attempt before this one has prepared is taken as it is; a fault of the moment is tried again.
        """
        name = f"preparations/{arrival.arrival}.json"
        if uri := self._shelf.find(name):
            preparation = read_one(Preparation, uri)
            if not preparation.has_audio or self._shelf.find(preparation.audio):
                return self._remember(preparation)
        preparation = self._prepare_anew(arrival)
        if preparation.reason not in TRANSIENT_REASONS:
            self._shelf.keep(name, preparation.model_dump_json().encode())
        return self._remember(preparation)

    def _remember(self, preparation: Preparation) -> Preparation:
        if preparation.sha256 and not preparation.is_copy:
            self._by_content.setdefault(preparation.content, preparation)
        return preparation

    def _prepare_anew(self, arrival: Arrival) -> Preparation:
        folder = self._context.scratch / arrival.arrival
        folder.mkdir()
        try:
            return self._prepare(arrival, folder)
        except InputRejected as error:
            return rejected(arrival, error.reason, error.message)
        except MediaRejected as error:
            return rejected(arrival, error.reason, error.detail)
        except OSError as error:
            if storage.is_disk_full(error):
                raise  # of this machine: no programme is to blame
            return rejected(arrival, Reason.UNREADABLE, str(error))
        except Exception as error:
            detail = own_fault(error)
            log.exception("a programme could not be prepared", programme=arrival.programme, media=arrival.uri)
            return rejected(arrival, Reason.INTERNAL_ERROR, detail)
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
            return rejected(arrival, error.reason, f"{error.message} ({error.next_step})")
        sha256 = storage.digest_file(media)
        if storage.info(arrival.uri).etag != arrival.etag:
            return rejected(arrival, Reason.CHANGED_WHILE_READ, "not the file any more that was planned", sha256)
        vocabulary = read_vocabulary(arrival.vocabulary) if arrival.vocabulary else ()
        content = content_digest(sha256, vocabulary)
        if known := self._ledger.manifest_of(content):
            return Preparation(
                arrival=arrival, outcome=Outcome.DONE, sha256=sha256, vocabulary=vocabulary, published=known
            )
        if twin := self._by_content.get(content):
            return self._same_as(twin, arrival)
        preparation = self._listen(arrival, media, sha256, folder / "audio.flac")
        return preparation.model_copy(update={"vocabulary": vocabulary})

    def _same_as(self, twin: Preparation, arrival: Arrival) -> Preparation:
        """A copy ends as the first did, and has its transcript."""
        same_as = twin.arrival.arrival if twin.outcome.is_done else ""
        return twin.model_copy(update={"arrival": arrival, "same_as": same_as, "speech": ()})

    def _listen(self, arrival: Arrival, media: Path, sha256: str, flac: Path) -> Preparation:
        decoder = self._decoders.get()  # there are as many as workers
        try:
            heard = listen_to(media, flac, self._context.stop, decoder, self._tracks)
        except MediaRejected as error:
            return rejected(arrival, error.reason, error.detail, sha256)
        finally:
            self._decoders.put(decoder)
        if storage.info(arrival.uri).etag != arrival.etag:
            return rejected(arrival, Reason.CHANGED_WHILE_READ, "it changed while it was being decoded", sha256)
        preparation = Preparation(
            arrival=arrival,
            outcome=heard.outcome.outcome,
            reason=heard.outcome.reason,
            detail=heard.outcome.detail,
            sha256=sha256,
            duration_ms=heard.duration_ms,
            track=heard.track,
            start_timecode=heard.start_timecode,
            timecode_rate=heard.timecode_rate,
            speech=heard.speech,
        )
        self._shelf.keep_file(preparation.audio, flac)
        return preparation


def read_vocabulary(uri: str) -> tuple[str, ...]:
    """The phrases of a list beside the media. A list that went away since the listing says nothing."""
    try:
        with storage.open_reader(uri) as file:
            return parse_phrases(file.read(MAX_LIST_BYTES).decode(errors="replace"))
    except InputRejected:
        return ()


def rejected(arrival: Arrival, reason: Reason, detail: str, sha256: str = "") -> Preparation:
    return Preparation(arrival=arrival, outcome=Outcome.REJECTED, reason=reason, detail=detail, sha256=sha256)
