"""Model families behind one interface: what a loop needs to fine-tune a CTC model or a Whisper."""

from training.families.acoustic import AcousticModel, Batch
from training.families.family import Family
from training.families.model_folder import load_acoustic_model

__all__ = ["AcousticModel", "Batch", "Family", "load_acoustic_model"]
