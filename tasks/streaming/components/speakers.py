"""Telling voices apart as they come: each is the nearest known one, or new. Pure."""

from __future__ import annotations

import numpy as np

from tasks.streaming.runtime.messages import State, from_floats

MOST_SPEAKERS = 24
MOST_WEIGHT = 60  # seconds after which a known voice hardly changes any more


class KnownVoices(State):
    """The voices of a session so far."""

    dimension: int = 0
    centroids: bytes = b""
    """float32, `(n_speakers, dimension)`, of unit length."""
    weights: tuple[int, ...] = ()

    def nearest(self, embedding: np.ndarray) -> tuple[int, float]:
        """The voice nearest to an embedding and its distance on the unit sphere, from 0 to 2."""
        centroids = from_floats(self.centroids, self.dimension)
        distances = np.linalg.norm(centroids - _unit(embedding), axis=1)
        best = int(distances.argmin())
        return best, float(distances[best])

    def hear(self, embedding: np.ndarray, threshold: float, may_be_new: bool = True) -> int | None:
        """The number of the voice that an embedding belongs to. A voice that is too far from all is a new one, if
        enough was heard of it; else nobody's."""
        if not self.weights:
            self.dimension = len(embedding)
        else:
            voice, distance = self.nearest(embedding)
            if distance < threshold:
                self._learn(voice, embedding)
                return voice
        if not may_be_new or len(self.weights) >= MOST_SPEAKERS:
            return None
        self.centroids += _unit(embedding).astype("<f4").tobytes()
        self.weights += (1,)
        return len(self.weights) - 1

    def _learn(self, voice: int, embedding: np.ndarray) -> None:
        centroids = from_floats(self.centroids, self.dimension).copy()
        weight = self.weights[voice]
        centroids[voice] = _unit(weight * centroids[voice] + _unit(embedding))
        self.centroids = centroids.astype("<f4").tobytes()
        weights = list(self.weights)
        weights[voice] = min(weight + 1, MOST_WEIGHT)
        self.weights = tuple(weights)


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
