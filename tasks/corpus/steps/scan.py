"""`scan-corpus`: list the corpus, pair media with transcripts, and assign splits and shards.

A shard's file holds one programme per line. Later steps run again only for shards whose content has changed, so shards
keep their programmes from one scan to the next: a plan starts from the previous one, which `latest-*.json` in the
step's folder points to. The earlier plan's digest is part of the key, so the same key means the same plan.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from tasks import storage
from tasks.contract import (
    STEPS,
    Frozen,
    InputRejected,
    ItemOutcome,
    MappedItem,
    Misconfigured,
    Outcome,
    Preempted,
    Reason,
    StepError,
    digest_of,
)
from tasks.contract.arguments import ScanCorpus
from tasks.corpus.feature_names import features_named, features_of
from tasks.corpus.inventory.listing import Candidate, Inventory, PlannedProgramme
from tasks.corpus.inventory.planning import SPLIT_CODES, assign_shards, assign_splits, number_of_shards
from tasks.corpus.inventory.reviewed import (
    ReviewedProgramme,
    finished_reviews,
    held_out_stems,
    listing_lines,
    reviewed_programmes,
)
from tasks.corpus.records import OUTCOMES, Programme
from tasks.desk.review_log import ReviewLine
from tasks.models import resolve_or_fall_back
from tasks.step import StepContext, StepOutput, step_key
from tasks.storage import ObjectInfo

VERSION = 6
MIN_DATES = 20  # with fewer days, splitting by day is too coarse: each programme is its own group
REPORT_EVERY = 10_000
PLAN = "plan.tsv"
SPLITS = {code: split for split, code in SPLIT_CODES.items()}


class LatestPlan(Frozen):
    """The latest plan of these media, and the one it started from (empty for none)."""

    listing: str
    plan: str
    plan_sha256: str
    earlier: str = ""
    earlier_sha256: str = ""
    question: str = ""
    """Digest of version and arguments."""


def inputs(arguments: ScanCorpus) -> dict[str, str]:
    features = _features(arguments)  # first: listing a large archive takes minutes
    listing = hashlib.sha256()
    for item in storage.list_objects(arguments.media, []):
        listing.update(_line(item))
    listing.update(listing_lines(_reviews(arguments)))
    digest = listing.hexdigest()
    return {"listing": digest, "earlier": _earlier(arguments, digest)[1], **features}


def _features(arguments: ScanCorpus) -> dict[str, str]:
    """The features that the dataset is to have, as part of the key; empty where neither they nor a model are given.

    Raises:
        InputRejected: there is no such model.
        Misconfigured: unknown features, or others than the model takes.
    """
    given, base = arguments.features, arguments.base
    if given:
        features_named(given)
    if not base:
        return {"features": given} if given else {}
    reference, _ = resolve_or_fall_back(base, arguments.fallback)
    name = features_of(reference)
    if given and given != name:
        raise Misconfigured(
            f"{reference.uri} takes the features {name}",
            reason=Reason.INVALID_ARGUMENT,
            subject=f"--features={given}",
            next_step="leave the features empty, or give the model that takes them",
        )
    return {"features": name}


def run(arguments: ScanCorpus, context: StepContext) -> StepOutput:
    root = _root(arguments.media)
    inventory = Inventory(context.scratch / "inventory.sqlite", root, arguments.language)
    try:
        return _plan(arguments, context, inventory)
    except sqlite3.OperationalError:
        if context.stop.is_set():  # SQLite masks exceptions raised in our SQL functions
            raise Preempted from None
        raise
    finally:
        inventory.close()


def _plan(arguments: ScanCorpus, context: StepContext, inventory: Inventory) -> StepOutput:
    reviews = _reviews(arguments)
    listing = _list(arguments, context, inventory, reviews)
    earlier, earlier_sha256 = _earlier(arguments, listing)
    _check_key(arguments, context, {**context.inputs, "listing": listing, "earlier": earlier_sha256})
    if earlier:
        with storage.open_reader(earlier) as file:
            inventory.add_earlier(line.rstrip(b"\n") for line in file)
    n_excluded = _publish_outcomes(context, inventory, reviewed_programmes(arguments.reviews, reviews))
    loads, n_undated = _assign(arguments, inventory, held_out_stems(reviews, arguments.held_out))
    n_media = inventory.count("media")
    if not loads:
        raise _no_programmes(arguments.media, n_media)
    items, plan = _write_shards(context, inventory)
    plan_uri = context.publish(PLAN, plan)
    latest = LatestPlan(
        listing=listing,
        plan=plan_uri,
        plan_sha256=context.outputs[PLAN].sha256,
        earlier=earlier,
        earlier_sha256=earlier_sha256,
        question=_request_digest(arguments),
    )
    storage.write(_latest_uri(arguments), latest.model_dump_json().encode())
    return StepOutput(
        items=tuple(items),
        counts={
            "objects": inventory.n_objects,
            "media": n_media,
            "transcripts": inventory.count("transcript"),
            "programmes": n_media - n_excluded,
            "undated": n_undated,
            "left_out": n_excluded,
            "manifest_problems": inventory.n_manifest_problems,
            "other_objects": inventory.n_ignored,
            "shards": len(items),
            **({"reviewed": len(reviews)} if arguments.reviews else {}),
        },
        metrics={
            "media_gb": inventory.total_bytes() / 1e9,
            "estimated_hours": round(inventory.estimated_hours(), 3),
            "heaviest_shard_over_mean": max(loads) / (sum(loads) / len(loads)),
        },
        labels={name: value for name, value in context.inputs.items() if name == "features"},
        warnings=_warnings(inventory, n_excluded),
    )


def _check_key(arguments: ScanCorpus, context: StepContext, found: dict[str, str]) -> None:
    """Raise StepError if the inputs differ from those of the step's key."""
    if context.key != step_key(STEPS["scan-corpus"], VERSION, arguments, found):
        raise StepError(
            "objects were added or removed while they were listed",
            reason=Reason.CHANGED_WHILE_READ,
            subject=arguments.media,
            next_step="start the scan again when the copy has finished",
        )


