"""`scan-corpus`: what lies in the corpus, paired, split and cut into shards, by listing alone.

A shard's file holds one programme a line. Its content, not its place, decides what the later steps have to do again,
so shards keep their programmes from one scan to the next: the plan goes out from the one before, which `latest-*.json`
in the step's folder points to. The earlier plan's digest is part of the key, so the same key means the same plan.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
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
    Outcome,
    Preempted,
    Reason,
    StepError,
    digest_of,
)
from tasks.contract.arguments import ScanCorpus
from tasks.corpus.inventory.listing import Candidate, Inventory, PlannedProgramme
from tasks.corpus.inventory.planning import SPLIT_CODES, assign_shards, assign_splits, number_of_shards
from tasks.corpus.records import Programme
from tasks.step import StepContext, StepOutput, step_key
from tasks.storage import ObjectInfo

VERSION = 4
MIN_DATES = 20  # with fewer days than this, splitting by day is too coarse: each programme stands for itself
REPORT_EVERY = 10_000
SPLITS = {code: split for split, code in SPLIT_CODES.items()}


class Latest(Frozen):
    """The last plan made of these media, and the one that it went out from (empty for none)."""

    listing: str
    plan: str
    plan_sha256: str
    earlier: str = ""
    earlier_sha256: str = ""
    question: str = ""
    """Digest of everything that was asked for."""


def inputs(arguments: ScanCorpus) -> dict[str, str]:
    listing = hashlib.sha256()
    for item in storage.list_objects(arguments.media):
        listing.update(_line(item))
    digest = listing.hexdigest()
    return {"listing": digest, "earlier": _earlier(arguments, digest)[1]}


def run(arguments: ScanCorpus, context: StepContext) -> StepOutput:
    root = _root(arguments.media)
    inventory = Inventory(context.scratch / "inventory.sqlite", root, arguments.language)
    try:
        return _plan(arguments, context, inventory)
    except sqlite3.OperationalError:
        if context.stop.is_set():  # SQLite hides what was raised inside a function of ours
            raise Preempted from None
        raise
    finally:
        inventory.close()


def _plan(arguments: ScanCorpus, context: StepContext, inventory: Inventory) -> StepOutput:
    listing = _list(arguments, context, inventory)
    earlier, earlier_sha256 = _earlier(arguments, listing)
    found = {"listing": listing, "earlier": earlier_sha256}
    if context.key != step_key(STEPS["scan-corpus"], VERSION, arguments, found):
        raise StepError(
            "objects came or went while they were listed",
            reason=Reason.CHANGED_WHILE_READ,
            subject=arguments.media,
            next_step="start the scan again when the copy has ended",
        )
    if earlier:
        with storage.open_reader(earlier) as file:
            inventory.add_earlier(line.rstrip(b"\n") for line in file)
    outcomes = context.scratch / "outcomes.jsonl"
    with outcomes.open("wb") as sink:
        n_problems = n_left_out = 0
        for manifest, problem in inventory.pair():
            n_problems += 1
            sink.write(_outcome(manifest, Reason.TRANSCRIPT_UNREADABLE, problem))
        for name, media, taken in inventory.left_out():
            n_left_out += 1
            sink.write(_left_out(name, media, taken))
    context.publish("outcomes.jsonl", outcomes)
    loads, n_undated = _assign(arguments, inventory)
    n_media = inventory.count("media")
    if not loads:
        raise _nothing(arguments.media, n_media)
    items, plan = _write_shards(context, inventory)
    plan_uri = context.publish("plan.tsv", plan)
    latest = Latest(
        listing=listing,
        plan=plan_uri,
        plan_sha256=context.outputs["plan.tsv"].sha256,
        earlier=earlier,
        earlier_sha256=earlier_sha256,
        question=_question(arguments),
    )
    storage.write(_latest_uri(arguments), latest.model_dump_json().encode())
    mean = sum(loads) / len(loads)
    warnings = []
    if n_left_out:
        warnings.append(f"{n_left_out} media left out: no transcript, or another rendition was taken (outcomes.jsonl)")
    if n_problems:
        warnings.append(f"{n_problems} lines of manifests cannot be used (outcomes.jsonl)")
    return StepOutput(
        items=tuple(items),
        counts={
            "objects": inventory.n_objects,
            "media": n_media,
            "transcripts": inventory.count("transcript"),
            "programmes": n_media - n_left_out,
            "undated": n_undated,
            "left_out": n_left_out,
            "manifest_problems": n_problems,
            "other_objects": inventory.n_ignored,
            "shards": len(items),
        },
        metrics={
            "media_gb": inventory.total_bytes() / 1e9,
            "estimated_hours": round(inventory.estimated_hours(), 3),
            "heaviest_shard_over_mean": max(loads) / mean,
        },
        warnings=tuple(warnings),
    )


def _list(arguments: ScanCorpus, context: StepContext, inventory: Inventory) -> str:
    """Take the whole listing into the inventory and return its digest."""
    listing = hashlib.sha256()
    for item in storage.list_objects(arguments.media):
        listing.update(_line(item))
        inventory.add(item)
        if inventory.n_objects % REPORT_EVERY == 0:
            context.progress("list", inventory.n_objects, None, "objects")
    context.progress("list", inventory.n_objects, inventory.n_objects, "objects")
    return listing.hexdigest()


def _assign(arguments: ScanCorpus, inventory: Inventory) -> tuple[list[int], int]:
    """Give every programme its split and shard.

    Returns the weight of each shard that has any, and how many programmes have no date in their path.
    """
    columns = _columns(inventory.candidates())
    if not len(columns["rowid"]):
        return [], 0
    by_date = len(np.unique(columns["date_group"])) >= MIN_DATES
    splits = assign_splits(
        columns["date_group" if by_date else "group"],
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
    """Numbers of all programmes, 48 bytes each."""
    record = np.dtype([(name, np.int64) for name in Candidate.__dataclass_fields__])
    rows = ((c.rowid, c.weight, c.group, c.date_group, c.earlier_shard, c.earlier_split) for c in candidates)
    table = np.fromiter(rows, dtype=record)
    return {name: table[name] for name in Candidate.__dataclass_fields__}


def _write_shards(context: StepContext, inventory: Inventory) -> tuple[list[MappedItem], Path]:
    """Publish a file for every shard. The plan lists all programmes for the next scan, also those of earlier plans that
    are away now: when they come back, they are in their split again."""
    items = []
    plan = context.scratch / "plan.tsv"
    with plan.open("wb") as plan_file:
        for shard, programmes in groupby(inventory.planned(), key=lambda found: found.shard):
            path = context.scratch / "shard.jsonl"
            with path.open("wb") as sink:
                for found in programmes:
                    sink.write(_programme(found).model_dump_json().encode() + b"\n")
                    plan_file.write(f"{found.programme_id}\t{shard}\t{found.split}\n".encode())
            name = f"shards/{shard:05d}.jsonl"
            context.publish(name, path)
            items.append(MappedItem(name=f"shard-{shard:03d}", path=context.path(name)))
            context.progress("shards", len(items), None, "shards")
        for name, shard, split in inventory.away():
            plan_file.write(f"{name}\t{shard}\t{split}\n".encode())
    return items, plan


def _programme(found: PlannedProgramme) -> Programme:
    return Programme(
        programme_id=found.programme_id,
        split=SPLITS[found.split],
        media=found.media,
        size=found.size,
        etag=found.etag,
        transcript=found.transcript,
        transcript_etag=found.transcript_etag,
        supervisions=found.supervisions,
    )


def _left_out(name: str, media: str, taken: str) -> bytes:
    if taken:
        return _outcome(name, Reason.DUPLICATE, f"{media} is another rendition of {taken}")
    return _outcome(name, Reason.NO_TRANSCRIPT, f"nothing beside {media} has its name and a transcript's extension")


def _outcome(item: str, reason: Reason, detail: str) -> bytes:
    outcome = ItemOutcome(item=item, outcome=Outcome.REJECTED, reason=reason, detail=detail)
    return outcome.model_dump_json().encode() + b"\n"


def _nothing(media: str, n_media: int) -> InputRejected:
    if n_media:
        return InputRejected(
            f"{n_media} media, but none has a transcript beside it",
            reason=Reason.NO_TRANSCRIPT,
            subject=media,
            next_step="put name.srt, .vtt, .ttml, .txt or a manifest.jsonl beside name.mp4",
        )
    return InputRejected(
        "no media there",
        reason=Reason.NO_INPUT,
        subject=media,
        next_step="check the prefix (AIRSCRIPT_CORPUS) and put media with transcripts there",
    )


def _earlier(arguments: ScanCorpus, listing: str) -> tuple[str, str]:
    """URI and sha256 of the plan to go out from, empty when there is none.

    A scan that asks the same of what the latest plan was made of goes out from that plan's own predecessor: so it has
    the same key.
    """
    uri = _latest_uri(arguments)
    if not storage.exists(uri):
        return "", ""
    latest = Latest.model_validate_json(storage.read_bytes(uri))
    is_the_same = (latest.listing, latest.question) == (listing, _question(arguments))
    plan = (latest.earlier, latest.earlier_sha256) if is_the_same else (latest.plan, latest.plan_sha256)
    return plan if plan[0] and storage.exists(plan[0]) else ("", "")


def _question(arguments: ScanCorpus) -> str:
    return digest_of({"version": VERSION, "arguments": arguments.canonical()})


def _latest_uri(arguments: ScanCorpus) -> str:
    """Whatever else is asked for, who was in which split stays there: other shares alone make other splits."""
    asked = {"media": _root(arguments.media), "shares": [arguments.validation_share, arguments.test_share]}
    return storage.join(arguments.output, f"latest-{digest_of(asked)[:16]}.json")


def _root(media: str) -> str:
    """The prefix as listings write it."""
    return storage.file_uri(storage.path_of(media)) if media.startswith("file://") else media.rstrip("/")


def _line(item: ObjectInfo) -> bytes:
    return f"{item.uri}\0{item.size}\0{item.etag}\n".encode()
