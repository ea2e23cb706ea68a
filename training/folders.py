"""Anybody's own data: a folder or zip of folders named after the emotions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from core.labels import EMOTIONS, INDEX
from training.files import DataSetError, Files

SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "calm": "neutral",
    "sadness": "sad",
    "surprised": "surprise",
}


def examples(
    path: Path | str, suffixes: set[str]
) -> Iterator[tuple[str, Callable[[], bytes], int]]:
    """(name, what reads it, label) of every file whose own folder is named after an emotion.

    Raises
    ------
    DataSetError
        When there is no such file.
    """
    files = Files(path)
    found = False
    for name in files.with_suffix(suffixes):
        folder = name.parent.name.lower()
        label = INDEX.get(SYNONYMS.get(folder, folder))
        if label is not None:
            found = True
            yield str(name), partial(files.read, str(name)), label
    if not found:
        raise DataSetError(
            f"{path} holds no {', '.join(sorted(suffixes))} files in folders named "
            f"{', '.join(EMOTIONS)}."
        )
