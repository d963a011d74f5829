"""Online speaker clustering: an embedding joins the nearest centroid or starts a new one."""

from __future__ import annotations

import numpy as np

from tasks.streaming.runtime.messages import State, from_floats

MAX_SPEAKERS = 24
MAX_WEIGHT = 60  # embeddings after which a centroid hardly moves any more


class SpeakerCentroids(State):
    """The speakers of a session so far."""

    dimension: int = 0
    centroids: bytes = b""
    """float32 unit vectors, shape (n_speakers, dimension)."""
    weights: tuple[int, ...] = ()
    """Number of embeddings in each centroid, at most `MAX_WEIGHT`."""

    def nearest(self, embedding: np.ndarray) -> tuple[int, float]:
        """Return the nearest speaker, and the distance to its centroid on the unit sphere, from 0 to 2."""
        centroids = from_floats(self.centroids, self.dimension)  # (n_speakers, dimension)
        distances = np.linalg.norm(centroids - _unit(embedding), axis=1)  # (n_speakers,)
        best = int(distances.argmin())
        return best, float(distances[best])

    def assign(self, embedding: np.ndarray, max_distance: float, may_be_new: bool = True) -> int | None:
        """Return the speaker of an embedding and update the speaker's centroid.

        An embedding too far from all centroids starts a new speaker if `may_be_new`; otherwise it has none.
        """
        if not self.weights:
            self.dimension = len(embedding)
        else:
            speaker, distance = self.nearest(embedding)
            if distance < max_distance:
                self._update(speaker, embedding)
                return speaker
        if not may_be_new or len(self.weights) >= MAX_SPEAKERS:
            return None
        self.centroids += _unit(embedding).astype("<f4").tobytes()
        self.weights += (1,)
        return len(self.weights) - 1

    def _update(self, speaker: int, embedding: np.ndarray) -> None:
        centroids = from_floats(self.centroids, self.dimension).copy()
        weight = self.weights[speaker]
        centroids[speaker] = _unit(weight * centroids[speaker] + _unit(embedding))
        self.centroids = centroids.astype("<f4").tobytes()
        weights = list(self.weights)
        weights[speaker] = min(weight + 1, MAX_WEIGHT)
        self.weights = tuple(weights)


def _unit(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
