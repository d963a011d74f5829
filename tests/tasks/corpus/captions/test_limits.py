"""Hostile transcripts: what is wrong costs its own line, and a file of nothing but errors costs little."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.contract import InputRejected
from tasks.corpus.captions import read_transcript


@pytest.mark.parametrize(
    ("name", "bad", "frame"),
    [
        ("a.srt", "1\n00:00:09,000 --> 00:00:01,000\nA\n\n", "{}"),
        ("a.vtt", "00:0x.000 --> 00:01.000\nA\n\n", "WEBVTT\n\n{}"),
        ("a.scc", "x\n", "Scenarist_SCC V1.0\n\n{}"),
        ("a.scc", "zz ", "Scenarist_SCC V1.0\n\n00:00:01:00\t{}"),
        ("a.ttml", '<p begin="x">A</p>', '<tt xmlns="http://www.w3.org/ns/ttml"><body>{}</body></tt>'),
        ("a.jsonl", "1\n", "{}"),
    ],
)
def test_more_problems_than_a_transcript_can_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, bad: str, frame: str
) -> None:
    monkeypatch.setattr("tasks.corpus.captions.problems.MAX_PROBLEMS", 20)
    (tmp_path / name).write_text(frame.format(bad * 1000))
    with pytest.raises(InputRejected, match="more than 19 further places"):
        read_transcript((tmp_path / name).as_uri(), "en")


@pytest.mark.parametrize("digits", [400, 5000])
def test_an_endless_number_costs_its_own_cue(tmp_path: Path, digits: int) -> None:
    big = "9" * digits
    files = {
        "a.srt": f"1\n00:00:01,000 --> 00:00:02,000\ngood\n\n2\n{big}:00:03,000 --> {big}:00:04,000\nbad\n\n"
        "3\n00:00:05,000 --> 00:00:06,000\nfine\n",
        "a.vtt": f"WEBVTT\n\n00:01.000 --> 00:02.000\ngood &#{big};\n\n00:05.000 --> 00:06.000\nfine\n",
        "a.ttml": '<tt xmlns="http://www.w3.org/ns/ttml"><body><p begin="1s" end="2s">good</p>'
        f'<p begin="{big}s" end="{big}s">bad</p><p begin="5s" end="6s">fine</p></body></tt>',
        "a.jsonl": '{"audio": "a", "offset": 1, "duration": 1, "text": "good"}\n'
        f'{{"audio": "a", "offset": {big}, "text": "bad"}}\n'
        '{"audio": "a", "offset": 5, "duration": 1, "text": "fine"}\n',
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        read = read_transcript((tmp_path / name).as_uri(), "en")
        assert [s.text.split()[0] for s in read.supervisions] == ["good", "fine"], name
        assert [s.start_s for s in read.supervisions] == [1.0, 5.0], name


def test_half_a_character_in_xml_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.ttml").write_text(
        '<tt xmlns="http://www.w3.org/ns/ttml"><body><p begin="1s" end="2s">good &#xD800;&#55296;&#0;&#65;</p>'
        '<p begin="5s" end="6s">fine</p></body></tt>'
    )
    read = read_transcript((tmp_path / "a.ttml").as_uri(), "en")
    assert [s.text for s in read.supervisions] == ["good \ufffd\ufffd\ufffdA", "fine"]
