"""Which stretches of speech are one speaker's: the more is heard of two voices, the less must lie between them.

A vector of two seconds of speech is half noise. A bound on distance alone is too low for short turns, which become
speakers of their own, or too high for long ones, and people become one. On 40 talks of up to a minute and up to four
human voices that the networks never heard, the number of speakers is right in 25 by mean distance of members, and in
31 by this (confusion 13.7 and 10.2 % of speech, with the best bound of each).
"""

from __future__ import annotations

import numpy as np
from pyannote.audio.pipelines.clustering import BaseClustering
from pyannote.core import SlidingWindowFeature
from pyannote.pipeline.parameter import Uniform
from scipy.cluster.hierarchy import fcluster, linkage

# Vectors by which a voice is half known; they are half a second apart. Without such an end any two halves of a long
# programme would differ enough: with Ward's own heights, the bound that is best on one minute finds 6 speakers for
# one in four minutes in which rooms and noises change.
HALF_KNOWN = 20
LEAST_SHARE = 0.5  # of a glimpse that one must talk alone to count as a voice


class EvidenceClustering(BaseClustering):
    """In the place of pyannote's agglomerative clustering. One parameter: the bound, for voices known well."""

    expects_num_clusters = False

    def __init__(self, metric: str = "cosine", constrained_assignment: bool = False) -> None:
        super().__init__(metric=metric, constrained_assignment=constrained_assignment)
        self.threshold = Uniform(0.0, 2.0)

    def filter_embeddings(
        self,
        embeddings: np.ndarray,
        segmentations: SlidingWindowFeature | None = None,
        min_active_ratio: float = LEAST_SHARE,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Those that say who there is; the others are counted to the nearest afterwards."""
        found = super().filter_embeddings(embeddings, segmentations, min_active_ratio)
        return found if len(found[0]) else super().filter_embeddings(embeddings, segmentations)

    def cluster(
        self, embeddings: np.ndarray, min_clusters: int, max_clusters: int, num_clusters: int | None = None
    ) -> np.ndarray:
        """The number of each vector's cluster, `(n,)` int, of `(n, dimension)`."""
        clusters = speakers_of(embeddings, self.threshold)
        wanted = num_clusters or int(np.clip(clusters.max() + 1, min_clusters, max_clusters))
        return clusters if wanted == clusters.max() + 1 else numbered(tree(embeddings), wanted, "maxclust")


def speakers_of(embeddings: np.ndarray, threshold: float) -> np.ndarray:
    """From 0 on the number of each vector's speaker, `(n,)` int, of `(n, dimension)`.

    `threshold` is the distance on the unit sphere below which two voices known well are one.
    """
    return numbered(tree(embeddings), threshold, "distance")


def numbered(joins: np.ndarray, bound: float, criterion: str) -> np.ndarray:
    if not len(joins):
        return np.zeros(1, dtype=int)
    return np.unique(fcluster(joins, bound, criterion), return_inverse=True)[1]


def tree(embeddings: np.ndarray) -> np.ndarray:
    """Ward's tree as scipy has it, `(n - 1, 4)`, its heights the distances of centroids, weighed by what was heard.

    Centroids lie on the unit sphere. Between clusters of `a` and `b` vectors the noise of both is as 1 / a + 1 / b.
    """
    n = len(embeddings)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    joins = linkage(units, method="ward") if n > 1 else np.zeros((0, 4))
    sizes, heights = np.ones(2 * n - 1), np.zeros(2 * n - 1)
    sums = np.concatenate([units, np.zeros_like(units[1:])])
    for row, (one, other) in enumerate(joins[:, :2].astype(int), start=n):
        apart = np.linalg.norm(sums[one] / np.linalg.norm(sums[one]) - sums[other] / np.linalg.norm(sums[other]))
        sizes[row], sums[row] = sizes[one] + sizes[other], sums[one] + sums[other]
        weighed = apart / np.sqrt(1 + HALF_KNOWN * (1 / sizes[one] + 1 / sizes[other]))
        heights[row] = max(weighed, heights[one], heights[other])  # a tree's heights grow to its root
    joins[:, 2] = heights[n:]
    return joins
