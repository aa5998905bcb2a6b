"""Folds of labelled examples: classes in equal shares, groups whole."""

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

FOLDS = 5

Split = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows to learn from, rows held out


class TooFewLabels(ValueError):
    """The label set can't be cross-validated: a class, or the groups it comes from, is too small."""


def stratified(labels: NDArray[Any], groups: Sequence[Hashable] | None, seed: int) -> list[Split]:
    """Five folds of labels [n], or as many as the smallest class has examples (groups); drawn by `seed`.

    Groups (author, slide or duplicate group) [n] never straddle a fold. Raises TooFewLabels unless there are two
    classes of two examples each, from two groups if grouped, and every fold can learn from all of them.
    """
    keys = range(len(labels)) if groups is None else groups
    codes = np.unique(np.asarray([str(key) for key in keys]), return_inverse=True)[1]
    classes, counts = np.unique(labels, return_counts=True)
    distinct = min((len(np.unique(codes[labels == class_])) for class_ in classes), default=0)
    if len(classes) < 2 or distinct < 2:
        raise TooFewLabels(
            f"{' and '.join(map(str, counts)) or 'No'} examples a class are too few: there must be two classes, and "
            "each needs at least two, from different groups."
        )
    is_grouped = len(np.unique(codes)) < len(codes)
    kind = StratifiedGroupKFold if is_grouped else StratifiedKFold
    folds = kind(n_splits=min(FOLDS, distinct), shuffle=True, random_state=seed)
    splits = list(folds.split(labels, labels, codes if is_grouped else None))
    if any(len(np.unique(labels[learn])) < len(classes) for learn, _ in splits):
        raise TooFewLabels("The groups can't be divided so that every fold sees all classes.")
    return splits
