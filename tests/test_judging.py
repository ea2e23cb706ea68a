"""What judging commands do about bad data, and which file their results say they are of."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from core.labels import EMOTIONS
from core.map import read_map
from core.models import MODELS_FOLDER, Model, ModelInfo, find, read_info
from core.predictions import Predictions
from tests.data_makers import crema_d, fer2013, ravdess, tone
from tests.media_makers import wav
from training import adversarial, fairness, fusion, robustness, voices
from training import map as layout
from training import report as reporting
from training.__main__ import main
from training.evaluate import Answers, judged
from training.files import DataSetError
from training.report import write_report

SURPRISE = EMOTIONS.index("surprise")
OTHER = "0" * 64
"""No file's SHA-256."""


def answers(
    labels: list[int], corpora: tuple[str, ...] = ("",), left_out: tuple[str, ...] = ()
) -> Answers:
    """Five examples of each label, mostly right."""
    truth = np.repeat(labels, 5)
    logits = 3 * np.eye(7)[truth] + np.random.default_rng(2).standard_normal((len(truth), 7))
    groups = np.resize(np.array(corpora), len(truth))
    return Answers(logits, truth, groups, np.arange(len(truth)).astype(str), left_out)


def copied(name: str, place: Path) -> ModelInfo:
    """A shipped model in a folder of its own, free to be written into."""
    return read_info(Path(shutil.copytree(MODELS_FOLDER / name, place / name)))


def note(info: ModelInfo, file: str, **facts: Any) -> None:
    """Add to what a file of results says; a fact that is None is taken away."""
    path = info.folder / file
    found = {**json.loads(path.read_text()), **facts}
    path.write_text(json.dumps({name: v for name, v in found.items() if v is not None}))


# --- fusion -------------------------------------------------------------------------------------


def test_pairs_of_all_emotions_are_drawn_as_they_always_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fusion, "PAIRS_PER_EMOTION", 20)
    face, voice = answers(list(range(7))), answers(list(range(7)), ("ravdess", "tess"))
    rng = np.random.default_rng(1)
    faces, heard = [], []  # rows
    for label in range(7):
        faces += rng.choice(np.flatnonzero(face.labels == label), 20).tolist()
        there = voice.labels == label
        corpora = [np.flatnonzero(there & (voice.groups == c)) for c in ("ravdess", "tess")]
        which = rng.integers(0, 2, 20)
        heard += [int(rng.choice(corpora[w])) for w in which]
    pairs = fusion.label_matched_pairs(face, voice, (1.0, 1.0), np.random.default_rng(1))
    for found, side, rows in ((pairs[0], face, faces), (pairs[1], voice, heard)):
        shares = np.exp(side.logits[rows])
        np.testing.assert_allclose(found, shares / shares.sum(1, keepdims=True))
    assert pairs[2].tolist() == np.repeat(np.arange(7), 20).tolist()


def fused(monkeypatch: pytest.MonkeyPatch, models: Path, voice: Answers) -> int:
    """The exit code of the command with made-up answers to all seven emotions' faces."""
    monkeypatch.setattr(fusion, "PAIRS_PER_EMOTION", 20)
    monkeypatch.setattr(fusion, "ROUNDS", 3)
    face = answers(list(range(7)), left_out=("test/sad/PrivateTest_1.jpg: no image",))
    monkeypatch.setattr(fusion, "face_answers", lambda *_: face)
    monkeypatch.setattr(fusion, "voice_answers", lambda *_: voice)
    return main(["fusion", "--data", "nowhere", "--models", str(models)])


