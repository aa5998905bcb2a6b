"""Clusters of vectors, for showing one of each kind before the second."""

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import MiniBatchKMeans

from workers.ml.vectors import Vectors

MOST = 256


def places(vectors: Vectors, seed: int) -> NDArray[np.intp]:
    """The place [n] of each row of [n, d] within its cluster, 0 for the one nearest to its centre.

    There are √n clusters, at most 256, of unit vectors by mini-batch k-means (Sculley, WWW 2010).
    """
    count = min(MOST, max(1, round(len(vectors) ** 0.5)))
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    model = MiniBatchKMeans(count, random_state=seed, n_init=10, batch_size=1024).fit(unit)
    away = np.linalg.norm(unit - model.cluster_centers_[model.labels_], axis=1)
    found = np.empty(len(vectors), dtype=np.intp)
    for cluster in range(count):
        rows = np.flatnonzero(model.labels_ == cluster)
        found[rows[np.argsort(away[rows], kind="stable")]] = np.arange(len(rows))
    return found
