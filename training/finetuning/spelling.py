"""A spelling model (n-gram over CTC symbols) for a CTC model, trained on its fine-tuning texts.

Its fusion weight is chosen on the validation split, with the engine that production uses.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.recognition.beam import search
from tasks.recognition.spelling import FILE_NAME, SpellingModel, SpellingScorer
from tasks.transcripts.error_counts import total
from tasks.transcripts.normaliser import normalise
from training.finetuning.validation import ValidationSample
from training.scoring.errors import word_errors

WEIGHTS = (0.3, 0.5, 0.8, 1.1)
BONUS = 1.25  # per symbol, times the weight: WER was best around it, flat from 1 to 1.5
MAX_UTTERANCES = 64  # each is decoded once for every weight


@dataclass(frozen=True)
class SpellingChoice:
    """The fusion weight chosen, and the WER on the validation split with it and with greedy decoding."""

    weight: float
    wer: float
    greedy_wer: float

    def figures(self) -> dict[str, float]:
        return {name: round(value, 4) for name, value in asdict(self).items()}


def learn_spelling(folder: Path, texts: Iterable[str], sample: ValidationSample) -> SpellingChoice:
    """Train a spelling model, and write it into the CTC model's folder if it lowers the WER on `sample`.

    The base model's own spelling model is removed in any case.
    """
    from transformers import AutoTokenizer

    from tasks.recognition.ctc import CtcEngine

    (folder / FILE_NAME).unlink(missing_ok=True)
    engine = CtcEngine(folder, "cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = (tokenizer(text, add_special_tokens=False).input_ids for text in texts)
    spelling = SpellingModel.learn(ids, n_symbols=len(tokenizer))
    every = max(1, sum(len(batch.texts) for batch in sample.batches) // MAX_UTTERANCES)
    utterances = [  # (reference, log posteriors of shape (n_frames, n_symbols))
        (text, log_posteriors)
        for batch in sample.batches
        for text, log_posteriors in zip(
            batch.texts[::every],
            engine.log_posteriors([f[:n] for f, n in zip(batch.features, batch.n_frames, strict=True)][::every]),
            strict=True,
        )
    ]

    def wer(hypotheses: Iterable[str]) -> float:
        pairs = zip(utterances, hypotheses, strict=True)
        return total(word_errors(normalise(text), normalise(hypothesis)) for (text, _), hypothesis in pairs).rate

    greedy_wer = wer(str(tokenizer.decode(frames.argmax(-1).tolist())) for _, frames in utterances)
    best = SpellingChoice(0.0, greedy_wer, greedy_wer)
    scorer = SpellingScorer(spelling)
    for weight in WEIGHTS:
        spelling.weight, spelling.bonus = weight, BONUS * weight
        symbols = search([frames for _, frames in utterances], engine.blank, [scorer])
        fused_wer = wer(str(tokenizer.decode(ids, group_tokens=False)) for ids in symbols)
        if fused_wer < best.wer:
            best = SpellingChoice(weight, fused_wer, greedy_wer)
    if best.weight:
        spelling.weight, spelling.bonus = best.weight, BONUS * best.weight
        spelling.save(folder)
    return best