def test_emotions_that_one_side_lacks_are_named_and_not_paired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    face, voice = (copied(name, tmp_path) for name in ("face-cnn", "voice-cnn"))
    said_of_six = answers(list(range(6)), ("crema_d",))
    assert SURPRISE not in said_of_six.labels
    assert fused(monkeypatch, tmp_path, said_of_six) == 0
    said = capsys.readouterr().out
    assert "The voices' test holds no example of surprise" in said
    assert "no test pair of surprise" in said
    assert "left out of FER2013's test: 1\n  test/sad/PrivateTest_1.jpg: no image" in said
    found = json.loads((tmp_path / "fusion.json").read_text())
    assert found["n"] == 6 * 20
    assert found["missing"] == {"validation": ["surprise"], "test": ["surprise"]}
    assert found["left_out"] == len(found["left_out_names"]) == 2  # of validation and test
    assert found["face_model_sha256"] == face.sha256
    assert found["voice_model_sha256"] == voice.sha256
    report = write_report(tmp_path).read_text()
    assert "No test pair of surprise." in report
    assert "Left out of faces and voices, validation and test: 2." in report
    ends = found["test"]["face alone"]["accuracy_95"]
    assert f"({ends[0]:.1%} to {ends[1]:.1%})" in report.split("| face alone |")[1].split("\n")[0]


@pytest.mark.parametrize("labels", [[3], []])
def test_sides_that_share_fewer_than_two_emotions_are_refused(
    labels: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    face = answers([0, 1, 3])
    voice = answers([2, 4, *labels], ("crema_d",))
    with pytest.raises(DataSetError, match=r"share holds .*; at least two emotions are needed"):
        fusion.label_matched_pairs(face, voice, (1.0, 1.0), np.random.default_rng(0))


def test_the_command_refuses_them_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("face-cnn", "voice-cnn"):
        copied(name, tmp_path)
    assert fused(monkeypatch, tmp_path, answers([3], ("crema_d",))) == 1
    error = capsys.readouterr().err
    assert "The voices' validation holds only happy" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "fusion.json").exists()


# --- robustness, attacks and the map ------------------------------------------------------------


def spoilt_faces(data: Path) -> Path:
    """FER2013 with an unreadable test picture and no disgust."""
    fer2013(data, train=1, held_out=2)
    for folder in ("train", "test"):
        shutil.rmtree(data / "fer2013" / folder / "disgust")
    (data / "fer2013/test/sad/PrivateTest_90001.png").write_bytes(b"no picture")
    return data


