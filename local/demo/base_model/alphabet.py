"""The characters the base model writes, and its tokenizer.

Letters, apostrophe, space and the three marks that prosody tells apart. Capitals, digits and every
other mark belong to what comes after recognition.
"""

from __future__ import annotations

import string
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import ParakeetTokenizer

BLANK, UNKNOWN = "<blank>", "<unk>"
CHARACTERS = " '" + ".,?" + string.ascii_lowercase
SYMBOLS = (BLANK, UNKNOWN, *CHARACTERS)
BLANK_ID = SYMBOLS.index(BLANK)

_IDS = {character: index for index, character in enumerate(SYMBOLS)}


def encode(text: str) -> list[int]:
    """Label ids of a text that holds only `CHARACTERS`; raises KeyError at the first that is none."""
    return [_IDS[character] for character in text]


def n_ctc_frames(labels: list[int]) -> int:
    """The fewest frames CTC needs for the labels: a blank must part two equal neighbours."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def make_tokenizer() -> ParakeetTokenizer:
    """One token a character; text is lower-cased, and CTC decoding joins repeats and drops the blank."""
    from tokenizers import Tokenizer, decoders, models, normalizers
    from transformers import ParakeetTokenizer

    characters = Tokenizer(models.BPE(vocab=dict(_IDS), merges=[], unk_token=UNKNOWN))
    characters.normalizer = normalizers.Lowercase()
    characters.decoder = decoders.Fuse()
    return ParakeetTokenizer(
        tokenizer_object=characters,
        unk_token=UNKNOWN,
        pad_token=BLANK,
        clean_up_tokenization_spaces=False,
    )
