"""Lay out the test set as a model sees it: `python -m training map NAME --data PATH`.

UMAP (McInnes et al. 2018) of the embeddings of `core.embedding`, computed once and shipped as
numbers beside the model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.embedding import Embedder
from core.map import FILE_NAME
from core.models import ModelInfo
from training import checks, fer2013, voices
from training.files import DataSetError

DIMENSIONS = 32
"""Principal axes that are kept, to find neighbours with."""
NEIGHBOURS = 20
MINIMUM_DISTANCE = 0.15
SEED = 7


def lay_out(info: ModelInfo, data: Path) -> Path:
    """Write `map.npz` into the model's folder; return its path.

    Raises
    ------
    DataSetError
        When the test set is not at `data` or holds fewer than two emotions, or umap-learn is not
        installed.
    """
    umap = _umap()
    ids, embeddings = _test_set(info, data)
    mean, axes = principal_axes(embeddings, DIMENSIONS)
    along = (embeddings - mean) @ axes
    scale = np.maximum(np.abs(along).max(axis=0), 1e-9) / 127
    places = umap.UMAP(
        n_neighbors=min(NEIGHBOURS, len(ids) - 1),
        min_dist=MINIMUM_DISTANCE,
        metric="cosine",
        random_state=SEED,
        n_jobs=1,
    ).fit_transform(along)
    path = info.folder / FILE_NAME
    np.savez_compressed(
        path,
        ids=ids,
        places=places.astype(np.float16),
        reduced=np.round(along / scale).astype(np.int8),
        scale=scale.astype(np.float32),
        mean=mean.astype(np.float32),
        axes=axes.astype(np.float16),
        how=np.array(how(info, embeddings.shape[1], axes.shape[1])),
        model_sha256=np.array(info.sha256),
    )
    return path


def how(info: ModelInfo, features: int, axes: int) -> str:
    """What the map is made of, for its caption."""
    pooled = (
        "averaged over the face"
        if info.task == "face"
        else "averaged over the speech as the network attends to it"
    )
    return (
        f"The {features} features that go into the last layer of {info.name}, {pooled}, reduced "
        f"to {axes} principal axes and laid out by UMAP (cosine distance, {NEIGHBOURS} "
        f"neighbours, minimum distance {MINIMUM_DISTANCE}, seed {SEED})."
    )


def principal_axes(
    embeddings: NDArray[np.floating], count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean (features,), axes (features, at most `count`)), those of most variance first."""
    values = np.asarray(embeddings, np.float64)
    mean = values.mean(axis=0)
    _, _, rows = np.linalg.svd(values - mean, full_matrices=False)
    return mean, rows[:count].T


def _test_set(info: ModelInfo, data: Path) -> tuple[NDArray[np.str_], NDArray[np.float32]]:
    """(ids, embeddings) of the test set of the model's task."""
    embedder = Embedder(info)
    if info.task == "face":
        faces = fer2013.load(data)["test"]
        checks.told(faces.labels, faces.left_out, "FER2013's test")
        return np.array(faces.names), embedder.faces(faces.images)
    heard = voices.hear(data, [c for c in voices.clips(data) if c.split == "test"])
    checks.told(heard.labels, heard.left_out, "The voices' test")
    ids = np.array([f"{clip.corpus}/{clip.path}" for clip in heard.clips])
    return ids, np.stack([embedder.voice(samples) for samples in heard.samples])


def _umap():
    try:
        import umap
    except ImportError:
        raise DataSetError(
            "The map needs umap-learn: pip install -r requirements-dev.txt, then try again."
        ) from None
    return umap
