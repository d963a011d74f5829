"""`match-captions`: a shard's utterances as a recogniser hears them, beside what their captions say.

Optional, and on a GPU where there is one. What is written here is an error for each utterance; `assemble-dataset`
decides with its bound, so another bound costs no second decode.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks import models
from tasks.contract.arguments import MatchCaptions
from tasks.corpus.records import MATCHES, UTTERANCES
from tasks.corpus.utterances.text import normaliser_for
from tasks.step import StepContext, StepOutput, load_result, output_uri

if TYPE_CHECKING:
    import numpy as np

VERSION = 2
STEP = "match-captions"
BLOCK_S = 600.0  # of audio handed to the engine at once: enough to pack well by length, 40 MB of samples
GROUP_ROWS, GROUP_BYTES = 8192, 16 << 20


def inputs(arguments: MatchCaptions) -> dict[str, str]:
    return {
        "prepared": load_result(arguments.prepared).content_digest,
        "model": models.resolve(arguments.model).digest,
    }


def run(arguments: MatchCaptions, context: StepContext) -> StepOutput:
    from tasks.corpus.utterances.matching import match, recognise_utterances
    from tasks.dataset.schema import MATCH, RowWriter

    prepared = load_result(arguments.prepared)
    reference = models.resolve(arguments.model)
    context.confirm("model", reference.digest)
    normaliser = normaliser_for(prepared.arguments["language"])
    n_utterances = prepared.counts["utterances"]
    engine_name, audio_s, recognise_s = "", 0.0, 0.0
    matches = []
    with RowWriter(context.scratch / MATCHES, MATCH, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES) as writer:
        if n_utterances:
            from tasks.recognition import load_engine

            engine = load_engine(models.fetch(reference, context.scratch))
            engine_name = engine.name
        for block in _blocks(output_uri(arguments.prepared, prepared, UTTERANCES)):
            began = time.monotonic()
            found = recognise_utterances(engine, [samples for _, samples in block], prepared.arguments["language"])
            recognise_s += time.monotonic() - began
            for (row, samples), recognition in zip(block, found, strict=True):
                matched = match(row["text"], recognition.text, normaliser)
                matches.append(matched)
                audio_s += len(samples) / row["sample_rate_hz"]
                writer.write(
                    {
                        "utterance_id": row["utterance_id"],
                        "heard": matched.heard,
                        "match_error": matched.error,
                        "word_error": matched.word_errors / max(matched.n_words, 1),
                    }
                )
            context.progress("match", len(matches), n_utterances, "utterances")
    context.publish(MATCHES, context.scratch / MATCHES)
    errors = sorted(matched.error for matched in matches) or [0.0]
    return StepOutput(
        counts={"utterances": len(matches), "unheard": sum(not matched.heard for matched in matches)},
        metrics={
            "hours": audio_s / 3600,
            "character_error": sum(m.character_errors for m in matches) / max(sum(m.n_characters for m in matches), 1),
            "word_error": sum(m.word_errors for m in matches) / max(sum(m.n_words for m in matches), 1),
            "match_error_median": errors[len(errors) // 2],
            "rtfx": round(audio_s / recognise_s, 1) if recognise_s else 0.0,
        },
        labels={
            "model": reference.uri,
            "model_version": reference.version,
            "engine": engine_name,
            "normaliser": normaliser.name,
        },
    )


def _blocks(uri: str) -> Iterator[list[tuple[dict[str, Any], np.ndarray]]]:
    """Rows of the prepared utterances with their samples, `(n_samples,)` float32, in order, `BLOCK_S` at a time."""
    from tasks.dataset import flac
    from tasks.dataset.schema import open_parquet

    block: list[tuple[dict[str, Any], np.ndarray]] = []
    with open_parquet(uri) as file:
        for number in range(file.num_row_groups):
            for row in file.read_row_group(number).to_pylist():
                block.append((row, flac.to_float(flac.decode(row.pop("audio")))))
                if sum(row["duration_s"] for row, _ in block) >= BLOCK_S:
                    yield block
                    block = []
    if block:
        yield block
