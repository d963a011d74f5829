"""Captions on the medium's time code: when they are shifted to its first frame, and by how much."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from tasks import storage
from tasks.contract import ItemOutcome, Outcome, Reason, Receipt
from tasks.corpus.captions import SourceTranscript
from tasks.corpus.captions.problems import TranscriptProblem
from tasks.corpus.records import Supervision
from tasks.corpus.utterances.start_timecode import from_first_frame
from tasks.dataset.schema import open_parquet
from tasks.media.container.probe import MediaProbe
from tasks.step import load_result, output_uri
from tests.tasks.media.making import Track, encode

TEN_HOURS = 36_000.0


def probe(start: str | None = "10:00:00:00", duration_s: float | None = 60.0, **fields: object) -> MediaProbe:
    values = {
        "container": "mxf", "n_bytes": 1, "tracks": (), "n_video_tracks": 1, "title": "", "starts_at_s": 0.0,
        "header_duration_s": duration_s, "duration_is_estimate": False, "start_timecode": start, "frame_rate": 25.0,
    }  # fmt: skip
    return MediaProbe.model_validate(values | fields)


def captions(*starts: float, **fields: object) -> SourceTranscript:
    cues = tuple(Supervision(start_s=start, end_s=start + 2.0, text="Good evening.") for start in starts)
    return SourceTranscript(cues, **fields)


def starts(transcript: SourceTranscript) -> list[float]:
    return [cue.start_s for cue in transcript.supervisions]


@pytest.mark.parametrize(
    ("transcript", "medium", "expected"),
    [
        (captions(TEN_HOURS + 1, TEN_HOURS + 5), probe(), [1.0, 5.0]),
        (captions(TEN_HOURS + 1, TEN_HOURS + 5), probe("10:00:00:12"), [0.52, 4.52]),
        (captions(TEN_HOURS + 1, TEN_HOURS + 5), probe(duration_s=None), [1.0, 5.0]),
        (captions(TEN_HOURS + 1), probe(None, time_reference_s=TEN_HOURS), [1.0]),
        (captions(TEN_HOURS + 1), probe("10:00:00;00", frame_rate=29.97), [1.0]),
        # Frames of a time code at 29.97 without drop frames, as in SCC: ten hours of labels last 36 s longer.
        (captions(36_036.0 + 1, label_second_s=1.001), probe("10:00:00:00", frame_rate=29.97), [1.0]),
        (captions(86_395.0, 5.0, 15.0), probe("23:59:50:00"), [5.0, 15.0, 25.0]),
        # The header of STL or EBU-TT says where the programme starts; the medium begins with a leader.
        (captions(1.0, 5.0, programme_start_s=TEN_HOURS), probe("09:59:30:00"), [31.0, 35.0]),
        (captions(*(TEN_HOURS + n for n in range(19)), TEN_HOURS + 600), probe(), [*range(19), 600.0]),
    ],
)
def test_captions_on_the_mediums_time_code_are_shifted(
    transcript: SourceTranscript, medium: MediaProbe, expected: list[float]
) -> None:
    shifted = from_first_frame(transcript, medium)
    assert starts(shifted) == pytest.approx(expected, abs=1e-3)
    assert len(shifted.warnings) == 1


@pytest.mark.parametrize(
    ("transcript", "medium"),
    [
        pytest.param(captions(1.0, 5.0), probe(), id="media time"),
        pytest.param(captions(1.0, 5.0, programme_start_s=TEN_HOURS), probe(), id="the start of the programme"),
        pytest.param(captions(1.0, 5.0, programme_start_s=TEN_HOURS), probe("01:00:00:00"), id="another clock"),
        pytest.param(
            captions(45.0, 50.0, programme_start_s=TEN_HOURS), probe("09:59:30:00"), id="beyond with a leader"
        ),
        pytest.param(captions(1.0, TEN_HOURS + 5), probe(), id="one inside as it stands"),
        pytest.param(captions(TEN_HOURS + 1), probe(None), id="no time code"),
        pytest.param(captions(TEN_HOURS + 1), probe("00:00:00:00"), id="a time code of zero"),
        pytest.param(captions(TEN_HOURS + 1), probe("01:00:00:00"), id="another time code"),
        pytest.param(captions(*range(36_000, 36_600, 20)), probe(), id="a longer programme"),
        pytest.param(captions(12.0, 15.0), probe("00:00:10:00"), id="inside with and without"),
        pytest.param(captions(70.0, 75.0), probe(), id="beyond the end"),
        pytest.param(captions(TEN_HOURS + 1, are_captions=False), probe(), id="a manifest"),
        pytest.param(captions(), probe(), id="none"),
    ],
)
def test_other_captions_are_not_shifted(transcript: SourceTranscript, medium: MediaProbe) -> None:
    assert from_first_frame(transcript, medium) == transcript


def test_times_of_problems_are_shifted_too() -> None:
    problem = TranscriptProblem(7, "lost", start_s=TEN_HOURS + 3, after_s=TEN_HOURS + 1)
    (found,) = from_first_frame(captions(TEN_HOURS + 1, problems=(problem,)), probe()).problems
    assert (found.start_s, found.end_s, found.after_s) == (3.0, None, 1.0)


SRT = "1\n10:00:01,000 --> 10:00:04,000\nGood evening.\n\n2\n10:00:06,000 --> 10:00:09,000\nHere is the news.\n"
TTML = (
    '<tt xmlns="http://www.w3.org/ns/ttml"><body><div><p begin="10:00:01" end="10:00:04">Good evening.</p>'
    '<p begin="10:00:06" end="10:00:09">Here is the news.</p></div></body></tt>'
)


@pytest.mark.parametrize(
    ("extension", "text"), [("srt", SRT), ("vtt", "WEBVTT\n\n" + SRT.replace(",", ".")), ("ttml", TTML)]
)
def test_the_outcome_states_the_shift(folder, extension: str, text: str) -> None:
    noise = np.random.default_rng(0).standard_normal((1, 48_000 * 12)).astype(np.float32) * 0.1
    tags = {"timecode": "10:00:00:00"}
    medium = encode("mxf", Track(noise, "pcm_s16le"), tags=tags, video=True, frame_rate=Fraction(25))
    storage.write(storage.join(folder.media, "show.mxf"), medium)
    storage.write(storage.join(folder.media, f"show.{extension}"), text.encode())
    (prepared,) = folder.prepare(folder.scan(shards=1))
    (outcome,) = outcomes(prepared)
    assert (outcome.outcome, outcome.reason) == (Outcome.DONE_WITH_WARNINGS, Reason.TRANSCRIPT_OUT_OF_RANGE)
    assert "time code 10:00:00:00, so 36000.000 s were subtracted" in outcome.detail
    uri = output_uri(prepared.result, load_result(prepared.result), "utterances.parquet")
    with open_parquet(uri) as file:
        ids = [row["utterance_id"] for row in file.read().to_pylist()]
    assert ids == ["show@0000000900-0000004100", "show@0000005900-0000009100"]


def outcomes(receipt: Receipt) -> list[ItemOutcome]:
    lines = storage.read_bytes(output_uri(receipt.result, load_result(receipt.result), "outcomes.jsonl")).splitlines()
    return [ItemOutcome.model_validate_json(line) for line in lines]
