from __future__ import annotations

from collections import Counter, defaultdict

from hypothesis import given

from tasks.transcripts.document import Transcript, Word
from tasks.transcripts.reading_order import in_reading_order, overlapping_words
from tasks.transcripts.spans import Span
from tests.tasks.transcripts.builders import at_once, broadcast, speak, transcript, transcripts, word


def phrases(document: Transcript) -> list[tuple[str | None, str]]:
    return [(s.speaker, " ".join(word.text for word in s.words)) for s in in_reading_order(document)]


def test_phrases_of_voices_at_once_stay_together_by_their_start():
    document = at_once(
        speak("The train leaves at nine. It is late.", "anna"),
        speak("Der Zug fährt um neun. Er ist spät.", "ben", start_ms=150),
    )
    assert phrases(document) == [
        ("anna", "The train leaves at nine."),
        ("ben", "Der Zug fährt um neun."),
        ("anna", "It is late."),
        ("ben", "Er ist spät."),
    ]


def test_an_interjection_follows_the_phrase_that_it_interrupts():
    document = at_once(speak("and then we went to the", "anna"), speak("Really?", "ben", start_ms=700))
    assert phrases(document) == [("anna", "and then we went to the"), ("ben", "Really?")]


def test_voices_that_take_turns_stay_in_the_order_of_the_document():
    document = transcript(broadcast(68))
    assert in_reading_order(document) == document.segments
    # Chunks with shared context overlap by a frame.
    document = at_once(speak("good evening", "anna"), speak("thank you", "ben", start_ms=580))
    assert in_reading_order(document) == document.segments


def test_only_the_words_of_the_overlap_move():
    before, after = speak("Good evening all.", "anna"), speak("Thank you.", "anna", start_ms=9_000)
    both = speak("Some rain", "anna", start_ms=3_000), speak("Etwas Regen", "ben", start_ms=3_100)
    document = at_once(before, *both, after)
    assert overlapping_words([*document.words], [word.speaker for word in document.words]) == [range(3, 7)]
    assert [text for _, text in phrases(document)] == ["Good evening all.", "Some rain", "Etwas Regen", "Thank you."]


def test_a_suspect_part_of_a_phrase_has_its_place_by_its_own_start():
    anna = [word("so", 364, 664, "anna"), word("the", 664, 1_200, "anna"), word("end", 1_314, 1_500, "anna")]
    document = transcript(
        sorted([*anna, *speak("not yet", "ben", start_ms=1_064)], key=lambda word: word.start_ms),
        suspect=[Span(1_300, 3_000)],
    )
    assert phrases(document) == [("anna", "so the"), ("ben", "not"), ("anna", "end"), ("ben", "yet")]


@given(transcripts())
def test_every_word_stays_in_the_order_of_its_voice(document: Transcript):
    def by_voice(segments) -> dict[str | None, list[Word]]:
        voices = defaultdict(list)
        for segment in segments:
            for spoken in segment.words:
                voices[spoken.speaker].append(spoken)
        return voices

    ordered = in_reading_order(document)
    assert Counter(word for s in ordered for word in s.words) == Counter(document.words)
    known, original = by_voice(ordered), by_voice(document.segments)
    assert all(known[voice] == words for voice, words in original.items() if voice is not None)
    starts = [segment.start_ms for segment in ordered]
    assert starts == sorted(starts)
