"""A Whisper's tensors and dimensions, independent of the format that they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

MULTILINGUAL_VOCABULARY = 51865  # models with fewer tokens are English only, as upstream tells them apart
N_LANGUAGES = {51864: 99, 51865: 99, 51866: 100}
"""Language tokens by size of the vocabulary; large-v3 added Cantonese."""


@dataclass(frozen=True)
class WhisperWeights:
    """One model."""

    tensors: dict[str, Tensor]
    """By transformers' names, without the output layer: it is tied to the token embeddings."""
    encoder_heads: int
    decoder_heads: int
    alignment_heads: tuple[tuple[int, int], ...] = ()
    """Layer and head of the cross-attentions that follow the audio; empty if the file does not name them."""
    suppressed: tuple[int, ...] = ()
    """Tokens that are never decoded; empty if the file does not name them."""
    suppressed_first: tuple[int, ...] = ()
    """Tokens that are not decoded first."""

    @property
    def n_tokens(self) -> int:
        return len(self.tensors["model.decoder.embed_tokens.weight"])

    @property
    def n_mels(self) -> int:
        return self.tensors["model.encoder.conv1.weight"].shape[1]

    @property
    def is_multilingual(self) -> bool:
        return self.n_tokens >= MULTILINGUAL_VOCABULARY

    @property
    def decoder_layers(self) -> int:
        return self._count_layers("decoder")

    def _count_layers(self, side: str) -> int:
        prefix = f"model.{side}.layers."
        return 1 + max(int(name.removeprefix(prefix).split(".")[0]) for name in self.tensors if name.startswith(prefix))

    def configuration(self) -> dict[str, Any]:
        """The fields of transformers' `WhisperConfig` that follow from the tensors."""
        tensors = self.tensors
        return {
            "vocab_size": self.n_tokens,
            "num_mel_bins": self.n_mels,
            "d_model": tensors["model.encoder.layer_norm.weight"].shape[0],
            "encoder_layers": self._count_layers("encoder"),
            "encoder_attention_heads": self.encoder_heads,
            "encoder_ffn_dim": tensors["model.encoder.layers.0.fc1.weight"].shape[0],
            "decoder_layers": self.decoder_layers,
            "decoder_attention_heads": self.decoder_heads,
            "decoder_ffn_dim": tensors["model.decoder.layers.0.fc1.weight"].shape[0],
            "max_source_positions": tensors["model.encoder.embed_positions.weight"].shape[0],
            "max_target_positions": tensors["model.decoder.embed_positions.weight"].shape[0],
        }
