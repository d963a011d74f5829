"""Transcripts for tests: from sentences, of any length, and hostile ones by hypothesis."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tasks.transcripts.document import Coverage, Media, Provenance, Speaker, Transcript, Word, WordTiming
from tasks.transcripts.merging import SegmentRules, into_segments, speakers_in
from tasks.transcripts.spans import Span
from tasks.transcripts.text import clean

PROVENANCE = Provenance(
    model_name="acoustic-model", model_version="3", engine="ctc-greedy", code_version="0.1.0", normaliser="english-1"
)

DIALOGUE = (
    ("anna", "Good evening. The government has announced that more than two million people will receive higher "
             "payments from April, although the opposition says the plan is neither fair nor affordable."),
    ("ben", "Well, the minister told the House this afternoon that the money would come from a new levy on the "
            "largest companies. That was welcomed by unions, but business leaders have warned of the cost."),
    ("anna", "Really?"),
    ("ben", "I doubt it."),
    ("anna", "Yes."),
)  # fmt: skip


def word(text: str, start_ms: int, end_ms: int, speaker: str | None = None, **fields: Any) -> Word:
    values = {"confidence": 0.9, "timing": WordTiming.CTC} | fields
    return Word(text=text, start_ms=start_ms, end_ms=end_ms, speaker=speaker, **values)


def speak(sentence: str, speaker: str | None = None, start_ms: int = 0, word_ms: int = 300) -> list[Word]:
    """Return the words of a sentence at an even pace, without pauses."""
    texts = sentence.split(" ")
    return [
        word(text, start_ms + index * word_ms, start_ms + (index + 1) * word_ms, speaker)
        for index, text in enumerate(texts)
    ]


def transcript(
    words: Sequence[Word],
    language: str = "en",
    suspect: Sequence[Span] = (),
    rules: SegmentRules | None = None,
    names: dict[str, str] | None = None,
    **media: Any,
) -> Transcript:
    end_ms = words[-1].end_ms if words else 0
    fields = {"uri": "file:///inbox/Evening News.mxf", "sha256": "ab" * 32, "duration_ms": end_ms} | media
    speakers = [Speaker(id=speaker.id, name=(names or {}).get(speaker.id)) for speaker in speakers_in(words)]
    return Transcript(
        media=Media(**fields),
        provenance=PROVENANCE,
        language=language,
        speakers=tuple(speakers),
        segments=into_segments(words, suspect, rules),
        coverage=Coverage(speech_ms=end_ms, covered_ms=end_ms, redecoded_ms=0),
    )


def at_once(*voices: Sequence[Word]) -> Transcript:
    """Return a transcript of several voices at once: their words by time."""
    return transcript(sorted((word for voice in voices for word in voice), key=lambda word: word.start_ms))


def broadcast(n_words: int, seed: int = 0) -> list[Word]:
    """Return a dialogue of two speakers at about 160 words per minute, deterministic by seed."""
    rng = random.Random(seed)
    words: list[Word] = []
    time_ms = 0
    while len(words) < n_words:
        for speaker, sentence in DIALOGUE:
            for text in sentence.split():
                spoken_ms = 80 + 55 * len(text) + rng.randrange(60)
                words.append(word(text, time_ms, time_ms + spoken_ms, speaker))
                time_ms += spoken_ms + rng.choice((0, 20, 40)) + (400 if text[-1] in ".?" else 0)
            time_ms += rng.choice((50, 300, 1_500))
    return words[:n_words]


HOSTILE_TEXTS = (
    "-->", "00:00:01,000 --> 00:00:02,000", "<i>", "</v>", "<00:00:01.000>", "&amp;", "a&b<c>d", "]]>", "<!--",
    "{\\an8}", "\\N", "line\nbreak", "\ttab\r\n", "\x00\x1f\x85", "\u2028", "\ufeffmark", "\u202eoverride",
    "שלום", "مرحبا،", "Ελλάδα", "Привет.", "ελληνικά", "日本語", "😀",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "🇬🇧", "é", "e\u0301", "Ångström", "Łódź", "ș",
    "naïve", "œuvre", "€100", "$5", "“quoted”", "…", "—", "1", "7", "NOTE", "STYLE", "WEBVTT", "X" * 60, "日" * 25,
    "e" + "\u0301" * 5, "I", "i", "Dr.", "St.", ";;", "# 1", "10\u00a0000", "𝔘𝔫𝔦", "\u200bzero\u200d",
)  # fmt: skip

_LETTERS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
_PLAIN = ("the", "a", "and", "but", "of", "in", "he", "said", "that", "no,", "yes.", "Really?", "news", "London")
_TEXTS = st.sampled_from(_PLAIN) | st.sampled_from(HOSTILE_TEXTS) | _LETTERS


@st.composite
def words(draw: st.DrawFn, max_words: int = 16, texts: st.SearchStrategy[str] = _TEXTS) -> list[Word]:
    """Sorted words, some of zero length, some overlapping the next, some after minutes of silence."""
    spoken: list[Word] = []
    start_ms = end_ms = draw(st.integers(0, 5_000))
    for _ in range(draw(st.integers(0, max_words))):
        start_ms = max(start_ms, end_ms + draw(st.sampled_from((-200, 0, 0, 20, 150, 600, 1_200, 200_000))))
        end_ms = max(end_ms, start_ms + draw(st.sampled_from((0, 1, 40, 250, 400, 900, 9_000))))
        text = draw(texts)
        speaker = draw(st.sampled_from((None, "anna", "anna", "ben", "cleo", "S.4", "5", "f-6")))
        confidence = draw(st.sampled_from((None, 0.0, 0.5, 1.0)))
        if clean(text):  # empty if all characters are control characters
            spoken.append(word(text, start_ms, end_ms, speaker, confidence=confidence))
    return spoken


@st.composite
def transcripts(draw: st.DrawFn, max_words: int = 16) -> Transcript:
    spoken = draw(words(max_words))
    return transcript(
        spoken,
        language=draw(st.sampled_from(("en", "en-GB", "de", "ar", "ja", "und"))),
        suspect=draw(st.sampled_from(((), (Span(1_000, 3_000),)))),
        names=draw(st.sampled_from(({}, {"anna": 'Anna <b> & "Co"', "ben": "-->"}))),
        start_timecode=draw(st.sampled_from((None, "10:00:00:00", "23:59:59:24"))),
        duration_ms=(spoken[-1].end_ms if spoken else 0) + draw(st.integers(0, 100)),
    )
