"""What training commands say of what they cannot use, and that they leave nothing half done."""

from __future__ import annotations

import importlib
import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from core.datasets import locate
from core.labels import EMOTIONS
from core.models import MODELS_FOLDER, Model, read_info
from tests.data_makers import fer2013 as made_faces
from tests.data_makers import ravdess as made_voices
from training import checks, fer2013, learning_curve, voices
from training.__main__ import main
from training.card import write_card
from training.evaluate import answers_by_split
from training.fetch import SOURCES, fetch
from training.files import DataSetError
from training.folds import folds
from training.levers import with_earlier
from training.report import write_report

ROOT = Path(__file__).parent.parent
Capture = pytest.CaptureFixture[str]


# --- the command line ------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["evaluate", "report", "adversarial", "map"])
def test_models_are_named_where_one_is_asked_for_that_is_not_there(
    tmp_path: Path, capsys: Capture, command: str
) -> None:
    assert main([command, "nothing", "--data", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"There is no model 'nothing' in {MODELS_FOLDER}; there are face-cnn, " in said
    assert main([command, "x", "--data", str(tmp_path), "--models", str(tmp_path / "no")]) == 1
    assert "/no; there is none.\n" in capsys.readouterr().err


def test_a_report_of_no_model_is_not_written(tmp_path: Path, capsys: Capture) -> None:
    for models in (tmp_path, tmp_path / "missing"):
        assert main(["report", "--data", str(tmp_path), "--models", str(models)]) == 1
        assert capsys.readouterr().err == f"There is no model in {models}.\n"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--epochs", "x", "must be a whole number of at least 1, not 'x'"),
        ("--epochs", "0", "must be a whole number of at least 1, not '0'"),
        ("--fraction", "abc", "must be above 0 and at most 1, not 'abc'"),
        ("--fraction", "1.5", "must be above 0 and at most 1, not '1.5'"),
        ("--called", "../esc", "must be the name of a folder, not '../esc'"),
        ("--called", ".", "must be the name of a folder, not '.'"),
    ],
)
def test_options_say_what_they_take(
    tmp_path: Path, capsys: Capture, option: str, value: str, said: str
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["train", "face-cnn", "--data", str(tmp_path), option, value])
    assert refused.value.code == 2
    assert f"argument {option}: {said}\n" in capsys.readouterr().err


