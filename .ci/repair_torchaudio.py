"""Make torchaudio importable beside a CPU build of torch.

The wheel on the index is linked against CUDA. Where torch has none, its extension fails to load and takes the import
of torchaudio, transformers' Whisper and pyannote with it. Without the extension torchaudio stays in Python, which is
all that is used here. Beside a CUDA torch nothing is touched.
"""

from importlib.metadata import distribution
from pathlib import Path

import torch

if torch.version.cuda is None:
    for extension in Path(distribution("torchaudio").locate_file("torchaudio/lib")).glob("*.so"):
        extension.unlink()
        print(f"removed {extension.name} of torchaudio: it needs CUDA and this torch has none")
