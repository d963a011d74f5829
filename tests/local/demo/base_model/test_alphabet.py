"""The characters, the tokenizer and the frames that CTC needs."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from local.demo.base_model.alphabet import BLANK_ID, CHARACTERS, SYMBOLS, encode, make_tokenizer, n_ctc_frames

texts = st.text(alphabet=CHARACTERS, max_size=60)


@settings(deadline=None)
@given(texts)
def test_the_tokenizer_agrees_with_encode_and_decodes_to_the_text(text: str) -> None:
    tokenizer = make_tokenizer()
    ids = tokenizer(text, add_special_tokens=False).input_ids
    assert ids == encode(text)
    assert tokenizer.decode(ids, group_tokens=False) == text


def test_decoding_collapses_repeats_and_removes_blanks() -> None:
    tokenizer = make_tokenizer()
    h, e, l, o = encode("helo")  # noqa: E741
    frames = [BLANK_ID, h, h, BLANK_ID, e, l, l, BLANK_ID, l, o, o, BLANK_ID]
    assert tokenizer.decode(frames) == "hello"


def test_capitals_are_lowered_and_other_characters_are_unknown() -> None:
    tokenizer = make_tokenizer()
    assert tokenizer("Hello").input_ids == encode("hello")
    assert SYMBOLS.index("<unk>") in tokenizer("a 1").input_ids
    with pytest.raises(KeyError):
        encode("a1")


@settings(deadline=None)
@given(st.lists(st.integers(1, 4), min_size=2, max_size=12))
def test_the_minimum_number_of_frames_agrees_with_torch(labels: list[int]) -> None:
    """The CTC loss is finite with `n_ctc_frames` frames and infinite with one less."""
    assert torch.isfinite(_ctc_loss(labels, n_ctc_frames(labels)))
    assert torch.isinf(_ctc_loss(labels, n_ctc_frames(labels) - 1))


def _ctc_loss(labels: list[int], n_frames: int) -> torch.Tensor:
    return torch.nn.functional.ctc_loss(
        torch.zeros(n_frames, 1, 5).log_softmax(-1),
        torch.tensor([labels]),
        torch.tensor([n_frames]),
        torch.tensor([len(labels)]),
    )
