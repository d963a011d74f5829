"""Low-rank adapters (LoRA, Hu et al., 2021): the base is frozen, small matrices beside its linear layers are trained.

Saving merges the adapters into the weights, so a saved model is an ordinary one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from training.families.family import ModelFamily

if TYPE_CHECKING:
    import torch

# Linear layers of attention and feed-forward blocks, by their names in transformers.
LINEAR_LAYERS = {
    ModelFamily.PARAKEET_CTC: ["q_proj", "k_proj", "v_proj", "o_proj", "linear1", "linear2"],
    ModelFamily.WAV2VEC2_BERT_CTC: [
        "linear_q",
        "linear_k",
        "linear_v",
        "linear_out",
        "intermediate_dense",
        "output_dense",
    ],
    ModelFamily.WHISPER: ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"],
}


def add_adapters(module: torch.nn.Module, family: ModelFamily, rank: int, *, decoder_only: bool = False) -> None:
    """Inject adapters of `rank` beside the family's linear layers, in place, and freeze everything else."""
    from peft import LoraConfig, inject_adapter_in_model

    layers: Any = LINEAR_LAYERS[family]
    if decoder_only:
        layers = rf".*\.decoder\..*\.({'|'.join(layers)})"
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers)
    injected: Any = module
    inject_adapter_in_model(config, injected)


def merge_adapters(module: torch.nn.Module) -> None:
    """Merge the adapters into the weights and remove them, in place. A no-op without adapters."""
    if not any(hasattr(layer, "lora_A") for layer in module.modules()):
        return
    from peft.tuners.lora import LoraLayer

    for name, layer in list(module.named_modules()):
        if isinstance(layer, LoraLayer):
            merging: Any = layer
            merging.merge()
            parent, _, attribute = name.rpartition(".")
            setattr(module.get_submodule(parent), attribute, merging.get_base_layer())
