"""Anybody's own data: a folder or zip of folders named after the emotions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath

from core.labels import EMOTIONS, INDEX
from core.words import listed
from training.files import DataSetError, Files

SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "fearful": "fear",
    "happiness": "happy",
    "joy": "happy",
    "calm": "neutral",
    "sadness": "sad",
    "surprised": "surprise",
}


def examples(
    path: Path | str, suffixes: set[str]
) -> Iterator[tuple[str, Callable[[], bytes], int]]:
    """(name, what reads it, label) of every file whose own folder is named after an emotion.

    `passed_over` names what is left.

    Raises
    ------
    DataSetError
        When there is no such file.
    """
    files = Files(path)
    found = False
    for name in files.with_suffix(suffixes):
        label = _label(name)
        if label is not None:
            found = True
            yield str(name), partial(files.read, str(name)), label
    if not found:
        raise DataSetError(
            f"{path} holds no {', '.join(sorted(suffixes))} files in folders named "
            f"{', '.join(EMOTIONS)}."
        )


def passed_over(path: Path | str, suffixes: set[str], others: set[str]) -> Iterator[str]:
    """What `examples` does not give, and why: a sentence a file.

    Parameters
    ----------
    others : suffixes of what is meant for models of the other task, of which nothing is said.
    """
    for name in Files(path).names:
        file = PurePosixPath(name)
        suffix, of_emotion = file.suffix.lower(), _label(file) is not None
        if of_emotion and suffix not in suffixes | others:
            yield f"{name}: only files are read that end in {listed(sorted(suffixes))}."
        if suffix in suffixes and not of_emotion:
            yield f"{name}: its folder is not named after an emotion."


def _label(name: PurePosixPath) -> int | None:
    folder = name.parent.name.lower()
    return INDEX.get(SYNONYMS.get(folder, folder))
