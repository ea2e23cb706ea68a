"""A model's map of the test set: `models/<name>/map.npz`, written by `python -m training map`.

Plain arrays: `ids`, `places` float16 (n, 2), `reduced` int8 (n, k) with `scale` (k,), and the
principal axes `mean` (features,) and `axes` (features, k) that lead from an embedding to it; `how`
it was made and the `model_sha256` of the file that it was made with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.errors import DuetError
from core.models import ModelInfo
from core.predictions import SPOILT

FILE_NAME = "map.npz"
FIELDS = ("ids", "places", "reduced", "scale", "mean", "axes", "how")


@dataclass(frozen=True)
class EmbeddingMap:
    """Where the test set lies, in two dimensions and in the model's own principal ones."""

    ids: NDArray[np.str_]
    """(n,): as `core.predictions` names examples."""
    places: NDArray[np.float32]
    """(n, 2): near each other what the model finds alike; the axes mean nothing."""
    reduced: NDArray[np.float32]
    """(n, k): the embeddings along their first principal axes."""
    mean: NDArray[np.float32]
    axes: NDArray[np.float32]
    how: str
    """How the map was made, in a sentence."""
    model_sha256: str
    """Of the file that it was made with; "" where the map does not note it."""

    def project(self, embedding: NDArray[np.float32]) -> NDArray[np.float32]:
        """(features,) or (n, features) along the principal axes."""
        return np.asarray((embedding - self.mean) @ self.axes, np.float32)

    def nearest(self, point: NDArray[np.float32], count: int) -> NDArray[np.intp]:
        """Rows of the `count` examples whose direction from the mean is most like `point`'s."""
        lengths = np.linalg.norm(self.reduced, axis=1) * max(float(np.linalg.norm(point)), 1e-9)
        likeness = self.reduced @ point / np.maximum(lengths, 1e-9)
        return np.argsort(-likeness, kind="stable")[:count]


def read_map(info: ModelInfo) -> EmbeddingMap:
    """The map of a model.

    Raises
    ------
    DuetError
        `not_found` when the model comes without one, `damaged_model` when the file is not what
        it should be; both name the file and the mend.
    """
    path = info.folder / FILE_NAME
    mend = f"write it with python -m training map {info.name} --data PATH"
    if not path.is_file():
        raise DuetError("not_found", f"{path} is missing; {mend}.")
    try:
        with np.load(path, allow_pickle=False) as stored:
            ids, places, reduced, scale, mean, axes, how = (stored[name] for name in FIELDS)
            made_with = str(stored["model_sha256"]) if "model_sha256" in stored else ""
        found = EmbeddingMap(
            ids=ids,
            places=places.astype(np.float32),
            reduced=reduced.astype(np.float32) * scale.astype(np.float32),
            mean=mean.astype(np.float32),
            axes=axes.astype(np.float32),
            how=str(how),
            model_sha256=made_with,
        )
        n, (features, k) = len(ids), axes.shape
    except (*SPOILT, TypeError):
        raise DuetError("damaged_model", f"{path} is damaged; restore it, or {mend}.") from None
    fits = found.places.shape == (n, 2) and found.reduced.shape == (n, k)
    fits = fits and ids.shape == (n,) and mean.shape == (features,)
    if ids.dtype.kind != "U" or not fits or not np.isfinite(found.places).all():
        raise DuetError("damaged_model", f"{path} is damaged; restore it, or {mend}.")
    return found
