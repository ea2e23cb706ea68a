"""The pages on data, the index and summary below them, and what makes those."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from core import index, models
from core.datasets import SPELLINGS, present
from core.embedding import Embedder, with_features
from core.errors import DuetError
from core.face.change import FaceChange, changed_face
from core.face.tensor import FACE_SIZE, face_tensor
from core.labels import EMOTIONS
from core.map import FILE_NAME, read_map
from core.models import Model
from core.predictions import read_predictions
from core.ui import datasets, explorer, owner, wall
from core.voice.activity import prosody
from core.voice.change import shift_in_time
from core.voice.tensor import voice_input
from tests import data_makers
from tests.media_makers import wav
from training import fer2013, fetch, prepare, voices
from training.__main__ import main
from training.files import DataSetError, Files, locate
from training.map import principal_axes
from training.summarise import describe, summarise

ROOT = Path(__file__).resolve().parent.parent
VIEWS: tuple[tuple[str, dict[str, str]], ...] = (
    ("data", {}),
    ("data_faces", {"view": "Mean faces"}),
    ("data_faces", {"view": "Pictures"}),
    ("data_faces", {"view": "Changes"}),
    ("data_voices", {"view": "How emotions sound"}),
    ("data_voices", {"view": "Clips"}),
    ("data_voices", {"view": "Changes"}),
    ("data_map", {}),
    ("data_quality", {}),
)


# --- made-up sets -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FER2013's and RAVDESS's layouts with a copy, a contradiction, a blank and rotten file."""
    data = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(3)
    names = {"Training": "train", "PublicTest": "test", "PrivateTest": "test"}
    for number, (split, folder) in enumerate(names.items()):
        for emotion in EMOTIONS:
            place = data / "fer2013" / folder / emotion
            place.mkdir(parents=True, exist_ok=True)
            image = rng.integers(0, 255, (FACE_SIZE, FACE_SIZE), np.uint8)
            cv2.imwrite(str(place / f"{split}_{number}.jpg"), image)
    faces = data / "fer2013"
    shutil.copy(faces / "test/happy/PrivateTest_2.jpg", faces / "train/happy/Training_copy.jpg")
    shutil.copy(faces / "train/sad/Training_0.jpg", faces / "train/fear/Training_other.jpg")
    cv2.imwrite(str(faces / "train/neutral/Training_blank.jpg"), np.full((48, 48), 7, np.uint8))
    time = np.arange(16_000) / 16_000
    for actor, hertz in ((1, 120), (2, 240)):
        for code in (1, 5):
            voice = sum(np.sin(2 * np.pi * hertz * k * time) / k for k in range(1, 8))
            voice *= 0.1 * (1 + np.sin(2 * np.pi * (3 + code) * time))
            name = f"03-01-{code:02}-0{1 + (code == 5)}-01-01-{actor:02}.wav"
            for place in (data / "ravdess", data / "ravdess/audio_speech"):  # doubled
                (place / f"Actor_{actor:02}").mkdir(parents=True, exist_ok=True)
                (place / f"Actor_{actor:02}" / name).write_bytes(wav(voice, rate=16_000))
    (data / "ravdess/Actor_02/03-01-03-01-01-01-02.wav").write_bytes(b"RIFF rotten")
    return data


