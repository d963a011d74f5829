"""The match error: what counts as an error, and match-captions with a real small model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import storage
from tasks.contract import InputRejected, ItemOutcome, Reason, Receipt, Status
from tasks.corpus.utterances.matching import edit_distance, match, recognise_utterances, without_punctuation
from tasks.corpus.utterances.text import normaliser_for
from tasks.dataset.manifest import Split, load_manifest, read_batches
from tasks.dataset.summary import Tally
from tasks.recognition import Hints, RecognisedWord, Recognition
from tasks.step import load_result, output_uri
from tasks.transcripts.document import WordTiming

ENGLISH = normaliser_for("en")


def table(receipt: Receipt, name: str):
    return pq.read_table(storage.path_of(output_uri(receipt.result, load_result(receipt.result), name)))


def outcomes(receipt: Receipt) -> list[ItemOutcome]:
    data = storage.read_bytes(output_uri(receipt.result, load_result(receipt.result), "outcomes.jsonl"))
    return [ItemOutcome.model_validate_json(line) for line in data.splitlines()]


@pytest.mark.parametrize(
    ("caption", "hypothesis", "error", "word_errors"),
    [
        ("good evening.", "Good evening!", 0.0, 0),  # the normaliser handles case and punctuation
        ("good evening, it is ten.", "good evening it is ten", 0.0, 0),
        ("good evening", "", 1.0, 2),
        ("good evening", "good morning", 3 / 12, 1),
        ("it's", "its", 1 / 4, 1),  # an apostrophe is a letter of its word
        ("no", "no no no no", 9 / 2, 3),  # the hypothesis is much longer than the caption
    ],
)
def test_match_errors(caption: str, hypothesis: str, error: float, word_errors: int) -> None:
    found = match(caption, hypothesis, ENGLISH)
    assert found.error == pytest.approx(error)
    assert found.word_errors == word_errors


@given(st.text("abc .,?", max_size=30), st.text("abc .,?", max_size=30))
def test_edit_distance_is_a_metric(a: str, b: str) -> None:
    """And the same as jiwer's, which scoring uses."""
    import jiwer

    a, b = without_punctuation(a), without_punctuation(b)
    assert edit_distance(a, b) == edit_distance(b, a) <= max(len(a), len(b))
    assert (edit_distance(a, b) == 0) == (a == b)
    if a:
        found = jiwer.process_characters(a, b)
        assert edit_distance(a, b) == found.substitutions + found.deletions + found.insertions


class Parrot:
    """An engine whose text is the length of each chunk, with chunks of four seconds at most."""

    name, max_chunk_s = "parrot", 4.0

    def recognise(self, chunks: Sequence[np.ndarray], hints: Sequence[Hints]) -> list[Recognition]:
        assert all(len(chunk) <= 64_000 for chunk in chunks)
        assert list(hints) == [Hints(language="sv")] * len(chunks)
        return [Recognition((RecognisedWord(str(len(chunk)), 0, 1, 1.0, WordTiming.CTC),)) for chunk in chunks]


