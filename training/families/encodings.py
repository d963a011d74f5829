"""Encoder outputs kept on disk: with a frozen encoder, each window is encoded once in a whole training.

On two cores a step of Whisper base takes a third of the time, and one of large-v3-turbo, whose decoder is an eighth of
it, a tenth.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

DISK_SHARE = 0.5  # of the space that is free at the start: a window of base takes 1.5 MB, one of large-v3 3.8 MB


class EncodingCache:
    """Replaces an encoder: equal windows are encoded once.

    Outputs are float16 whether they come from the disk or not, and windows are encoded one by one, so that a resumed
    run, whose disk is empty, computes the same.
    """

    def __init__(self, folder: Path, encode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        """`encode` takes windows `(1, n_frames, n_mels)` and returns `(1, n_positions, d_model)`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._encode = folder, encode
        self._free_bytes = int(shutil.disk_usage(folder).free * DISK_SHARE)
        self.n_encoded = 0

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Encode windows `(n, n_frames, n_mels)` on the CPU: `(n, n_positions, d_model)` float16 on the CPU."""
        # Stacked by numpy: on a CPU, torch's autocast accepts no float16.
        return torch.from_numpy(np.stack([self._window(window) for window in features]))

    def _window(self, features: torch.Tensor) -> np.ndarray:
        path = self._folder / f"{_digest(features)}.npy"
        if path.exists():
            found: np.ndarray = np.load(path)
            return found
        encoded = self._encode(features[None])[0].to("cpu", torch.float16).numpy()  # (n_positions, d_model)
        self.n_encoded += 1
        if (n_bytes := encoded.nbytes) <= self._free_bytes:
            self._free_bytes -= n_bytes
            partial = path.with_suffix(".partial")
            with partial.open("wb") as file:
                np.save(file, encoded)
            partial.rename(path)
        return encoded


def _digest(window: torch.Tensor) -> str:
    return hashlib.blake2b(window.contiguous().numpy().tobytes(), digest_size=16).hexdigest()
