"""Caption files of nine formats, drawn from a seed, with what is said in their programmes."""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from benchmarks.support.captions import conditions as c
from benchmarks.support.captions import ebu_stl, line_21
from benchmarks.support.captions.ebu_stl import Stl, write_stl
from benchmarks.support.captions.line_21 import Scc, write_scc
from benchmarks.support.captions.manifest import write_manifest
from benchmarks.support.captions.script import Cue, Fault, Profile, ScriptWriter, Word
from benchmarks.support.captions.sentences import GRAMMARS
from benchmarks.support.captions.subrip import SubRip, write_subrip
from benchmarks.support.captions.timecode import FILM, NTSC, NTSC_DROP, PAL, FrameRate
from benchmarks.support.captions.ttml import DRAFT_2006_04, DRAFT_2006_10, TTML1, Ttml, write_ttml
from benchmarks.support.captions.webvtt import WebVtt, write_webvtt

LANGUAGES = ("en", "de", "fr", "es", "it", "nl", "pt", "tr", "sv", "da")
THREE_LETTERS = {
    "en": "eng", "de": "ger", "fr": "fra", "es": "spa", "it": "ita", "nl": "dut", "pt": "por", "tr": "tur",
    "sv": "swe", "da": "dan",
}  # fmt: skip
HOUR_MS = 3_600_000
MAX_CONDITIONS = 6
TEXT_CONDITIONS: tuple[c.Condition, ...] = (
    c.song, c.remark, c.chevrons, c.label, c.dialogue, c.digits, c.two_at_once, c.said_twice, c.ampersand,
    c.typography,
)  # fmt: skip


@dataclass(frozen=True)
class CaptionFile:
    """A caption file and its programme."""

    stem: str
    """Of the medium."""
    name: str
    """Of the file, with its folder: its language."""
    data: bytes
    language: str
    words: tuple[Word, ...]
    """All that are said, in order of time."""
    duration_ms: int
    traits: object
    """How it is written."""
    start_timecode: str | None = None
    frame_rate: FrameRate = PAL
    origin_ms: int = 0
    """What the captions' clock shows at the first frame."""
    decoys: tuple[tuple[str, bytes], ...] = ()
    """Other files beside the medium, which are not its captions."""

    @property
    def encoding(self) -> str:
        return getattr(self.traits, "encoding", "utf-8")

    @property
    def format(self) -> str:
        """Its extension, without that of the compression."""
        return "." + self.name.lower().removesuffix(".gz").rpartition(".")[2]


@dataclass(frozen=True)
class _Drawn:
    """The captions of a file, and what is known of its medium."""

    language: str
    cues: Sequence[Cue]
    data: bytes
    extension: str
    traits: object
    start_timecode: str | None = None
    frame_rate: FrameRate = PAL
    first_hour: int = 0


def make_files(n: int, seed: int = 0, languages: Sequence[str] = LANGUAGES) -> list[CaptionFile]:
    """Draw `n` files, of each format in turn."""
    drawers = tuple(_DRAWERS)
    return [_make_file(number, drawers[number % len(drawers)], seed, languages) for number in range(n)]


def _make_file(number: int, draw: Callable[..., _Drawn], seed: int, languages: Sequence[str]) -> CaptionFile:
    rng = random.Random(f"{seed} {number}")
    stem = f"{number:03d}_{rng.choice(('news', 'Café', 'Über-uns', 'show.part.one'))}"
    drawn = draw(rng, languages, stem)
    words = tuple(sorted((w for cue in drawn.cues for w in cue.words), key=lambda w: (w.start_ms, w.end_ms)))
    own, other = stem, unicodedata.normalize("NFD", stem)
    suffix = _suffix(drawn, rng)
    decoys: tuple[tuple[str, bytes], ...] = ()
    if drawn.extension == ".srt" and suffix:
        forced = b"1\n00:00:01,000 --> 00:00:04,000\nwords upon a sign\n\n"
        decoys = ((f"{drawn.language}/{stem}.{drawn.language}.forced.srt", forced),)
    return CaptionFile(
        stem=own,
        name=f"{drawn.language}/{rng.choice((own, other))}{suffix}{drawn.extension}",
        data=drawn.data,
        language=drawn.language,
        words=words,
        duration_ms=max(cue.end_ms for cue in drawn.cues) + 5000,
        traits=drawn.traits,
        start_timecode=drawn.start_timecode,
        frame_rate=drawn.frame_rate,
        origin_ms=round(1000 * drawn.frame_rate.first_frame(drawn.first_hour) / drawn.frame_rate.per_s),
        decoys=decoys,
    )


