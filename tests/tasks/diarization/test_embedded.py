from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from tasks.contract import InputRejected, Reason
from tasks.diarization.embedded import load_embedded
from tasks.diarization.sources import WEIGHTS


@pytest.mark.parametrize("name", ["embedding", "segmentation"])
def test_weights_without_one_tensor_are_not_filled_with_random_ones(tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(WEIGHTS, tmp_path / "weights")
    tensors = load_file(folder / f"{name}.safetensors")
    tensors.pop(next(key for key in tensors if key.endswith(".weight")))
    save_file(tensors, folder / f"{name}.safetensors")
    with pytest.raises(InputRejected, match="Missing key") as caught:
        load_embedded(folder)
    assert caught.value.reason is Reason.CORRUPT