def only_happy(data: Path) -> Path:
    """FER2013 with one emotion."""
    fer2013(data, train=1, held_out=2)
    for place in (data / "fer2013").glob("*/*"):
        if place.name != "happy":
            shutil.rmtree(place)
    return data


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One way of getting worse, beside babble; tones count as speech."""
    ways = dict(list(robustness.FACE_CORRUPTIONS.items())[:1])
    monkeypatch.setattr(robustness, "FACE_CORRUPTIONS", ways)
    every = robustness.voice_corruptions
    monkeypatch.setattr(
        robustness,
        "voice_corruptions",
        lambda babble: {name: every(babble)[name] for name in ("clipping", "babble")},
    )
    for module in (voices, robustness):
        monkeypatch.setattr(module, "find_speech", lambda recording: [(0.0, recording.duration)])


@pytest.mark.usefixtures("quick")
def test_faces_that_robustness_leaves_out_are_told_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model(find("face"))
    found = robustness.robustness(model, spoilt_faces(tmp_path / "spoilt"))
    said = capsys.readouterr().out
    assert "FER2013's test holds no example of disgust" in said
    assert "left out of FER2013's test: 1\n  test/sad/PrivateTest_90001.png" in said
    assert (found["n"], found["left_out"]) == (12, 1)
    assert "PrivateTest_90001.png" in found["left_out_names"][0]
    assert "drawn_from" not in found
    assert found["model_sha256"] == model.info.sha256
    for step in (found["clean"], *found["corruptions"]["noise"]):
        low, high = step["accuracy_95"]
        assert 0 <= low <= step["accuracy"] <= high <= 1
        assert low < high
    with pytest.raises(DataSetError, match="FER2013's test holds only happy; at least two"):
        robustness.robustness(model, only_happy(tmp_path / "happy"))


@pytest.mark.usefixtures("quick")
def test_robustness_of_some_faces_is_said_to_be_of_so_many(tmp_path: Path) -> None:
    info = find("face")
    data = spoilt_faces(tmp_path / "spoilt")
    found = robustness.robustness(Model(info), data, faces=5)
    assert (found["n"], found["drawn_from"]) == (5, 12)
    assert found["command"].endswith("report face-cnn --data PATH --faces 5")
    assert "Accuracy on 5 test examples of 12, drawn at random, " in reporting._robustness(
        info, found
    )
    same = robustness.robustness(Model(info), data, faces=5)
    assert same == found
    assert robustness.robustness(Model(info), data, faces=12)["n"] == 12


@pytest.mark.usefixtures("quick")
def test_clips_that_robustness_leaves_out_are_told_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Model(find("voice"))
    ravdess(tmp_path, actors=(1, 2))
    place = tmp_path / "ravdess"
    empty = wav(np.zeros(0, np.float32), rate=16_000)
    (place / "Actor_02/03-01-05-01-02-01-02.wav").write_bytes(empty)
    (place / "Actor_01/03-01-05-01-02-01-01.wav").write_bytes(empty)
    found = robustness.robustness(model, tmp_path, faces=3)  # which is about faces alone
    assert "--faces" not in found["command"]
    said = capsys.readouterr().out
    assert "left out of the voices' test: 1\n  ravdess Actor_02/03-01-05-01-02-01-02.wav" in said
    assert "left out of the voices in the babble: 1\n  ravdess Actor_01/03-01-05-01-02" in said
    assert (found["n"], found["left_out"], found["corpora"]) == (8, 1, ["ravdess"])
    assert set(found["corruptions"]) == {"clipping", "babble"}
    low, high = found["corruptions"]["babble"][0]["accuracy_95"]
    assert low <= found["corruptions"]["babble"][0]["accuracy"] <= high
    for path in (place / "Actor_02").glob("*.wav"):
        if not path.name.startswith("03-01-03"):
            path.unlink()
    with pytest.raises(DataSetError, match="The voices' test holds only happy; at least two"):
        robustness.robustness(model, tmp_path)


def test_intervals_of_spoilt_voices_know_that_the_clips_of_a_speaker_go_together() -> None:
    labels = np.tile(np.arange(7), 30)
    speakers = np.array([f"ravdess/{i // 21}" for i in range(210)])
    answers = np.where(np.arange(210) // 21 % 2, labels, (labels + 1) % 7)  # every other speaker
    alone, together = (robustness._scores(labels, answers, who) for who in (None, speakers))
    assert alone["accuracy"] == together["accuracy"] == 0.5
    widths = [high - low for low, high in (alone["accuracy_95"], together["accuracy_95"])]
    assert widths[1] > 3 * widths[0]


@pytest.mark.usefixtures("quick")
def test_voices_are_judged_on_the_corpora_that_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    info = copied("voice-cnn", tmp_path / "models")
    model = Model(info)
    place = tmp_path / "savee"
    place.mkdir()
    (place / "DC_a01.wav").write_bytes(tone(200, 0.6))
    with pytest.raises(DataSetError, match="No clip of the test speakers at"):
        robustness.robustness(model, tmp_path)
    for name, pitch in (("KL_h01", 300), ("KL_sa01", 180)):
        (place / f"{name}.wav").write_bytes(tone(pitch, 0.6))
    found = robustness.robustness(model, tmp_path)
    assert (found["n"], found["corpora"], found["left_out"]) == (2, ["savee"], 0)
    assert "babble" in found["corruptions"]
    (place / "DC_a01.wav").unlink()
    capsys.readouterr()
    found = robustness.robustness(model, tmp_path)
    assert "no voice of training speakers for the babble" in capsys.readouterr().out
    assert set(found["corruptions"]) == {"clipping"}
    (info.folder / "robustness.json").write_text(json.dumps({**found, "left_out": 3}))
    report = write_report(info.folder.parent).read_text()
    assert "2 test examples (at most 30 clips of each emotion in each of SAVEE)" in report
    assert "Left out of these: 3." in report
    # The two with several speakers alone, where one of them is there.
    crema_d(tmp_path, actors=(1074,))
    assert robustness.robustness(model, tmp_path)["corpora"] == ["crema_d"]


def test_faces_that_attacks_leave_out_are_told_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = copied("face-cnn", tmp_path / "models")
    monkeypatch.setattr(adversarial, "_network", lambda info, run: (None, "none"))
    monkeypatch.setattr(adversarial, "compare", lambda *_: 1.0)
    monkeypatch.setattr(adversarial, "ATTACKS", {})
    data = spoilt_faces(tmp_path / "spoilt")
    found = adversarial.write_adversarial(info, data)
    said = capsys.readouterr().out
    assert "FER2013's test holds no example of disgust" in said
    assert "left out of FER2013's test: 1\n  test/sad/PrivateTest_90001.png" in said
    assert (found["n"], found["left_out"], found["model_sha256"]) == (12, 1, info.sha256)
    note(info, "adversarial.json", attacks=_attack())
    report = write_report(info.folder.parent).read_text()
    assert "Left out of the test faces: 1." in report
    with pytest.raises(DataSetError, match="FER2013's test holds only happy; at least two"):
        adversarial.adversarial(info, only_happy(tmp_path / "happy"))
    with pytest.raises(DataSetError, match="What was drawn of FER2013's test holds only"):
        adversarial.adversarial(info, data, faces=1)


def _attack() -> dict[str, Any]:
    point = {"epsilon": 1, "accuracy": 0.5, "accuracy_95": [0.4, 0.6]}
    return {"PGD": {"setting": "10 steps", "epsilons": [point]}}


def test_what_a_map_leaves_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    info = copied("face-cnn", tmp_path / "models")
    flat = SimpleNamespace(fit_transform=lambda along: along[:, :2])
    umap = SimpleNamespace(UMAP=lambda **_: flat)
    monkeypatch.setattr(layout, "_umap", lambda: umap)
    layout.lay_out(info, spoilt_faces(tmp_path / "spoilt"))
    said = capsys.readouterr().out
    assert "left out of FER2013's test: 1\n  test/sad/PrivateTest_90001.png" in said
    found = read_map(info)
    assert len(found.ids) == 12
    assert found.model_sha256 == info.sha256
    with pytest.raises(DataSetError, match="FER2013's test holds only happy; at least two"):
        layout.lay_out(info, only_happy(tmp_path / "happy"))
    monkeypatch.setattr(voices, "find_speech", lambda recording: [(0.0, recording.duration)])
    (tmp_path / "savee").mkdir()
    (tmp_path / "savee/KL_h01.wav").write_bytes(tone(300, 0.6))
    with pytest.raises(DataSetError, match="The voices' test holds only happy; at least two"):
        layout.lay_out(find("voice"), tmp_path)


# --- of which file results are ------------------------------------------------------------------


def test_evaluation_and_fairness_note_the_file_that_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = copied("voice-cnn", tmp_path)
    assert judged(info, {"test": answers([0, 1])})["model_sha256"] == info.sha256
    ids = np.array(["crema_d/1074_DFA_ANG_XX.wav", "crema_d/1075_DFA_ANG_XX.wav"])
    said = Predictions(ids, np.zeros(2, np.int64), np.eye(7)[:2], np.full(2, "crema_d"))
    monkeypatch.setattr(fairness, "read_predictions", lambda info: {"test": said})
    # The answers were given by the file of the evaluation, whichever lies there now.
    note(info, "evaluation.json", model_sha256=OTHER)
    assert fairness.fairness(read_info(info.folder), tmp_path)["model_sha256"] == OTHER
    note(info, "evaluation.json", model_sha256=None)
    assert "model_sha256" not in fairness.fairness(read_info(info.folder), tmp_path)


SAID = "What is said here of {} was measured on another file (SHA-256 00000000…) than the one in"


def test_the_report_marks_numbers_of_another_file(tmp_path: Path) -> None:
    face, voice = (copied(name, tmp_path) for name in ("face-cnn", "voice-cnn"))
    files = ("evaluation.json", "robustness.json", "fairness.json")
    shutil.copy(MODELS_FOLDER / "fusion.json", tmp_path)
    whole = replace(face, folder=tmp_path)
    for sha256 in (face.sha256, None):
        for file in (*files, "adversarial.json"):
            note(face, file, model_sha256=sha256)
        for file in files:
            note(voice, file, model_sha256=sha256 and voice.sha256)
        note(whole, "fusion.json", face_model_sha256=sha256)
        assert "another file" not in write_report(tmp_path).read_text()
    for file, heads in {
        "robustness.json": ["### When pictures and recordings get worse"],
        "fairness.json": ["### Whom it serves how well"],
        "adversarial.json": ["## When somebody means to mislead a model"],
        "evaluation.json": [
            "## All models, all splits",
            "### When the unsure are left out",
            "### How sure it is, and how often right",
            "### By emotion",
        ],
    }.items():
        note(face, file, model_sha256=OTHER)
        report = write_report(tmp_path).read_text()
        assert report.count(SAID.format("face-cnn")) == len(heads)
        for head in heads:
            (_, after, *_) = report.split(f"{head}\n")
            assert SAID.format("face-cnn") in after.split("\n#")[0]
        note(face, file, model_sha256=face.sha256)
    note(whole, "fusion.json", voice_model_sha256=OTHER)
    report = write_report(tmp_path).read_text()
    assert report.count(SAID.format("voice-cnn")) == 1
    assert SAID.format("voice-cnn") in report.split("## Face and voice together\n")[1]


def test_two_models_beside_each_other_are_marked(tmp_path: Path) -> None:
    for name in ("face-cnn", "face-cnn-robust"):
        note(copied(name, tmp_path), "evaluation.json", model_sha256=OTHER)
    pairs = write_report(tmp_path).read_text().split("## Two models on the same examples\n")[1]
    pairs = pairs.split("\n#")[0]
    assert [SAID.format(name) in pairs for name in ("face-cnn", "face-cnn-robust")] == [True, True]


def test_the_report_gives_a_gap_in_accuracy_and_in_recall(tmp_path: Path) -> None:
    info = copied("voice-cnn", tmp_path)
    group = {"n": 50, "speakers": 9, "accuracy_95": [0.5, 0.9]}
    found = json.loads((info.folder / "fairness.json").read_text())
    found["groups"] = {
        "sex": {
            "female": {**group, "accuracy": 0.76, "unweighted_average_recall": 0.74},
            "male": {**group, "accuracy": 0.68, "unweighted_average_recall": 0.6},
        }
    }
    gap = {"between": ["female", "male"], "difference": 0.08, "interval_95": [0.01, 0.15]}
    found["gaps"] = {"sex": {"measure": "accuracy", **gap}}
    (info.folder / "fairness.json").write_text(json.dumps(found))
    line = "- sex: female over male by 8.0 points (1.0 to 15.0); in UAR by 14.0\n"
    assert line in write_report(tmp_path).read_text()


def test_the_report_prints_the_intervals_of_a_learning_curve(tmp_path: Path) -> None:
    point = {"n": 10, "accuracy": 0.5, "accuracy_95": [0.4, 0.6], "unweighted_average_recall": 0.3}
    for name in ("face-cnn", "voice-cnn"):
        info = copied(name, tmp_path)
        for drawn in ({}, {"speakers_drawn": 23}):
            sides = {split: {**point, **drawn} for split in ("validation", "test")}
            curve = {"points": [{"fraction": 1, "n": 70, "epochs": 3, **sides}]}
            (info.folder / "learning_curve.json").write_text(json.dumps(curve))
            report = write_report(tmp_path).read_text()
            own = report.split(f"## {name}\n")[1]
            accuracy = "50.0% (40.0% to 60.0%) | 30.0%"
            assert f"| 100% | 70 | 3 | {accuracy} | {accuracy} |" in own
            assert ("Intervals are over clips and not speakers" in own) == (
                name == "voice-cnn" and not drawn
            )
