"""Whisper's token sequences, as in pre-training (Radford et al., 2022, section 2.3)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contract import Misconfigured, Reason
from tasks.recognition.whisper import NO_SPEECH_TOKENS

if TYPE_CHECKING:
    from training.data.shards import TrainingUtterance

IGNORED_LABEL = -100
"""Not in the loss."""
SPEECH_LABEL = -101
"""Any token but no-speech. At the start token, pre-training tells the language; a corpus in one language would teach
that every speech is in it, and no loss there at all that a window without speech needs no no-speech token."""
TIMESTAMP_HZ = 50
MAX_PROMPT_SHARE = 0.5  # of the decoder's positions, as upstream


@dataclass(frozen=True)
class Sequence:
    """A decoder's input tokens, and for each of them the token to predict, `IGNORED_LABEL` or `SPEECH_LABEL`."""

    inputs: list[int]
    labels: list[int]


class WhisperTokens:
    """Builds the sequences of one model in one language."""

    def __init__(self, folder: Path, language: str, n_positions: int, *, is_multilingual: bool) -> None:
        """`language` is a BCP 47 tag; models that are not multilingual have no language in their prompt."""
        from transformers import AutoTokenizer

        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._backend = mend_merges(self.tokenizer)
        self._n_positions = n_positions
        known = self.tokenizer.get_vocab()
        self.start, self._end = known["<|startoftranscript|>"], known["<|endoftext|>"]
        self._without_timestamps = known["<|notimestamps|>"]
        self._first_timestamp = known.get("<|0.00|>", self._without_timestamps + 1)  # follow it in every vocabulary
        self._previous = known.get("<|startofprev|>")
        self.no_speech: int | None = next((known[token] for token in NO_SPEECH_TOKENS if token in known), None)
        self.language = whisper_language(language) if is_multilingual else ""
        task = ["<|transcribe|>"] if is_multilingual else []
        spoken = [f"<|{self.language}|>"] if is_multilingual else []
        self._prefix = [self.start, *(known[token] for token in (*spoken, *task))]

    @property
    def prompt(self) -> list[int]:
        """The prompt of a text without timestamps: start, language, task."""
        return [*self._prefix, self._without_timestamps]

    def text(self, text: str) -> list[int]:
        """Tokens of a text with the space before it that pre-training's texts have.

        ` hello` is one token and `hello`, which transformers' recipe teaches, another: Whisper base gives it a loss of
        10 nats instead of 3, and much of a short tuning is spent on that.
        """
        words = " ".join(text.split())
        ids: list[int] = self._backend.encode(f" {words}", add_special_tokens=False).ids if words else []
        return ids

    def fits(self, text: str) -> bool:
        """Whether the decoder has positions for a text, its prompt and a few timestamps, without previous text."""
        return len(self.text(text)) + len(self.prompt) + 1 <= self._n_positions

    def sequence(self, utterance: TrainingUtterance) -> Sequence:
        """Return an utterance's sequence.

        Non-speech is the no-speech token alone, without language: decoding never allows end-of-text first. The loss
        leaves out previous text and prompt, since decoders set them.
        """
        if not utterance.text and self.no_speech is not None:
            return Sequence([self.start], [self.no_speech])
        written = self._timed(utterance) if utterance.with_timestamps else None
        prompt = self._prefix if written else self.prompt
        written = [*(written or self.text(utterance.text)), self._end]
        before = self._previous_text(utterance.previous_text, self._n_positions - len(prompt) - len(written))
        at_start = IGNORED_LABEL if self.no_speech is None else SPEECH_LABEL
        unscored = [IGNORED_LABEL] * (len(prompt) - 2)
        return Sequence(
            [*before, *prompt, *written[:-1]],
            [*[IGNORED_LABEL] * len(before), at_start, *unscored, *written],
        )

    def _timed(self, utterance: TrainingUtterance) -> list[int] | None:
        """Texts between their timestamps, or None if they exceed the decoder's positions."""
        ids: list[int] = []
        for span in utterance.spans:
            start, end = (self._first_timestamp + round(t * TIMESTAMP_HZ) for t in (span.start_s, span.end_s))
            ids += [start, *self.text(span.text), end]
        return ids if len(ids) + len(self._prefix) < self._n_positions else None

    def _previous_text(self, text: str, n_free: int) -> list[int]:
        """The end of the previous text after its own start token, within the free positions."""
        n = min(int(self._n_positions * MAX_PROMPT_SHARE), n_free) - 1
        ids = self.text(text)[-n:] if text and self._previous is not None and n > 0 else []
        return [self._previous, *ids] if ids and self._previous is not None else []


def whisper_language(tag: str) -> str:
    """Return Whisper's code for a language: `en` for `en-GB`. Raises Misconfigured for one that it does not know."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    language = tag.partition("-")[0].lower()
    if language not in LANGUAGES:
        raise Misconfigured(
            f"Whisper does not know the language {tag!r}",
            reason=Reason.INVALID_ARGUMENT,
            subject="the dataset's language",
            next_step=f"use a dataset in one of {', '.join(sorted(LANGUAGES))}, or a CTC base model",
        )
    return language


def mend_merges(tokenizer: Any) -> Any:
    """Return the tokenizer's backend with the merges of all tokens of two symbols.

    `tokenizer.json` of the multilingual models lacks their first merge, of space and t: " the" becomes a space and
    "the", which the model never saw in pre-training, and every " to", " that" and " this" with it. Of the loss of
    Whisper base on 303 words, 3.1 nats a word, that was half.
    """
    from tokenizers import Tokenizer

    backend = tokenizer.backend_tokenizer
    saved = json.loads(backend.to_str())
    vocabulary, merges = saved["model"]["vocab"], saved["model"]["merges"]
    pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in merges]
    made = {"".join(pair) for pair in pairs}
    symbols = {token for token in vocabulary if len(token) == 1}
    two = {token: number for token, number in vocabulary.items() if len(token) == 2 and set(token) <= symbols}
    missing = sorted((number, token) for token, number in two.items() if token not in made)
    if not missing:
        return backend
    for number, token in missing:  # a token's number is its merge's, after the single symbols
        pairs.insert(max(0, number - len(symbols)), (token[0], token[1]))
    saved["model"]["merges"] = [list(pair) for pair in pairs]
    return Tokenizer.from_str(json.dumps(saved))