@pytest.fixture(scope="module")
def summary(made_up: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("summary")
    summarise(made_up, folder)
    return folder


@pytest.fixture(scope="module")
def frame(summary: Path) -> pd.DataFrame:
    return index.read(summary / index.INDEX_NAME)


# --- the index ----------------------------------------------------------------------------------


def test_the_index_counts_every_file_once_and_knows_copies(frame: pd.DataFrame) -> None:
    assert frame["dataset"].value_counts().to_dict() == {"fer2013": 24, "ravdess": 5}
    assert list(frame.columns[: len(index.COLUMNS)]) == list(index.COLUMNS)
    lists = {name: set(rows["file"]) for name, rows in index.quality_lists(frame).items()}
    across = {"train/happy/Training_copy.jpg", "test/happy/PrivateTest_2.jpg"}
    within = {"train/fear/Training_other.jpg", "train/sad/Training_0.jpg"}
    assert lists["Copies across splits"] == across
    assert lists["Copies within a split"] == within
    assert lists["Conflicting labels"] == within
    assert lists["Blank pictures"] == {"train/neutral/Training_blank.jpg"}
    assert len(lists["Silent or unreadable clips"]) == 1
    second = frame.set_index("file").loc["test/happy/PrivateTest_2.jpg"]
    assert second["duplicate_of"] == "train/happy/Training_copy.jpg"


def test_the_index_measures_clips(frame: pd.DataFrame) -> None:
    clips = frame[(frame["dataset"] == "ravdess") & frame["duration"].notna()]
    assert clips["duration"].tolist() == pytest.approx([1.0] * 4)
    for sex, hertz in (("male", 120), ("female", 240)):
        assert clips.loc[clips["sex"] == sex, "pitch"].tolist() == pytest.approx([hertz] * 2, abs=3)
    assert set(clips["intensity"]) == {"normal", "strong"}
    assert clips.set_index("speaker")["fold"].to_dict() == {"1": 5, "2": 1}


def test_the_summary_holds_counts_and_means_only(summary: Path) -> None:
    report = json.loads((summary / "summary.json").read_text())
    assert report["files"] == {"fer2013": 24, "ravdess": 5}
    assert report["quality"]["Conflicting labels"] == 2
    with np.load(summary / "faces.npz") as faces, np.load(summary / "voices.npz") as clips:
        assert faces["mean"].shape == faces["deviation"].shape == (7, 48, 48)
        assert 100 < faces["mean"].mean() < 150
        assert clips["ravdess"].shape == (7, prepare.SPECTROGRAM_COLUMNS, 64)
        assert (clips["ravdess"][EMOTIONS.index("happy")] == 255).all()  # none said so


def test_prepare_writes_the_same_index(
    made_up: Path, tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "index.parquet"
    assert main(["prepare", "--data", str(made_up), "--out", str(path)]) == 0
    said = capsys.readouterr().out
    assert "29 files" in said
    assert "The set of voices holds no example of disgust, fear, happy, sad, surprise" in said
    assert (
        "left out of what is measured of voices: 1\n  ravdess Actor_02/03-01-03-01-01-01-02.wav: "
        in said
    )
    pd.testing.assert_frame_equal(index.read(path), frame)


def test_a_damaged_file_in_a_zip_is_left_out_and_counted(
    made_up: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "ravdess.zip"
    names = [
        p for p in sorted((made_up / "ravdess").glob("Actor_*/*.wav")) if p.stat().st_size > 99
    ]
    with zipfile.ZipFile(place, "w") as archive:  # stored, so that a byte of sound can be found
        for path in names:
            archive.write(path, f"{path.parent.name}/{path.name}")
    content = bytearray(place.read_bytes())
    sound = content.index(names[1].read_bytes()[-999:])
    content[sound] ^= 0xFF
    place.write_bytes(content)
    assert main(["prepare", "--data", str(tmp_path), "--out", str(tmp_path / "i.parquet")]) == 0
    said = capsys.readouterr().out
    assert (
        f"left out of what is measured of voices: 1\n  ravdess Actor_01/{names[1].name}: " in said
    )
    found = index.read(tmp_path / "i.parquet")
    assert found["duration"].notna().tolist().count(False) == 1
    heard = voices.hear(tmp_path, voices.clips(tmp_path))
    assert any(fault.endswith("is damaged.") for fault in heard.left_out)
    assert len(voices.load(tmp_path, tmp_path / "cache")) == 3


def test_no_data_and_no_index_get_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["prepare", "--data", str(tmp_path)]) == 1
    assert "No data set at" in capsys.readouterr().err
    (tmp_path / "index.parquet").write_bytes(b"PAR1 rotten")
    with pytest.raises(OSError, match="cannot be read"):
        index.read(tmp_path / "index.parquet")


@pytest.mark.parametrize(
    ("corpus", "path", "speaker", "expected"),
    [
        ("ravdess", "a/03-01-02-02-01-01-24.wav", "24", ("female", "01", "strong")),
        ("crema_d", "1001_DFA_ANG_HI.wav", "1001", ("male", "DFA", "strong")),
        ("crema_d", "1002_IEO_SAD_XX.wav", "1002", ("female", "IEO", "")),
        ("savee", "ALL/JK_su15.wav", "JK", ("male", "su15", "")),
        ("savee", "AudioData/JK/su15.wav", "JK", ("male", "su15", "")),
        ("tess", "OAF_back_angry.wav", "OAF", ("female", "back", "")),
    ],
)
def test_names_say_who_speaks_what_how(
    corpus: str, path: str, speaker: str, expected: tuple[str, str, str]
) -> None:
    clip = voices.Clip(corpus, path, speaker, "angry", "train")
    assert prepare.spoken(clip) == expected


def test_the_shipped_index_is_the_papers_data() -> None:
    whole = index.read()
    clips = whole[whole["dataset"].isin(index.VOICE_SETS)]
    assert clips["label"].value_counts().to_dict() == {
        **dict.fromkeys(("fear", "angry", "sad", "disgust", "happy"), 1923),
        "neutral": 1895,
        "surprise": 652,
    }
    pictures = whole[whole["dataset"] == "fer2013"]
    assert pictures["split"].value_counts().to_dict() == {
        "train": 28_709,
        "validation": 3_589,
        "test": 3_589,
    }
    assert pictures["group"].nunique() == 34_034
    trained = set(pictures.loc[pictures["split"] == "train", "group"])
    copied = pictures[pictures["group"].isin(trained)]["split"].value_counts()
    assert (copied["validation"], copied["test"]) == (280, 288)
    assert sum(f.stat().st_size for f in index.SUMMARY_FOLDER.iterdir()) < 500_000


def test_no_speaker_is_in_two_splits_or_folds() -> None:
    clips = index.read()
    clips = clips[clips["dataset"].isin(index.VOICE_SETS)]
    speakers = clips.groupby(["dataset", "speaker"], observed=True)
    assert (speakers["split"].nunique() == 1).all()
    assert (speakers["fold"].nunique() == 1).all()
    assert (speakers["sex"].nunique() == 1).all()
    ravdess = clips[clips["dataset"] == "ravdess"]
    folds = ravdess.groupby("fold")["speaker"].agg(lambda names: frozenset(names.astype("str")))
    assert tuple(folds) == index.RAVDESS_FOLDS


def test_the_shipped_index_names_the_files_that_are_there(shared: Path) -> None:
    whole = index.read()
    listed = {(clip.corpus, clip.path) for clip in voices.clips(shared / "data")}
    clips = whole[whole["dataset"].isin(index.VOICE_SETS)]
    assert set(zip(clips["dataset"], clips["file"], strict=True)) == listed
    place = locate(shared / "data", "fer2013")
    assert place is not None
    names = {str(name) for name in Files(place).with_suffix({".jpg"})}
    assert set(whole.loc[whole["dataset"] == "fer2013", "file"]) == names


def test_answers_and_index_name_the_same_examples() -> None:
    whole = index.read().set_index("id")
    for task in ("face", "voice"):
        for split, found in read_predictions(models.find(task)).items():
            rows = whole.loc[list(found.ids)]
            assert (rows["split"] == split).all()
            assert (rows["label"].to_numpy() == np.array(EMOTIONS)[found.labels]).all()


def test_fer2013_is_read_in_every_layout(made_up: Path, tmp_path: Path) -> None:
    named = fer2013.load(made_up)
    lines = ["emotion,pixels,Usage"]
    usages = {split: usage for usage, split in fer2013.SPLITS.items()}
    for split, faces in named.items():
        counted = dict.fromkeys(EMOTIONS, 0)
        for image, label in zip(faces.images, faces.labels, strict=True):
            emotion = EMOTIONS[label]
            number = fer2013.CSV_EMOTIONS.index(emotion)
            lines.append(f"{number},{' '.join(map(str, image.ravel()))},{usages[split]}")
            place = tmp_path / "numbered/fer2013" / ("train" if split == "train" else "test")
            (place / emotion).mkdir(parents=True, exist_ok=True)
            name = f"im{counted[emotion] + 10 * (split == 'test')}.png"
            cv2.imwrite(str(place / emotion / name), image)
            counted[emotion] += 1
    (tmp_path / "table/fer2013").mkdir(parents=True)
    (tmp_path / "table/fer2013/fer2013.csv").write_text("\n".join(lines))
    for layout in ("table", "numbered"):
        found = fer2013.load(tmp_path / layout)
        for split, faces in named.items():
            assert sorted(found[split].digests) == sorted(faces.digests)
            pairs = set(zip(found[split].digests, found[split].labels, strict=True))
            assert pairs == set(zip(faces.digests, faces.labels, strict=True))


@pytest.mark.parametrize("layout", ["named", "numbered"])
def test_a_doubled_picture_of_fer2013_counts_once(layout: str, tmp_path: Path) -> None:
    data_makers.fer2013(tmp_path, train=1, held_out=1)
    place = tmp_path / "fer2013"
    if layout == "numbered":
        for number, picture in enumerate(sorted(place.rglob("*.png"))):
            picture.rename(picture.with_name(f"im{number}.png"))
    once = fer2013.load(tmp_path)
    for part in ("train", "test"):
        shutil.copytree(place / part, place / "fer2013" / part)
    for split, faces in fer2013.load(tmp_path).items():
        assert sorted(faces.digests) == sorted(once[split].digests)


def test_a_spoilt_row_of_fer2013_is_named(tmp_path: Path) -> None:
    (tmp_path / "fer2013").mkdir()
    (tmp_path / "fer2013/fer2013.csv").write_text("emotion,pixels,Usage\n3,1 2 3,Training\n")
    with pytest.raises(DataSetError, match=r"Row 1 of fer2013\.csv"):
        fer2013.load(tmp_path)


# --- under which names, in which folders --------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "name"),
    [
        ("FER2013", "fer2013"),
        ("FER-2013", "fer2013"),
        ("fer-2013.zip", "fer2013"),
        ("RAVDESS.zip", "ravdess"),
        ("Ravdess.ZIP", "ravdess"),
        ("Audio_Speech_Actors_01-24.zip", "ravdess"),
        ("CREMA-D", "crema_d"),
        ("CREMA_D.zip", "crema_d"),
        ("CremaD", "crema_d"),
        ("Crema", "crema_d"),
        ("SAVEE", "savee"),
        ("TESS", "tess"),
        ("TESS Toronto emotional speech set data", "tess"),
        *((f"{source.slug.partition('/')[2]}.zip", name) for name, source in fetch.SOURCES.items()),
        *((source.slug.partition("/")[2], name) for name, source in fetch.SOURCES.items()),
    ],
)
def test_a_set_is_found_under_the_names_it_goes_by(
    found: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / found
    place.mkdir()
    for data in (tmp_path, place):  # the folder that holds it, and the set itself
        assert present(data) == (name,)
        located = locate(data, name)
        assert located is not None
        assert located.samefile(place)
    assert all(locate(tmp_path, other) is None for other in SPELLINGS if other != name)
    monkeypatch.setenv(datasets.VARIABLE, str(tmp_path))
    assert datasets.data_folder() == tmp_path


def test_of_one_set_under_several_names_the_first_counts(tmp_path: Path) -> None:
    names = (  # from the last to the first
        "cremad.zip",
        "CREMAD",
        "CREMA-D.zip",
        "Crema-D",
        "crema_d.zip",
        "crema_d",
    )
    for number, name in enumerate(names):
        clip = tmp_path / name / "AudioWAV" / f"100{number}_DFA_ANG_XX.wav"
        clip.parent.mkdir(parents=True)
        clip.touch()
        assert locate(tmp_path, "crema_d") == tmp_path / name
        assert [found.path for found in voices.clips(tmp_path)] == [f"AudioWAV/{clip.name}"]


def test_the_projects_own_names_count_before_all_others(tmp_path: Path) -> None:
    data = tmp_path / "CREMA-D"
    data.mkdir()
    assert locate(data, "crema_d") == data
    (data / "crema_d.zip").touch()
    assert locate(data, "crema_d") == data / "crema_d.zip"


NAMES = {
    "fer2013": (
        "train/angry/Training_3908.jpg",
        "validation/Sad/PublicTest_1.png",
        "happy/PrivateTest_2.jpg",
        "data/fer2013.csv",
    ),
    "ravdess": ("Actor_01/03-01-05-01-01-01-01.wav", "x/Actor_24/03-01-08-02-02-02-24.wav"),
    "crema_d": ("AudioWAV/1001_DFA_ANG_XX.wav", "sounds/1091_WSI_SAD_HI.wav"),
    "savee": ("ALL/DC_a01.wav", "AudioData/KL/su15.wav"),
    "tess": (
        "TESS data/OAF_Fear/OAF_back_fear.wav",
        "sounds/YAF_youth_ps.wav",
        "OA_bite_neutral.wav",
    ),
}
"""What files of each set are called, in one layout or another."""


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    "name", ["archive", "archive (1)", "archive(2)", "Archive (3)", "archive-4"]
)
def test_a_download_without_a_name_is_known_by_what_is_in_it(
    name: str, zipped: bool, tmp_path: Path
) -> None:
    for number, (known, files) in enumerate(NAMES.items()):
        for layout, file in enumerate(files):
            folder = tmp_path / f"{number}-{layout}"
            inside = folder / name / file
            inside.parent.mkdir(parents=True)
            inside.touch()
            place = folder / name
            if zipped:
                shutil.make_archive(str(place), "zip", place)
                shutil.rmtree(place)
                place = folder / f"{name}.zip"
            for data in (folder, place):
                assert present(data) == (known,)
                assert locate(data, known) == place


def test_one_download_may_hold_several_sets_and_names_count_before_it(tmp_path: Path) -> None:
    sound = data_makers.tone(200, 0.6)
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for known in ("ravdess", "crema_d", "savee", "tess"):
            archive.writestr(NAMES[known][0], sound)
    assert present(tmp_path) == ("ravdess", "crema_d", "savee", "tess")
    assert [clip.path for clip in voices.clips(tmp_path)] == [
        NAMES[known][0] for known in ("ravdess", "crema_d", "savee", "tess")
    ]
    (tmp_path / "TESS").mkdir()
    assert locate(tmp_path, "tess") == tmp_path / "TESS"


def made(folder: Path, *names: str) -> Path:
    """Empty files of these names below `folder`."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("train/angry/0.jpg", "train/cats/im0.png", "AudioWAV/notes.wav", "1_a_b_c.wav"),
        ("test/happy/im0.png", "test/sad/im1.png"),  # somebody's own pictures
        ("mytrain/happy/im3.png", "test/happy/im0.png"),
        ("FER2013.csv", "train/angry/training_1.jpg"),
        ("OA_report_final.pdf", "OAF_back_final.wav"),
        ("2021_jan_feb_uk.csv", "VideoFlash/1001_DFA_ANG_XX.flv", "1001_DFA_EXC_XX.wav"),
        ("je/ab12.jpg", "dc_a01.wav", "KL_x01.wav"),
        (
            "Actor_01/03-01-01-01-01-01-01.png",
            "03-01-09-01-01-01-01.wav",
            "03-02-01-01-01-01-01.wav",
        ),
    ],
)
def test_a_download_of_something_else_is_no_set(names: tuple[str, ...], tmp_path: Path) -> None:
    made(tmp_path / "archive", *names)
    assert present(tmp_path) == ()
    # Nor does it hide the set that lies beside it.
    for known, files in NAMES.items():
        made(tmp_path / "archive (1)", files[0])
        assert locate(tmp_path, known) == tmp_path / "archive (1)"


def test_pictures_that_are_numbered_alone_are_of_both_splits(tmp_path: Path) -> None:
    made(tmp_path / "archive", "train/sad/im12.png", "test/happy/im3.png")
    assert present(tmp_path) == ("fer2013",)


@pytest.mark.parametrize("zipped", [False, True])
def test_a_download_that_fills_up_is_found_without_a_restart(zipped: bool, tmp_path: Path) -> None:
    if zipped:
        (tmp_path / "archive (1).zip").write_bytes(b"PK damaged")
        (tmp_path / "archive (2).zip").symlink_to(tmp_path / "nowhere")
    else:
        made(tmp_path / "archive", "AudioWAV/notes.txt")
    assert present(tmp_path) == ()
    if zipped:
        with zipfile.ZipFile(tmp_path / "archive (1).zip", "w") as archive:
            archive.writestr(NAMES["crema_d"][0], b"")
    else:
        made(tmp_path / "archive", NAMES["crema_d"][0])
    assert present(tmp_path) == ("crema_d",)


def test_of_downloads_without_a_name_the_first_by_name_counts(tmp_path: Path) -> None:
    for name in ("archive", "archive (1)", "archive (2)"):
        made(tmp_path / name, NAMES["savee"][0])
    assert locate(tmp_path, "savee") == tmp_path / "archive"


@pytest.mark.parametrize("name", ["missing", "a file", "no\0path"])
def test_where_nothing_can_be_listed_there_is_no_set(name: str, tmp_path: Path) -> None:
    (tmp_path / "a file").touch()
    (tmp_path / "SAVEE").symlink_to(tmp_path / "nowhere")
    assert present(tmp_path) == ()
    assert present(tmp_path / name) == ()


def savee(place: Path) -> None:
    """SAVEE as its makers give it: each of the four says an angry and a sad sentence."""
    for number, speaker in enumerate(("DC", "JE", "JK", "KL")):
        (place / speaker).mkdir(parents=True)
        for sentence in ("a01", "sa15"):
            sound = data_makers.tone(200 + 50 * number + len(sentence), 0.6)
            (place / speaker / f"{sentence}.wav").write_bytes(sound)


@pytest.mark.parametrize("zipped", [False, True])
def test_savee_is_read_as_its_makers_give_it(zipped: bool, tmp_path: Path) -> None:
    place = tmp_path / "data" / "SAVEE"
    savee(place / "AudioData")
    savee(place / "SAVEE" / "AudioData")  # doubled
    (place / "AudioData" / "Info").mkdir()
    (place / "AudioData" / "Info" / "a01.wav").touch()  # of nobody
    (place / "ALL").mkdir()
    shutil.copy(place / "AudioData/KL/a01.wav", place / "ALL/KL_a01.wav")  # as Kaggle gives it
    if zipped:
        shutil.make_archive(str(place), "zip", place)
        shutil.rmtree(place)
    out = tmp_path / "index.parquet"
    assert main(["prepare", "--data", str(tmp_path / "data"), "--out", str(out)]) == 0
    columns = ["file", "speaker", "label", "sentence", "sex", "split", "duplicate_of"]
    rows = index.read(out)
    assert sorted(rows[columns].astype(str).itertuples(index=False, name=None)) == [
        ("ALL/KL_a01.wav", "KL", "angry", "a01", "male", "test", ""),
        *(
            (f"AudioData/{who}/{sentence}.wav", who, label, sentence, "male", split, "")
            for who, split in (
                ("DC", "train"),
                ("JE", "train"),
                ("JK", "validation"),
                ("KL", "test"),
            )
            for sentence, label in (("a01", "angry"), ("sa15", "sad"))
            if (who, sentence) != ("KL", "a01")
        ),
    ]
    assert [voices.speaker_of(name) for name in rows["id"]] == [
        f"savee/{speaker}" for speaker in rows["speaker"]
    ]
    assert rows["duration"].tolist() == pytest.approx([0.6] * 8)


def test_an_example_is_read_under_another_name_of_its_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    savee(tmp_path / "Surrey-Audiovisual-Expressed-Emotion-SAVEE" / "AudioData")
    monkeypatch.setenv(datasets.VARIABLE, str(tmp_path))
    assert datasets.clip("savee/AudioData/DC/a01.wav").startswith(b"RIFF")


# --- fetching -----------------------------------------------------------------------------------


def test_fetch_says_where_to_get_what_it_cannot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(DataSetError, match="pip install kagglehub, or get savee from https://"):
        fetch.fetch("savee", tmp_path)
    with pytest.raises(DataSetError, match="no data set 'mnist'"):
        fetch.fetch("mnist", tmp_path)


def test_fetch_counts_what_is_there(made_up: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataSetError, match="holds 5 files of ravdess, not 1,440"):
        fetch.fetch("ravdess", made_up)
    monkeypatch.setitem(fetch.SOURCES, "ravdess", fetch.Source("a/b", "CC BY-NC-SA 4.0", 5))
    assert fetch.fetch("ravdess", made_up).endswith("Licence: CC BY-NC-SA 4.0.")


def test_fetch_takes_what_is_there_under_another_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    monkeypatch.setitem(fetch.SOURCES, "savee", fetch.Source("a/b", "research use", 8))
    savee(tmp_path / "SAVEE" / "AudioData")
    assert fetch.fetch("savee", tmp_path).startswith(f"{tmp_path / 'SAVEE'} holds all 8 files.")


# --- changes, pitch, embeddings -----------------------------------------------------------------


def test_a_face_is_changed_as_asked() -> None:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 255, (48, 48), np.uint8)
    face = np.asarray(cv2.GaussianBlur(noise, (0, 0), 2), np.uint8)

    def after(**amounts: object) -> np.ndarray:
        return changed_face(face, 48, FaceChange(**amounts), np.random.default_rng(2))  # type: ignore[arg-type]

    assert (after() == face).all()
    assert (after(mirrored=True) == face[:, ::-1]).all()
    assert (after(rotation=90)[5:-5, 5:-5] == np.rot90(face)[5:-5, 5:-5]).all()
    assert (after(shift=(0.25, 0))[:, 12:] == face[:, :-12]).all()
    assert after(gamma=0.5).mean() > face.mean() > after(gamma=2.0).mean()
    assert after(blur=2.0).std() < face.std() < after(noise=40.0).std()
    assert (after(noise=9.0) == after(noise=9.0)).all()
    assert changed_face(face, 32, FaceChange(), rng).shape == (32, 32)


def test_a_clip_is_shifted_round() -> None:
    samples = np.arange(16_000, dtype=np.float32)
    assert shift_in_time(samples, 0.5)[8000] == 0
    assert (shift_in_time(shift_in_time(samples, 0.25), -0.25) == samples).all()


def test_prosody_hears_the_pitch() -> None:
    time = np.arange(32_000) / 16_000
    glide = 150 * 2 ** (time / 2)  # half an octave a second
    phase = 2 * np.pi * np.cumsum(glide) / 16_000
    partials = np.array([np.sin(k * phase) / k for k in range(1, 8)])
    sound = prosody(0.2 * partials.sum(axis=0))
    voiced = np.isfinite(sound.pitch)
    assert voiced.mean() > 0.9
    middles = (np.arange(len(sound.pitch)) * 160 + 320)[voiced]
    assert np.abs(np.log2(sound.pitch[voiced] / glide[middles])).max() < 0.02
    assert len(prosody(np.zeros(100)).pitch) == 0
    assert not np.isfinite(prosody(np.zeros(16_000)).pitch).any()


def test_embeddings_are_what_the_last_layer_reads() -> None:
    info = models.find("face")
    embedder, model = Embedder(info), Model(info)
    faces = np.random.default_rng(5).integers(0, 255, (16, 48, 48), np.uint8)
    (features,), outputs = embedder._run(face_tensor(faces))
    assert (outputs["evidence"] == model(face_tensor(faces))["evidence"]).all()
    assert embedder.faces(faces) == pytest.approx(features.mean(axis=(1, 2)), abs=1e-5)
    # The last layer is linear: one matrix leads from the features to the evidence.
    x = np.c_[features.reshape(-1, features.shape[-1]), np.ones(16 * 36)]
    y = outputs["evidence"].reshape(len(x), -1)
    matrix = np.linalg.lstsq(x, y)[0]
    assert np.var(y - x @ matrix) < 0.01 * np.var(y)


def test_the_voice_has_an_embedding_of_one_size() -> None:
    embedder = Embedder(models.find("voice"))
    rng = np.random.default_rng(5)
    sizes = {
        embedder.voice(rng.normal(0, 0.1, n).astype(np.float32)).shape for n in (16_000, 40_000)
    }
    assert len(sizes) == 1


def test_all_networks_that_answer_as_one_are_in_the_embedding_of_a_voice() -> None:
    info = models.find("voice")
    embedder = Embedder(info)
    samples = np.random.default_rng(5).normal(0, 0.1, 30 * 16_000).astype(np.float32)
    features, outputs = embedder._run(voice_input(info)(samples)[0])
    of_one = 4
    steps, heads = outputs["scores"].shape[1:]
    assert len(features) == heads // of_one == 2
    parts = []
    for number, one in enumerate(features):
        own = slice(of_one * number, of_one * (number + 1))
        # Its last layer is linear: one matrix leads from its features to its evidence.
        x = np.c_[one.reshape(steps, -1), np.ones(steps)]
        y = outputs["evidence"][0, :, own].reshape(steps, -1)
        assert np.var(y - x @ np.linalg.lstsq(x, y)[0]) < 0.01 * np.var(y)
        attention = models.probabilities(outputs["scores"][0, :, own].T).mean(axis=0)
        parts.append(attention @ x[:, :-1])
    assert embedder.voice(samples) == pytest.approx(np.concatenate(parts), abs=1e-4)


def test_a_spoilt_network_is_no_embedder(tmp_path: Path) -> None:
    info = models.find("face")
    folder = Path(shutil.copytree(info.folder, tmp_path / info.name))
    spoilt = models.read_info(folder)
    for content in (b"", b"rotten" * 100, info.folder.joinpath("model.tflite").read_bytes()[:5000]):
        (folder / "model.tflite").write_bytes(content)
        with pytest.raises(DuetError, match="cannot be opened"):
            Embedder(spoilt)


def test_features_are_added_without_touching_the_answers() -> None:
    content = (models.find("face").folder / "model.tflite").read_bytes()
    changed, (tensor,) = with_features(content)
    assert tensor > 0
    assert abs(len(changed) - len(content)) < 0.05 * len(content)


def test_principal_axes_keep_most_variance() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 1)) @ rng.normal(size=(1, 9)) + 0.01 * rng.normal(size=(200, 9))
    mean, axes = principal_axes(values, 2)
    assert axes.shape == (9, 2)
    assert ((values - mean) @ axes).var(axis=0)[0] > 0.99 * values.var(axis=0).sum()


# --- the map ------------------------------------------------------------------------------------


def test_the_shipped_map_is_of_the_test_set_and_finds_neighbours() -> None:
    info = models.find("face")
    found = read_map(info)
    said = read_predictions(info)["test"]
    assert set(found.ids) == set(said.ids)
    assert found.nearest(found.reduced[5], 3)[0] == 5
    label = dict(zip(said.ids, said.answers, strict=True))
    near = [
        [label[found.ids[j]] for j in found.nearest(found.reduced[i], 6)]
        for i in range(0, 3589, 90)
    ]
    assert np.mean([[n == row[0] for n in row[1:]] for row in near]) > 0.6
    assert "192 features" in found.how


def test_a_missing_or_spoilt_map_is_told(tmp_path: Path) -> None:
    info = models.find("face")
    folder = Path(shutil.copytree(info.folder, tmp_path / info.name))
    copy = models.read_info(folder)
    (folder / FILE_NAME).write_bytes(b"PK rotten")
    with pytest.raises(DuetError, match="is damaged; restore it, or write it with"):
        read_map(copy)
    np.savez(folder / FILE_NAME, ids=np.array([1.0]))
    with pytest.raises(DuetError, match="is damaged"):
        read_map(copy)
    (folder / FILE_NAME).unlink()
    with pytest.raises(DuetError, match="python -m training map face-cnn"):
        read_map(copy)


# --- the pages ----------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    st.cache_resource.clear()
    st.cache_data.clear()
    monkeypatch.delenv(datasets.VARIABLE, raising=False)


def opened(page_name: str, **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=120)
    for name, value in query.items():
        app.query_params[name] = value
    app.switch_page(f"pages/{page_name}.py").run()
    calm(app)
    return app


def calm(app: AppTest) -> None:
    assert not app.exception, [e.message for e in app.exception]
    assert app.title, "the page was not drawn"


def words(app: AppTest) -> str:
    elements = [*app.markdown, *app.caption, *app.title, *app.subheader, *app.warning, *app.info]
    pieces = [str(e.proto.body) for e in app.get("html")]
    return "\n".join([*(e.value for e in elements), *pieces])


@pytest.mark.parametrize(("page", "query"), VIEWS)
def test_every_view_stands_without_the_data(page: str, query: dict[str, str]) -> None:
    app = opened(page, **query)
    assert not app.warning
    assert "duet-finding" in words(app)


@pytest.mark.parametrize(("page", "query"), VIEWS)
def test_every_view_stands_without_a_summary(
    page: str, query: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SUMMARY_FOLDER", tmp_path)
    app = opened(page, **query)
    assert "python -m training summarise" in app.warning[0].value.replace("\\", "")


@pytest.fixture(scope="module", params=["fer2013", "ravdess", "tess"])
def one_set(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A summary by somebody who has this data set alone."""
    folder = tmp_path_factory.mktemp(request.param)
    whole = index.read()
    part = whole[whole["dataset"] == request.param]
    index.write(part.reset_index(drop=True), folder / index.INDEX_NAME)
    report = describe(index.read(folder / index.INDEX_NAME))
    (folder / "summary.json").write_text(json.dumps(report))
    with np.load(index.SUMMARY_FOLDER / "faces.npz") as stored:
        faces = {k: v if request.param == "fer2013" else v * np.nan for k, v in stored.items()}
    np.savez(folder / "faces.npz", **faces)
    with np.load(index.SUMMARY_FOLDER / "voices.npz") as stored:
        voices_there = {k: v for k, v in stored.items() if k == request.param}
    np.savez(folder / "voices.npz", **voices_there)
    return folder


@pytest.mark.parametrize(("page", "query"), VIEWS)
def test_every_view_stands_with_one_data_set_alone(
    page: str, query: dict[str, str], one_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "SUMMARY_FOLDER", one_set)
    app = opened(page, **query)
    said = words(app)
    assert not re.search(r"\bnan\b|\binf\b", said)
    faces_alone = one_set.name.startswith("fer2013")
    if page == "data":
        assert said.count("not in this summary") == 4
        assert ("without voices" in said) == faces_alone
        assert ("Beside the paper's own tables" in said) == faces_alone
        assert "The four sets give the paper's numbers" not in said
    elif query.get("view") in ("How emotions sound", "Clips"):
        assert ("without voices" in said) == faces_alone
    elif query.get("view") in ("Mean faces", "Pictures"):
        assert ("without pictures" in said) != faces_alone


def test_every_speaker_is_listed_in_one_split() -> None:
    table = opened("data").dataframe[0].value
    assert len(table) == 24 + 91 + 4 + 2
    assert table["clips"].sum() == 12_162
    frame = index.read()
    spoken = frame[frame["speaker"] != ""]
    assert (spoken.groupby(["dataset", "speaker"], observed=True)["split"].nunique() == 1).all()


def test_the_overview_explains_the_papers_numbers() -> None:
    said = words(opened("data"))
    for number in ("35,887", "12,162", "28,717", "7,186", "28,709", "7,178"):
        assert number in said


def test_rubbish_in_the_address_is_no_fault() -> None:
    for page in sorted({page for page, _ in VIEWS}):
        opened(page, view="nonsense", show="x", page="-7", emotion="joy", model="../..", by="?")
    app = opened("data_faces", view="Pictures", picture="../../etc/passwd")
    assert "names a file that the data sets do not have" in words(app)


def with_data(monkeypatch: pytest.MonkeyPatch, data: Path, summary: Path) -> None:
    monkeypatch.setenv(datasets.VARIABLE, str(data))
    monkeypatch.setattr(index, "SUMMARY_FOLDER", summary)


def test_pictures_open_up_with_the_data(
    made_up: Path, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_data(monkeypatch, made_up, summary)
    app = opened("data_faces", view="Pictures")
    assert "24 of 24 pictures" in words(app)
    app.selectbox(key="show").set_value("several labels").run()
    calm(app)
    assert "2 of 24 pictures" in words(app)
    app = opened("data_faces", view="Pictures", picture="test/happy/PrivateTest_2.jpg")
    said = words(app)
    assert "Copies: 2 files with this content, in several splits" in said
    assert "face-cnn" in said
    assert "duet-answer" in said
    app.button(key="picture_close").click().run()
    calm(app)
    assert "Copies: 2 files" not in words(app)


def test_clips_open_up_with_the_data(
    made_up: Path, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_data(monkeypatch, made_up, summary)
    name = "ravdess/Actor_01/03-01-05-02-01-01-01.wav"
    app = opened("data_voices", view="Clips", clip=name)
    said = words(app)
    assert "5 of 5 clips" in said
    assert "Intensity: strong" in said
    app = opened("data_voices", view="Changes", clip=name, pitch="3.0")
    assert "The chosen clip" in words(app)
    assert "Before: 1.00 s" in words(app)


def test_a_set_that_went_away_is_told(
    made_up: Path, summary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(made_up / "ravdess", tmp_path / "ravdess")
    with_data(monkeypatch, tmp_path, summary)
    monkeypatch.setenv(owner.VARIABLE, "everyone")
    said = opened("data_faces", view="Pictures").warning[0].value.replace("\\", "")
    assert f"fer2013 is not in {tmp_path}; put its zip or folder there." in said
    monkeypatch.setenv(owner.VARIABLE, "nobody")  # visitors can do nothing about it
    said = opened("data_faces", view="Pictures").warning[0].value
    assert said == "fer2013 is not on this server."


def test_the_map_opens_an_example(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(datasets.VARIABLE, str(shared / "data"))
    name = str(read_map(models.find("face")).ids[0])
    app = opened("data_map", example=name)
    assert "Nearest test pictures to face-cnn" in words(app)


def test_a_list_can_be_downloaded() -> None:
    app = opened("data_quality", list="Conflicting labels")
    assert "160 files." in words(app)
    table = app.dataframe[0].value
    assert len(table) == 160
    assert {"file", "label", "duplicate_of"} <= set(table.columns)


def test_a_listed_file_is_looked_at_on_the_page_of_its_list(
    made_up: Path, summary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_data(monkeypatch, made_up, summary)
    query = {"list": "Conflicting labels", "picture": "train/sad/Training_0.jpg"}
    app = opened("data_quality", **query)
    assert "Copies: 2 files with this content, in one split, with 2 different labels" in words(app)
    app.button(key="picture_close").click().run()
    calm(app)
    assert "Copies: 2 files" not in words(app)
    app = opened("data_quality", clip="ravdess/Actor_01/03-01-05-02-01-01-01.wav")
    assert "Intensity: strong" in words(app)
    app = opened("data_quality", clip="ravdess/none.wav", picture="none.jpg")
    assert "names a file that the data sets do not have" in words(app)


def test_levels_of_several_sets_are_beside_their_medians() -> None:
    app = opened("data_voices")
    assert "Energy: angry is loudest" in words(app)
    axes = [chart.proto.spec for chart in app.get("plotly_chart")]
    assert any("level beside the set's median (dB)" in axis for axis in axes)
    one_set = opened("data_voices", set="RAVDESS")
    axes = [chart.proto.spec for chart in one_set.get("plotly_chart")]
    assert any("level of the speech (dBFS)" in axis for axis in axes)


@pytest.mark.parametrize(
    ("which", "emotion", "apart"),
    [
        ("all four", "happy", "most around 140 Hz, 4.1 dB softer"),
        ("all four", "sad", "most around 110 Hz, 8.2 dB louder"),
        ("CREMA-D", "disgust", "most around 80 Hz, 2.5 dB louder"),
        ("RAVDESS", "disgust", "most around 3,100 Hz, 2.2 dB softer"),
    ],
)
def test_what_sets_an_emotion_apart_is_the_largest_difference(
    which: str, emotion: str, apart: str
) -> None:
    app = opened("data_voices", set=which, emotion=emotion)
    assert f"What sets {emotion} apart: {apart}" in words(app)


def test_how_a_set_was_recorded_sets_no_emotion_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CREMA-D has no surprise and is louder here; only one band differs within the others."""
    shutil.copy(index.SUMMARY_FOLDER / index.INDEX_NAME, tmp_path)
    sets = {}
    for name, half_decibels in (("crema_d", 20), ("ravdess", 90), ("savee", 80), ("tess", 100)):
        sets[name] = np.full((7, prepare.SPECTROGRAM_COLUMNS, 64), half_decibels, np.uint8)
    sets["crema_d"][EMOTIONS.index("surprise")] = 255
    for name in ("ravdess", "savee", "tess"):
        sets[name][EMOTIONS.index("surprise"), :, 30] -= 6
    np.savez(tmp_path / "voices.npz", **sets)  # type: ignore[arg-type]
    monkeypatch.setattr(index, "SUMMARY_FOLDER", tmp_path)
    app = opened("data_voices", emotion="surprise")
    assert ", 3.0 dB louder" in words(app)
    charts = [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]
    drawn = plotted(charts[-1]["data"][0]["z"])
    assert drawn.shape == (64, prepare.SPECTROGRAM_COLUMNS)
    assert (drawn[30] == 3).all()
    assert (np.delete(drawn, 30, axis=0) == 0).all()


def plotted(values: dict[str, str]) -> np.ndarray:
    """An array as Plotly sends it."""
    shape = [int(n) for n in values["shape"].split(",")]
    return np.frombuffer(base64.b64decode(values["bdata"]), values["dtype"]).reshape(shape)


@pytest.mark.parametrize(
    ("page", "query", "other"),
    [
        ("data_voices", {"view": "Clips"}, {"view": "Clips", "page": "2"}),
        ("data_voices", {"view": "Clips"}, {"view": "Clips", "label": "sad"}),
        ("data_quality", {"list": "Conflicting labels"}, {"list": "Blank pictures"}),
    ],
)
def test_each_table_keeps_its_own_choice(
    page: str, query: dict[str, str], other: dict[str, str]
) -> None:
    first, again, second = (opened(page, **q).dataframe[0].proto for q in (query, query, other))
    assert first.id == again.id
    assert first.id != second.id
    assert first.placeholder == "–"  # where nothing is known


@pytest.fixture
def stale(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Maps that were made with another file."""
    explorer._map.clear()
    monkeypatch.setattr(
        explorer, "read_map", lambda info: replace(read_map(info), model_sha256="0123456789")
    )
    yield
    explorer._map.clear()


STALE = "was measured on another file (SHA-256 01234567…)"


def warned(app: AppTest) -> str:
    return " ".join(warning.value.replace("\\", "") for warning in app.warning)


@pytest.mark.usefixtures("stale")
def test_a_map_of_another_file_is_marked() -> None:
    assert STALE in warned(opened("data_map"))


@pytest.mark.usefixtures("stale")
def test_neighbours_by_a_map_of_another_file_are_marked(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(datasets.VARIABLE, str(shared / "data"))
    name = str(read_map(models.find("face")).ids[0])
    assert STALE in warned(opened("data_quality", picture=name))


@pytest.mark.parametrize("task", ["face", "voice"])
def test_a_map_of_the_file_that_ships_is_not_marked(task: models.Task) -> None:
    info = models.find(task)
    assert read_map(info).model_sha256 == info.sha256
    app = opened("data_map")
    app.selectbox(key="model").set_value(info.name).run()
    calm(app)
    assert info.name in words(app)
    assert "another file" not in warned(app)


def test_the_points_of_the_map_are_also_a_list() -> None:
    found = read_map(models.find("face"))
    name = str(found.ids[7])
    app = opened("data_map")
    points = app.selectbox(key="data_map_list")
    assert points.value is None
    assert len(points.options) == len(set(points.options)) == len(found.ids)
    points.set_value(name).run()
    calm(app)
    assert app.query_params["example"] == name
    assert f"`{name}`: labelled" in words(app)
    app.selectbox(key="model").set_value("voice-cnn").run()
    calm(app)
    assert app.selectbox(key="data_map_list").value is None
    app = opened("data_map", example=name)
    assert app.selectbox(key="data_map_list").value == name
    app.selectbox(key="data_map_list").set_value(None).run()
    calm(app)
    assert "example" not in app.query_params
    assert f"`{name}`: labelled" not in words(app)


def test_blanking_moves_the_mean_that_is_told() -> None:
    said = words(opened("data_faces", view="Changes"))
    assert "mean 0.00, deviation 1.00" in said
    assert "grey levels become 0.00 ± 1.00" in said
    said = words(opened("data_faces", view="Changes", blanked="20"))
    mean, deviation = re.findall(r"mean (-?[\d.]+), deviation ([\d.]+)", said)[0]
    assert float(mean) < 0
    assert f"grey levels become {mean} ± {deviation}" in said


def test_mean_faces_say_of_how_many_they_are() -> None:
    assert "Mean face: 547 to 8,989 faces on top of each other" in words(opened("data_faces"))


@pytest.mark.parametrize(
    ("which", "finding"),
    [
        ("CREMA-D", "angry is there 1.2 times as often as neutral, surprise not at all"),
        ("TESS", "all emotions are there about equally often"),
        ("FER2013", "happy is there 16.4 times as often as disgust"),
    ],
)
def test_the_overview_names_emotions_that_a_set_lacks(which: str, finding: str) -> None:
    assert f"{which}: {finding}</p>" in words(opened("data", set=which))


def test_the_wall_is_one_picture() -> None:
    images = [np.full((48, 48), value, np.uint8) for value in range(0, 250, 10)]
    whole = wall.composite(images)
    assert whole.shape == (3 * 48, wall.COLUMNS * 48, 3)
    assert (whole[50, 10] == 120).all()
    assert (whole[-1, -1] == 128).all()
