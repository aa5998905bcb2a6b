"""Operations on matrices of row vectors."""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]


def l2_normalised(rows: Vectors) -> Vectors:
    """Each row of [n, d] scaled to length 1; a zero row stays zero."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12), dtype=np.float32)
