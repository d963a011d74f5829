"""Model families behind one interface: what a loop needs to fine-tune a CTC model or a Whisper."""

from training.families.acoustic import AcousticModel, Batch, load_acoustic_model
from training.family import Family

__all__ = ["AcousticModel", "Batch", "Family", "load_acoustic_model"]
