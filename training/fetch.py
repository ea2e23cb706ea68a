"""Download one data set from Kaggle: `python -m training fetch NAME --data PATH`."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from training import fer2013, voices
from training.files import DataSetError, locate


@dataclass(frozen=True)
class Source:
    """Where a set is, what may be done with it and how many files it must have."""

    slug: str
    licence: str
    files: int

    @property
    def page(self) -> str:
        return f"https://www.kaggle.com/datasets/{self.slug}"


SOURCES: dict[str, Source] = {
    "fer2013": Source("msambare/fer2013", "Kaggle competition data, research use", 35_887),
    "ravdess": Source("uwrfkaggler/ravdess-emotional-speech-audio", "CC BY-NC-SA 4.0", 1_440),
    "crema_d": Source("ejlok1/cremad", "ODbL 1.0", 7_442),
    "savee": Source(
        "ejlok1/surrey-audiovisual-expressed-emotion-savee", "research use, by registration", 480
    ),
    "tess": Source("ejlok1/toronto-emotional-speech-set-tess", "CC BY-NC-ND 4.0", 2_800),
}


def fetch(name: str, data: Path) -> str:
    """Download the set `name` to `data/name`, count its files; a sentence that says the outcome.

    Raises
    ------
    DataSetError
        When there is no such set, it cannot be downloaded, or it is not whole.
    """
    if name not in SOURCES:
        raise DataSetError(f"There is no data set {name!r}; there are {', '.join(SOURCES)}.")
    source, target = SOURCES[name], data / name
    if locate(data, name) is None:
        _download(name, source, target)
    try:
        found = count(name, data)
    except DataSetError:
        place = locate(data, name)
        if place is None or not place.is_dir() or any(place.iterdir()):
            raise
        found = 0
    if found != source.files:
        raise DataSetError(
            f"{locate(data, name)} holds {found:,} files of {name}, not {source.files:,}; remove "
            f"it and fetch it again, or get it from {source.page}."
        )
    return f"{locate(data, name)} holds all {found:,} files. Licence: {source.licence}."


def _download(name: str, source: Source, target: Path) -> None:
    """Copy what kagglehub downloads to `target`."""
    by_hand = f"get {name} from {source.page} and put its zip or folder into {target.parent}"
    try:
        import kagglehub
    except ImportError:
        raise DataSetError(
            f"Fetching needs kagglehub: pip install kagglehub, or {by_hand}."
        ) from None
    try:
        folder = kagglehub.dataset_download(source.slug)
    except Exception as error:  # noqa: BLE001 - whatever network, account or licence refuse
        raise DataSetError(
            f"Kaggle did not give {name} ({type(error).__name__}); sign in with a Kaggle token, "
            f"or {by_hand}."
        ) from None
    shutil.copytree(folder, target)


def count(name: str, data: Path) -> int:
    """How many pictures or clips of the set are at `data`."""
    if name == "fer2013":
        return sum(len(faces) for faces in fer2013.load(data).values())
    return sum(clip.corpus == name for clip in voices.clips(data))
