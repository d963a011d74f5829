"""Transcripts as found in practice: a table of formats and defects, and what is cut from each.

The programme has twelve seconds; every good transcript says "good evening." from 1 s to 4 s and "here is the news."
from 6 s to 9 s, and the utterances are padded by a tenth of a second.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict

import pyarrow.parquet as pq
import pytest

from tasks import storage
from tasks.contract import ItemOutcome, Outcome, Reason
from tasks.step import load_result, output_uri
from tests.tasks.corpus.captions.making import EDM, ROW_14, ROW_15, StlFile, pop_on, scc
from tests.tasks.corpus.conftest import Pipeline, sound

FIRST, SECOND = (900, 4100, "good evening."), (5900, 9100, "here is the news.")
BOTH = [FIRST, SECOND]

SRT = "1\n00:00:01,000 --> 00:00:04,000\nGood evening.\n\n2\n00:00:06,000 --> 00:00:09,000\nHere is the news.\n"
VTT = "WEBVTT\n\n" + SRT.replace(",", ".")
TTML = (
    '<?xml version="1.0"?><tt xmlns="http://www.w3.org/ns/ttml"><body><div>'
    '<p begin="1s" end="4s">Good evening.</p><p begin="6s" end="9s">Here is the news.</p></div></body></tt>'
)
STL = StlFile(start="10000000")
STL.add((36_001, 0), (36_004, 0), b"Good evening.").add((36_006, 0), (36_009, 0), b"Here is the news.")
SCC = scc(
    ("00:00:00:17", pop_on((ROW_14, "Good evening."))),  # its 14th pair shows it, in frame 30 of 29.97 a second
    ("00:00:04:00", EDM),
    ("00:00:05:13", pop_on((ROW_14, "Here is"), (ROW_15, "the news."))),
    ("00:00:09:00", EDM),
)
NEMO = [
    {"audio_filepath": "show.wav", "offset": 1.0, "duration": 3.0, "text": "Good evening."},
    {"audio_filepath": "show.wav", "offset": 6.0, "duration": 3.0, "text": "Here is the news."},
]


def lhotse(**changes: object) -> str:
    recording = {"id": "show", "sources": [{"type": "file", "channels": [0], "source": "show.wav"}]}
    cuts = [
        {
            "id": f"cut-{start}", "start": start, "duration": 3.0, "channel": 0, "type": "MonoCut",
            "recording": recording,
            "supervisions": [{"id": "s", "start": 0.0, "duration": 3.0, "text": text, **changes}],
        }
        for start, text in ((1.0, "Good evening."), (6.0, "Here is the news."))
    ]  # fmt: skip
    return lines(cuts)


def lines(records: list[dict[str, object]]) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


def srt(*cues: tuple[str, str, str]) -> str:
    return "\n".join(f"{n}\n{a} --> {b}\n{text}\n" for n, (a, b, text) in enumerate(cues, start=1))


# Name: file, kept rows, reasons of dropped rows, reason of the programme's warning.
GOOD = (BOTH, set(), None)
TABLE: dict[str, tuple[str, bytes, tuple[list[tuple[int, int, str]], set[Reason], Reason | None]]] = {
    "srt": ("show.srt", SRT.encode(), GOOD),
    "srt with a mark": ("show.srt", b"\xef\xbb\xbf" + SRT.encode(), GOOD),
    "srt in UTF-16": ("show.srt", SRT.encode("utf-16"), GOOD),
    "srt of Windows": ("show.srt", SRT.replace("\n", "\r\n").encode(), GOOD),
    "srt in Latin-1": (
        "show.srt", SRT.replace("Good", "Góod").encode("latin-1"), GOOD,
    ),
    "srt with markup": (
        "show.srt",
        SRT.replace("Good evening", "<font color='#ffff00'><b>{\\an8}Good</b> <i>evening</i></font>").encode(),
        GOOD,
    ),
    "srt with entities": ("show.srt", SRT.replace("Good evening", "&lt;i&gt;Good&nbsp;evening").encode(), GOOD),
    "srt with an empty cue": (
        "show.srt", (SRT + "\n3\n00:00:10,000 --> 00:00:11,000\n\n").encode(), (BOTH, {Reason.TRANSCRIPT_EMPTY}, None),
    ),
    "srt with sounds": (
        "show.srt",
        (SRT + "\n3\n00:00:10,000 --> 00:00:11,000\n[MUSIC]\n").encode(),
        (BOTH, {Reason.TRANSCRIPT_EMPTY}, None),
    ),
    "srt with overlapping cues": (
        "show.srt",
        srt(
            ("00:00:01,000", "00:00:04,000", "Good evening."),
            ("00:00:03,900", "00:00:05,000", "And welcome."),
            ("00:00:06,000", "00:00:09,000", "Here is the news."),
        ).encode(),
        ([(900, 5100, "good evening. and welcome."), SECOND], set(), None),
    ),
    "srt out of order": (
        "show.srt",
        srt(
            ("00:00:06,000", "00:00:09,000", "Here is the news."), ("00:00:01,000", "00:00:04,000", "Good evening.")
        ).encode(),
        GOOD,
    ),
    "srt past the end": (
        "show.srt",
        (SRT + "\n3\n00:00:30,000 --> 00:00:32,000\nAfter the end.\n").encode(),
        (BOTH, {Reason.TRANSCRIPT_OUT_OF_RANGE}, None),
    ),
    "srt a little past the end": (
        "show.srt",
        (SRT + "\n3\n00:00:10,500 --> 00:00:12,400\nGood night.\n").encode(),
        ([*BOTH, (10_400, 12_000, "good night.")], set(), None),
    ),
    "srt backwards": (
        "show.srt",
        (SRT + "\n3\n00:00:11,000 --> 00:00:10,000\nBackwards.\n").encode(),
        (BOTH, set(), Reason.TRANSCRIPT_UNREADABLE),
    ),
    "srt cut off": ("show.srt", SRT[:-30].encode(), ([FIRST], set(), Reason.TRANSCRIPT_UNREADABLE)),
    "srt without numbers and hours": (
        "show.srt", b"00:01,000 --> 00:04,000\nGood evening.\n\n0:06.0 --> 0:09.0\nHere is\nthe news.\n", GOOD,
    ),
    "vtt": ("show.vtt", VTT.encode(), GOOD),
    "vtt with a mark and settings": (
        "show.vtt", b"\xef\xbb\xbf" + VTT.replace("04.000", "04.000 line:85% align:center").encode(), GOOD,
    ),
    "vtt with voices": (
        "show.vtt", VTT.replace("Good", "<v Fiona>Good").replace("evening", "<c.loud>evening</c>").encode(), GOOD,
    ),
    "vtt without its first line": ("show.vtt", VTT.removeprefix("WEBVTT\n\n").encode(), GOOD),
    "vtt with notes": ("show.vtt", VTT.replace("WEBVTT", "WEBVTT\n\nNOTE made by\nhand").encode(), GOOD),
    "ttml": ("show.ttml", TTML.encode(), GOOD),
    "ttml with a mark": ("show.ttml", b"\xef\xbb\xbf" + TTML.encode(), GOOD),
    "ttml in Latin-1": (
        "show.ttml",
        TTML.replace('"1.0"', '"1.0" encoding="ISO-8859-1"').replace("Good", "Góod").encode("latin-1"),
        GOOD,
    ),
    "ttml with an empty paragraph": (
        "show.ttml", TTML.replace("</div>", '<p begin="10s" end="11s"><br/></p></div>').encode(), GOOD,
    ),
    "ttml with a bad time": (
        "show.ttml",
        TTML.replace("</div>", '<p begin="late" end="11s">Lost.</p></div>').encode(),
        (BOTH, set(), Reason.TRANSCRIPT_UNREADABLE),
    ),
    "ttml in another language": (
        "show.ttml",
        TTML.replace("<p begin=\"6s\"", '<p xml:lang="de" begin="6s"').encode(),
        ([FIRST], {Reason.LANGUAGE}, None),
    ),
    "ttml in no language": ("show.ttml", TTML.replace("<tt ", '<tt xml:lang="und" ').encode(), GOOD),
    "ttml that reveals its words": (
        "show.ttml",
        TTML.replace("Good evening.", 'Good <span begin="0.5s">eve</span><span begin="0.9s">ning.</span>').encode(),
        GOOD,
    ),
    "ttml with an unusable cue between two": (
        "show.ttml",
        (
            TTML.replace('end="4s"', 'end="3s"').replace('begin="6s"', 'begin="3.7s"')
            .replace('<p begin="3.7s"', '<p begin="3.5s" end="3.5s">Lost.</p><p begin="3.7s"')
        ).encode(),
        ([(900, 3100, "good evening."), (3600, 9100, "here is the news.")], set(), Reason.TRANSCRIPT_UNREADABLE),
    ),
    "ttml without ends": (
        "show.itt",
        TTML.replace(' end="4s"', "").encode(),
        ([(900, 9100, "good evening. here is the news.")], set(), None),
    ),
    "ttml in xml": ("show.xml", TTML.encode(), GOOD),
    "stl": ("show.stl", STL.data(), GOOD),
    "stl with an unusable subtitle": (
        "show.stl",
        StlFile()
        .add((1, 0), (4, 0), b"Good evening.")
        .add((4, 5), (4, 5), b"Lost.")
        .add((4, 10), (9, 0), b"Here is the news.")
        .data(),
        ([(900, 4100, "good evening."), (4300, 9100, SECOND[2])], set(), Reason.TRANSCRIPT_UNREADABLE),
    ),
    "scc": ("show.scc", SCC.encode(), ([(901, 4104, FIRST[2]), (5906, 9109, SECOND[2])], set(), None)),
    "dfxp past the end": (
        "show.dfxp",
        TTML.replace("</div>", '<p begin="90s" end="91s">After the end.</p></div>').encode(),
        (BOTH, {Reason.TRANSCRIPT_OUT_OF_RANGE}, None),
    ),
    "nemo": ("show.jsonl", lines(NEMO).encode(), GOOD),
    "nemo with a mark, empty lines and line ends of Windows": (
        "show.jsonl", b"\xef\xbb\xbf" + lines(NEMO).replace("\n", "\r\n\r\n").encode(), GOOD,
    ),
    "nemo, packed": ("show.jsonl.gz", gzip.compress(lines(NEMO).encode()), GOOD),
    "nemo with a broken line": (
        "show.jsonl", (lines(NEMO) + '{"audio_filepath": "sh').encode(), (BOTH, set(), Reason.TRANSCRIPT_UNREADABLE),
    ),
    "nemo past the end": (
        "show.jsonl",
        lines([*NEMO, {**NEMO[0], "offset": 60.0}]).encode(),
        (BOTH, {Reason.TRANSCRIPT_OUT_OF_RANGE}, None),
    ),
    "nemo with an empty text": (
        "show.jsonl", lines([*NEMO, {**NEMO[0], "offset": 10.0, "duration": 1.0, "text": None}]).encode(),
        (BOTH, {Reason.TRANSCRIPT_EMPTY}, None),
    ),
    "nemo in another language": (
        "show.jsonl", lines([NEMO[0], {**NEMO[1], "lang": "de"}]).encode(), ([FIRST], {Reason.LANGUAGE}, None),
    ),
    "lhotse": ("show.jsonl", lhotse().encode(), GOOD),
    "lhotse in its language": ("show.jsonl", lhotse(language="English").encode(), GOOD),
    "lhotse in another language": (
        "show.jsonl", lhotse(language="German").encode(), ([], {Reason.LANGUAGE}, Reason.LANGUAGE),
    ),
}  # fmt: skip


Row = tuple[int, int, str]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, list[Row]], dict[str, list[ItemOutcome]]]:
    """Every case as a programme of one corpus: its rows and outcomes, by the number of its folder."""
    pipeline = Pipeline(tmp_path_factory.mktemp("corpus").as_uri())
    for number, (file, data, _) in enumerate(TABLE.values()):
        for name, content in (("show.wav", sound(12.0, seed=0)), (file, data)):
            storage.write(storage.join(pipeline.media, f"{number}/{name}"), content)
    (receipt,) = pipeline.prepare(pipeline.scan(shards=1))
    result = load_result(receipt.result)
    rows: dict[str, list[Row]] = defaultdict(list)
    for row in pq.read_table(storage.path_of(output_uri(receipt.result, result, "utterances.parquet"))).to_pylist():
        programme, _, times = row["utterance_id"].rpartition("@")
        start_ms, end_ms = map(int, times.split("-"))
        rows[programme].append((start_ms, end_ms, row["text"]))
    outcomes: dict[str, list[ItemOutcome]] = defaultdict(list)
    for line in storage.read_bytes(output_uri(receipt.result, result, "outcomes.jsonl")).splitlines():
        outcome = ItemOutcome.model_validate_json(line)
        outcomes[outcome.item.partition("@")[0]].append(outcome)
    return rows, outcomes


@pytest.mark.parametrize("name", TABLE)
def test_usable_parts_are_kept_and_problems_reported(name: str, prepared) -> None:
    rows, outcomes = prepared
    programme_id = f"{list(TABLE).index(name)}.show"
    _, _, (kept, reasons, warning) = TABLE[name]
    assert rows[programme_id] == kept
    programme, *dropped = outcomes[programme_id]
    assert {outcome.reason for outcome in dropped} == reasons
    assert programme.reason is warning
    assert programme.outcome is (Outcome.DONE_WITH_WARNINGS if warning else Outcome.DONE)
    assert programme.detail or not warning
