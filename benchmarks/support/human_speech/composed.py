"""Programmes composed of human sentences for conditions of broadcasting that no single recording has: languages that
change, music and noise under speech, quiet speech beside loud, no pauses, unlike channels, long gaps, slogans.

Passages in other languages than English are synthesised: there are no human ones with checked texts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, cycle
from pathlib import Path

import numpy as np

from benchmarks.support.human_speech import sounds
from benchmarks.support.human_speech.programmes import Clip, Composition, Programme, Recording, Tape, file_name, load
from local.demo.synthesis import augmentation
from tasks.audio import SAMPLE_RATE_HZ

SEED = 11
MIN_WORDS, MIN_CLIP_S, MAX_CLIP_S = 5, 2.5, 20.0
LOUD_RMS = 0.1  # -20 dBFS
QUIET_DB = -25.0  # below the loud ones
PROGRAMMES = 3  # of each condition
MIN_CLIPS, MAX_CLIPS = 12 * PROGRAMMES, 20 * PROGRAMMES
COMPOSED = "composed/"

PASSAGES = {
    "de": (
        "Die Stadt hat lange auf diese Brücke gewartet. Viele Menschen sind heute gekommen, um sie zum ersten Mal zu"
        " überqueren. Der Bürgermeister dankte den Arbeitern, die auch im Winter jeden Tag gebaut haben.",
        "Wir haben unsere Wohnung im Frühling verloren, weil das Wasser bis zum Fenster stieg. Seitdem leben wir bei"
        " meiner Schwester auf dem Land. Die Kinder gehen dort in die Schule, und es gefällt ihnen gut.",
        "Am Abend ziehen dunkle Wolken über die Berge. In der Nacht fällt Regen, der bis zum Morgen anhält. Danach"
        " scheint wieder die Sonne, und es wird deutlich wärmer als gestern.",
    ),
    "es": (
        "El pueblo está muy cerca del mar y casi todos viven de la pesca. Este año los barcos volvieron vacíos durante"
        " muchas semanas. Los jóvenes se van a la ciudad porque aquí no encuentran trabajo.",
        "Mi abuela abría la panadería antes de la salida del sol. El olor del pan llegaba hasta la plaza y los vecinos"
        " esperaban en la puerta. Hoy la casa está cerrada y nadie quiere comprarla.",
        "La orquesta tocó anoche en el teatro nuevo delante de mucho público. La directora explicó cada pieza con"
        " palabras sencillas. Al final la gente aplaudió de pie y pidió una canción más.",
    ),
    "fr": (
        "Le marché commence très tôt le matin sur la grande place. Les paysans apportent des légumes, du fromage et des"
        " fleurs. Ma mère connaît tout le monde et elle parle longtemps avec chacun.",
    ),
}


@dataclass(frozen=True)
class Material:
    """What one programme of each condition is made of."""

    index: int
    clips: Sequence[Clip]
    noise: np.ndarray
    """`(n_samples,)`: a recorded noise, or a computed one where the speech has none."""
    music: np.ndarray


def composed_programmes(
    speech: Path, recordings: Sequence[Recording], is_chosen: Callable[[str], bool]
) -> Iterator[Programme]:
    """The chosen conditions, the same for the same recordings."""
    chosen = {COMPOSED + name: compose for name, compose in CONDITIONS.items() if is_chosen(COMPOSED + name)}
    usable = sentences(recordings)
    if not chosen or len(usable) < MIN_CLIPS:
        return
    random.Random(SEED).shuffle(usable)
    clips = [level(load(speech, recording)) for recording in usable[:MAX_CLIPS]]
    rng = np.random.default_rng(SEED)
    noises = [noise for _, noise in sounds.noises(speech, recordings)] or [augmentation.noise(rng, 20.0, slope=1)]
    for index in range(PROGRAMMES):
        music = augmentation.music(rng, 30.0)
        material = Material(index, clips[index::PROGRAMMES], noises[index % len(noises)], music)
        for folder, compose in chosen.items():
            yield Programme(file_name(folder, str(index)), folder, compose(material))


def sentences(recordings: Sequence[Recording]) -> list[Recording]:
    """English sentences of one speaker, long enough to have a voice and a language."""
    return [
        recording
        for recording in recordings
        if recording.lang == "en"
        and isinstance(recording.speaker, str)
        and not recording.folder.startswith(("train_pack", "formats"))
        and len(recording.spoken.split()) >= MIN_WORDS
        and MIN_CLIP_S <= (recording.duration or 0.0) <= MAX_CLIP_S
    ]


def level(clip: Clip) -> Clip:
    """The clip at the loudness of the loud ones."""
    samples = sounds.at_rms(clip.samples, LOUD_RMS)
    return Clip(np.clip(samples, -0.95, 0.95), clip.text)


def passage(language: str, index: int) -> Clip:
    """A synthetic passage of about 12 seconds in another language than English."""
    import soxr

    from local.demo.synthesis.espeak import ESPEAK_RATE_HZ, Voice, speak

    text = PASSAGES[language][index % len(PASSAGES[language])]
    spoken = speak(text, Voice(language, ("m3", "f2", "m7")[index % 3]))
    return level(Clip(soxr.resample(spoken, ESPEAK_RATE_HZ, SAMPLE_RATE_HZ), text))


def in_sequence(clips: Iterable[Clip], pause_s: float = 0.6, gains_db: Sequence[float] = (0.0,)) -> Tape:
    """Clips, each followed by a pause; gains alternate."""
    tape = Tape()
    for clip, gain_db in zip(clips, cycle(gains_db)):
        tape.add(clip, gain_db)
        tape.pause(pause_s)
    return tape


def first(clips: Sequence[Clip], seconds: float) -> list[Clip]:
    """The first clips, at least one, up to a length together."""
    ends_s = accumulate(clip.duration_s for clip in clips)
    return [clip for clip, end_s in zip(clips, ends_s, strict=True) if clip is clips[0] or end_s <= seconds]


def mostly_english(material: Material) -> Composition:
    """English with two passages of other languages."""
    clips, index = material.clips, material.index
    others = [passage(("de", "es", "fr")[(index + n) % 3], index) for n in range(2)]
    return in_sequence([*clips[:3], others[0], *clips[3:8], others[1], *clips[8:10]]).composition


def mostly_foreign(material: Material) -> Composition:
    """German or Spanish with two sentences of English."""
    index = material.index
    foreign = [passage(("es", "de")[index % 2], index + n) for n in range(3)]
    return in_sequence([*foreign[:2], *material.clips[:2], foreign[2]]).composition


def over(background: str, snr_db: float) -> Callable[[Material], Composition]:
    """Speech over the material's music or noise."""

    def compose(material: Material) -> Composition:
        tape = in_sequence(first(material.clips, 30.0))
        return replace(tape.composition, samples=sounds.mixed(tape.samples, getattr(material, background), snr_db))

    return compose


