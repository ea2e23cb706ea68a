"""One tidy index of all data sets: `python -m training prepare --data PATH`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.errors import DuetError
from core.index import RAVDESS_FOLDS, SPLITS, typed
from core.labels import EMOTIONS
from core.media import decode_audio
from core.voice.activity import loudest_dbfs, prosody
from core.voice.features import DYNAMIC_RANGE_DB, log_mel_spectrogram, trim
from training import checks, fer2013, voices
from training.files import DataSetError, locate

# fmt: off
CREMA_D_WOMEN = frozenset({
    1002, 1003, 1004, 1006, 1007, 1008, 1009, 1010, 1012, 1013, 1018, 1020, 1021, 1024, 1025,
    1028, 1029, 1030, 1037, 1043, 1046, 1047, 1049, 1052, 1053, 1054, 1055, 1056, 1058, 1060,
    1061, 1063, 1072, 1073, 1074, 1075, 1076, 1078, 1079, 1082, 1084, 1089, 1091,
})
# fmt: on
"""From the corpus's own VideoDemographics.csv (ODbL 1.0)."""

INTENSITIES = {"01": "normal", "02": "strong", "LO": "low", "MD": "medium", "HI": "strong"}
"""RAVDESS's and CREMA-D's codes; SAVEE and TESS, and CREMA-D's XX, state none."""

SPECTROGRAM_COLUMNS = 64
"""Steps from the first to the last sound of a clip, in the mean spectrograms."""

MIN_VOICED_FRAMES = 10
"""0.1 s: a pitch of fewer frames says nothing of the clip."""


@dataclass(frozen=True)
class Heard:
    """What a clip's content says."""

    facts: dict[str, float]
    """Columns of the index."""
    digest: str
    mel: NDArray[np.float32] | None
    """(SPECTROGRAM_COLUMNS, MEL_BANDS): dB below the loudest cell; None if it does not decode."""
    fault: str = ""
    """Why it does not, in a sentence."""


Seen = Callable[[str, str, NDArray[np.generic]], None]
"""Called with (data set, label, picture or spectrogram) of each file, to sum up."""


def build(data: Path, seen: Seen = lambda dataset, label, content: None) -> pd.DataFrame:
    """The index of whatever sets lie at `data`, measured file by file.

    Raises
    ------
    DataSetError
        When there is none.
    """
    parts = []
    if locate(data, "fer2013") is not None:
        parts.append(_faces(data, seen))
    if any(locate(data, corpus) for corpus in voices.CORPORA):
        parts.append(_clips(data, seen))
    if not parts:
        raise DataSetError(
            f"No data set at {data}: put fer2013, ravdess, crema_d, savee or tess there, as "
            "folders or zips."
        )
    frame = pd.concat(parts, ignore_index=True)
    order = frame["split"].map({split: number for number, split in enumerate(SPLITS)})
    frame = frame.assign(order=order).sort_values(["dataset", "order", "file"], kind="stable")
    frame["duplicate_of"] = _first_of_each(frame)
    return typed(frame.reset_index(drop=True))


def _first_of_each(frame: pd.DataFrame) -> pd.Series:
    """The first file with the same content, or nothing for that one itself."""
    first = frame.groupby(["dataset", "digest"], sort=False)["file"].transform("first")
    return first.where(first != frame["file"], "")


def _faces(data: Path, seen: Seen) -> pd.DataFrame:
    rows = []
    for split, faces in fer2013.load(data).items():
        checks.told(faces.labels, faces.left_out, f"FER2013's {split}")
        for image, label, digest, name in zip(
            faces.images, faces.labels, faces.digests, faces.names, strict=True
        ):
            emotion = EMOTIONS[label]
            seen("fer2013", emotion, image)
            rows.append(
                {
                    "dataset": "fer2013",
                    "file": name,
                    "label": emotion,
                    "split": split,
                    "contrast": round(float(image.std()), 1),
                    "digest": digest,
                }
            )
    return pd.DataFrame(rows)