def test_places_that_are_files_or_folders_are_named(tmp_path: Path, capsys: Capture) -> None:
    file = tmp_path / "file"
    file.write_text("")
    train = ["train", "face-cnn", "--data", str(tmp_path), "--run", str(file), "--no-export"]
    assert main(train) == 1
    assert capsys.readouterr().err == f"{file}: File exists.\n"
    assert main(["prepare", "--data", str(tmp_path), "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"{tmp_path}: is a folder; name a file in it.\n"


def test_a_library_that_is_missing_is_named(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def need(name: str) -> None:
        monkeypatch.setattr("training.framing.main", lambda *_: importlib.import_module(name))

    need("torch_that_nobody_has")
    assert main(["framing", "--data", str(tmp_path)]) == 1
    said = "This needs torch_that_nobody_has, which is not installed here.\n"
    assert capsys.readouterr().err == said
    need("training.no_such_part")  # which is no library, but a defect
    with pytest.raises(ModuleNotFoundError):
        main(["framing", "--data", str(tmp_path)])


# --- data -------------------------------------------------------------------------------------


def table(stray: bytes = b"") -> bytes:
    """A `fer2013.csv` with a face of each emotion in each split, and `stray` after the first."""
    pixels = " ".join(["7"] * 48 * 48)
    rows = [
        f"{emotion},{pixels},{usage}".encode()
        for usage in ("Training", "PublicTest", "PrivateTest")
        for emotion in range(7)
    ]
    return b"\n".join([b"emotion,pixels,Usage", rows[0], *filter(None, [stray]), *rows[1:]])


@pytest.mark.parametrize(
    ("content", "left_out"),
    [
        (b"\xef\xbb\xbf" + table(), 0),  # as spreadsheets save it
        (table(b"\xff\xfe\xfa"), 1),
        (table(b'3,"1 2 3,Training'), 1),  # a quotation mark that nothing closes
        (table(b"3," + b"1" * 200_000 + b",Training"), 1),  # longer than a cell may be
    ],
)
def test_a_spoilt_row_of_the_table_of_faces_costs_no_other(
    tmp_path: Path, content: bytes, left_out: int
) -> None:
    (tmp_path / "fer2013.csv").write_bytes(content)
    splits = fer2013.load(tmp_path)  # which it also is where it lies by itself
    assert [len(splits[split]) for split in ("train", "validation", "test")] == [7, 7, 7]
    assert len(splits["train"].left_out) == left_out
    if left_out:
        assert "Row 2 of fer2013.csv is not one of FER2013" in splits["train"].left_out[0]


def test_pictures_beside_the_table_of_faces_are_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "FER2013.csv").write_bytes(table())
    made_faces(tmp_path / "mine", train=3, held_out=2)
    for place in (tmp_path, tmp_path / "FER2013.csv"):
        assert locate(place, "fer2013") == tmp_path
        assert [len(faces) for faces in fer2013.load(place).values()] == [7, 7, 7]


def test_the_table_of_faces_is_found_in_its_zip(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/fer2013.csv").write_bytes(table())
    shutil.make_archive(str(tmp_path / "fer2013.csv"), "zip", tmp_path / "inside")
    place = tmp_path / "fer2013.csv.zip"
    assert locate(tmp_path, "fer2013") == locate(place, "fer2013") == place
    assert len(fer2013.load(tmp_path)["test"]) == 7


def test_the_split_that_is_missing_is_named(tmp_path: Path) -> None:
    made_faces(tmp_path, train=1, held_out=1)
    for file in tmp_path.rglob("PrivateTest*"):
        file.unlink()
    with pytest.raises(DataSetError, match=r"holds nothing of the split PrivateTest\.$"):
        fer2013.load(tmp_path)


def test_only_tess_speakers_make_a_clip_of_tess() -> None:
    said = {
        "OAF_back_angry": ("OAF", "angry"),
        "OA_bite_neutral": ("OAF", "neutral"),
        "YAF_dog_ps": ("YAF", "surprise"),
        "my_trip_happy": None,
    }
    found = {name: voices.parse("tess", PurePosixPath(f"{name}.wav")) for name in said}
    assert found == said


def test_folds_without_ravdess_say_so_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match=r"RAVDESS was not found at .*put ravdess\.zip"):
        folds(lambda **_: None, tmp_path, tmp_path / "run")
    assert not (tmp_path / "cache").exists()


def test_what_kaggle_gave_without_files_can_be_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "tess").mkdir()
    with pytest.raises(DataSetError, match="holds 0 files of tess, not 2,800; remove it and fetch"):
        fetch("tess", tmp_path)
    assert SOURCES["tess"].files == 2800


def test_a_corpus_without_validation_speakers_is_judged_on_its_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_voices(tmp_path, [2])  # a test speaker
    model = Model(read_info(MODELS_FOLDER / "voice-cnn"))
    with monkeypatch.context() as patched:
        patched.setattr("training.evaluate.voice_answers", lambda *asked: asked[-1])
        assert list(answers_by_split(model, tmp_path)) == ["test"]
    with pytest.raises(DataSetError, match="No clip of the validation speakers"):
        answers_by_split(model, tmp_path, "validation")


def test_a_learning_curve_needs_emotions_to_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_faces(tmp_path, train=2, held_out=1)
    splits = fer2013.training_splits(tmp_path)
    one = splits["test"].labels == 0
    few = {**splits, "test": splits["test"].where(one)}
    monkeypatch.setattr(fer2013, "training_splits", lambda _: few)
    with pytest.raises(DataSetError, match="FER2013's test holds only angry"):
        learning_curve._short_face("face-cnn", tmp_path, tmp_path / "run", 1.0, 1)
    clip = voices.Clip("tess", "OAF_back_angry.wav", "OAF", "angry", "train")
    clips = tuple(replace(clip, emotion=emotion) for emotion in EMOTIONS)
    views = tuple(np.zeros((48, 68), np.float16) for _ in clips)
    monkeypatch.setattr(voices, "load", lambda *_, **__: voices.Voices(clips, views))
    with pytest.raises(DataSetError, match="The voices' validation holds no example"):
        learning_curve._short_voice("voice-cnn", tmp_path, tmp_path / "run", 1.0, 1)
    assert not (tmp_path / "run").exists()


def test_other_data_are_told_from_these(tmp_path: Path) -> None:
    for number, name in enumerate(("one", "same", "other")):
        made_faces(tmp_path / name, train=1 + number // 2, held_out=1)
    one, same, other = (fer2013.load(tmp_path / name)["train"] for name in ("one", "same", "other"))
    assert one.sha256 == same.sha256 != other.sha256
    labels = replace(one, labels=one.labels[::-1].copy())
    assert labels.sha256 != one.sha256
    clip = voices.Clip("tess", "here/OAF_back_angry.wav", "OAF", "angry", "train")
    there = replace(clip, path="there/OAF_back_angry.wav")
    assert voices.told_apart([(clip, 5)]) == voices.told_apart([(there, 5)])
    assert voices.told_apart([(clip, 5)]) != voices.told_apart([(clip, 6)])


# --- what is written of it ---------------------------------------------------------------------


def test_what_is_amiss_with_data_is_noted() -> None:
    everything = np.arange(7)
    assert checks.amiss(everything, ()) == {}
    assert checks.amiss(everything[1:], ("a", "b")) == {"missing": ["angry"], "left_out": 2}


def test_the_card_says_what_was_missing(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(MODELS_FOLDER / "face-cnn", tmp_path / "face-cnn"))
    card = json.loads((folder / "model.json").read_text())
    card["stages"][0] |= {"missing": ["disgust", "fear"], "left_out": 3}
    (folder / "model.json").write_text(json.dumps(card))
    evaluation = json.loads((folder / "evaluation.json").read_text())
    test = evaluation["splits"]["test"]
    test |= {"missing": ["disgust"], "left_out": ["x.png: it is no image."]}
    test["classes"]["disgust"] |= {"recall": 0.0, "precision": 0.0, "f1": 0.0, "support": 0}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    write_card(folder)
    said = (folder / "README.md").read_text()
    words = (
        "The split test holds no example of disgust. Left out of test: 1, the first x.png (it is"
    )
    assert words in said
    assert said.count("(none of disgust and fear, 3 more could not be read)") == 1
    (row,) = [line for line in said.splitlines() if line.startswith("| disgust |")]
    assert row.endswith(" |  |")
    report = write_report(tmp_path).read_text()
    assert "| disgust |  |  |  | 0 |" in report


def test_ideas_that_were_tried_on_less_replace_nothing() -> None:
    def series(n: int, gain: float) -> dict[str, Any]:
        return {"n": n, "settings": f"on {n}", "tried": [{"name": "wider", "gain": gain}]}

    whole, trial, again = series(3589, 0.01), series(24, -0.08), series(3589, 0.02)
    both = with_earlier({"series": [whole]}, trial)
    assert both["series"] == [whole, trial]
    assert with_earlier(both, again)["series"] == [trial, again]


def test_judging_needs_nothing_that_trains() -> None:
    code = (
        "import sys; sys.modules['keras'] = sys.modules['tensorflow'] = None;"
        "from training.__main__ import main;"
        "import training.evaluate, training.fusion, training.report, training.prepare;"
        "sys.exit(main(['evaluate', 'nothing', '--data', '.']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("There is no model 'nothing' in ")
    assert len(done.stderr.splitlines()) == 1
