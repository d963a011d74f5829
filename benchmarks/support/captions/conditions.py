"""The conditions of captions in the field, each as a function that writes it into a script."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from benchmarks.support.captions import sentences
from benchmarks.support.captions.script import Cue, Fault, ScriptWriter, Style, said_as, unsaid, with_reading
from benchmarks.support.captions.sentences import GRAMMARS

N_PLAIN = 5
LINE_END = "\n"
LABELS = (
    "JOHN SMITH", "DR. MÜLLER", "ÉLODIE", "ŞÜKRÜ", "MAN", "ŁUKASZ", "ÅSE ØSTBY", "ИВАН ПЕТРОВ", "ΜΑΡΊΑ", "ԱՆԻ",
    "REPORTER 2",
)  # fmt: skip
LABEL_REMARKS = ("", "", "", " (off)", " [on phone]", " (whispers)")


def plain(script: ScriptWriter) -> None:
    script.speak(script.sentence(), "plain")


def song(script: ScriptWriter) -> None:
    """Sung lines, marked as broadcasters do it."""
    note = script.choose("♪", "♫", "♪♪", "#")
    kinds = [_song_by_lines, _song_by_cues, _song_open_lines, _song_below_speech]
    kinds += [_song_through] if script.profile.is_sequence else []
    script.rng.choice(kinds)(script, note)


def _song_by_lines(script: ScriptWriter, note: str) -> None:
    _sing(script, lambda lines: [f"{note} {line} {note}" for line in lines])


def _song_by_cues(script: ScriptWriter, note: str) -> None:
    """A mark before each cue's first line and behind its last."""
    _sing(script, lambda lines: f"{note} {LINE_END.join(lines)} {note}".split(LINE_END))


def _song_open_lines(script: ScriptWriter, note: str) -> None:
    """A mark before each line, and perhaps one behind the song's last."""
    first = len(script.cues)
    _sing(script, lambda lines: [f"{note} {line}" for line in lines])
    if script.rng.random() < 0.5 and len(script.cues) > first:
        *lines, last = script.cues[-1].lines
        script.cues[-1] = replace(script.cues[-1], lines=(*lines, f"{last} {note}"))


def _song_through(script: ScriptWriter, note: str) -> None:
    """A mark before the song's first line and behind its last, several captions later."""
    first = len(script.cues)
    _sing(script, lambda lines: lines)
    for at, number in ((first, 0), (len(script.cues) - 1, -1)):
        lines = list(script.cues[at].lines)
        lines[number] = f"{lines[number]} {note}" if number else f"{note} {lines[number]}"
        script.cues[at] = replace(script.cues[at], lines=tuple(lines))


def _song_below_speech(script: ScriptWriter, note: str) -> None:
    """Somebody speaks, and the line below is sung."""
    said, sung = (script.answer() for _ in range(2))
    script.say([said, f"{note} {sung} {note}"], f"{said} {sung}", "song")
    script.cues[-1] = replace(script.cues[-1], words=script.cues[-1].words[: len(script.said(said))])


def _sing(script: ScriptWriter, marked: Callable[[list[str]], list[str]]) -> None:
    script.speak(" ".join(script.sentence() for _ in range(2)), "song", marked=marked, is_song=True)


