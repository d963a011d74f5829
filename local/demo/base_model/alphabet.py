"""The base model's output characters, and its tokenizer.

Letters, apostrophe, space and the three punctuation marks that prosody distinguishes. Capitals, digits and other marks
are left to post-processing.
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
    """Label ids of a text; raises KeyError for a character that is not in `CHARACTERS`."""
    return [_IDS[character] for character in text]


def n_ctc_frames(labels: list[int]) -> int:
    """The minimum number of frames that CTC needs: one a label, and a blank between equal neighbours."""
    return len(labels) + sum(a == b for a, b in pairwise(labels))


def make_tokenizer() -> ParakeetTokenizer:
    """A character tokenizer. It lower-cases text; decoding collapses repeats and removes blanks (CTC)."""
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
