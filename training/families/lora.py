"""Low-rank adapters (Hu et al., 2021): the base stays as it is, small matrices beside its linear layers are trained.

What is saved in the end is an ordinary model: the adapters are merged into the weights.
"""

from __future__ import annotations

from typing import Any

import torch

from training.families.family import Family

# The linear layers of attention and of the feed-forward blocks, by the names that transformers gives them.
LINEAR_LAYERS = {
    Family.PARAKEET_CTC: ["q_proj", "k_proj", "v_proj", "o_proj", "linear1", "linear2"],
    Family.WAV2VEC2_BERT_CTC: ["linear_q", "linear_k", "linear_v", "linear_out", "intermediate_dense", "output_dense"],
    Family.WHISPER: ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}


def add_adapters(module: torch.nn.Module, family: Family, rank: int) -> None:
    """Put adapters of `rank` beside the family's linear layers, in place; nothing else is trained from now on."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LINEAR_LAYERS[family])
    injected: Any = module
    inject_adapter_in_model(config, injected)


def merge_adapters(module: torch.nn.Module) -> None:
    """Add the adapters to the weights beside them and take them out, in place. Without adapters nothing happens."""
    if not any(hasattr(layer, "lora_A") for layer in module.modules()):
        return
    from peft.tuners.lora import LoraLayer

    for name, layer in list(module.named_modules()):
        if isinstance(layer, LoraLayer):
            merging: Any = layer
            merging.merge()
            parent, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(parent), attribute, merging.get_base_layer())