def remark(script: ScriptWriter) -> None:
    """A described sound: alone, before, behind or within what is said, or over two lines."""
    begin, end = script.choose("[]", "()", "（）")
    sound = script.remark()
    kind = script.rng.choice(("alone", "before", "behind", "within", "two lines", "capitals"))
    if kind == "capitals":
        sound = sentences.upper(sound, script.language)
    shown = unsaid(f"{begin}{sound}{end}")
    words = script.sentence().split()
    if kind == "alone":
        script.add(Cue(script.at_ms, script.at_ms + 2000, script.shown([shown])))
    elif kind == "two lines" and " " in sound:
        first, _, rest = sound.partition(" ")
        said = " ".join(words[:3])
        script.say([f"{begin}{first}", f"{rest}{end} {said}"], said, "remark")
    else:
        at = {"before": 0, "behind": len(words), "capitals": 0}.get(kind, len(words) // 2)
        script.speak(" ".join([*words[:at], shown, *words[at:]]), "remark")


def chevrons(script: ScriptWriter) -> None:
    """Changes of speaker, at the beginning of a line and inside of it."""
    first, second = script.sentence(), script.answer()
    kind = script.rng.choice((">> ", ">>> ", ">>", ">> ANNA: ", ">> REPORTER: "))
    script.speak(f"{unsaid(kind.strip())} {first} {unsaid('>>')} {second}", "chevrons")


def label(script: ScriptWriter) -> None:
    """Names of speakers, in capitals of several scripts, with a remark behind them, on one or both lines."""
    names = [name for name in LABELS if script.profile.can_write(name)]
    if script.profile.is_capitals:
        return  # "THE ANSWER IS:" cannot be told from a name
    rng = script.rng
    name = unsaid(f"{rng.choice(names)}{rng.choice(LABEL_REMARKS)}:")
    if rng.random() < 0.5:
        script.speak(f"{name} {script.sentence()}", "label")
        return
    texts = [script.answer() for _ in range(2)]
    lines = [f"{name} {texts[0]}", f"{unsaid(rng.choice(names) + ':')} {texts[1]}"]
    script.say(lines, " ".join(texts), "label")


def dialogue(script: ScriptWriter) -> None:
    """Two speakers, each on a line after a dash."""
    dash = script.choose("- ", "-", "– ")
    texts = [script.answer() for _ in range(2)]
    script.say([f"{dash}{text}" for text in texts], " ".join(texts), "dialogue")


def parted_word(script: ScriptWriter) -> None:
    """A word parted at the end of a line, or a line that ends in a suspended compound."""
    head, tail = script.parted_sentence().split("|")
    said = head + (" " if head.endswith("-") else "") + tail
    script.say([head if head.endswith("-") else f"{head}-", tail], said, "parted word")


def ruby(script: ScriptWriter) -> None:
    """A word with its reading above it."""
    words = script.sentence().split()
    at = script.rng.randrange(len(words) - 1)
    words[at] = with_reading(words[at], "reading")
    script.speak(" ".join(words), "ruby")


def unusable(script: ScriptWriter, faults: tuple[Fault, ...]) -> None:
    """A cue that cannot be used, close between two that can."""
    before, text, after = script.answers(3)
    script.speak(before, "beside an unusable cue")
    script.pause(0, 80, 200)
    script.speak(text, "unusable cue", is_kept=False, fault=script.rng.choice(faults), max_lines=4)
    script.pause(0, 80, 200)
    script.speak(after, "beside an unusable cue")


def digits(script: ScriptWriter) -> None:
    """A number, whose words are not known."""
    words = script.sentence().split()
    words.insert(1, str(script.rng.randrange(2, 3000)))
    script.speak(script.answer(), "beside a number")
    script.pause(0, 80, 200)
    script.speak(" ".join(words[:4]), "number", is_kept=False)
    script.pause(0, 80, 200)
    script.speak(script.answer(), "beside a number")


def two_at_once(script: ScriptWriter) -> None:
    """Two speakers at the same time, each with a cue: no text of that audio."""
    start_ms = script.at_ms
    for text in script.answers(2):
        end_ms, script.at_ms = script.at_ms, start_ms
        script.say([text], text, "two at once", is_kept=False)
        script.at_ms = max(end_ms, script.at_ms)


def roll_up(script: ScriptWriter) -> None:
    """A live insert that scrolls."""
    text = " ".join(script.sentence() for _ in range(4))
    script.lines_in_time(text, Style.ROLL_UP, "roll-up insert")


def automatic(script: ScriptWriter) -> None:
    """Captions of a recogniser, each of which stays until the next but one begins."""
    text = " ".join(script.said(" ".join(script.sentence() for _ in range(5))))
    script.lines_in_time(text, Style.AUTOMATIC, "automatic captions")


def reveal(script: ScriptWriter) -> None:
    """A sentence that appears word by word."""
    words = script.sentence().split()[:7]  # on one screen
    first = len(script.cues)
    script.speak(" ".join(words), "word reveal")
    for at in range(first, len(script.cues)):
        script.cues[at] = replace(script.cues[at], style=Style.REVEAL)
    script.pause(script.profile.sending_ms)


def said_twice(script: ScriptWriter) -> None:
    """The same words said again: no repetition of a screen."""
    text = script.answer()
    for _ in range(2):
        script.say([text], text, "said twice")
        script.pause(480, 600)


def arrow(script: ScriptWriter) -> None:
    """An arrow like that of the times. What is said for it is not known."""
    words = script.sentence().split()[:8]
    script.speak(" ".join([*words[:2], unsaid("-->"), *words[2:]]), "arrow in the text", is_kept=False, max_lines=3)


def ampersand(script: ScriptWriter) -> None:
    """A sign for a word."""
    joint = GRAMMARS[script.language].joint
    first, second = (script.sentence().removesuffix(".") for _ in range(2))
    script.speak(f"{first} {said_as('&', joint)} {second}.", "ampersand")


def typography(script: ScriptWriter) -> None:
    """Quotation marks, apostrophes, dashes, dots and spaces as printers set them."""
    quotes = script.choose("“”", "«»", '""')
    dash, dots = script.choose("—", "–", "-"), script.choose("…", "...")
    first, second = script.sentence(), script.answer()
    if script.profile.can_write("’"):
        first, second = first.replace("'", "’"), second.replace("'", "’")
    if script.language == "es" and second.endswith("?"):
        second = f"¿{second}"
    if script.language == "fr" and script.profile.can_write("\u00a0"):
        second = second.replace("?", "\u00a0?")
    script.speak(f"{dots} {first[:-1]} {dash} {quotes[0]}{second}{quotes[1]}", "typography")


Condition = Callable[[ScriptWriter], None]


def write_script(script: ScriptWriter, conditions: list[Condition], rng: random.Random) -> None:
    """Mix the conditions with plain sentences."""
    blocks = [plain] * N_PLAIN + conditions
    rng.shuffle(blocks)
    for block in blocks:
        block(script)
        script.pause()
