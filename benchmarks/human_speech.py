"""Recognition of human speech by a trained Whisper: the steps of a night beside faster-whisper, batched (with and
without word times) and sequential, and, where they are installed, beside whisper.cpp (`pywhispercpp`) and sherpa-onnx
(`sherpa-onnx`, `silero-vad` and, for the conversion, `onnx`).

Input: every folder with texts below `--speech` (`AIRSCRIPT_SPEECH`), the recordings of a reader joined with pauses to a
programme; programmes composed of them for conditions that single recordings do not have; and programmes without speech.
All have the same weights, int8, beam 5 (sherpa-onnx: greedy), and detect the language. Each runs in its own process
over the recordings and the sounds without speech, and in another over what was composed, start included, without the
conversion of the weights: compare processor time, and wall-clock time only on an idle machine.

Scores: WER with substitutions, deletions and insertions after the same normaliser; words far from any speech
(invented); seconds of speech farther than a second from any word. The difference from the better peer has a paired
bootstrap over programmes.
"""

from __future__ import annotations

import json
import os
import tempfile
from argparse import Namespace
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.support.harness import Machine, Usage, argument_parser, measure_process, model_folder, this_machine
from benchmarks.support.human_speech.composed import COMPOSED, composed_programmes
from benchmarks.support.human_speech.programmes import Programme, alone, by_reader, read_manifest, scored_folders
from benchmarks.support.human_speech.report import Comparison, compare, print_findings
from benchmarks.support.human_speech.scoring import Score, comparable, score
from benchmarks.support.human_speech.sounds import programmes_without_speech
from benchmarks.support.human_speech.systems import PRODUCT, SYSTEMS, Hypothesis, converted
from tasks.audio import SAMPLE_RATE_HZ

RECORDED_PART, COMPOSED_PART = "recorded", "composed"


@dataclass(frozen=True)
class Scored:
    """A programme with one system's transcript of it."""

    system: str
    programme: str
    folder: str
    reference: str
    hypothesis: str
    language: str | None
    warnings: tuple[str, ...]
    score: Score


@dataclass(frozen=True)
class Findings:
    """The benchmark's results."""

    machine: Machine
    model: str
    audio_s: dict[str, float]
    """Of the programmes by part: recorded and composed."""
    usage: dict[str, dict[str, Usage]]
    """By part and system."""
    folders: list[Comparison]
    scored: list[Scored]


def programmes(speech: Path, each_alone: bool, is_chosen: Callable[[str], bool]) -> Iterator[Programme]:
    """The programmes of the chosen folders, one at a time."""
    recordings = read_manifest(speech)
    for folder, own in scored_folders(recordings).items():
        if is_chosen(folder):
            yield from (alone if each_alone else by_reader)(folder, own, speech)
    for special in (composed_programmes, programmes_without_speech):
        yield from special(speech, recordings, is_chosen)


def fill(folder: Path, options: Namespace) -> dict[str, dict[str, Programme]]:
    """Write the chosen programmes' media to an inbox for each part; returns them by part and name."""
    import soundfile

    chosen: dict[str, dict[str, Programme]] = defaultdict(dict)
    taken: Counter[str] = Counter()
    prefixes = tuple(options.folders or [""])
    for programme in programmes(options.speech, options.alone, lambda folder: folder.startswith(prefixes)):
        taken[programme.folder] += 1
        if options.limit is None or taken[programme.folder] <= options.limit:
            part = COMPOSED_PART if programme.folder.startswith(COMPOSED) else RECORDED_PART
            inbox = folder / part
            inbox.mkdir(exist_ok=True)
            soundfile.write(inbox / f"{programme.name}.flac", programme.content.samples, SAMPLE_RATE_HZ)
            chosen[part][programme.name] = programme
    return chosen


def measure(options: Namespace) -> Findings:
    usage: dict[str, dict[str, Usage]] = {}
    audio_s, scored = {}, []
    with tempfile.TemporaryDirectory() as folder:
        for part, chosen in fill(Path(folder), options).items():
            usage[part], audio_s[part] = {}, sum(p.content.duration_s for p in chosen.values())
            print(f"{part}: {len(chosen)} programmes, {audio_s[part]:.0f} s", flush=True)
            for system in options.systems:
                usage[part][system], hypotheses = transcripts_of(system, Path(folder, part), options)
                print(f"{system}: {usage[part][system].wall_s:.0f} s", flush=True)
                heard = {hypothesis.programme: hypothesis for hypothesis in hypotheses}
                for name, programme in chosen.items():
                    scored.append(scored_programme(system, programme, heard.get(name, Hypothesis(programme=name))))
    return Findings(
        machine=this_machine(),
        model=options.model.name,
        audio_s=audio_s,
        usage=usage,
        folders=compare({system: [s for s in scored if s.system == system] for system in options.systems}),
        scored=scored,
    )


def transcripts_of(system: str, inbox: Path, options: Namespace) -> tuple[Usage, list[Hypothesis]]:
    """A system's transcripts of the inbox. Those of a peer that an earlier run kept are not made again."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.transcripts or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        texts, measured = (
            folder / f"{system}-{options.model.name}-{inbox.name}.{suffix}" for suffix in ("jsonl", "usage.json")
        )
        if system == PRODUCT or not measured.exists():
            model = converted(system, options.model, Path(temporary))
            arguments = ["--inbox", str(inbox), "--model", str(model), "--output", str(texts)]
            usage = measure_process("-m", "benchmarks.support.human_speech.systems", system, *arguments)
            measured.write_text(json.dumps(asdict(usage)))
        hypotheses = [Hypothesis.model_validate_json(line) for line in texts.read_text("utf-8").splitlines()]
        return Usage(**json.loads(measured.read_text())), hypotheses


def scored_programme(system: str, programme: Programme, hypothesis: Hypothesis) -> Scored:
    return Scored(
        system=system,
        programme=programme.name,
        folder=programme.folder,
        reference=comparable(programme.content.text),
        hypothesis=hypothesis.text,
        language=hypothesis.language,
        warnings=hypothesis.warnings,
        score=score(programme.content, hypothesis),
    )


def main() -> None:
    parser = argument_parser(__doc__ or "")
    parser.add_argument("--speech", type=Path, default=os.environ.get("AIRSCRIPT_SPEECH"), help="folder of speech")
    parser.add_argument("--model", type=model_folder, default="whisper-base", help="name in local.weights, or a folder")
    parser.add_argument("--folders", nargs="+", metavar="PREFIX", help="only folders that begin like this")
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS), help="only these")
    parser.add_argument("--limit", type=int, help="at most so many programmes of a folder")
    parser.add_argument("--alone", action="store_true", help="do not join recordings: each is a programme")
    parser.add_argument(
        "--transcripts", type=Path, help="keep the transcripts here; a peer with transcripts here is not run again"
    )
    options = parser.parse_args()
    if not options.speech:
        parser.error("human_speech needs human speech: --speech DIR, or AIRSCRIPT_SPEECH")
    found = measure(options)
    print_findings(found.usage, found.folders, found.audio_s, found.machine)
    if options.json:
        figures = asdict(found)
        options.json.write_text(json.dumps(figures, indent=2, default=lambda model: model.model_dump()) + "\n")


if __name__ == "__main__":
    main()
