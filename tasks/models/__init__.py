"""Finding an acoustic model by its URI and fetching it to a local folder.

    models:/acoustic-model@champion   an alias in MLflow's registry
    models:/acoustic-model/3          a registered version
    …/result.json                     the model of a train step
    file:///folder, s3://bucket/key   a folder in transformers' or CTranslate2's layout
    owner/name                        a model of the Hugging Face hub, or its local copy

`resolve` (`reference`) pins the exact version and is cheap; `fetch` (`fetching`) copies it to a local folder. Neither
imports torch or transformers.
"""

from tasks.models.fetching import fetch
from tasks.models.folder import model_type
from tasks.models.reference import ModelReference, resolve

__all__ = ["ModelReference", "fetch", "model_type", "resolve"]
