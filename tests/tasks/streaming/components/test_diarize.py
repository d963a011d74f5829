"""diarize: two speakers in turn, and online clustering."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from tasks.streaming.runtime.session import Component
from tests.tasks.streaming.conftest import blocks_of, push_all


def test_two_people_who_speak_in_turn_are_two_speakers(components: list[Component]) -> None:
    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak

    pause = np.zeros(int(0.8 * ESPEAK_RATE_HZ), np.float32)
    lines = [
        ("en-us", "f3", "Good evening, and welcome to the programme about the river and the valley."),
        ("en-us", "m3", "Thank you very much. I have lived near this water for more than thirty years."),
        ("en-us", "f3", "Then you will remember how often the old bridge has been under water."),
        ("en-us", "m3", "I do, and every time they promised us that a new one would be built soon."),
    ]
    parts = [part for accent, variant, text in lines for part in (speak(text, Voice(accent, variant)), pause)]
    messages: list[Any] = blocks_of(np.concatenate(parts), ESPEAK_RATE_HZ)
    for component in components[:3]:
        messages = push_all(component, messages)
    final = [turn for message in messages for turn in message.turns if turn.is_final]
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(final))
    starts_ms = np.cumsum([0, *(1000 * len(part) / ESPEAK_RATE_HZ for part in parts)])[::2]
    by_line = []
    for line in range(len(lines)):
        shares: dict[str, float] = {}
        for turn in final:
            shared = min(turn.end_ms, starts_ms[line + 1]) - max(turn.start_ms, starts_ms[line])
            if shared > 0:
                shares[turn.speaker] = shares.get(turn.speaker, 0.0) + shared
        by_line.append(max(shares, key=lambda name: shares[name]))
    assert by_line[0] == by_line[2]
    assert by_line[1] == by_line[3]
    assert by_line[0] != by_line[1]
    assert any(turn for message in messages for turn in message.turns if not turn.is_final)


def test_embeddings_are_assigned_to_known_speakers_or_new_ones() -> None:
    import numpy as np

    from tasks.streaming.components.speakers import SpeakerCentroids

    rng = np.random.default_rng(1)
    people = np.eye(3, 8)
    speakers = SpeakerCentroids()
    order = [0, 0, 1, 0, 2, 1, 2, 0]
    found = [speakers.assign(3 * people[who] + rng.normal(0, 0.3, 8), max_distance=0.8) for who in order]
    assert found == order
    assert SpeakerCentroids.model_validate_json(speakers.model_dump_json()) == speakers
    assert SpeakerCentroids().assign(people[0], 0.8, may_be_new=False) is None