def _clips(data: Path, seen: Seen) -> pd.DataFrame:
    rows = []
    labels: list[int] = []
    left_out: list[str] = []
    for clip, heard in _hear_all(data, voices.clips(data)):
        if heard.mel is not None:
            seen(clip.corpus, clip.emotion, heard.mel)
            labels.append(clip.label)
        else:
            left_out.append(f"{clip.corpus} {clip.path}: {heard.fault}")
        rows.append({**_facts(clip), **heard.facts, "digest": heard.digest})
    checks.told_left_out(left_out, "what is measured of voices")  # the index lists them all
    checks.told(np.array(labels, np.int64), (), "The set of voices")
    return pd.DataFrame(rows)


def _facts(clip: voices.Clip) -> dict[str, Any]:
    """What the name of a clip says."""
    sex, sentence, intensity = spoken(clip)
    folds = [clip.speaker in actors for actors in RAVDESS_FOLDS]
    return {
        "dataset": clip.corpus,
        "file": clip.path,
        "label": clip.emotion,
        "speaker": clip.speaker,
        "sex": sex,
        "sentence": sentence,
        "intensity": intensity,
        "split": clip.split,
        "fold": 1 + folds.index(True) if clip.corpus == "ravdess" and any(folds) else 0,
    }


def spoken(clip: voices.Clip) -> tuple[str, str, str]:
    """(sex of the speaker, sentence, intensity) from the name of a clip; its speaker is known."""
    stem = PurePosixPath(clip.path).stem
    if clip.corpus == "ravdess":
        parts = stem.split("-")
        sex = "male" if int(clip.speaker) % 2 else "female"
        return sex, parts[4], INTENSITIES.get(parts[3], "")
    if clip.corpus == "crema_d":
        parts = stem.split("_")
        sex = "female" if int(clip.speaker) in CREMA_D_WOMEN else "male"
        return sex, parts[1], INTENSITIES.get(parts[3], "")
    if clip.corpus == "savee":
        return "male", stem.removeprefix(f"{clip.speaker}_"), ""
    return "female", stem.split("_")[1], ""


def _hear_all(data: Path, clips: list[voices.Clip]) -> Iterator[tuple[voices.Clip, Heard]]:
    """Every clip with what was heard in it; measured in parallel."""
    with voices.helpers(data) as pool:
        for number, pair in enumerate(
            zip(clips, pool.map(_hear, clips, chunksize=32), strict=True), 1
        ):
            if number % 2000 == 0 or number == len(clips):
                print(f"clips: {number} of {len(clips)}", flush=True)
            yield pair


def _hear(clip: voices.Clip) -> Heard:
    content = clip.path.encode()  # what cannot be read is like no other clip
    try:
        content = voices.content(clip)
        recording = decode_audio(content, clip.path)
    except (DuetError, DataSetError) as error:
        return Heard({}, hashlib.sha256(content).hexdigest(), None, str(error))
    digest = hashlib.sha256(content).hexdigest()
    facts = {"duration": round(recording.duration, 2), "clipped": round(recording.clipped, 4)}
    facts |= measures(recording.samples)
    return Heard(facts, digest, _evenly_timed(log_mel_spectrogram(recording.samples)))


def measures(samples: NDArray[np.float32]) -> dict[str, float]:
    """Loudness, level, pitch and its range of a clip, by the index's columns."""
    sound = prosody(samples)
    power = np.mean(10 ** (sound.level[sound.active] / 10)) if sound.active.any() else 0.0
    found = {
        "loudness": round(loudest_dbfs(samples), 1),
        "level": round(10 * float(np.log10(max(power, 1e-10))), 1),
    }
    voiced = sound.pitch[np.isfinite(sound.pitch)]
    if len(voiced) >= MIN_VOICED_FRAMES:
        low, middle, high = np.percentile(voiced, [10, 50, 90])
        found["pitch"] = round(float(middle))
        found["pitch_range"] = round(12 * float(np.log2(high / low)), 1)
    return found


def _evenly_timed(spectrogram: NDArray[np.float32]) -> NDArray[np.float32]:
    """From the first to the last sound in `SPECTROGRAM_COLUMNS` steps, dB below the peak."""
    first, last = trim(spectrogram)
    below = np.maximum(spectrogram[first:last] - spectrogram.max(), -DYNAMIC_RANGE_DB)
    size = (below.shape[1], SPECTROGRAM_COLUMNS)
    return np.asarray(cv2.resize(below, size, interpolation=cv2.INTER_AREA), np.float32)
