"""Attacks on face networks: pictures changed by a little, on purpose, to mislead.

A picture may be changed by at most epsilon at each pixel (Goodfellow et al. 2015, "Explaining and
harnessing adversarial examples"; Madry et al. 2018, "Towards deep learning models resistant to
adversarial attacks"), before it is standardised, as an attacker would who sends a file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from core.face.tensor import MIN_STANDARD_DEVIATION
from training.gradients import input_gradient

WHITE = 255.0
"""Grey levels from black to white."""


@dataclass(frozen=True)
class Attack:
    """A way to climb the loss; lengths are in epsilons."""

    steps: int
    step: float
    """Length of each step."""
    random_start: bool


FGSM = Attack(steps=1, step=1.0, random_start=False)
PGD = Attack(steps=10, step=0.25, random_start=True)
FAST = Attack(steps=1, step=1.25, random_start=True)
"""For training (Wong et al. 2020, "Fast is better than free")."""

ATTACKS = {"FGSM": FGSM, "PGD": PGD}


def standardised(pixels: Any) -> Any:
    """`core.face.tensor.face_tensor` with gradients: pixels (n, h, w, 1) from 0 to 1."""
    grey = WHITE * pixels
    mean = ops.mean(grey, axis=(1, 2), keepdims=True)
    variance = ops.mean(ops.square(grey - mean), axis=(1, 2), keepdims=True)
    # The limit below the root, where a blank face has a gradient too.
    return (grey - mean) / ops.sqrt(ops.maximum(variance, MIN_STANDARD_DEVIATION**2))


class Attacker:
    """Whoever knows a network's weights and changes pictures so that it errs."""

    def __init__(self, network: Callable[[Any], Any], mirrored: bool = True) -> None:
        """Prepare the gradient.

        Parameters
        ----------
        network : standardised faces (n, h, w, 1) -> logits (n, 7), both of the backend.
        mirrored : it is asked about the mirror image too, as the app asks.
        """
        self._network = network
        self._mirrored = mirrored
        self._gradient = input_gradient(self._loss)

    def logits(self, pixels: Any) -> Any:
        """(n, 7) of pixels (n, h, w, 1) from 0 to 1, as the backend's tensor."""
        tensors = standardised(pixels)
        found = self._network(tensors)
        if self._mirrored:
            found = (found + self._network(ops.flip(tensors, axis=2))) / 2
        return ops.cast(found, "float32")

    def _loss(self, pixels: Any, targets: Any) -> Any:
        # Summed, so that a face's gradient does not depend on how many others are in the batch.
        return ops.sum(
            keras.losses.categorical_crossentropy(targets, self.logits(pixels), from_logits=True)
        )

    def attacked(
        self,
        pixels: NDArray[np.float32],
        targets: NDArray[np.float32],
        epsilon: float | NDArray[np.float32],
        attack: Attack,
        rng: np.random.Generator,
    ) -> NDArray[np.float32]:
        """Pictures no further from `pixels` than `epsilon` at each pixel, and from 0 to 1.

        Parameters
        ----------
        pixels : (n, h, w, 1), 0 to 1. targets : (n, 7). epsilon : of all, or (n,) of each face.
        """
        bound = np.reshape(np.asarray(epsilon, np.float32), (-1, 1, 1, 1))
        low, high = np.maximum(pixels - bound, 0), np.minimum(pixels + bound, 1)
        changed = pixels
        if attack.random_start:
            start = rng.uniform(-1, 1, pixels.shape).astype(np.float32)
            changed = np.clip(pixels + bound * start, low, high)
        for _ in range(attack.steps):
            uphill = np.sign(self._gradient(changed, targets))
            changed = np.clip(changed + attack.step * bound * uphill, low, high)
        return np.asarray(changed, np.float32)


def as_pixels(faces: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Faces (n, h, w) as pixels (n, h, w, 1) from 0 to 1."""
    return (faces.astype(np.float32) / np.float32(WHITE))[..., np.newaxis]


def as_faces(pixels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Pixels (n, h, w, 1) rounded to grey levels, (n, h, w): what can be sent as a picture."""
    return np.round(pixels[..., 0] * WHITE).astype(np.uint8)
