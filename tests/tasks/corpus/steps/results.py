"""A small corpus for the step tests, and readers for the steps' outputs."""

from __future__ import annotations

from tasks import storage
from tasks.contract import ItemOutcome, Receipt
from tasks.step import load_result, output_uri

N_PROGRAMMES = 6


def output(receipt: Receipt, name: str) -> bytes:
    """Return the content of an output of a step."""
    return storage.read_bytes(output_uri(receipt.result, load_result(receipt.result), name))


def digests(receipts: list[Receipt], suffix: str) -> list[str]:
    """Return the SHA-256 of all outputs whose names end in `suffix`."""
    artifacts = [load_result(r.result).outputs.items() for r in receipts]
    return [a.sha256 for outputs in artifacts for name, a in sorted(outputs) if name.endswith(suffix)]


def outcomes(receipts: list[Receipt]) -> dict[str, ItemOutcome]:
    """Return the outcomes of all items, by name."""
    lines = b"".join(output(receipt, "outcomes.jsonl") for receipt in receipts).splitlines()
    return {outcome.item: outcome for outcome in map(ItemOutcome.model_validate_json, lines)}


def fill(pipeline) -> None:
    """Add `N_PROGRAMMES` captioned programmes to a corpus."""
    for number in range(N_PROGRAMMES):
        pipeline.add(f"news/2026-03-{number + 1:02d}", seed=number)