def _suffix(drawn: _Drawn, rng: random.Random) -> str:
    """What stands between the medium's name and the extension."""
    if drawn.extension.startswith(".jsonl"):
        return ""
    two, three = drawn.language, THREE_LETTERS[drawn.language]
    return rng.choice(("", "", f".{two}", f".{three}", f".{two}.sdh", f".{three}.cc", f".{two}.hi"))


def _write(
    rng: random.Random, profile: Profile, allowed: Sequence[c.Condition], faults: tuple[Fault, ...] = ()
) -> list[Cue]:
    def unusable(script: ScriptWriter) -> None:
        c.unusable(script, faults)

    pool = list(allowed)
    if GRAMMARS[profile.language].parted and not profile.is_capitals:  # "NORDRHEIN-|WESTFALEN" are two words
        pool.append(c.parted_word)
    chosen = rng.sample(pool, min(MAX_CONDITIONS, len(pool)))
    script = ScriptWriter(profile, random.Random(rng.random()))
    c.write_script(script, chosen + ([unusable] * 2 if faults else []), rng)
    return script.cues


def _begin_ms(rng: random.Random) -> int:
    return rng.choice((1000, 12_040, 1_500_000))


def _in(encoding: str) -> Callable[[str], bool]:
    """Whether an encoding has all characters of a text."""

    def can_write(text: str) -> bool:
        try:
            text.encode(encoding)
        except UnicodeEncodeError:
            return False
        return True

    return can_write


def _clock(rng: random.Random) -> tuple[int, str | None]:
    """The hour of the captions' clock at the first frame, and the medium's time code."""
    hour = rng.choice((0, 0, 0, 10))
    return hour, f"{hour:02d}:00:00:00" if hour else None


def _subrip(rng: random.Random, languages: Sequence[str], _: str) -> _Drawn:
    language = rng.choice(languages)
    page = "cp1254" if language == "tr" else "cp1252"
    variant = SubRip(
        times=rng.choice(("comma", "comma", "point", "whole seconds", "long fraction", "short hours")),
        numbers=rng.choice(("counted", "counted", "missing", "all one")),
        line_break=rng.choice(("\n", "\n", "<br>", "<br />", "\\N")),
        line_end=rng.choice(("\n", "\r\n", "\r\n", "\r")),
        has_empty_lines=rng.random() < 0.3,
        has_markup=rng.random() < 0.5,
        is_shuffled=rng.random() < 0.2,
        encoding=rng.choice(("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", page, page)),
    )
    is_whole = variant.times == "whole seconds"
    hour, start_timecode = _clock(rng)
    allowed = [*TEXT_CONDITIONS, c.arrow, c.roll_up, c.automatic] + ([] if is_whole else [c.reveal])
    faults: tuple[Fault, ...] = (Fault.NO_LENGTH, Fault.BACKWARDS, Fault.BAD_TIME)
    profile = Profile(
        language,
        grid_ms=1000 if is_whole else 20,
        can_write=_in(variant.encoding),
        begin_ms=_begin_ms(rng),
    )
    if variant.is_shuffled:
        faults = (Fault.NO_LENGTH, Fault.BACKWARDS)  # others have their place only by their neighbours
    elif variant.numbers == "counted":
        faults = (*faults, Fault.LOST_TIMES)
    cues = _write(rng, profile, allowed, faults)
    data = write_subrip(cues, variant, rng, hour * HOUR_MS)
    extension = rng.choice((".srt", ".srt", ".SRT"))
    return _Drawn(language, cues, data, extension, variant, start_timecode, first_hour=hour)