def _reviews(arguments: ScanCorpus) -> list[ReviewLine]:
    return finished_reviews(arguments.reviews, arguments.language) if arguments.reviews else []


def _publish_outcomes(
    context: StepContext, inventory: Inventory, reviewed: Iterable[ReviewedProgramme | tuple[str, str]]
) -> int:
    """Pair the inventory and publish outcomes of manifest problems and excluded media. Return the number of these."""
    outcomes = context.scratch / OUTCOMES
    n_excluded = 0
    with outcomes.open("wb") as sink:
        for manifest, problem in inventory.pair(reviewed):
            sink.write(_outcome(manifest, Reason.TRANSCRIPT_UNREADABLE, problem))
        for name, media, used in inventory.excluded():
            n_excluded += 1
            sink.write(_exclusion(name, media, used))
        for uri in inventory.passed_over:
            sink.write(_outcome(uri, Reason.NO_TRANSCRIPT, "is XML, but not TTML: passed over as a transcript"))
        for uri in inventory.links:
            detail = "is a symbolic link: give its target as the corpus, or mount it there"
            sink.write(_outcome(uri, Reason.REMOTE_REFERENCE, detail))
    context.publish(OUTCOMES, outcomes)
    return n_excluded


def _warnings(inventory: Inventory, n_excluded: int) -> tuple[str, ...]:
    n_problems, n_other_xml, n_links = (
        inventory.n_manifest_problems,
        len(inventory.passed_over),
        len(inventory.links),
    )
    excluded = f"{n_excluded} media left out: no transcript, or another rendition was used ({OUTCOMES})"
    problems = f"{n_problems} manifest lines cannot be used ({OUTCOMES})"
    other_xml = f"{n_other_xml} .xml files beside media are not TTML and were passed over ({OUTCOMES})"
    links = f"{n_links} symbolic links lead out of the corpus or to a folder and were passed over ({OUTCOMES})"
    remarks = ((n_excluded, excluded), (n_problems, problems), (n_other_xml, other_xml), (n_links, links))
    return tuple(remark for count, remark in remarks if count)


def _list(arguments: ScanCorpus, context: StepContext, inventory: Inventory, reviews: Sequence[ReviewLine]) -> str:
    """Add the whole listing to the inventory and return its digest, that of the reviews included."""
    listing = hashlib.sha256()
    for item in storage.list_objects(arguments.media, inventory.links):
        listing.update(_line(item))
        inventory.add(item)
        if inventory.n_objects % REPORT_EVERY == 0:
            context.progress("list", inventory.n_objects, None, "objects")
    context.progress("list", inventory.n_objects, inventory.n_objects, "objects")
    listing.update(listing_lines(reviews))
    return listing.hexdigest()


def _assign(arguments: ScanCorpus, inventory: Inventory, held_out: frozenset[str]) -> tuple[list[int], int]:
    """Assign a split and a shard to every programme. `held_out` stems go into the test split, whatever they were.

    Returns the weights of the shards that are not empty, and the number of programmes without a date in their path.
    """
    columns = _columns(inventory.candidates(held_out))
    if not len(columns["rowid"]):
        return [], 0
    is_by_date = len(np.unique(columns["date_group"])) >= MIN_DATES
    splits = assign_splits(
        columns["date_group" if is_by_date else "group"],
        columns["earlier_split"],
        arguments.validation_share,
        arguments.test_share,
    )
    n_before = int(columns["earlier_shard"].max()) + 1
    n_shards = arguments.shards or number_of_shards(inventory.estimated_hours(), n_before)
    shards = assign_shards(columns["weight"], columns["earlier_shard"], n_shards)
    inventory.plan(zip(shards.tolist(), splits.tolist(), columns["rowid"].tolist(), strict=True))
    loads = np.bincount(shards, weights=columns["weight"])
    n_undated = int((columns["date_group"] == columns["group"]).sum())
    return [int(load) for load in loads if load], n_undated


