"""`tokenizer.json` of a Whisper, made from whichever form of its vocabulary lies beside the weights.

    vocab.json, merges.txt       transformers' slow tokenizer
    vocabulary.json or .txt      CTranslate2: every token, by id
    *.tiktoken                   OpenAI's package, `whisper/assets/`: tokens in base64, by rank

Byte-pair encoding merges in the order of the tokens' ids, so that ids alone determine the merges.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tasks.contract import InputRejected, Reason
from tasks.models.whisper.weights import MULTILINGUAL_VOCABULARY, N_LANGUAGES

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
TIKTOKEN = ".tiktoken"
SLOW, ADDED = ("vocab.json", "merges.txt"), "added_tokens.json"
N_TIMESTAMPS = 1501  # 0.00 to 30.00 s in steps of 20 ms
END, START, NO_TIMESTAMPS = "<|endoftext|>", "<|startoftranscript|>", "<|notimestamps|>"
_TASKS = ("<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", NO_TIMESTAMPS)


def has_tokenizer(names: Collection[str]) -> bool:
    """Whether a folder with files of these names has a tokenizer in one of its forms."""
    return (
        TOKENIZER in names
        or set(SLOW) <= set(names)
        or any(name in VOCABULARIES or name.endswith(TIKTOKEN) for name in names)
    )


def is_tokenizer_file(name: str) -> bool:
    """Whether a file of this name is a tokenizer, or a part of one."""
    return name in (TOKENIZER, ADDED, *SLOW, *VOCABULARIES) or name.endswith(TIKTOKEN)


def load_tokenizer(folder: Path, n_tokens: int) -> Tokenizer:
    """Load or make the tokenizer of a model with `n_tokens` tokens, timestamps included.

    Raises:
        InputRejected: none of the forms is there, or it belongs to another model.
    """
    from tokenizers import Tokenizer

    path = folder / TOKENIZER
    try:
        tokenizer = Tokenizer.from_file(str(path)) if path.is_file() else _vocabulary(folder, n_tokens).tokenizer()
    except InputRejected:
        raise
    except Exception as error:  # tokenizers raises Exception itself
        raise _rejected(folder, f"a tokenizer that cannot be read: {error}", Reason.CORRUPT) from None
    end = tokenizer.token_to_id(NO_TIMESTAMPS)
    if end is None or end + 1 + N_TIMESTAMPS != n_tokens:
        raise _rejected(folder, f"a tokenizer of another model: this one has {n_tokens} tokens", Reason.CORRUPT)
    _add(tokenizer, timestamps(), special=False)  # saved by upstream only since 2023
    return tokenizer


@dataclass(frozen=True)
class _Vocabulary:
    """The tokens by id: of text, in byte-level unicode, then special ones."""

    text: Sequence[str]
    special: Sequence[str]
    merges: Sequence[tuple[str, str]]

    def tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers

        vocabulary = {token: index for index, token in enumerate(self.text)}
        tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(self.merges)))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        _add(tokenizer, self.special, special=True)
        return tokenizer


def _add(tokenizer: Tokenizer, tokens: Sequence[str], *, special: bool) -> None:
    from tokenizers import AddedToken

    tokenizer.add_tokens([AddedToken(token, normalized=False, special=special) for token in tokens])


def _vocabulary(folder: Path, n_tokens: int) -> _Vocabulary:
    names = {path.name for path in folder.iterdir()}
    if set(SLOW) <= names:
        ids: dict[str, int] = json.loads((folder / SLOW[0]).read_text("utf-8"))
        added = folder / ADDED
        ids |= json.loads(added.read_text("utf-8")) if added.is_file() else {}
        text, special = _split(sorted(ids, key=ids.__getitem__))
        lines = (folder / SLOW[1]).read_text("utf-8").splitlines()
        pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
        return _Vocabulary(text, special or special_tokens(n_tokens), [(a, b) for a, b in pairs])
    for name in VOCABULARIES:
        if name in names:
            text, special = _split(read_vocabulary(name, (folder / name).read_text("utf-8")))
            return _Vocabulary(text, special, merges_of(text))
    # Both of OpenAI's files may lie there: the multilingual one has one token more.
    n_text = n_tokens - N_TIMESTAMPS - len(special_tokens(n_tokens))
    for path in sorted(folder.glob(f"*{TIKTOKEN}")):
        text = [_unicode(base64.b64decode(line.split()[0])) for line in path.read_text().splitlines() if line.strip()]
        if len(text) == n_text:
            return _Vocabulary(text, special_tokens(n_tokens), merges_of(text))
    raise _rejected(folder, "no tokenizer beside the weights", Reason.MODEL_NOT_FOUND)


def read_vocabulary(name: str, content: str) -> list[str]:
    """Return the tokens in a vocabulary of CTranslate2's, by id."""
    tokens: list[str] = json.loads(content) if name.endswith(".json") else content.removesuffix("\n").split("\n")
    return tokens


def _split(tokens: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split tokens, by id, into those of text and special ones without timestamps."""
    n_text = tokens.index(END) if END in tokens else len(tokens)
    times = set(timestamps())
    return list(tokens[:n_text]), [token for token in tokens[n_text:] if token not in times]


def timestamps() -> list[str]:
    return [f"<|{index * 0.02:.2f}|>" for index in range(N_TIMESTAMPS)]


def special_tokens(n_tokens: int) -> list[str]:
    """The special tokens before the timestamps, by id (openai/whisper, `tokenizer.get_encoding`)."""
    from transformers.models.whisper.tokenization_whisper import LANGUAGES

    n_languages = N_LANGUAGES.get(n_tokens, n_tokens - MULTILINGUAL_VOCABULARY + N_LANGUAGES[MULTILINGUAL_VOCABULARY])
    return [END, START, *(f"<|{code}|>" for code in itertools.islice(LANGUAGES, n_languages)), *_TASKS]


def merges_of(tokens: Sequence[str]) -> list[tuple[str, str]]:
    """Return the merges of a byte-pair encoding, in order, from its tokens by rank.

    A token is merged from the two parts that its bytes are encoded as before it was added.
    """
    ranks = {token: rank for rank, token in enumerate(tokens)}
    merges = []
    for token, rank in ranks.items():
        parts = list(token)
        while len(parts) > 2:
            pairs = [ranks.get(a + b, rank) for a, b in itertools.pairwise(parts)]
            best = min(pairs)
            if best >= rank:
                break
            index = pairs.index(best)
            parts[index : index + 2] = [parts[index] + parts[index + 1]]
        if len(parts) == 2:
            merges.append((parts[0], parts[1]))
    return merges


def _byte_letters() -> Iterator[str]:
    """A printable character for each byte, as GPT-2 writes them."""
    printable = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = itertools.count(256)
    for byte in range(256):
        yield chr(byte if byte in printable else next(others))


_LETTERS = tuple(_byte_letters())


def _unicode(token: bytes) -> str:
    return "".join(_LETTERS[byte] for byte in token)


def _rejected(folder: Path, message: str, reason: Reason) -> InputRejected:
    return InputRejected(
        f"a Whisper with {message}",
        reason=reason,
        subject=str(folder),
        next_step="put the tokenizer.json of its size beside the weights: any English Whisper's for models whose name"
        " ends in .en, openai/whisper-large-v3's for large-v3 and turbo, openai/whisper-tiny's for all others",
    )