def _webvtt(rng: random.Random, languages: Sequence[str], _: str) -> _Drawn:
    language = rng.choice(languages)
    variant = WebVtt(
        has_hours=rng.random() < 0.7,
        has_voices=rng.random() < 0.3,
        has_markup=rng.random() < 0.5,
        settings=rng.choice(("", "", " align:start", " line:0 position:20%", " region:bottom")),
        has_identifiers=rng.random() < 0.5,
        has_blocks=rng.random() < 0.5,
        is_youtube=rng.random() < 0.5,
        line_end=rng.choice(("\n", "\r\n")),
        encoding=rng.choice(("utf-8", "utf-8", "utf-8-sig")),
    )
    hour, start_timecode = _clock(rng)
    allowed = [*TEXT_CONDITIONS, c.ruby, c.roll_up, c.automatic, c.reveal]
    faults = (Fault.NO_LENGTH, Fault.BACKWARDS, Fault.BAD_TIME, Fault.LOST_TIMES)
    cues = _write(rng, Profile(language, grid_ms=20, begin_ms=_begin_ms(rng)), allowed, faults)
    data = write_webvtt(cues, variant, rng, hour * HOUR_MS)
    return _Drawn(language, cues, data, ".vtt", variant, start_timecode, first_hour=hour)


def _manifest(rng: random.Random, languages: Sequence[str], stem: str) -> _Drawn:
    language = rng.choice(languages)
    is_lhotse, is_gzip = rng.random() < 0.5, rng.random() < 0.5
    cues = _write(
        rng,
        Profile(language, grid_ms=20, begin_ms=_begin_ms(rng), is_sequence=False),
        TEXT_CONDITIONS,
        (Fault.NO_LENGTH, Fault.BACKWARDS, Fault.LOST_TIMES),
    )
    data = write_manifest(cues, f"{stem}.mp4", rng, is_lhotse=is_lhotse, is_gzip=is_gzip)
    traits = f"lhotse={is_lhotse}"
    return _Drawn(language, cues, data, ".jsonl.gz" if is_gzip else ".jsonl", traits)


def _ttml_document(rng: random.Random, variant: Ttml, extension: str, rate: FrameRate = PAL) -> _Drawn:
    allowed = [*TEXT_CONDITIONS, c.ruby, c.roll_up, c.automatic]
    faults: tuple[Fault, ...] = (Fault.NO_LENGTH, Fault.BACKWARDS, Fault.BAD_TIME, Fault.LOST_TIMES, Fault.FOREIGN)
    if variant.times != "time code":
        allowed.append(c.reveal)
    if variant.structure == "sequence":
        allowed = [condition for condition in allowed if condition not in (c.two_at_once, c.automatic)]
    if variant.structure in ("sequence", "nested"):
        faults = (Fault.FOREIGN,)
    if variant.structure == "begin only":
        allowed.remove(c.said_twice)  # without an end it cannot be told from the same words shown on
    if variant.namespace != TTML1:
        allowed.remove(c.ruby)
    language = variant.language.partition("-")[0]
    profile = Profile(
        language,
        grid_ms=20 if variant.rate is None else 40,
        can_write=_in(variant.encoding),
        begin_ms=_begin_ms(rng),
    )
    cues = _write(rng, profile, allowed, faults)
    start_timecode = None
    if variant.first_hour and not (variant.declares_start and rng.random() < 0.5):
        start_timecode = rate.label(rate.first_frame(variant.first_hour))
    return _Drawn(
        language, cues, write_ttml(cues, variant, rng), extension, variant, start_timecode, rate, variant.first_hour
    )


def _ttml(rng: random.Random, languages: Sequence[str], _: str) -> _Drawn:
    language = rng.choice(languages)
    latin = "iso-8859-9" if language == "tr" else "iso-8859-1"
    variant = Ttml(
        language=rng.choice((language, f"{language}-XX")),
        times=rng.choice(("clock", "clock", "seconds", "milliseconds", "ticks")),
        structure=rng.choice(("begin end", "begin end", "begin dur", "begin only", "sequence", "nested")),
        first_hour=_clock(rng)[0],
        has_colours=rng.random() < 0.3,
        is_indented=rng.random() < 0.5,
        encoding=rng.choice(("utf-8", "utf-8", "utf-8-sig", "utf-16", latin)),
    )
    return _ttml_document(rng, variant, ".ttml")


