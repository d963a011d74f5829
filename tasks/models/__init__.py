"""Finding an acoustic model by its URI and fetching it to a local folder.

    models:/acoustic-model@champion   an alias in MLflow's registry
    models:/acoustic-model/3          a registered version
    …/result.json                     the model of a train step
    file:///folder, s3://bucket/key   a folder in transformers', CTranslate2's, OpenAI's or MLflow's layout
    …/large-v3.pt                     a checkpoint of OpenAI's Whisper, with a tokenizer beside it
    owner/name                        a model of the Hugging Face hub, or its local copy

`resolve` (`reference`) pins the exact version and is cheap; `check` (`checking`) looks at the names and sizes of its
files, `describe` (`description`) at its settings; `fetch` (`fetching`) copies it to a local folder. None of them
imports torch or transformers. `whisper` converts between the layouts of Whisper.
"""

from tasks.models.checking import check
from tasks.models.description import describe
from tasks.models.fetching import fetch
from tasks.models.folder import model_type
from tasks.models.reference import ModelReference, resolve, resolve_or_fall_back

__all__ = ["ModelReference", "check", "describe", "fetch", "model_type", "resolve", "resolve_or_fall_back"]