def quiet_beside_loud(material: Material) -> Composition:
    return in_sequence(first(material.clips, 40.0), gains_db=(0.0, QUIET_DB)).composition


def no_pauses(material: Material) -> Composition:
    return in_sequence(first(material.clips, 70.0), pause_s=0.0).composition


def long_gaps(material: Material) -> Composition:
    """Music, speech, a minute of silence, speech."""
    tape = Tape()
    tape.play(sounds.at_rms(sounds.repeated(material.music, 20.0), LOUD_RMS))
    for n, clip in enumerate(material.clips[:4]):
        tape.add(clip)
        tape.pause(60.0 if n == 1 else 0.6)
    return tape.composition


def slogan(material: Material) -> Composition:
    """A short sentence ten times, between two others."""
    short = min(material.clips, key=lambda clip: clip.duration_s)
    return in_sequence([material.clips[0], *[short] * 10, material.clips[1]], pause_s=0.3).composition


def two_readers(material: Material) -> Composition:
    return two_channels(material.clips[0::2], material.clips[1::2])


def two_languages(material: Material) -> Composition:
    return two_channels(material.clips, [passage("de", material.index)])


def two_channels(left: Sequence[Clip], right: Sequence[Clip]) -> Composition:
    """Stereo, with other speech in each channel at the same time."""
    sides = [in_sequence(first(clips, 25.0)).composition for clips in (left, right)]
    samples = np.zeros((max(len(side.samples) for side in sides), 2), np.float32)  # (n_samples, 2)
    for channel, side in enumerate(sides):
        samples[: len(side.samples), channel] = side.samples
    return Composition(samples, (*sides[0].utterances, *sides[1].utterances), is_ordered=False)


CONDITIONS: dict[str, Callable[[Material], Composition]] = {
    "languages, mostly English": mostly_english,
    "languages, mostly foreign": mostly_foreign,
    **{
        f"{background}, {snr_db} dB": over(background, snr_db)
        for background in ("music", "noise")
        for snr_db in (10, 0, -5)
    },
    "quiet beside loud": quiet_beside_loud,
    "no pauses": no_pauses,
    "music and silence between": long_gaps,
    "slogan ten times": slogan,
    "two channels, readers": two_readers,
    "two channels, languages": two_languages,
}