def _dfxp(rng: random.Random, languages: Sequence[str], _: str) -> _Drawn:
    rate = rng.choice((PAL, NTSC, FILM))
    variant = Ttml(
        language=rng.choice(languages),
        namespace=rng.choice((TTML1, DRAFT_2006_04, DRAFT_2006_10)),
        times=rng.choice(("frame clock", "frames", "ticks", "clock", "clock")),
        rate=rate,
        multiplier_by=rng.choice((":", " ")),
        structure=rng.choice(("begin end", "begin dur", "begin only")),
        is_indented=rng.random() < 0.5,
    )
    return _ttml_document(rng, variant, ".dfxp", rate)


def _itt(rng: random.Random, languages: Sequence[str], _: str) -> _Drawn:
    rate = rng.choice((PAL, FILM, NTSC, NTSC_DROP))
    variant = Ttml(
        language=rng.choice(languages),
        times="time code",
        rate=rate,
        first_hour=rng.choice((0, 0, 1, 10)),
        has_colours=rng.random() < 0.3,
    )
    return _ttml_document(rng, variant, ".itt", rate)


def _ebu_tt(rng: random.Random, languages: Sequence[str], _: str) -> _Drawn:
    is_delivery = rng.random() < 0.5
    variant = Ttml(
        language=rng.choice(languages),
        prefix="tt:",
        times="clock" if is_delivery else "time code",
        rate=None if is_delivery else PAL,
        first_hour=rng.choice((0, 10)),
        has_colours=True,
        is_indented=rng.random() < 0.5,
    )
    variant = replace(variant, declares_start=not is_delivery and variant.first_hour > 0)
    return _ttml_document(rng, variant, ".xml")


def _stl(rng: random.Random, languages: Sequence[str], _: str) -> _Drawn:
    language = rng.choice(languages)
    is_teletext, page = rng.random() < 0.5, ""
    if language in ("de", "es", "fr", "pt", "tr") and rng.random() < 0.3:  # whose letters tell the table
        page = "cp1254" if language == "tr" else "cp1252"
    variant = Stl(
        language,
        is_teletext=is_teletext,
        has_colours=is_teletext and rng.random() < 0.7,
        windows_page=page,
        first_hour=rng.choice((0, 10)),
        has_comments=rng.random() < 0.3,
        has_user_data=rng.random() < 0.3,
    )
    allowed = [*TEXT_CONDITIONS, c.roll_up, c.reveal]
    can_write_page = _in(page) if page else ebu_stl.can_write
    profile = Profile(
        language, can_write=lambda text: ebu_stl.can_write(text) and can_write_page(text), begin_ms=_begin_ms(rng)
    )
    cues = _write(rng, profile, allowed, (Fault.NO_LENGTH, Fault.BACKWARDS, Fault.BAD_TIME))
    start = rng.choice((None, "10:00:00:00")) if variant.first_hour else None
    return _Drawn(language, cues, write_stl(cues, variant, rng), ".stl", variant, start, PAL, variant.first_hour)


def _scc(rng: random.Random, languages: Sequence[str], _: str) -> _Drawn:
    language = rng.choice([language for language in languages if language != "tr"])
    rate = rng.choice((NTSC, NTSC_DROP))
    variant = Scc(rate, first_hour=rng.choice((0, 1, 10)), rows=rng.choice((2, 3, 4)))
    profile = Profile(
        language,
        width=32,
        is_capitals=language != "de" and rng.random() < 0.5,  # ß has no capital
        can_write=line_21.can_write,
        begin_ms=_begin_ms(rng) + 2000,
        min_cue_ms=2800,  # in which the next caption is sent
        sending_ms=2800,
    )
    allowed = [condition for condition in TEXT_CONDITIONS if condition is not c.two_at_once]
    cues = _write(rng, profile, [*allowed, c.roll_up, c.reveal], (Fault.BAD_TIME,))
    for at, (cue, following) in enumerate(pairwise(cues)):
        if following.fault and following.start_ms == cue.end_ms:  # only the lost line ends it
            cues[at] = replace(cue, words=tuple(replace(word, is_kept=False) for word in cue.words))
    start = rate.label(rate.first_frame(variant.first_hour)) if variant.first_hour else None
    traits = (variant, profile.is_capitals)
    return _Drawn(language, cues, write_scc(cues, variant), ".scc", traits, start, rate, variant.first_hour)


_DRAWERS = (_subrip, _webvtt, _ttml, _dfxp, _itt, _ebu_tt, _stl, _scc, _manifest)
