"""`match-captions`: recognise a shard's utterances and compare the hypotheses with the captions.

Optional; uses a GPU if there is one. It records the error of each utterance; `assemble-dataset` applies the threshold,
so another threshold does not need a second decode.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks import models
from tasks.contract.arguments import MatchCaptions
from tasks.corpus.records import MATCHES, UTTERANCES
from tasks.corpus.utterances.text import Normaliser, normaliser_for
from tasks.dataset.manifest import REVIEWED_PREFIX
from tasks.step import StepContext, StepOutput, load_result, output_uri

if TYPE_CHECKING:
    import numpy as np

    from tasks.contract import StepResult
    from tasks.corpus.utterances.matching import Match
    from tasks.recognition import Engine

VERSION = 2
STEP = "match-captions"
BLOCK_S = 600.0  # of audio per call of the engine: enough to batch well by length, 40 MB of samples
GROUP_ROWS, GROUP_BYTES = 8192, 16 << 20


def inputs(arguments: MatchCaptions) -> dict[str, str]:
    return {
        "prepared": load_result(arguments.prepared).content_digest,
        "model": models.resolve(arguments.model).digest,
    }


def run(arguments: MatchCaptions, context: StepContext) -> StepOutput:
    prepared = load_result(arguments.prepared)
    reference = models.resolve(arguments.model)
    context.confirm("model", reference.digest)
    engine = None
    if prepared.counts["utterances"]:
        from tasks.recognition import load_engine

        engine = load_engine(models.fetch(reference, context.scratch))
    normaliser = normaliser_for(prepared.arguments["language"])
    matches, audio_s, recognition_s = _match_all(arguments.prepared, prepared, engine, normaliser, context)
    context.publish(MATCHES, context.scratch / MATCHES)
    errors = sorted(match.error for match in matches) or [0.0]
    return StepOutput(
        counts={"utterances": len(matches), "unheard": sum(not match.hypothesis for match in matches)},
        metrics={
            "hours": audio_s / 3600,
            "character_error": sum(m.character_errors for m in matches) / max(sum(m.n_characters for m in matches), 1),
            "word_error": sum(m.word_errors for m in matches) / max(sum(m.n_words for m in matches), 1),
            "match_error_median": errors[len(errors) // 2],
            "rtfx": round(audio_s / recognition_s, 1) if recognition_s else 0.0,
        },
        labels={
            "model": reference.uri,
            "model_version": reference.version,
            "engine": engine.name if engine else "",
            "normaliser": normaliser.name,
        },
    )


def _match_all(
    prepared_uri: str, prepared: StepResult, engine: Engine | None, normaliser: Normaliser, context: StepContext
) -> tuple[list[Match], float, float]:
    """Recognise and match all utterances, and write the rows. Return the matches, audio and recognition seconds."""
    from tasks.corpus.utterances.matching import match, recognise_utterances
    from tasks.dataset.schema import MATCH, RowWriter

    language, n_utterances = prepared.arguments["language"], prepared.counts["utterances"]
    audio_s, recognition_s = 0.0, 0.0
    matches: list[Match] = []
    with RowWriter(context.scratch / MATCHES, MATCH, max_rows=GROUP_ROWS, max_bytes=GROUP_BYTES) as writer:
        for block in _blocks(output_uri(prepared_uri, prepared, UTTERANCES)):
            assert engine is not None
            started = time.monotonic()
            recognitions = recognise_utterances(engine, [samples for _, samples in block], language)
            recognition_s += time.monotonic() - started
            for (row, samples), recognition in zip(block, recognitions, strict=True):
                matched = match(row["text"], recognition.text, normaliser)
                matches.append(matched)
                audio_s += len(samples) / row["sample_rate_hz"]
                writer.write(_row(row["utterance_id"], matched))
            context.progress("match", len(matches), n_utterances, "utterances")
    return matches, audio_s, recognition_s


def _row(utterance_id: str, match: Match) -> dict[str, Any]:
    return {
        "utterance_id": utterance_id,
        "heard": match.hypothesis,
        "match_error": match.error,
        "word_error": match.word_errors / max(match.n_words, 1),
    }


def _blocks(uri: str) -> Iterator[list[tuple[dict[str, Any], np.ndarray]]]:
    """Yield blocks of `BLOCK_S` of prepared rows with their samples, `(n_samples,)` float32, in order."""
    from tasks.dataset import flac
    from tasks.dataset.schema import open_parquet

    block: list[tuple[dict[str, Any], np.ndarray]] = []
    with open_parquet(uri) as file:
        for number in range(file.num_row_groups):
            for row in file.read_row_group(number).to_pylist():
                if row["programme_id"].startswith(REVIEWED_PREFIX):  # people have checked its words
                    continue
                block.append((row, flac.to_float(flac.decode(row.pop("audio")))))
                if sum(row["duration_s"] for row, _ in block) >= BLOCK_S:
                    yield block
                    block = []
    if block:
        yield block
