"""Caption files of nine formats as the field has them: what is taught of them, beside pysubs2 and ttconv.

A generator with a seed draws 200 programmes: what is said in them and when, what is sung, described or a speaker's
name, and which cues cannot be used. It writes their captions as SubRip, WebVTT, TTML, DFXP, iTT, EBU-TT in `.xml`, EBU
STL, SCC and JSON Lines, mixing the conditions of `benchmarks/support/captions/conditions.py` with encodings, clocks and
names of files. scan-corpus pairs them with stubs of their media; they are read and cut as prepare-corpus does by its
default rules.

Words are compared in lower case without punctuation. A word is *kept* if it is in the text of an utterance that spans
it, give or take 100 ms on each side; the share is of the words that are said and not in an unusable cue. It is *not
said* if it is in an utterance's text, but not said in its span, or in another order. It is *omitted* if it is said
within an utterance's span and not in its text (`benchmarks/support/captions/scoring.py`).

pysubs2 and ttconv read the same files alone: each of their cues is an utterance. They are told the encoding of text,
and the medium's clock is subtracted for them. Neither claims to tell songs and labels from speech: their figures say
what is left to whoever uses them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from benchmarks.support.captions.files import CaptionFile, make_files
from benchmarks.support.captions.readers import (
    PYSUBS2_FORMATS,
    TTCONV_FORMATS,
    Reading,
    Unread,
    pair,
    read_with_airscript,
    read_with_pysubs2,
    read_with_ttconv,
    write_corpus,
)
from benchmarks.support.captions.scoring import Score, score
from benchmarks.support.harness import Report, argument_parser, make_report, print_and_save, time_interleaved

N_FILES = 200
REPEATS = 2
PEER = "pysubs2"
Reader = Callable[[CaptionFile], Reading]


def readers(files: Sequence[CaptionFile], folder: Path) -> dict[str, Reader]:
    """Write the files to `folder` and return the three readers."""
    write_corpus(files, folder)
    programmes = pair(folder)

    def with_airscript(file: CaptionFile) -> Reading:
        return read_with_airscript(file, programmes.get(f"{file.language}/{file.stem}"))

    return {
        "airscript": with_airscript,
        PEER: lambda file: read_with_pysubs2(file, folder / file.name),
        "ttconv": lambda file: read_with_ttconv(file, folder / file.name),
    }


def score_all(files: Sequence[CaptionFile], read: Reader) -> dict[str, Score]:
    """The scores by format."""
    scores: dict[str, Score] = {}
    for file in files:
        reading = read(file)
        found = score(file, [] if isinstance(reading, Unread) else reading)
        if isinstance(reading, Unread):
            found.examples.append(f"{file.name}: {reading.reason}")
        scores[file.format] = total((scores.get(file.format, Score()), found))
    return scores


def total(scores: Iterable[Score]) -> Score:
    """The sum of scores."""
    result = Score()
    for found in scores:
        result += found
    return result


def measure(n_files: int = N_FILES, repeats: int = REPEATS, seed: int = 0, n_examples: int = 0) -> Report:
    """Draw files, score the readers on all of them, and time them on those that all three read."""
    files = make_files(n_files, seed)
    with tempfile.TemporaryDirectory() as name:
        contenders = readers(files, Path(name))
        scores = {reader: score_all(files, read) for reader, read in contenders.items()}
        common = [file for file in files if file.format in PYSUBS2_FORMATS and file.format in TTCONV_FORMATS]
        rows = time_interleaved(
            {reader: partial(_read_all, read, common) for reader, read in contenders.items()},
            PEER,
            work=len(common),
            repeats=repeats,
            warm_up=0,
        )
    quantities: dict[str, float] = {"words to keep": total(scores[PEER].values()).n_wanted}
    notes = []
    for reader, by_format in scores.items():
        found = total(by_format.values())
        quantities |= {
            f"{reader}: words kept": found.n_kept,
            f"{reader}: words taught": found.n_taught,
            f"{reader}: words taught and not said": found.n_not_said,
            f"{reader}: words omitted": found.n_omitted,
        }
        notes.append(f"{reader}: {_sentence(found)}")
        notes += [f"{reader} {extension}: {_sentence(one)}" for extension, one in sorted(by_format.items())]
        notes += found.examples[:n_examples]
    return make_report(
        "captions",
        f"{n_files} caption files; speed on the {len(common)} in formats that all three read",
        "files a second",
        PEER,
        ("pysubs2", "ttconv", "lxml"),
        rows,
        notes,
        quantities,
    )


def _read_all(read: Reader, files: Sequence[CaptionFile]) -> None:
    for file in files:
        read(file)


def _sentence(found: Score) -> str:
    worst = ", ".join(f"{n} of {found.wanted[condition]} {condition}" for condition, n in found.missed.most_common(3))
    return (
        f"{100 * found.kept_share:.2f} % of {found.n_wanted:,} words kept, {found.n_not_said:,} of {found.n_taught:,} "
        f"taught and not said, {found.n_omitted:,} omitted" + (f"; missed most: {worst}" if worst else "")
    )


def main() -> None:
    parser = argument_parser((__doc__ or "").splitlines()[0])
    parser.add_argument("--files", type=int, default=N_FILES, help="number of files")
    parser.add_argument("--seed", type=int, default=0, help="of the generator")
    parser.add_argument("--examples", type=int, default=0, help="of what is wrong, to print for each reader")
    options = parser.parse_args()
    print_and_save(measure(options.files, seed=options.seed, n_examples=options.examples), options.json)


if __name__ == "__main__":
    main()
