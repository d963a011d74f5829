"""Four disjoint sets of voices: training and validation of the base model, archive and inbox of the channel.

A set consists of variants (files of espeak-ng's `voices/!v`, each a different vocal tract). Two sets share no variant,
whatever the accent, pitch or rate.
"""

from __future__ import annotations

import random
from enum import StrEnum

from local.demo.synthesis.espeak import Voice, installed_variants

ACCENTS = (
    "en-us",
    "en",  # Great Britain
    "en-gb-scotland",
    "en-gb-x-rp",  # received pronunciation
    "en-gb-x-gbclan",  # Lancaster
    "en-gb-x-gbcwmd",  # West Midlands
    "en-us-nyc",
    "en-029",  # Caribbean
)
CHANNEL_ACCENT = "en-us"  # the speakers of a small channel come from one region


class VoiceSet(StrEnum):
    BASE_TRAINING = "base_training"
    BASE_VALIDATION = "base_validation"
    CHANNEL_ARCHIVE = "channel_archive"
    CHANNEL_INBOX = "channel_inbox"


BASE_VALIDATION = ("Andy", "Mario", "f1", "m5", "marcelo", "grandma", "shelby", "victor")
CHANNEL_ARCHIVE = (
    "Alicia",
    "Annie",
    "Henrique",
    "adam",
    "belinda",
    "david",
    "edward",
    "f2",
    "f5",
    "m1",
    "m7",
    "rob",
)
CHANNEL_INBOX = ("Andrea", "Mike", "Michael", "f4", "linda", "m3", "miguel", "pablo")

# Whispered, metallic or droning on purpose, unlike any newsreader.
UNUSED = ("Demonic", "UniRobot", "anikaRobot", "caleb", "croak", "whisper", "whisperf")


def variants(voice_set: VoiceSet) -> tuple[str, ...]:
    """The variants of a set, sorted; base training has all that no other set uses."""
    chosen = {
        VoiceSet.BASE_VALIDATION: BASE_VALIDATION,
        VoiceSet.CHANNEL_ARCHIVE: CHANNEL_ARCHIVE,
        VoiceSet.CHANNEL_INBOX: CHANNEL_INBOX,
    }
    if voice_set in chosen:
        return chosen[voice_set]
    taken = {name for names in chosen.values() for name in names}
    installed = installed_variants()
    spaced = {name for name in installed if " " in name}  # espeak-ng's voice names may not contain spaces
    return tuple(sorted(installed - taken - spaced - set(UNUSED)))


def random_voice(voice_set: VoiceSet, rng: random.Random) -> Voice:
    """A random voice of the set: any accent and variant, with an ordinary speaker's range of pitch and pace."""
    return Voice(
        accent=rng.choice(ACCENTS),
        variant=rng.choice(variants(voice_set)),
        pitch=rng.randint(25, 75),
        pitch_range=rng.randint(25, 80),
        words_per_minute=rng.randint(125, 190),
    )
