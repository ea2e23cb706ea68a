"""FER2013 (Goodfellow et al. 2013): 48x48 grey faces in the layouts Kaggle gives.

Folders of classes whose pictures are named after their split (`Training_123.jpg`) or only
numbered (`im123.png`), or the original `fer2013.csv`.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from core.datasets import TABLE, named
from core.face.tensor import FACE_SIZE
from core.labels import INDEX
from training.files import DataSetError, Files, locate

SPLITS = {"Training": "train", "PublicTest": "validation", "PrivateTest": "test"}

CSV_EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""In the order of the numbers in `fer2013.csv`."""

PUBLIC_SHARE = {
    "angry": 467 / 958,
    "disgust": 56 / 111,
    "fear": 496 / 1024,
    "happy": 895 / 1774,
    "neutral": 607 / 1233,
    "sad": 653 / 1247,
    "surprise": 415 / 831,
}
"""Of each emotion's test pictures, how many are PublicTest's. Where pictures are only numbered,
in the order of `fer2013.csv`, these come first."""


@dataclass(frozen=True)
class Faces:
    """Framed faces with labels: `images` uint8 (n, 48, 48), `labels` int64 (n,)."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    digests: NDArray[np.str_]
    """SHA-256 of each image's pixels, to find exact duplicates."""
    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    """What could not be read, and why."""

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def sha256(self) -> str:
        """What tells these faces from others: which pictures they are, and their labels."""
        told = "".join(self.digests).encode() + self.labels.astype(np.int64).tobytes()
        return hashlib.sha256(told).hexdigest()

    def where(self, mask: NDArray[np.bool_]) -> Faces:
        names = tuple(n for n, keep in zip(self.names, mask, strict=True) if keep)
        return Faces(self.images[mask], self.labels[mask], self.digests[mask], names, self.left_out)


def load(data: Path | str) -> dict[str, Faces]:
    """All of FER2013 by split: train (28,709), validation (PublicTest) and test (PrivateTest).

    What cannot be read is left out and named in `Faces.left_out`.

    Raises
    ------
    DataSetError
        When FER2013 is not at `data`, or nothing of a split can be read.
    """
    path = locate(data, "fer2013")
    if path is None:
        raise DataSetError(
            f"FER2013 was not found at {data}: put fer2013.zip, or its unpacked folder, there."
        )
    rows: dict[str, list[Row]] = {split: [] for split in SPLITS.values()}
    left_out: dict[str, list[str]] = {split: [] for split in SPLITS.values()}
    for split, row in _rows(Files(path)):
        if isinstance(row, str):
            left_out[split].append(row)
        else:
            rows[split].append(row)
    if not all(rows.values()):
        spoilt = [fault for faults in left_out.values() for fault in faults]
        count = f" {len(spoilt):,} cannot be read, the first of them {spoilt[0]}" if spoilt else ""
        lacking = [stated for stated, split in SPLITS.items() if not rows[split]]
        raise DataSetError(f"{path} holds nothing of the split {', '.join(lacking)}.{count}")
    return {split: _faces(found, left_out[split]) for split, found in rows.items()}


Row = tuple[NDArray[np.uint8], int, str]
"""Picture, label and name."""


def _rows(files: Files) -> Iterator[tuple[str, Row | str]]:
    """(split, row) of every picture, in whichever layout; of one that cannot be read, its name
    and why."""
    tables = [name for name in files.with_suffix({".csv"}) if name.name.lower() == TABLE]
    # Where the table alone tells that it is FER2013, what else lies there may be anything.
    alone = any(len(name.parts) == 1 for name in tables) and not named(files.path, "fer2013")
    pictures = {} if alone else _splits(list(files.with_suffix({".jpg", ".jpeg", ".png"})))
    tables.sort(key=lambda name: len(name.parts))
    if tables and not pictures:
        yield from _of_table(files, str(tables[0]))
    for name, split in pictures.items():
        image = _picture(files, str(name))
        if image is None:
            yield split, f"{name}: it is not a {FACE_SIZE}x{FACE_SIZE} image; restore or remove it."
        else:
            yield split, (image, INDEX[name.parent.name.lower()], str(name))


