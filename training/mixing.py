"""Training examples made of two: mixup and CutMix, on any batch of arrays with soft labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MIXUP_ALPHA = 0.3
"""Of the beta distribution from which the smaller part's weight comes."""

Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


def mixed_up(
    x: NDArray[np.float32], labels: NDArray[np.float32], share: float, rng: np.random.Generator
) -> Batch:
    """Mixup (Zhang et al. 2018) of a share of the examples.

    Parameters
    ----------
    x : (n, ...). labels : (n, classes), one-hot or soft.
    """
    partner = rng.permutation(len(x))
    weight = rng.beta(MIXUP_ALPHA, MIXUP_ALPHA, len(x)).astype(np.float32)
    weight = np.where(rng.random(len(x)) < share, np.maximum(weight, 1 - weight), 1.0)
    weight = weight.astype(np.float32)
    wide = weight.reshape(-1, *(1,) * (x.ndim - 1))
    mixed = x * wide + x[partner] * (1 - wide)
    narrow = weight[:, np.newaxis]
    return mixed, labels * narrow + labels[partner] * (1 - narrow)


def cut_and_mixed(
    x: NDArray[np.float32], labels: NDArray[np.float32], share: float, rng: np.random.Generator
) -> Batch:
    """CutMix (Yun et al. 2019) of a share of the pictures: a rectangle of another one in each.

    Parameters
    ----------
    x : (n, height, width, channels). labels : (n, classes), one-hot or soft.
    """
    x, labels = x.copy(), labels.copy()
    whole, truth = x.copy(), labels.copy()
    partner = rng.permutation(len(x))
    height, width = x.shape[1:3]
    for i in np.flatnonzero(rng.random(len(x)) < share):
        side = np.sqrt(rng.uniform(0.0, 0.5))  # of the part's area: the picture itself prevails
        h, w = round(side * height), round(side * width)
        top, left = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        x[i, top : top + h, left : left + w] = whole[partner[i], top : top + h, left : left + w]
        part = np.float32(h * w / (height * width))
        labels[i] = truth[i] * (1 - part) + truth[partner[i]] * part
    return x, labels
