"""One way to read a data set, whether it is a folder or a zip (stored or deflated)."""

from __future__ import annotations

import os
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from core.labels import EMOTIONS
from core.models import Task


class DataSetError(Exception):
    """The data are not there or not as expected; the message says what to do."""


_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError)
"""What `zipfile` raises where bytes of a zip are wrong. A RuntimeError asks for a password or for
an unknown compression, an OSError stands for a place outside the file, a ValueError for a name
that is no text."""


class Files:
    """The files below a folder or inside a zip, by their path relative to it."""

    def __init__(self, path: Path | str) -> None:
        """List them.

        Raises
        ------
        DataSetError
            When `path` is neither a folder nor a zip, or cannot be read.
        """
        self.path = Path(path)
        self._zip: zipfile.ZipFile | None = None
        try:
            self.names = sorted(name for name in self._listed() if not _is_hidden(name))
        except _DAMAGE:
            raise DataSetError(f"{self.path} is damaged or cannot be read.") from None

    def _listed(self) -> list[str]:
        if self.path.is_dir():
            found = (path for path in self.path.rglob("*") if path.is_file())
            return [path.relative_to(self.path).as_posix() for path in found]
        if zipfile.is_zipfile(self.path):
            self._zip = zipfile.ZipFile(self.path)
            return [name for name in self._zip.namelist() if not name.endswith("/")]
        raise DataSetError(f"{self.path} is neither a folder nor a zip file.")

    def read(self, name: str) -> bytes:
        """The content of one file.

        Raises
        ------
        DataSetError
            When there is no such file below the folder or inside the zip, or it is damaged.
        """
        missing = DataSetError(f"{self.path} has no file {name}.")
        if self._zip is not None:
            try:
                return self._zip.read(name)
            except KeyError:
                raise missing from None
            except _DAMAGE:
                raise DataSetError(f"{name} in {self.path} is damaged.") from None
        path = self.path / name
        if not path.resolve().is_relative_to(self.path.resolve()):
            raise missing
        try:
            return path.read_bytes()
        except OSError:
            raise missing from None

    def with_suffix(self, suffixes: set[str]) -> Iterator[PurePosixPath]:
        """Paths whose lower-case suffix is in `suffixes`, sorted."""
        for name in self.names:
            path = PurePosixPath(name)
            if path.suffix.lower() in suffixes:
                yield path


DATA_SETS: dict[str, str] = {
    "fer2013": "FER2013",
    "ravdess": "RAVDESS",
    "crema_d": "CREMA-D",
    "savee": "SAVEE",
    "tess": "TESS",
}
"""Name of the folder or zip of each data set, and how it is called."""
CORPORA = ("ravdess", "crema_d", "savee", "tess")
"""The voice sets."""
AUDIO_SUFFIXES = {".wav", ".ogg", ".flac", ".mp3", ".m4a", ".opus", ".webm"}
"""Of their clips, and of those of anybody's own."""

SPELLINGS: dict[str, tuple[str, ...]] = {
    "fer2013": ("fer2013", "fer-2013"),
    "ravdess": ("ravdess", "ravdess-emotional-speech-audio", "audio-speech-actors-01-24"),
    "crema_d": ("crema-d", "cremad", "crema"),
    "savee": ("savee", "surrey-audiovisual-expressed-emotion-savee"),
    "tess": (
        "tess",
        "toronto-emotional-speech-set-tess",
        "tess-toronto-emotional-speech-set-data",
    ),
}
"""The names under which a set goes round, as `_plain` writes them: its own, that of Kaggle's
download, that of the folder or zip inside it. Where several are there, the first one counts."""

_NAMELESS = re.compile(r"archive(-?\(\d+\)|-\d+)?(\.zip)?")
"""How Kaggle's pages call the download of any set, and browsers and file managers the next one."""
_FACES = rf"(?i:{'|'.join(EMOTIONS)})/"
_SOUND = rf"\.(?i:{'|'.join(suffix[1:] for suffix in sorted(AUDIO_SUFFIXES))})"
_SIGNS: dict[str, tuple[re.Pattern[str], ...]] = {
    name: tuple(re.compile(rf"(.*/)?{sign}") for sign in signs)
    for name, signs in {
        "fer2013": (
            rf"{_FACES}(Training|PublicTest|PrivateTest)_\d+\.(?i:png|jpe?g)",
            rf"(?i:train)/{_FACES}im\d+\.(?i:png|jpe?g)",
            rf"(?i:test)/{_FACES}im\d+\.(?i:png|jpe?g)",
            r"fer2013\.csv",
        ),
        "ravdess": (rf"03-01-0[1-8](-\d\d){{4}}{_SOUND}",),
        "crema_d": (rf"\d{{4}}_[A-Z]{{3}}_(ANG|DIS|FEA|HAP|NEU|SAD)_[A-Z]{{1,2}}{_SOUND}",),
        "savee": (rf"(DC|JE|JK|KL)[_/](a|d|f|h|n|sa|su)\d\d{_SOUND}",),
        "tess": (rf"(OAF?|YAF)_[a-z]+_(?i:angry|disgust|fear|happy|neutral|ps|sad){_SOUND}",),
    }.items()
}
"""What the files of each set are called, in one layout or another. Of FER2013 in `train` and
`test`, numbered alone, both have to be there: other people's pictures lie in such folders too."""


