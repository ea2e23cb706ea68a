"""The tidy index of the data sets: one row a file, in one Parquet file.

It is made by `python -m training prepare` and `python -m training summarise`; the one that
belongs to the shipped models lies in `core/summary/`. It holds what is known of each file (whose,
what, in which split, how long, how loud) and nothing of its content, so it can be read on a
machine without the data.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd

from core.labels import EMOTIONS

SUMMARY_FOLDER = Path(__file__).resolve().parent / "summary"
INDEX_NAME = "index.parquet"

FACE_SETS = ("fer2013",)
VOICE_SETS = ("ravdess", "crema_d", "savee", "tess")
SPLITS = ("train", "validation", "test")

RAVDESS_FOLDS: tuple[frozenset[str], ...] = (
    frozenset({"2", "5", "14", "15", "16"}),
    frozenset({"3", "6", "7", "13", "18"}),
    frozenset({"10", "11", "12", "19", "20"}),
    frozenset({"8", "17", "21", "23", "24"}),
    frozenset({"1", "4", "9", "22"}),
)
"""Test actors of the five subject-wise folds that the literature uses."""

BLANK_CONTRAST = 4.0
"""Grey levels: pictures whose standard deviation lies below it show nothing."""
NEAR_BLANK_CONTRAST = 15.0
CLIPPED_SHARE = 0.005
"""As on the Voice page: a larger share of samples at full scale is heard."""
QUIET_DBFS = -40.0

COLUMNS: dict[str, str] = {
    "dataset": "category",  # a key of DATA_SETS
    "file": "string",  # path inside the set's folder or zip
    "label": "category",  # one of EMOTIONS
    "speaker": "category",  # empty for pictures
    "sex": "category",  # female or male; empty for pictures
    "sentence": "category",  # the corpus's own code or word
    "intensity": "category",  # low, medium, normal, strong; empty where not stated
    "split": "category",  # one of SPLITS
    "fold": "int8",  # 1 to 5 for RAVDESS, else 0
    "duration": "float32",  # seconds; NaN for pictures and for clips that do not decode
    "loudness": "float32",  # dBFS of the loudest 25 ms
    "level": "float32",  # dBFS, mean power of the speech
    "pitch": "float32",  # Hz, median of the voiced frames
    "pitch_range": "float32",  # semitones, 10th to 90th percentile of the voiced frames
    "clipped": "float32",  # share of samples at full scale
    "contrast": "float32",  # grey levels, standard deviation of a picture
    "duplicate_of": "string",  # the first file with the same content; empty for that one
}


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """`rows` with all of `COLUMNS`, in their order and types."""
    frame = rows.reindex(columns=list(COLUMNS))
    for name, kind in COLUMNS.items():
        column = frame[name]
        if kind in ("category", "string"):
            frame[name] = column.fillna("").astype("str")
        else:
            frame[name] = column.fillna(0 if kind == "int8" else np.nan).astype(kind)
        if kind == "category":
            frame[name] = frame[name].astype("category")
    return frame


def write(frame: pd.DataFrame, path: Path) -> None:
    """Write an index as Parquet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False, compression="zstd", compression_level=19)


@lru_cache(maxsize=2)
def read(path: Path = SUMMARY_FOLDER / INDEX_NAME) -> pd.DataFrame:
    """The index at `path` with what follows from it; read once. Not to be changed.

    Adds `id` (as `core.predictions` names an example), `group` (the id of the first file with
    the same content, its own where none comes before it), `copies` (files with this content),
    `labels` (how many labels they carry) and `across` (whether they lie in several splits).

    Raises
    ------
    OSError
        When there is none, or it is no index.
    """
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise OSError(f"{path} cannot be read: {error}") from None
    if missing := set(COLUMNS) - set(frame.columns):
        raise OSError(f"{path} is no index of data sets: it lacks {', '.join(sorted(missing))}.")
    frame = typed(frame)
    frame["label"] = frame["label"].cat.set_categories(list(EMOTIONS))
    frame["id"] = _ids(frame, frame["file"])
    first = frame["duplicate_of"].where(frame["duplicate_of"] != "", frame["file"])
    frame["group"] = _ids(frame, first)
    groups = frame.groupby("group", sort=False)
    frame["copies"] = groups["file"].transform("size").astype("int16")
    frame["labels"] = _distinct(frame, "label")
    frame["across"] = _distinct(frame, "split") > 1
    return frame


def _ids(frame: pd.DataFrame, file: pd.Series) -> pd.Series:
    """`core.datasets.set_of` turned round: the path of a picture, `corpus/path` of a clip."""
    named = frame["dataset"].astype("str") + "/" + file
    return file.where(frame["dataset"].isin(FACE_SETS), named)


def _distinct(frame: pd.DataFrame, column: str) -> pd.Series:
    """How many different values of `column` the group of each row has."""
    pairs = frame[["group", column]].drop_duplicates()
    return frame["group"].map(pairs["group"].value_counts()).astype("int8")


def quality_lists(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """What is wrong with the data, as lists of files: name of the list -> its rows."""
    faces = frame[frame["dataset"].isin(FACE_SETS)]
    clips = frame[frame["dataset"].isin(VOICE_SETS)]
    copied = frame[frame["copies"] > 1]
    return {
        "Copies across splits": copied[copied["across"]],
        "Copies within a split": copied[~copied["across"]],
        "Conflicting labels": copied[copied["labels"] > 1],
        "Blank pictures": faces[faces["contrast"] < BLANK_CONTRAST],
        "Nearly blank pictures": faces[
            faces["contrast"].between(BLANK_CONTRAST, NEAR_BLANK_CONTRAST, inclusive="left")
        ],
        "Clipped clips": clips[clips["clipped"] > CLIPPED_SHARE],
        "Silent or unreadable clips": clips[clips["duration"].isna()],
        "Very quiet clips": clips[clips["loudness"] < QUIET_DBFS],
    }
