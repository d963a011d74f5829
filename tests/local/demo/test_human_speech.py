"""A small folder of recordings in the layout of the real one, through the real decoder and encoder."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from local.demo.human_speech import Recording, by_source, write_corpus_and_inbox

RATE_HZ = 8000


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    rows = [
        ("train_pack/a/1.wav", "one two", "ann", 1.0, {}),
        ("digits/isolated/ann/2.wav", "three", "ann", 0.5, {"split": "train"}),
        ("digits/isolated/ann/3.wav", "four", "ann", 0.5, {"split": "test"}),
        ("train_pack/b/4.wav", "five", "bob", 0.75, {}),
        ("sentences/known/5.wav", "six seven", "eve", 1.0, {}),
        ("sentences/known/6.wav", "eight", "dan", 1.5, {"split": "dev"}),
        ("sentences/long/7.wav", "f1|1\nf2|from fairest creatures", "reader", 1.0, {}),
        ("sentences/known/8.wav", None, "eve", 1.0, {}),
        ("sentences/known/9.wav", "deux", "eve", 1.0, {"lang": "fr"}),
        ("diarization/10.wav", "both", ["ann", "bob"], 1.0, {}),
    ]
    speech = tmp_path / "speech"
    with_more = []
    for path, text, speaker, duration_s, more in rows:
        (speech / path).parent.mkdir(parents=True, exist_ok=True)
        tone = 0.3 * np.sin(np.arange(int(duration_s * RATE_HZ)) * 0.3)
        soundfile.write(speech / path, tone, RATE_HZ)
        with_more.append({"path": path, "text": text, "speaker": speaker, "lang": "en", "duration": duration_s, **more})
    (speech / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in with_more))
    return speech


def test_speakers_become_programmes_and_held_out_recordings_stay_out_of_the_corpus(
    recordings: Path, tmp_path: Path
) -> None:
    corpus, inbox, references = (tmp_path / name for name in ("corpus", "inbox", "references"))
    corpus_s, inbox_s = write_corpus_and_inbox(recordings, corpus, inbox, references)
    entries = [json.loads(line) for line in (corpus / "manifest.jsonl").read_text().splitlines()]
    assert {(entry["audio_filepath"], entry["text"]) for entry in entries} == {
        ("ann.flac", "one two"),
        ("ann.flac", "three"),
        ("bob.flac", "five"),
    }
    assert {path.name: path.read_text() for path in references.iterdir()} == {
        "digits-isolated-1.txt": "four\n",
        "sentences-known-1.txt": "eight six seven\n",
    }
    assert {path.stem for path in inbox.iterdir()} == {path.stem for path in references.iterdir()}
    assert corpus_s == pytest.approx(2.25, abs=0.05)
    assert inbox_s == pytest.approx(3.0, abs=0.05)


def test_the_manifest_gives_the_utterances_offsets(recordings: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    write_corpus_and_inbox(recordings, corpus, tmp_path / "inbox", tmp_path / "references")
    for line in (corpus / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        samples, rate_hz = soundfile.read(corpus / entry["audio_filepath"])
        start, end = round(entry["offset"] * rate_hz), round((entry["offset"] + entry["duration"]) * rate_hz)
        assert np.sqrt(np.mean(samples[start:end] ** 2)) == pytest.approx(0.3 / np.sqrt(2), rel=0.05)
        assert not samples[end : end + rate_hz // 4].any()


def test_a_source_is_cut_into_programmes_of_two_minutes() -> None:
    held_out = [
        Recording(path=f"sentences/x/{n:02d}.wav", text="a", speaker="s", lang="en", duration=50.0) for n in range(5)
    ]
    assert [(name, len(group)) for name, group in by_source(held_out)] == [
        ("sentences-x-1", 2),
        ("sentences-x-2", 2),
        ("sentences-x-3", 1),
    ]
