"""Finding an acoustic model by its URI, and bringing it to this machine.

    models:/acoustic-model@champion   an alias in MLflow's registry
    models:/acoustic-model/3          a registered version
    …/result.json                     what a train step left
    file:///folder, s3://bucket/key   a folder in transformers' or CTranslate2's layout
    owner/name                        a model of the Hugging Face hub, or its local copy

`resolve` is cheap and says which version is meant; `fetch` gives a local folder. Neither imports torch or
transformers.
"""

from tasks.models.fetching import fetch
from tasks.models.folder import model_type
from tasks.models.reference import ModelReference, resolve

__all__ = ["ModelReference", "fetch", "model_type", "resolve"]
