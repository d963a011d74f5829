"""Clustering of speaker embeddings with a threshold that depends on the amount of speech in the two clusters.

Half of the variance of an embedding of two seconds of speech is noise. A threshold on distance alone is too low for
short turns, which become speakers of their own, or too high for long ones, so that speakers are merged. On 40 talks of
up to a minute, with up to four human voices unseen in training, the number of speakers is right in 25 by the mean
distance of members and in 31 by this (confusion 13.7 and 10.2 % of speech, each with its best threshold).
"""

from __future__ import annotations

import numpy as np
from pyannote.audio.pipelines.clustering import BaseClustering
from pyannote.core import SlidingWindowFeature
from pyannote.pipeline.parameter import Uniform
from scipy.cluster.hierarchy import fcluster, linkage

# Embeddings (one every half second) at which the evidence for a cluster is half of its maximum. Without this limit any
# two halves of a long programme would differ enough: with Ward's own heights, the threshold that is best on one minute
# finds 6 speakers instead of one in four minutes of changing rooms and noises.
HALF_EVIDENCE = 20
MIN_ACTIVE_RATIO = 0.5  # an embedding is clustered if its speaker talks alone in this share of the short chunk


class EvidenceClustering(BaseClustering):
    """Replaces pyannote's agglomerative clustering. Its one parameter is the threshold for large clusters."""

    expects_num_clusters = False

    def __init__(self, half_evidence: float = HALF_EVIDENCE, constrained_assignment: bool = False) -> None:
        """`half_evidence` is the number of embeddings at which the evidence for a cluster is half of its maximum.

        `constrained_assignment`: the speakers of one chunk are never assigned to the same cluster.
        """
        super().__init__(metric="cosine", constrained_assignment=constrained_assignment)
        self.half_evidence = half_evidence
        self.threshold = Uniform(0.0, 2.0)

    def filter_embeddings(
        self,
        embeddings: np.ndarray,
        segmentations: SlidingWindowFeature | None = None,
        min_active_ratio: float = MIN_ACTIVE_RATIO,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Select the embeddings to cluster; upstream assigns the others to the nearest cluster afterwards.

        embeddings: `(num_chunks, num_speakers, dimension)`. Returns the selected ones as
        `(num_embeddings, dimension)`, with their chunk and speaker indices, `(num_embeddings,)` each.
        """
        selected = super().filter_embeddings(embeddings, segmentations, min_active_ratio)
        return selected if len(selected[0]) else super().filter_embeddings(embeddings, segmentations)

    def cluster(
        self, embeddings: np.ndarray, min_clusters: int, max_clusters: int, num_clusters: int | None = None
    ) -> np.ndarray:
        """The cluster of each embedding, `(num_embeddings,)` int, from `(num_embeddings, dimension)`."""
        tree = evidence_tree(embeddings, self.half_evidence)
        clusters = cut_tree(tree, self.threshold, "distance")  # (num_embeddings,)
        wanted = num_clusters or int(np.clip(clusters.max() + 1, min_clusters, max_clusters))
        return clusters if wanted == clusters.max() + 1 else cut_tree(tree, wanted, "maxclust")


def cluster_speakers(embeddings: np.ndarray, threshold: float) -> np.ndarray:
    """The speaker of each embedding, numbered from 0, `(num_embeddings,)` int, from `(num_embeddings, dimension)`.

    `threshold` is the distance on the unit sphere below which two large clusters are one speaker.
    """
    return cut_tree(evidence_tree(embeddings), threshold, "distance")


def cut_tree(linkage_matrix: np.ndarray, bound: float, criterion: str) -> np.ndarray:
    """The clusters, `(n,)` int from 0 on, of a linkage matrix `(n - 1, 4)` cut by one of scipy's criteria."""
    if not len(linkage_matrix):
        return np.zeros(1, dtype=int)
    return np.unique(fcluster(linkage_matrix, bound, criterion), return_inverse=True)[1]


def evidence_tree(embeddings: np.ndarray, half_evidence: float = HALF_EVIDENCE) -> np.ndarray:
    """Ward's tree as scipy's linkage matrix, `(n - 1, 4)`, with heights that are the distances of the centroids on the
    unit sphere, weighted by evidence: the noise between clusters of `a` and `b` embeddings is as 1 / a + 1 / b.
    """
    n = len(embeddings)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)  # (n, dimension)
    joins = linkage(units, method="ward") if n > 1 else np.zeros((0, 4))
    sizes, heights = np.ones(2 * n - 1), np.zeros(2 * n - 1)  # first the leaves, then the merged clusters
    sums = np.concatenate([units, np.zeros_like(units[1:])])  # (2 * n - 1, dimension)
    for row, (one, other) in enumerate(joins[:, :2].astype(int), start=n):
        distance = np.linalg.norm(sums[one] / np.linalg.norm(sums[one]) - sums[other] / np.linalg.norm(sums[other]))
        sizes[row], sums[row] = sizes[one] + sizes[other], sums[one] + sums[other]
        weighted = distance / np.sqrt(1 + half_evidence * (1 / sizes[one] + 1 / sizes[other]))
        heights[row] = max(weighted, heights[one], heights[other])  # heights must not decrease towards the root
    joins[:, 2] = heights[n:]
    return joins