def set_of(example: str, task: Task) -> tuple[str, str]:
    """(data set, path inside it) of an example as `core.predictions` names it.

    A picture is named by its path inside FER2013, a recording by `corpus/path`.
    """
    if task == "face":
        return "fer2013", example
    corpus, _, path = example.partition("/")
    return corpus, path


def present(data: Path | str) -> tuple[str, ...]:
    """Which of the data sets are found at `data`."""
    return tuple(name for name in SPELLINGS if locate(data, name) is not None)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def locate(data: Path | str, name: str) -> Path | None:
    """The data set `name` at or below `data`, a folder or a zip.

    Parameters
    ----------
    name : a key of `SPELLINGS`.

    Where several could be meant, the first of these counts: `data` itself under the project's own
    name; `data/name`; `data/name.zip`; `data` itself under another of `SPELLINGS`; what lies in
    `data` under each of them in turn, a folder before a zip; of FER2013 `data` itself where
    `fer2013.csv` lies in it, or `fer2013.csv.zip`; `data` itself, or what lies in it, under a name
    that says nothing (`archive.zip`, `archive (1).zip`), if files in it are called as the set's
    are, the first of them by name. Upper and lower case of the names are alike. Returns None when
    it is not there.
    """
    data = Path(data)
    if data.name.lower() in (name, f"{name}.zip") and _exists(data):
        return data
    for candidate in (data / name, data / f"{name}.zip"):
        if _exists(candidate):
            return candidate
    known = [spelling + suffix for spelling in SPELLINGS[name] for suffix in ("", ".zip")]
    if named(data, name) and _exists(data):
        return data
    found = [entry for entry in _entries(data) if _plain(entry) in known]
    for entry in sorted(found, key=lambda entry: (known.index(_plain(entry)), entry)):
        if _exists(data / entry):  # not a link to nowhere
            return data / entry
    if name == "fer2013" and (place := _table_of_faces(data)) is not None:
        return place
    nameless = [data, *(data / entry for entry in sorted(_entries(data)))]
    for place in nameless:
        if _NAMELESS.fullmatch(_plain(place.name)) and name in _held(place):
            return place
    return None


TABLE = "fer2013.csv"
"""FER2013 in one file, as the competition gave it."""


def named(place: Path, name: str) -> bool:
    """Whether a folder or zip is called as the data set `name` is, in one of its spellings."""
    return _plain(place.name).removesuffix(".zip") in SPELLINGS[name]


def _table_of_faces(data: Path) -> Path | None:
    """The folder or zip of FER2013's table, where that lies in `data` or is `data`."""
    for name, place in ((data.name, data), *((entry, data / entry) for entry in _entries(data))):
        if name.lower() == f"{TABLE}.zip" and _exists(place):
            return place
        if name.lower() == TABLE and place.is_file():
            return place.parent
    return None


_held_before: dict[tuple[Path, float], frozenset[str]] = {}


def _held(place: Path) -> frozenset[str]:
    """The data sets in a folder or zip, by what its files are called.

    Kept until the place changes. Not of a folder in which there was none: it may be filling up,
    which a folder's own date does not tell.
    """
    try:
        key = place, place.stat().st_mtime
        if key not in _held_before:
            names = Files(place).names
            found = frozenset(name for name in _SIGNS if _signed(name, names))
            if not found and place.is_dir():
                return found
            _held_before[key] = found
        return _held_before[key]
    except (DataSetError, OSError, ValueError):  # as of `_exists`
        return frozenset()


def _signed(name: str, files: list[str]) -> bool:
    """Whether `files` are called as those of a data set are."""
    met = [any(map(sign.fullmatch, files)) for sign in _SIGNS[name]]
    if name != "fer2013":
        return any(met)
    split_named, train, test, table = met
    return split_named or table or (train and test)


def _exists(path: Path) -> bool:
    """Whether it is there, as far as that may be known."""
    try:
        return path.exists()
    except (OSError, ValueError):  # ValueError: a null character in the path
        return False


def _plain(name: str) -> str:
    """A file's name in lower case, its words joined by hyphens."""
    return name.lower().replace("_", "-").replace(" ", "-")


def _entries(folder: Path) -> list[str]:
    """What lies in `folder`: nothing where that is no folder or may not be listed."""
    try:
        return os.listdir(folder)
    except (OSError, ValueError):  # ValueError: a null character in the path
        return []
