"""The pyfunc of a registered model: MLflow executes this file for `mlflow models predict` and `mlflow.pyfunc`.

It is packaged with a copy of `tasks`, so that a version keeps working whatever is installed later.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from tasks.audio import SAMPLE_RATE_HZ

if TYPE_CHECKING:
    import pandas as pd

SEARCH_S = 5.0  # window before the maximum chunk length in which to cut at the quietest point
QUIET_SAMPLES = SAMPLE_RATE_HZ // 10


class Transcriber(PythonModel):
    """Transcribes media files: paths in the column `audio`, transcripts in the column `text`."""

    def load_context(self, context: Any) -> None:
        from tasks.recognition import load_engine

        self._engine = load_engine(Path(context.artifacts["model"]))

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:  # noqa: ARG002
        import pandas as pd

        from tasks.media.decoding.isolated import IsolatedDecoder

        with IsolatedDecoder() as decoder:
            return pd.DataFrame({"text": [self._transcribe(decoder.load_audio(path)) for path in model_input["audio"]]})

    def _transcribe(self, samples: np.ndarray) -> str:
        """Transcribe `(n_samples,)` float32."""
        chunks = cut_at_quiet(samples, self._engine.max_chunk_s)
        return " ".join(text for recognition in self._engine.recognise(chunks) if (text := recognition.text))


def cut_at_quiet(samples: np.ndarray, max_s: float) -> list[np.ndarray]:
    """Cut `(n_samples,)` into chunks of at most `max_s`, each at the quietest tenth of a second near its end."""
    max_samples, search = int(max_s * SAMPLE_RATE_HZ), int(SEARCH_S * SAMPLE_RATE_HZ)
    chunks = []
    while len(samples) > max_samples:
        window = samples[max_samples - search : max_samples]
        n = len(window) // QUIET_SAMPLES
        power = np.square(window[: n * QUIET_SAMPLES].reshape(n, QUIET_SAMPLES)).mean(axis=1)  # (n,)
        cut = max_samples - search + int(power.argmin()) * QUIET_SAMPLES + QUIET_SAMPLES // 2
        chunks.append(samples[:cut])
        samples = samples[cut:]
    return [*chunks, samples]


set_model(Transcriber())