def _columns(candidates: Iterator[Candidate]) -> dict[str, np.ndarray]:
    """The candidates' fields as arrays, `(n_programmes,)` int64 each: 48 bytes per programme."""
    record = np.dtype([(name, np.int64) for name in Candidate.__dataclass_fields__])
    rows = ((c.rowid, c.weight, c.group, c.date_group, c.earlier_shard, c.earlier_split) for c in candidates)
    table = np.fromiter(rows, dtype=record)
    return {name: table[name] for name in Candidate.__dataclass_fields__}


def _write_shards(context: StepContext, inventory: Inventory) -> tuple[list[MappedItem], Path]:
    """Publish a file for every shard, and write the plan that the next scan starts from.

    The plan also lists programmes of earlier plans that are absent now: if they come back, they keep their split.
    """
    items = []
    plan = context.scratch / PLAN
    with plan.open("wb") as plan_file:
        for shard, programmes in groupby(inventory.planned(), key=lambda planned: planned.shard):
            path = context.scratch / "shard.jsonl"
            with path.open("wb") as sink:
                for planned in programmes:
                    sink.write(_programme(planned).model_dump_json().encode() + b"\n")
                    plan_file.write(f"{planned.programme_id}\t{shard}\t{planned.split}\n".encode())
            name = f"shards/{shard:05d}.jsonl"
            context.publish(name, path)
            items.append(MappedItem(name=f"shard-{shard:03d}", path=context.path(name)))
            context.progress("shards", len(items), None, "shards")
        for name, shard, split in inventory.absent():
            plan_file.write(f"{name}\t{shard}\t{split}\n".encode())
    return items, plan


def _programme(planned: PlannedProgramme) -> Programme:
    return Programme(
        programme_id=planned.programme_id,
        split=SPLITS[planned.split],
        media=planned.media,
        size=planned.size,
        etag=planned.etag,
        transcript=planned.transcript,
        transcript_etag=planned.transcript_etag,
        supervisions=planned.supervisions,
    )


def _exclusion(name: str, media: str, used: str) -> bytes:
    if used:
        return _outcome(name, Reason.DUPLICATE, f"{media} is another rendition of {used}")
    return _outcome(name, Reason.NO_TRANSCRIPT, f"no transcript beside {media} with the same name")


def _outcome(item: str, reason: Reason, detail: str) -> bytes:
    outcome = ItemOutcome(item=item, outcome=Outcome.REJECTED, reason=reason, detail=detail)
    return outcome.model_dump_json().encode() + b"\n"


def _no_programmes(media: str, n_media: int) -> InputRejected:
    if n_media:
        return InputRejected(
            f"{n_media} media, but none has a transcript beside it",
            reason=Reason.NO_TRANSCRIPT,
            subject=media,
            next_step="put name.srt, .vtt, .ttml, .stl, .scc, .txt or a manifest.jsonl beside name.mp4",
        )
    return InputRejected(
        "no media found",
        reason=Reason.NO_INPUT,
        subject=media,
        next_step="check the prefix (AIRSCRIPT_CORPUS) and put media with transcripts there",
    )


def _earlier(arguments: ScanCorpus, listing: str) -> tuple[str, str]:
    """URI and sha256 of the plan to start from, empty if there is none.

    A scan with the same arguments and the same listing as the latest plan starts from that plan's predecessor, so it
    has the same key.
    """
    uri = _latest_uri(arguments)
    if not storage.exists(uri):
        return "", ""
    latest = LatestPlan.model_validate_json(storage.read_bytes(uri))
    is_same_scan = (latest.listing, latest.question) == (listing, _request_digest(arguments))
    plan = (latest.earlier, latest.earlier_sha256) if is_same_scan else (latest.plan, latest.plan_sha256)
    return plan if plan[0] and storage.exists(plan[0]) else ("", "")


def _request_digest(arguments: ScanCorpus) -> str:
    return digest_of({"version": VERSION, "arguments": arguments.canonical()})


def _latest_uri(arguments: ScanCorpus) -> str:
    """Depends on media and shares only, so that programmes keep their split whatever the other arguments."""
    identity = {"media": _root(arguments.media), "shares": [arguments.validation_share, arguments.test_share]}
    return storage.join(arguments.output, f"latest-{digest_of(identity)[:16]}.json")


def _root(media: str) -> str:
    """The prefix as it appears in listings."""
    return storage.file_uri(storage.path_of(media)) if media.startswith("file://") else media.rstrip("/")


def _line(item: ObjectInfo) -> bytes:
    return f"{item.uri}\0{item.size}\0{item.etag}\n".encode()