@given(st.lists(st.integers(0, 20 * 16_000), max_size=5))
def test_long_utterances_are_recognised_in_complete_parts(lengths: list[int]) -> None:
    found = recognise_utterances(Parrot(), [np.zeros(length, np.float32) for length in lengths], "sv")
    assert [sum(int(word.text) for word in recognition.words) for recognition in found] == lengths


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small Parakeet with random weights: it recognises something in any audio, deterministically."""
    import torch

    from local.demo.base_model.model import export, make_model

    torch.manual_seed(7)
    folder = tmp_path_factory.mktemp("parakeet")
    export(make_model(hidden_size=32, n_layers=1), folder)
    return folder.as_uri()


@pytest.fixture
def corpus(folder):
    for number in range(6):
        folder.add(f"news/2026-03-{number + 1:02d}", seed=number)
    return folder


def test_every_utterance_gets_an_error_and_the_threshold_decides(corpus, model: str) -> None:
    scan = corpus.scan()
    prepared = corpus.prepare(scan)
    matched = [corpus.step("match-captions", prepared=receipt.result, model=model) for receipt in prepared]
    assert corpus.step("match-captions", prepared=prepared[0].result, model=model).status is Status.CACHED
    rows = [row for receipt in matched for row in table(receipt, "matches.parquet").to_pylist()]
    captions = [row for receipt in prepared for row in table(receipt, "utterances.parquet").to_pylist()]
    assert [row["utterance_id"] for row in rows] == [row["utterance_id"] for row in captions]
    for row, caption in zip(rows, captions, strict=True):
        assert row["match_error"] == pytest.approx(match(caption["text"], row["heard"], ENGLISH).error)
        assert row["match_error"] > 0.3  # the tones contain no speech
    assert matched[0].labels["model_version"].startswith("folder-")

    extracted = [
        corpus.step("extract-features", prepared=p.result, matched=m.result)
        for p, m in zip(prepared, matched, strict=True)
    ]
    results = tuple(receipt.result for receipt in extracted)
    bound = sorted(row["match_error"] for row in rows)[len(rows) * 3 // 4]
    assembled = corpus.step("assemble-dataset", scan=scan.result, extracted=results, max_match_error=bound)
    manifest, _ = load_manifest(assembled.labels["manifest"])
    assert manifest.matched_by == (matched[0].labels["model_version"],)
    lost = [(row, c) for row, c in zip(rows, captions, strict=True) if row["match_error"] > bound]
    assert lost
    ms = sum(round(c["duration_s"] * 1000) for _, c in lost)
    assert manifest.account.dropped["assemble-dataset"] == {Reason.MATCH_ERROR: Tally(count=len(lost), ms=ms)}
    assert assembled.metrics["hours_dropped:match_error"] == pytest.approx(ms / 3_600_000)
    kept = {
        row["utterance_id"]: row["match_error"]
        for split in Split
        for batch in read_batches(manifest, split, ["utterance_id", "match_error"])
        for row in batch.to_pylist()
    }
    assert kept == {row["utterance_id"]: row["match_error"] for row in rows if row["match_error"] <= bound}
    found = outcomes(assembled)
    assert {o.item for o in found} == {row["utterance_id"] for row, _ in lost}
    assert all(o.reason is Reason.MATCH_ERROR and "the hypothesis" in o.detail for o in found)
    page = storage.read_bytes(assembled.labels["report"]).decode()
    assert "Match error" in page
    assert "the caption does not match the recognition" in page

    with pytest.raises(InputRejected, match="match_error") as raised:
        corpus.step("assemble-dataset", scan=scan.result, extracted=results, max_match_error=0.0)
    assert "--max-match-error" in raised.value.next_step
    lenient = corpus.step("assemble-dataset", scan=scan.result, extracted=results, max_match_error=1e9)
    assert lenient.counts["utterances"] == len(rows)


def test_without_matching_no_caption_is_dropped(corpus) -> None:
    manifest, _ = load_manifest(corpus.run().labels["manifest"])
    assert manifest.matched_by == ()
    assert "assemble-dataset" not in manifest.account.dropped
    errors = [b.column("match_error").null_count for b in read_batches(manifest, "train", ["match_error"])]
    assert sum(errors) == manifest.kept[Split.TRAIN].count


def test_matches_of_another_shard_and_partly_matched_datasets_are_refused(corpus, model: str) -> None:
    scan = corpus.scan()
    one, other = corpus.prepare(scan)
    matched = corpus.step("match-captions", prepared=one.result, model=model)
    with pytest.raises(InputRejected, match="another prepare-corpus result"):
        corpus.step("extract-features", prepared=other.result, matched=matched.result)
    half = corpus.step("extract-features", prepared=one.result, matched=matched.result)
    with pytest.raises(InputRejected, match="made with other arguments than"):
        corpus.assemble(scan, [half, *corpus.extract([other])])


def test_a_missing_model_is_reported(corpus, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)  # MLflow sets it for the process
    (prepared, *_) = corpus.prepare(corpus.scan())
    with pytest.raises(InputRejected) as raised:
        corpus.step("match-captions", prepared=prepared.result, model="models:/acoustic-model@champion")
    assert raised.value.reason is Reason.MODEL_NOT_FOUND
    assert raised.value.next_step
