"""MTCNN (Zhang et al. 2016) in NumPy: the face detector for when YuNet cannot be had.

The weights are those inside the `mtcnn` package. The package itself runs them with TensorFlow,
which would cost seconds to import and hundreds of megabytes, so only its weight files are read
and the three small networks are computed here.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

WEIGHTS = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
"""SHA-256 of the files in mtcnn 1.0.0. They are pickles, so nothing else may be loaded."""

PYRAMID_STEP = 0.709
"""Each level of the pyramid has half the area of the one before (Zhang et al. 2016)."""

CELL, STRIDE = 12, 2
"""Pixels: the proposal network looks at 12 px squares, every 2 px."""

PROPOSAL_SCORE, REFINED_SCORE, FACE_SCORE = 0.6, 0.7, 0.8
"""Least score to pass each of the three networks, as in the package."""

MAX_PROPOSALS = 300
"""Best proposals kept per picture, so that time stays bounded whatever the picture shows."""

Array = NDArray[np.float32]


class WeightsMissingError(Exception):
    """The `mtcnn` package, or what it needs to unpack its weights, is not installed."""


@dataclass(frozen=True)
class Faces:
    """`boxes` (n, 4) as x1, y1, x2, y2; `landmarks` (n, 5, 2); `scores` (n,)."""

    boxes: Array
    landmarks: Array
    scores: Array


class Mtcnn:
    """The three networks with their weights."""

    def __init__(self) -> None:
        """Load the weights.

        Raises
        ------
        WeightsMissingError
            Saying what to install.
        """
        self._pnet, self._rnet, self._onet = (_weights(name) for name in WEIGHTS)

    def detect(self, rgb: MatLike, min_face: float = 24.0) -> Faces:
        """Faces in `rgb` (height, width, 3) that are at least `min_face` pixels across."""
        image = (rgb.astype(np.float32) - np.float32(127.5)) / np.float32(128)
        boxes = self._propose(image, min_face)
        boxes = self._refine(image, boxes)
        return self._finish(image, boxes)

    def _propose(self, image: Array, min_face: float) -> Array:
        height, width = image.shape[:2]
        found, scores = [np.empty((0, 4), np.float32)], [np.empty(0, np.float32)]
        scale = CELL / min_face
        while min(height, width) * scale >= CELL:
            size = (round(width * scale), round(height * scale))
            level = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            offsets, score = _proposal_network(self._pnet, np.asarray(level, np.float32))
            rows, columns = np.nonzero(score > PROPOSAL_SCORE)
            corner = np.stack([columns, rows], axis=1).astype(np.float32) * STRIDE
            boxes = np.concatenate([corner, corner + CELL], axis=1)
            boxes = (boxes + offsets[rows, columns] * CELL) / np.float32(scale)
            kept = _suppress(boxes, score[rows, columns], 0.5)
            found.append(boxes[kept])
            scores.append(score[rows, columns][kept])
            scale *= PYRAMID_STEP
        boxes, score = np.concatenate(found), np.concatenate(scores)
        return _square(boxes[_suppress(boxes, score, 0.7)[:MAX_PROPOSALS]])

    def _refine(self, image: Array, boxes: Array) -> Array:
        if not len(boxes):
            return boxes
        offsets, probability = _refinement_network(self._rnet, _patches(image, boxes, 24))
        boxes = boxes + offsets * _extent(boxes)
        passed = probability > REFINED_SCORE
        boxes, probability = boxes[passed], probability[passed]
        return _square(boxes[_suppress(boxes, probability, 0.7)])

    def _finish(self, image: Array, boxes: Array) -> Faces:
        if not len(boxes):
            empty = np.empty(0, np.float32)
            return Faces(empty.reshape(0, 4), empty.reshape(0, 5, 2), empty)
        offsets, points, score = _output_network(self._onet, _patches(image, boxes, 48))
        extent = _extent(boxes)
        landmarks = points.reshape(-1, 2, 5).transpose(0, 2, 1) * extent[:, np.newaxis, :2]
        landmarks += boxes[:, np.newaxis, :2] - 1
        boxes = boxes + offsets * extent
        passed = np.flatnonzero(score > FACE_SCORE)
        kept = passed[_suppress(boxes[passed], score[passed], 0.7, of_smaller=True)]
        return Faces(boxes[kept], landmarks[kept], score[kept])


def _weights(name: str) -> list[Array]:
    spec = importlib.util.find_spec("mtcnn")  # finds, without importing (and TensorFlow with it)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsMissingError("the package mtcnn is not installed")
    path = Path(spec.submodule_search_locations[0]) / "assets" / "weights" / f"{name}.lz4"
    try:
        content = path.read_bytes()
    except OSError:
        raise WeightsMissingError(f"the package mtcnn lacks {path.name}") from None
    if hashlib.sha256(content).hexdigest() != WEIGHTS[name]:
        raise WeightsMissingError(f"{path.name} is not that of mtcnn 1.0.0")
    try:
        import joblib

        return joblib.load(io.BytesIO(content))
    except (ImportError, ValueError):  # ValueError: joblib without lz4
        raise WeightsMissingError("the packages joblib and lz4 are not installed") from None


def _proposal_network(weights: list[Array], image: Array) -> tuple[Array, Array]:
    """P-Net: image (h, w, 3) -> box offsets (h', w', 4), face probability (h', w')."""
    x = _pool(_convolve(image[np.newaxis], *weights[0:3]), 2)
    x = _convolve(_convolve(x, *weights[3:6]), *weights[6:9])[0]
    offsets = x @ weights[9][0, 0] + weights[10]
    return offsets, _face_probability(x @ weights[11][0, 0] + weights[12])


def _refinement_network(weights: list[Array], patches: Array) -> tuple[Array, Array]:
    """R-Net: patches (n, 24, 24, 3) -> box offsets (n, 4), face probability (n,)."""
    x = _pool(_convolve(patches, *weights[0:3]), 3)
    x = _pool(_convolve(x, *weights[3:6]), 3, same=False)
    x = _dense(_convolve(x, *weights[6:9]), *weights[9:12])
    return x @ weights[12] + weights[13], _face_probability(x @ weights[14] + weights[15])


def _output_network(weights: list[Array], patches: Array) -> tuple[Array, Array, Array]:
    """O-Net: patches (n, 48, 48, 3) -> box offsets (n, 4), landmarks (n, 10), score (n,)."""
    x = _pool(_convolve(patches, *weights[0:3]), 3)
    x = _pool(_convolve(x, *weights[3:6]), 3, same=False)
    x = _pool(_convolve(x, *weights[6:9]), 2)
    x = _dense(_convolve(x, *weights[9:12]), *weights[12:15])
    score = _face_probability(x @ weights[19] + weights[20])
    return x @ weights[15] + weights[16], x @ weights[17] + weights[18], score


def _convolve(x: Array, kernel: Array, bias: Array, slope: Array) -> Array:
    """Valid convolution and PReLU: x (n, h, w, c), kernel (k, k, c, filters)."""
    size, _, channels, filters = kernel.shape
    height, width = x.shape[1] - size + 1, x.shape[2] - size + 1
    windows = np.concatenate(
        [x[:, i : i + height, j : j + width] for i in range(size) for j in range(size)], axis=-1
    )
    return _prelu(windows @ kernel.reshape(size * size * channels, filters) + bias, slope)


def _dense(x: Array, kernel: Array, bias: Array, slope: Array) -> Array:
    """Flatten column by column (as the weights were trained), multiply, PReLU."""
    return _prelu(x.transpose(0, 2, 1, 3).reshape(len(x), -1) @ kernel + bias, slope)


def _prelu(x: Array, slope: Array) -> Array:
    return np.maximum(x, 0) + slope * np.minimum(x, 0)


def _pool(x: Array, size: int, same: bool = True) -> Array:
    """Maximum over `size` x `size` with stride 2; `same` lets the last window overhang."""
    height, width = x.shape[1:3]
    if same:
        overhang = ((0, 0), (0, size - 2 + height % 2), (0, size - 2 + width % 2), (0, 0))
        x = np.pad(x, overhang, constant_values=-np.inf)
    rows = (x.shape[1] - size) // 2 + 1
    columns = (x.shape[2] - size) // 2 + 1
    shifted = [
        x[:, i : i + 2 * rows - 1 : 2, j : j + 2 * columns - 1 : 2]
        for i in range(size)
        for j in range(size)
    ]
    return np.maximum.reduce(shifted)


def _face_probability(logits: Array) -> Array:
    """Softmax over (no face, face), its second part."""
    return 1 / (1 + np.exp(np.clip(logits[..., 0] - logits[..., 1], -60, 60)))


def _extent(boxes: Array) -> Array:
    """(n, 4): width, height, width, height, counting both edge pixels as MTCNN does."""
    return np.tile(boxes[:, 2:] - boxes[:, :2] + 1, 2)


def _square(boxes: Array) -> Array:
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.concatenate([middle - half, middle + half], axis=1)


def _patches(image: Array, boxes: Array, size: int) -> Array:
    """(n, size, size, 3): each box resampled; zero (mid grey) outside the picture."""
    scale = (boxes[:, 2:] - boxes[:, :2]) / (size - 1)
    matrices = np.zeros((len(boxes), 2, 3), np.float64)
    matrices[:, 0, 0], matrices[:, 1, 1], matrices[:, :, 2] = scale[:, 0], scale[:, 1], boxes[:, :2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack([cv2.warpAffine(image, m, (size, size), flags=flags) for m in matrices])


def _suppress(
    boxes: Array, scores: Array, overlap: float, of_smaller: bool = False
) -> NDArray[np.intp]:
    """Non-maximum suppression: indices of the boxes kept, best first.

    `overlap` is the intersection's share of the union, or of the smaller box.
    """
    order = np.argsort(-scores, kind="stable")
    areas = np.prod(np.maximum(boxes[:, 2:] - boxes[:, :2], 0), axis=1)
    kept = []
    while len(order):
        best, order = order[0], order[1:]
        kept.append(best)
        low = np.maximum(boxes[best, :2], boxes[order, :2])
        high = np.minimum(boxes[best, 2:], boxes[order, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        whole = np.minimum(areas[best], areas[order]) if of_smaller else areas[best] + areas[order]
        whole = whole if of_smaller else whole - shared
        order = order[shared <= overlap * whole]
    return np.array(kept, np.intp)
