"""EBU-TT-D: validated against EBU Tech 3380, transcribed independently below, and read with ttconv."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import given

from tasks.transcripts.document import Transcript
from tasks.transcripts.formats import ttml
from tasks.transcripts.formats.rendition import Rendition
from tests.tasks.transcripts.builders import broadcast, speak, transcript, transcripts
from tests.tasks.transcripts.readers import read_ttml

TT, TTP, TTS, TTM = (f"{{http://www.w3.org/ns/ttml{part}}}" for part in ("", "#parameter", "#styling", "#metadata"))
XML = "{http://www.w3.org/XML/1998/namespace}"
EBUTTM, EBUTTS, ITTS = (
    "{urn:ebu:tt:metadata}",
    "{urn:ebu:tt:style}",
    "{http://www.w3.org/ns/ttml/profile/imsc1#styling}",
)

PERCENT = r"\d+(\.\d+)?%"
TIME = r"\d{2,}:[0-5]\d:[0-5]\d(\.\d+)?"
# Content model of each element, as a pattern over its children's names.
CHILDREN = {
    "tt": "head (body )?",
    "head": "(metadata )?styling layout ",
    "styling": "(style )+",
    "layout": "(region )+",
    "body": "(div )+",
    "div": "(p )+",
    "p": "(br |span )*",
    "span": "(br )*",
    "style": "",
    "region": "",
    "br": "",
}
# Attributes and patterns of their values; `!` marks required ones.
ATTRIBUTES = {
    "tt": {f"!{TTP}timeBase": "media", f"{TTP}cellResolution": r"\d+ \d+", f"!{XML}lang": r"[A-Za-z0-9-]*"},
    "style": {
        f"!{XML}id": r"[A-Za-z_][\w.-]*",
        f"{TTS}direction": "ltr|rtl",
        f"{TTS}fontFamily": r"[\w, ]+",
        f"{TTS}fontSize": PERCENT,
        f"{TTS}lineHeight": f"{PERCENT}|normal",
        f"{TTS}textAlign": "left|center|right|start|end",
        f"{TTS}color": "#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?",
        f"{TTS}backgroundColor": "#[0-9a-fA-F]{6}([0-9a-fA-F]{2})?",
        f"{TTS}wrapOption": "wrap|noWrap",
        f"{EBUTTS}multiRowAlign": "start|center|end|auto",
        f"{EBUTTS}linePadding": r"\d+(\.\d+)?c",
        f"{ITTS}fillLineGap": "true|false",
    },
    "region": {
        f"!{XML}id": r"[A-Za-z_][\w.-]*",
        f"!{TTS}origin": f"{PERCENT} {PERCENT}",
        f"!{TTS}extent": f"{PERCENT} {PERCENT}",
        f"{TTS}displayAlign": "before|center|after",
        f"{TTS}overflow": "visible|hidden",
    },
    "div": {"style": r"\S+( \S+)*"},
    "p": {f"!{XML}id": r"[A-Za-z_][\w.-]*", "region": r"\S+", "begin": TIME, "end": TIME},
    "span": {"style": r"\S+( \S+)*", f"{TTM}agent": r"\S+"},
}


def check(element: ElementTree.Element) -> None:
    name = element.tag.removeprefix(TT)
    if name == "metadata":
        assert all(not child.tag.startswith(TT) for child in element)
        return
    children = "".join(child.tag.removeprefix(TT) + " " for child in element)
    assert re.fullmatch(CHILDREN[name], children), (name, children)
    allowed = ATTRIBUTES.get(name, {})
    for attribute in (key[1:] for key in allowed if key.startswith("!")):
        assert attribute in element.attrib, (name, attribute)
    for attribute, value in element.attrib.items():
        pattern = allowed.get(attribute) or allowed[f"!{attribute}"]
        assert re.fullmatch(pattern, value), (name, attribute, value)
    if name not in ("p", "span"):
        assert not (element.text or "").strip()
    for child in element:
        check(child)


@given(transcripts())
def test_it_is_valid_and_reads_back(document: Transcript):
    rendition = Rendition(document)
    data = ttml.write(rendition)
    root = ElementTree.fromstring(data)
    assert root.tag == f"{TT}tt"
    check(root)
    ids = [element.get(f"{XML}id") for element in root.iter() if element.get(f"{XML}id")]
    assert len(ids) == len(set(ids))
    for element in root.iter():
        for reference in (element.get("style"), element.get("region"), element.get(f"{TTM}agent")):
            assert reference is None or set(reference.split()) <= set(ids)
    assert [element.text for element in root.iter(f"{EBUTTM}conformsToStandard")] == [
        "urn:ebu:tt:distribution:2018-04",
        "http://www.w3.org/ns/ttml/profile/imsc1/text",
    ]
    found = read_ttml(data)
    assert [cue[:2] for cue in found] == [(cue.start_ms, cue.end_ms) for cue in rendition.cues]
    assert [cue[2].split() for cue in found] == [
        " ".join(rendition.coloured_lines(cue)).split() for cue in rendition.cues
    ]


def test_speakers_have_colours_and_names():
    document = transcript(broadcast(60), names={"ben": "Ben & Co <x>"})
    root = ElementTree.fromstring(ttml.write(Rendition(document)))
    colours = {style.get(f"{XML}id"): style.get(f"{TTS}color") for style in root.iter(f"{TT}style")}
    by_agent: dict[str | None, set[str | None]] = {}
    for span in root.iter(f"{TT}span"):
        by_agent.setdefault(span.get(f"{TTM}agent"), set()).add(colours[span.attrib["style"]])
    assert by_agent == {"speaker_anna": {"#FFFFFF"}, "speaker_ben": {"#FFFF00"}} or by_agent == {
        "speaker_anna": {"#FFFF00"},
        "speaker_ben": {"#FFFFFF"},
    }
    assert "Ben & Co <x>" in [name.text for name in root.iter(f"{TTM}name")]


def test_a_dialogue_in_two_colours_needs_no_dash():
    answers = [*speak("Sure?", "anna", word_ms=200), *speak("No.", "ben", 300, word_ms=200)]
    ((_, _, text),) = read_ttml(ttml.write(Rendition(transcript(answers))))
    assert text == "Sure?\nNo."


@pytest.mark.parametrize(("language", "direction"), [("ar", "rtl"), ("he-IL", "rtl"), ("en", None)])
def test_direction(language: str, direction: str | None):
    root = ElementTree.fromstring(ttml.write(Rendition(transcript(speak("שלום"), language=language))))
    style = next(root.iter(f"{TT}style"))
    assert style.get(f"{TTS}direction") == direction


def test_an_empty_programme_has_no_body():
    root = ElementTree.fromstring(ttml.write(Rendition(transcript([]))))
    check(root)
    assert root.find(f"{TT}body") is None
