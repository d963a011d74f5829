"""A spelling model for a CTC model, learned from the texts that it was fine-tuned on.

How much it may say against the audio is chosen on the validation split, with the engine that nights use.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.recognition.beam import search
from tasks.recognition.spelling import FILE_NAME, SpellingGuide, SpellingModel
from training.finetuning.validation import ValidationSample
from training.scoring.errors import total, word_errors
from training.scoring.normaliser import normalise

WEIGHTS = (0.3, 0.5, 0.8, 1.1)
BONUS = 1.25  # a symbol, times the weight: measured best around it, flat from 1 to 1.5
MOST_UTTERANCES = 64  # each is decoded once for every weight


@dataclass(frozen=True)
class SpellingChoice:
    """The weight taken, and error rates on the validation split with it and without."""

    weight: float
    wer: float
    greedy_wer: float

    def facts(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


def learn_spelling(folder: Path, texts: Iterable[str], sample: ValidationSample) -> SpellingChoice:
    """Write a spelling model into the model's folder if it lowers the error rate on `sample`; a base's own is replaced.

    The model is of a CTC family.
    """
    from transformers import AutoTokenizer

    from tasks.recognition.ctc import CtcEngine

    (folder / FILE_NAME).unlink(missing_ok=True)
    engine = CtcEngine(folder, "cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = (tokenizer(text, add_special_tokens=False).input_ids for text in texts)
    spelling = SpellingModel.learn(ids, n_symbols=len(tokenizer))
    every = max(1, sum(len(batch.texts) for batch in sample.batches) // MOST_UTTERANCES)
    heard = [
        (text, log_posteriors)
        for batch in sample.batches
        for text, log_posteriors in zip(
            batch.texts[::every],
            engine.log_posteriors([f[:n] for f, n in zip(batch.features, batch.n_frames, strict=True)][::every]),
            strict=True,
        )
    ]

    def wer(texts_found: Iterable[str]) -> float:
        pairs = zip(heard, texts_found, strict=True)
        return total(word_errors(normalise(text), normalise(found)) for (text, _), found in pairs).rate

    greedy_wer = wer(str(tokenizer.decode(frames.argmax(-1).tolist())) for _, frames in heard)
    best = SpellingChoice(0.0, greedy_wer, greedy_wer)
    guide = SpellingGuide(spelling)
    for weight in WEIGHTS:
        spelling.weight, spelling.bonus = weight, BONUS * weight
        symbols = search([frames for _, frames in heard], engine.blank, [guide])
        found = wer(str(tokenizer.decode(ids, group_tokens=False)) for ids in symbols)
        if found < best.wer:
            best = SpellingChoice(weight, found, greedy_wer)
    if best.weight:
        spelling.weight, spelling.bonus = best.weight, BONUS * best.weight
        spelling.save(folder)
    return best
