"""FER2013 (Goodfellow et al. 2013): 48x48 grey faces in the layout Kaggle gives."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from core.face.tensor import FACE_SIZE
from core.labels import INDEX
from training.files import DataSetError, Files, locate

SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}


@dataclass(frozen=True)
class Faces:
    """Framed faces with labels: `images` uint8 (n, 48, 48), `labels` int64 (n,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    digests: NDArray[np.str_]
    """SHA-256 of each image's pixels, to find exact duplicates."""
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def where(self, mask: NDArray[np.bool_]) -> Faces:
        names = tuple(n for n, keep in zip(self.names, mask, strict=True) if keep)
        return Faces(self.images[mask], self.labels[mask], self.digests[mask], names)


def load(data: Path | str) -> dict[str, Faces]:
    """All of FER2013 by split: train (28,709), validation (PublicTest) and test (PrivateTest).

    Raises
    ------
    DataSetError
        When FER2013 is not at `data`.
    """
    path = locate(data, "fer2013")
    if path is None:
        raise DataSetError(
            f"FER2013 was not found at {data}: put fer2013.zip, or its unpacked folder, there."
        )
    files = Files(path)
    rows: dict[str, list[tuple[NDArray[np.uint8], int, str]]] = {s: [] for s in SPLITS.values()}
    for name in files.with_suffix({".jpg", ".jpeg", ".png"}):
        split = SPLITS.get(name.stem.split("_")[0])
        label = INDEX.get(name.parent.name.lower())
        if split is None or label is None:
            continue
        image = cv2.imdecode(np.frombuffer(files.read(str(name)), np.uint8), cv2.IMREAD_GRAYSCALE)
        if image is None or image.shape != (FACE_SIZE, FACE_SIZE):
            raise DataSetError(f"{name} in {path} is not a {FACE_SIZE}x{FACE_SIZE} image.")
        rows[split].append((image.astype(np.uint8), label, str(name)))
    if not all(rows.values()):
        raise DataSetError(f"{path} lacks one of the splits {', '.join(SPLITS)}.")
    return {split: _faces(found) for split, found in rows.items()}


def _faces(rows: list[tuple[NDArray[np.uint8], int, str]]) -> Faces:
    images = np.stack([image for image, _, _ in rows])
    return Faces(
        images=images,
        labels=np.array([label for _, label, _ in rows]),
        digests=np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images]),
        names=tuple(name for _, _, name in rows),
    )


def without_copies_of(faces: Faces, *held_out: Faces) -> Faces:
    """`faces` less every image whose pixels also stand in a held-out split."""
    seen = np.concatenate([other.digests for other in held_out])
    return faces.where(~np.isin(faces.digests, seen))


def training_splits(data: Path | str) -> dict[str, Faces]:
    """`load`, with the copies of validation and test images dropped from train."""
    splits = load(data)
    train = without_copies_of(splits["train"], splits["validation"], splits["test"])
    return {**splits, "train": train}


def share(faces: Faces, fraction: float, seed: int) -> Faces:
    """A random `fraction` of `faces`, for smoke runs and learning curves."""
    if fraction >= 1:
        return faces
    rng = np.random.default_rng(seed)
    keep = np.zeros(len(faces), bool)
    keep[rng.permutation(len(faces))[: max(14, round(len(faces) * fraction))]] = True
    return faces.where(keep)