def _picture(files: Files, name: str) -> NDArray[np.uint8] | None:
    """The grey picture of a file; None where there is none of the right size in it."""
    try:
        content = np.frombuffer(files.read(name), np.uint8)
    except DataSetError:  # damaged inside its zip
        return None
    image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if len(content) else None
    if image is None or image.shape != (FACE_SIZE, FACE_SIZE):
        return None
    return np.asarray(image, np.uint8)


def _splits(names: list[PurePosixPath]) -> dict[PurePosixPath, str]:
    """The split of every picture that lies in a folder of an emotion; of copies in other folders
    of the same names, the first counts, even if it should not decode."""
    found: dict[PurePosixPath, str] = {}
    met: set[tuple[str, str, str]] = set()
    numbered: dict[tuple[str, str], list[PurePosixPath]] = {}
    for name in names:
        emotion, folder = name.parent.name.lower(), name.parent.parent.name.lower()
        split = SPLITS.get(name.stem.split("_")[0])
        picture = split or folder, emotion, name.name
        if emotion not in INDEX or picture in met:
            continue
        met.add(picture)
        if split:
            found[name] = split
        elif folder in ("train", "test") and re.search(r"\d+$", name.stem):
            numbered.setdefault((folder, emotion), []).append(name)
    for (folder, emotion), part in numbered.items():
        part.sort(key=lambda name: int(re.findall(r"\d+$", name.stem)[0]))
        public = round(PUBLIC_SHARE[emotion] * len(part))
        for place, name in enumerate(part):
            held_out = "validation" if place < public else "test"
            found[name] = "train" if folder == "train" else held_out
    return found


def _of_table(files: Files, name: str) -> Iterator[tuple[str, Row | str]]:
    """The rows of `fer2013.csv`: number of the emotion, pixels, usage."""
    lines = files.read(name).decode("utf-8-sig", errors="replace").splitlines()
    for number, row in enumerate(_table(lines)):
        try:
            pixels = np.array(row["pixels"].split(), np.uint8).reshape(FACE_SIZE, FACE_SIZE)
            emotion, split = CSV_EMOTIONS[int(row["emotion"])], SPLITS[row["Usage"].strip()]
        except (KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError):
            # Counted with the split that it states, else with the largest one.
            stated = SPLITS.get(str(row.get("Usage")).strip(), "train")
            yield stated, f"Row {number + 1} of {name} is not one of FER2013; restore it."
            continue
        yield split, (pixels, INDEX[emotion], f"{name}#{number}")


def _table(lines: list[str]) -> Iterator[dict[str, str]]:
    """Rows by the names in the first line; each line for itself, as a stray quotation mark would
    take those behind it along."""
    names: list[str] | None = None
    for line in lines:
        try:
            (cells,) = csv.reader([line])
        except (csv.Error, ValueError):  # longer than a cell may be, or empty
            cells = []
        if names is None:
            names = [cell.strip() for cell in cells]
        elif line.strip():
            yield dict(zip(names, cells, strict=False))


def _faces(rows: list[Row], left_out: list[str]) -> Faces:
    images = np.stack([image for image, _, _ in rows])
    return Faces(
        images=images,
        labels=np.array([label for _, label, _ in rows]),
        digests=np.array([hashlib.sha256(image.tobytes()).hexdigest() for image in images]),
        names=tuple(name for _, _, name in rows),
        left_out=tuple(left_out),
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
    return drawn(faces, max(14, round(len(faces) * fraction)), seed)


def drawn(faces: Faces, count: int, seed: int) -> Faces:
    """`count` of `faces` at random, or all where there are no more, in their order."""
    keep = np.zeros(len(faces), bool)
    keep[np.random.default_rng(seed).permutation(len(faces))[:count]] = True
    return faces.where(keep)
