"""Training from end to end on small made-up data, and each piece that numbers rest on."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import keras
import numpy as np
import pytest

from core.face.tensor import FACE_SIZE, face_tensor
from core.labels import EMOTIONS
from core.measures import confusion_matrix
from core.models import MODELS_FOLDER, Model, ModelInfo, find, read_info
from core.predictions import Predictions, read_predictions, write_predictions
from core.voice.features import SAMPLE_RATE
from core.voice.prosody import COLUMNS
from tests.data_makers import fer2013 as fer2013_folder
from tests.media_makers import wav
from tests.test_cli import python
from tests.test_dashboard import ADVERSARIAL, LEARNING_CURVE
from training import (
    face,
    fairness,
    fer2013,
    folds,
    fusion,
    measures,
    mixing,
    precision,
    robustness,
    ship,
    voice,
    voices,
)
from training.__main__ import main
from training.architectures import ARCHITECTURES, together, voice_cnn
from training.augment_face import STRONG, augmented_faces
from training.augment_voice import (
    add_noise,
    change_pitch_and_tempo,
    random_spectrogram,
    random_voice,
    through_codec,
)
from training.card import write_card
from training.evaluate import Answers, fit_temperature
from training.files import DataSetError, Files, locate
from training.loop import Batches, MovingAverage, Schedule, fit
from training.recipes import RECIPES
from training.report import write_report
from training.robustness import FACE_CORRUPTIONS, voice_corruptions
from training.sharpness import sharp_epoch
from training.ship import quantised


@pytest.fixture(scope="module")
def small_data(tmp_path_factory) -> Path:
    """FER2013's and RAVDESS's layouts with made-up content that a network can tell apart."""
    data = tmp_path_factory.mktemp("data")
    fer2013_folder(data, train=6, held_out=3, suffix=".jpg")
    original = next((data / "fer2013/test/happy").glob("PrivateTest_*"))
    (data / "fer2013/train/happy/Training_copy.jpg").write_bytes(original.read_bytes())
    for actor in (1, 2, 3, 4):
        place = data / "ravdess" / f"Actor_{actor:02}"
        place.mkdir(parents=True)
        for code in range(1, 9):
            for statement in (1, 2):
                time = np.arange(9600) / 16_000
                tone = np.sin(2 * np.pi * (120 + 60 * code + actor) * time)
                samples = 0.3 * tone * (1 + 0.5 * np.sin(2 * np.pi * statement * 3 * time))
                name = f"03-01-{code:02}-01-{statement:02}-01-{actor:02}.wav"
                (place / name).write_bytes(wav(samples.astype(np.float32), rate=16_000))
    (data / "ravdess/Actor_01/03-01-01-01-01-02-01.wav").write_bytes(b"RIFF rotten")
    return data


@pytest.mark.parametrize("name", ["face-cnn", "voice-cnn"])
def test_one_command_makes_a_model_and_another_reproduces_its_numbers(
    name, small_data, tmp_path, capsys, monkeypatch, request
):
    if name == "voice-cnn":  # eight trainings, each of which would compile its network
        request.getfixturevalue("without_graphs")
    # The made-up recordings are tones, which the real search for speech rightly refuses.
    for module in (voices, robustness):
        monkeypatch.setattr(module, "find_speech", lambda recording: [(0.0, recording.duration)])
    models = tmp_path / "models"
    common = [name, "--data", str(small_data), "--models", str(models)]
    arguments = ["train", *common, "--run", str(tmp_path / "runs" / name), "--epochs", "1"]
    assert main([*arguments, "--fraction", "0.9"]) == 0
    folder = models / name
    info = read_info(folder)
    Model(info)  # its hash fits
    members = RECIPES[name].members.values()
    assert info.parameters == sum(ARCHITECTURES[name](**m).count_params() for m in members)
    assert {p.name for p in folder.iterdir()} == {
        "model.tflite",
        "model.json",
        "evaluation.json",
        "predictions.npz",
        "history.csv",
        "README.md",
    }
    for split, found in read_predictions(info).items():
        measured = info.evaluation["splits"][split]["confusion_matrix"]
        matrix = confusion_matrix(found.labels, found.answers)
        assert matrix.tolist() == measured
        assert len(set(found.ids)) == len(found.ids)
    rows = list(csv.DictReader((folder / "history.csv").open()))
    # Two stages, and a second round of one stage for voices, of two for faces; of the network that
    # others teach, two.
    stages = [str(i + 1) for i in range(3 + 2 if name == "voice-cnn" else 4)]
    assert [row["epoch"] for row in rows] == stages
    assert [row["stage"] for row in rows] == stages
    capsys.readouterr()
    assert main(["evaluate", *common, "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["splits"] == info.evaluation["splits"]
    assert main(["evaluate", *common, "--split", "test", "--json"]) == 0
    only = json.loads(capsys.readouterr().out)["splits"]
    assert only["test"] == info.evaluation["splits"]["test"]
    assert "validation" not in only
    assert main(["evaluate", *common, "--split", "nonsense"]) == 1
    assert "nonsense" in capsys.readouterr().err
    if name == "voice-cnn":
        card = (folder / "README.md").read_text()
        # It says of what was there that it learnt from it, and of nothing else.
        assert "RAVDESS, split by speaker; chosen" in card
        assert "Data: RAVDESS CC BY-NC-SA 4.0." in card
        # Narrow and wide in two of their three stages, the deep one in one of two.
        assert card.count(", about 50% of the batches cut to a random length of") == 5
        assert card.count("50% of each target being what its teachers had answered") == 2 + 2
        assert "does not ship: the wide network, 3 epochs, 1 of adamw" in card
        assert "; seeds 37, 38 and 39, commit `" in card
        assert "; seeds 27, 28, 29, 47 and 48, " in card
        assert "those after epoch 3 (narrow) and 5 (deep) of `history.csv`, which" in card
        assert "plainer" not in card  # no easy start in a stage of one epoch
        assert "blanked and filled in" in card
        assert "the narrow network in 1 epoch (" in card
        assert "counted as much" not in card  # short trainings have no teacher but themselves
        _tells_what_only_taught(info)
        _draws_a_learning_curve(common, tmp_path)
        _refuses_what_is_not_whole(common, tmp_path, capsys)
    else:
        card = (folder / "README.md").read_text()
        assert card.count("half of each target being what it had answered after stage 2") == 2
        assert "; seeds 7, 8 and 9, " in card
        assert "those after epoch 4 of `history.csv`, which validated best in the last" in card
        _leaves_nothing_of_a_refused_export(common, tmp_path, monkeypatch, capsys)
    assert main(["report", *common]) == 0
    report = (models / "REPORT.md").read_text()
    for line in (name, "When the unsure are left out", "made worse in five steps", "Whom it"):
        assert line in report
    robust = json.loads((folder / "robustness.json").read_text())
    assert all(len(steps) == 5 for steps in robust["corruptions"].values())
    assert robust["clean"]["accuracy"] == pytest.approx(
        info.evaluation["splits"]["test"]["accuracy"], abs=1e-4
    )
    fair = json.loads((folder / "fairness.json").read_text())
    assert sum(g["n"] for g in next(iter(fair["groups"].values())).values()) == robust["n"]


def _tells_what_only_taught(info: ModelInfo) -> None:
    (wide,) = info.card["teachers"]
    assert (wide["network"], wide["epochs"]) == ("wide", 3)
    assert [stage["schedule"]["seed"] for stage in wide["stages"]] == [37, 38, 39]
    assert [one["network"] for one in wide["filling"]] == ["wide"]
    assert [one["network"] for one in info.card["filling"]] == ["narrow", "deep"]
    assert info.card["epochs"] == 5


def test_the_time_of_what_only_taught_counts(tmp_path: Path) -> None:
    folders = {}
    for name, hours in (("narrow", 1.0), ("deep", 2.5), ("wide", 4.0)):
        folder = tmp_path / name / "stage1"
        folder.mkdir(parents=True)
        state = {
            "recipe": {"schedule": {"seed": 1}},
            "epoch": 3,
            "best": 0.5,
            "seconds": 3600 * hours,
            "git_commit": name,
        }
        (folder / "state.json").write_text(json.dumps(state))
        folders[name] = [folder]
    (wide,) = ship._taught_by(tmp_path, {"wide": folders["wide"]})["teachers"]
    assert (wide["wall_time_hours"], wide["epochs"], wide["git_commit"]) == (4.0, 3, "wide")
    shipping = {name: folders[name] for name in ("narrow", "deep")}
    card = ship._card("voice-cnn", RECIPES["voice-cnn"], 9, shipping, [], folders["wide"])
    assert (card["wall_time_hours"], card["epochs"], card["git_commit"]) == (7.5, 6, "deep")


def test_the_card_says_who_else_taught(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(find("voice").folder, tmp_path / "voice-cnn"))
    card = json.loads((folder / "model.json").read_text())
    (wide,) = card["teachers"]
    wide["stages"][-1]["taught_by"] = "a" * 64  # of those that ship, no stage says so
    for stage in card["stages"]:
        stage["taught_by"] = ""
    wide["wall_time_hours"] = 1.26
    (folder / "model.json").write_text(json.dumps(card))
    write_card(folder)
    said = (folder / "README.md").read_text()
    assert f"voice-cnn as it shipped until then (SHA-256 {'a' * 12}) counted as much" in said
    assert "h, wide's 1.3 h among them, on" in said
    assert "by which its epoch was chosen came to 67.0%" in said


def _leaves_nothing_of_a_refused_export(
    common: list[str],
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def refuse(folder: Path, data: Path) -> None:
        assert (folder / "model.tflite").exists()
        raise DataSetError("cannot be judged")

    export = ["export", *common, "--run", str(place / "runs/face-cnn"), "--quick"]
    with monkeypatch.context() as patched:
        patched.setattr("training.ship.write_evaluation", refuse)
        assert main([*export, "--called", "mine"]) == 1
    assert "cannot be judged" in capsys.readouterr().err
    assert not (place / "models/mine").exists()
    kept = place / "models/face-cnn/kept.json"  # of what was measured before, say
    kept.write_text("{}")
    assert main(export) == 0
    assert kept.exists()
    assert not list(kept.parent.glob(".*"))
    kept.unlink()


def _refuses_what_is_not_whole(
    common: list[str], place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage, said in (("wide/stage3", "2 of these 3"), ("deep/stage2", "1 of these 2")):
        last = place / "runs/voice-cnn" / stage / "state.json"
        away = last.rename(last.with_name("elsewhere"))
        assert main(["export", *common, "--run", str(place / "runs/voice-cnn")]) == 1
        assert f"holds {said} stages" in capsys.readouterr().err
        away.rename(last)


def _draws_a_learning_curve(common: list[str], place: Path) -> None:
    shutil.copytree(place / "runs/cache", place / "curve/cache")
    asked = ["--run", str(place / "curve/run"), "--fractions", "0.5", "1", "--epochs", "1"]
    assert main(["learning-curve", *common, *asked]) == 0
    found = json.loads((place / "models/voice-cnn/learning_curve.json").read_text())
    half, whole = found["points"]
    assert (half["fraction"], half["epochs"], half["n"]) == (0.5, 2, 16)
    assert (whole["fraction"], whole["epochs"], whole["n"]) == (1, 1, 32)
    assert whole["test"]["n"] == 16
    assert 0 <= whole["test"]["unweighted_average_recall"] <= 1
    assert "narrow network alone" in found["settings"]


def test_noise_babble_and_darkness_are_as_strong_as_they_say():
    rng = np.random.default_rng(0)
    speech = _hum(seconds=1.0)
    crowd = [rng.standard_normal(9000).astype(np.float32) for _ in range(8)]
    for name in ("noise", "babble"):
        corruption = voice_corruptions(crowd)[name]
        for snr in corruption.strengths:
            added = corruption.apply(speech, snr, rng) - speech
            assert 10 * np.log10(np.mean(speech**2) / np.mean(added**2)) == pytest.approx(
                snr, abs=0.1
            )
    face = np.full((48, 48), 200, np.uint8)
    brighter = FACE_CORRUPTIONS["brightness"].apply(face, 2, rng)
    assert (brighter == np.minimum(2 * face.astype(int), 255)).all()
    darker = FACE_CORRUPTIONS["darkness"]
    assert [darker.apply(face, s, rng)[0, 0] for s in darker.strengths] == [120, 80, 40, 20, 10]
    covered = FACE_CORRUPTIONS["occlusion"].apply(face, 0.5, rng)
    assert (covered == 0).mean() == pytest.approx(0.25)
    for way in FACE_CORRUPTIONS.values():
        for strength in way.strengths:
            worse = way.apply(face, strength, rng)
            assert worse.shape == face.shape
            assert worse.dtype == np.uint8


def test_evaluate_on_class_named_folders_names_what_it_leaves_out(tmp_path, capsys, small_data):
    from core.models import MODELS_FOLDER

    own = tmp_path / "own"
    for emotion, source in (("Happiness", "happy"), ("sad", "sad")):
        (own / emotion).mkdir(parents=True)
        for image in list((small_data / "fer2013/test" / source).iterdir())[:2]:
            (own / emotion / image.name).write_bytes(image.read_bytes())
    (own / "sad" / "rotten.png").write_text("no picture")
    (own / "sad" / "said.wav").write_text("of no concern to a face model")
    (own / "notes.txt").write_text("nor is this")
    (own / "sad" / "scan.tif").write_bytes(b"II*")
    (own / "contempt").mkdir()
    (own / "contempt" / "face.jpg").write_bytes(b"\xff\xd8\xff")
    assert main(["evaluate", "face-cnn", "--data", str(own), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["splits"]["folder"]
    assert found["n"] == 4
    assert found["classes"]["happy"]["support"] == 2
    told = [line.split(": ")[0] for line in found["left_out"]]
    assert told == ["contempt/face.jpg", "sad/scan.tif", "sad/rotten.png"]
    assert "not named after an emotion" in found["left_out"][0]
    assert main(["evaluate", "face-cnn", "--data", str(tmp_path / "nowhere")]) == 1
    assert main(["evaluate", "nobody", "--data", str(own)]) == 1
    assert MODELS_FOLDER.is_dir()


def _spoilt_faces(data: Path, place: Path) -> Path:
    """FER2013 with unreadable pictures in two splits and no disgust in any."""
    shutil.copytree(data / "fer2013", place / "fer2013")
    for folder in ("train", "test"):
        shutil.rmtree(place / "fer2013" / folder / "disgust")
    (place / "fer2013/train/happy/Training_90001.jpg").write_bytes(b"no picture")
    (place / "fer2013/train/sad/Training_90002.jpg").write_bytes(b"")
    large = cv2.imencode(".jpg", np.zeros((50, 50), np.uint8))[1].tobytes()
    (place / "fer2013/test/sad/PrivateTest_90003.jpg").write_bytes(large)
    return place


def test_bad_faces_are_named_counted_and_left_out(small_data, tmp_path, capsys, monkeypatch):
    data = _spoilt_faces(small_data, tmp_path)
    found, whole = fer2013.load(data), fer2013.load(small_data)
    assert [len(found[s].left_out) for s in ("train", "validation", "test")] == [2, 0, 1]
    assert len(found["train"]) == sum(whole["train"].labels != EMOTIONS.index("disgust"))
    monkeypatch.setattr(face, "train_stage", lambda *arguments: tmp_path)
    face.train(ARCHITECTURES["face-cnn"], data, tmp_path / "run")
    said = capsys.readouterr().out
    assert "FER2013's train holds no example of disgust" in said
    assert "left out of FER2013's train: 2" in said
    assert "train/happy/Training_90001.jpg: it is not a 48x48 image" in said
    models = tmp_path / "models"
    shutil.copytree(MODELS_FOLDER / "face-cnn", models / "face-cnn")
    evaluate = ["evaluate", "face-cnn", "--data", str(data), "--models", str(models), "--write"]
    assert main(evaluate) == 0
    said = capsys.readouterr().out
    assert "no example of disgust" in said
    assert "left out: 1, the first of them test/sad/PrivateTest_90003" in said
    report = write_report(models).read_text()
    assert "- face-cnn, test: no example of disgust" in report
    assert "- face-cnn, test: 1 left out, the first of them test/sad/PrivateTest_90003" in report


def test_one_emotion_is_no_run(small_data, tmp_path, capsys):
    for folder in ("train", "test"):
        shutil.copytree(
            small_data / "fer2013" / folder / "happy", tmp_path / "fer2013" / folder / "happy"
        )
    (tmp_path / "own" / "sad").mkdir(parents=True)
    shutil.copy(next((tmp_path / "fer2013/test/happy").iterdir()), tmp_path / "own" / "sad")
    for arguments in (
        ["train", "face-cnn", "--data", str(tmp_path), "--run", str(tmp_path / "run")],
        ["train", "face-cnn-robust", "--data", str(tmp_path), "--run", str(tmp_path / "run")],
        ["evaluate", "face-cnn", "--data", str(tmp_path / "own")],
    ):
        assert main(arguments) == 1
        assert "at least two emotions are needed" in capsys.readouterr().err
    for picture in (tmp_path / "fer2013").rglob("*.jpg"):
        picture.write_bytes(b"")
    assert main(["train", "face-cnn", "--data", str(tmp_path), "--run", str(tmp_path / "run")]) == 1
    assert "cannot be read, the first of them" in capsys.readouterr().err


def test_clips_of_no_length_are_named_counted_and_left_out(small_data, tmp_path, capsys):
    data = tmp_path / "data"
    place = data / "ravdess" / "Actor_01"
    place.mkdir(parents=True)
    original = small_data / "ravdess/Actor_01/03-01-03-01-01-01-01.wav"
    shutil.copy(original, place)
    shutil.copy(original, place / "03-01-04-01-01-01-01.wav")
    (place / "03-01-05-01-01-01-01.wav").write_bytes(wav(np.zeros(0, np.float32), rate=16_000))
    for _ in range(2):  # the second time from the cache
        found = voices.load(data, tmp_path / "cache")
        assert len(found) == 2
        assert (
            "left out 1 of 3 clips: ravdess Actor_01/03-01-05-01-01-01-01.wav"
            in capsys.readouterr().out
        )
    heard = voices.hear(data, voices.clips(data))
    assert any("03-01-05-01-01-01-01.wav: " in fault for fault in heard.left_out)
    assert main(["train", "voice-cnn", "--data", str(data), "--run", str(tmp_path / "run")]) == 1
    assert "The voices' validation holds no example" in capsys.readouterr().err


def test_what_is_the_same_for_two_splits_is_computed_once(small_data, tmp_path, monkeypatch):
    computed = []
    compute = voices._spectrograms

    def noted(data, jobs, view):
        computed.append({(clip.corpus, seeds is not None) for clip, seeds in jobs})
        return compute(data, jobs, view)

    monkeypatch.setattr(voices, "_spectrograms", noted)
    cache = tmp_path / "cache"
    first = voices.load(small_data, cache, variants=1)
    assert computed.pop() == {("ravdess", False), ("ravdess", True)}
    other = voices.load(small_data, cache, variants=1, split=folds.split_of)
    assert computed.pop() == {("ravdess", True)}  # more of its clips are learnt from there
    again = voices.load(small_data, cache, variants=1)
    assert computed.pop() == set()
    assert len(other) > len(first)
    assert again.clips == first.clips
    for one, same in zip(first.spectrograms, again.spectrograms, strict=True):
        np.testing.assert_array_equal(one, same)


def test_the_report_compares_models_on_the_same_examples(tmp_path):
    for name in ("face-cnn", "face-cnn-other"):
        folder = Path(shutil.copytree(MODELS_FOLDER / "face-cnn", tmp_path / name))
        card = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps({**card, "name": name}))
        (folder / "adversarial.json").write_text(json.dumps(ADVERSARIAL))
    (tmp_path / "face-cnn/learning_curve.json").write_text(json.dumps(LEARNING_CURVE))
    info = read_info(tmp_path / "face-cnn-other")
    found = read_predictions(info)
    right = np.flatnonzero(found["test"].right)[:40]
    found["test"].probabilities[right] = np.roll(found["test"].probabilities[right], 1, axis=1)
    write_predictions(info.folder, found)
    report = write_report(tmp_path).read_text()
    assert "| face-cnn, face-cnn-other | 3,589 |" in report
    assert " | 40 | 0 | " in report
    assert "| -1.1 points | < 0.001 |" in report
    assert "| face-cnn-other | PGD: 10 steps | 70.0% (60.0% to 80.0%) | 20.0%" in report
    assert "### How sure it is, and how often right" in report
    assert "| 50% | 500 | 3 | 50.0% | 40.0% | 50.0% | 40.0% |" in report
    assert "Recall on every split" in report


def test_unknown_names_and_missing_data_get_a_sentence(tmp_path, capsys):
    for arguments in (
        ["train", "nobody", "--data", str(tmp_path)],
        ["train", "face-cnn", "--data", str(tmp_path), "--run", str(tmp_path / "run")],
        ["train", "voice-cnn", "--data", str(tmp_path), "--run", str(tmp_path / "run")],
    ):
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert "Traceback" not in error


def test_networks_together_answer_with_the_mean_of_their_logits():
    networks = [voice_cnn((8, 8, 8), (1, 1, 1), heads=2, name=name) for name in ("one", "other")]
    x = np.random.default_rng(0).standard_normal((2, 40, COLUMNS, 1)).astype(np.float32)
    for network in networks:
        rng = np.random.default_rng(len(network.name))
        network.set_weights([rng.random(w.shape) / 8 for w in network.get_weights()])
    each = [network.predict_on_batch(x) for network in networks]
    both = together(networks).predict_on_batch(x)
    mean = np.mean([answer["logits"] for answer in each], axis=0)
    np.testing.assert_allclose(both["logits"], mean, rtol=1e-4)
    attention = np.exp(both["scores"] - both["scores"].max(axis=1, keepdims=True))
    attention /= attention.sum(axis=1, keepdims=True)
    made_up = np.einsum("nsh,nshc->nc", attention, both["evidence"]) / 4
    np.testing.assert_allclose(made_up, both["logits"], rtol=1e-3)
    assert together(networks[:1]) is networks[0]


# --- the loop ---------------------------------------------------------------------------------


def _tiny(
    run: Path,
    stop_before: int | None = None,
    epochs: int = 3,
    stage: dict[str, Any] | None = None,
    start: Path | None = None,
    **options: float,
) -> list[dict[str, str]]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 10)).astype(np.float32)
    y = np.eye(7, dtype=np.float32)[np.arange(64) % 7]

    def build() -> keras.Model:
        inputs = keras.Input((10,))
        hidden = keras.layers.Dense(16, activation="relu")(inputs)
        dropped = keras.layers.Dropout(0.3)(hidden)
        return keras.Model(inputs, {"logits": keras.layers.Dense(7)(dropped)})

    def epoch_batches(epoch: int) -> Batches:
        if epoch == stop_before:
            raise KeyboardInterrupt
        order = np.random.default_rng(epoch).permutation(64)
        return Batches(
            2, lambda i: (x[order[i * 32 : i * 32 + 32]], y[order[i * 32 : i * 32 + 32]])
        )

    def score(model: keras.Model) -> dict[str, float]:
        answers = model.predict(x, verbose=0)["logits"].argmax(1)
        return {"score": float(np.mean(answers == y.argmax(1)))}

    schedule = Schedule(epochs, batch_size=32, dtype_policy="float32", **options)  # type: ignore[arg-type]
    recipe = {"stage": stage} if stage else None
    fit(build, schedule, 2, epoch_batches, score, run, start=start, recipe=recipe)
    return list(csv.DictReader((run / "history.csv").open()))


@pytest.mark.parametrize("options", [{}, {"averaging": 0.9}, {"sharpness": 0.05}], ids=str)
def test_a_broken_off_run_goes_on_as_if_it_had_not_been(tmp_path, options):
    unbroken = _tiny(tmp_path / "a", **options)
    with pytest.raises(KeyboardInterrupt):
        _tiny(tmp_path / "b", stop_before=2, **options)
    resumed = _tiny(tmp_path / "b", **options)
    assert [row["epoch"] for row in resumed] == ["1", "2", "3"]
    for one, other in zip(unbroken, resumed, strict=True):
        for key in ("loss", "val_score", "learning_rate"):
            assert float(one[key]) == pytest.approx(float(other[key]), rel=1e-4), key


def test_a_sharp_step_takes_the_gradient_uphill_and_leaves_from_where_it_was():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 3)).astype(np.float32)
    y = np.eye(7, dtype=np.float32)[rng.integers(0, 7, 8)]
    inputs = keras.Input((3,))
    network = keras.Model(inputs, keras.layers.Dense(7)(inputs))
    network.compile(
        keras.optimizers.SGD(0.5),
        keras.losses.CategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    kernel, bias = (w.astype(np.float64) for w in network.get_weights())

    def gradient(kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        odds = np.exp(x @ kernel + bias)
        wrong = (odds / odds.sum(axis=1, keepdims=True) - y) / len(x)
        return x.T @ wrong, wrong.sum(axis=0)

    for _ in range(2):
        up = gradient(kernel, bias)
        length = np.sqrt(sum(np.sum(g**2) for g in up))
        there = gradient(kernel + 2.0 * up[0] / length, bias + 2.0 * up[1] / length)
        kernel, bias = kernel - 0.5 * there[0], bias - 0.5 * there[1]
    log = sharp_epoch(2.0)(network, Batches(2, lambda _: (x, y)), [])
    assert set(log) == {"loss", "accuracy"}
    np.testing.assert_allclose(network.get_weights()[0], kernel, atol=1e-5)
    np.testing.assert_allclose(network.get_weights()[1], bias, atol=1e-5)


def test_a_sharp_step_keeps_the_statistics_and_drops_the_same_twice():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((32, 4)).astype(np.float32)
    y = np.eye(7, dtype=np.float32)[rng.integers(0, 7, 32)]

    def network() -> keras.Model:
        keras.utils.set_random_seed(1)
        inputs = keras.Input((4,))
        hidden = keras.layers.BatchNormalization(momentum=0.9)(keras.layers.Dense(16)(inputs))
        hidden = keras.layers.Dropout(0.5)(keras.layers.ReLU()(hidden))
        made = keras.Model(inputs, keras.layers.Dense(7)(hidden))
        made.compile(
            keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
            keras.losses.CategoricalCrossentropy(from_logits=True),
        )
        return made

    def states(model: keras.Model) -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(v) for v in model.non_trainable_variables]

    plain, sharp, hardly = network(), network(), network()
    plain.train_on_batch(x, y)
    for model, radius in ((sharp, 1.0), (hardly, 1e-6)):
        log = sharp_epoch(radius)(model, Batches(1, lambda _: (x, y)), [])
        for one, other in zip(states(plain), states(model), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5)
    plain_log = network().evaluate(x, y, verbose=0, return_dict=True)
    assert log["loss"] != pytest.approx(plain_log["loss"])  # measured as in training
    # Next to where it was, it steps as an ordinary run does: other units would be dropped else.
    for one, other in zip(plain.get_weights(), hardly.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    far = [abs(a - b).max() for a, b in zip(plain.get_weights(), sharp.get_weights(), strict=True)]
    assert max(far) > 1e-3


def test_a_run_from_before_a_field_goes_on_by_its_default(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _tiny(tmp_path, stop_before=2)
    state = json.loads((tmp_path / "state.json").read_text())
    del state["recipe"]["schedule"]["sharpness"]
    del state["start"]
    (tmp_path / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataSetError, match="another recipe"):
        _tiny(tmp_path, sharpness=0.05)
    with pytest.raises(DataSetError, match="another recipe"):
        _tiny(tmp_path, stage={"taught": 0.5})
    assert len(_tiny(tmp_path, stage={"taught": 0.0, "teacher": ""})) == 3


def test_a_run_from_other_weights_is_not_mixed_in(tmp_path):
    _tiny(tmp_path / "first")
    start = tmp_path / "first/best.weights.h5"
    with pytest.raises(KeyboardInterrupt):
        _tiny(tmp_path / "second", stop_before=2, start=start)
    assert len(_tiny(tmp_path / "second", start=start)) == 3
    _tiny(tmp_path / "other", epochs=1)
    with pytest.raises(DataSetError, match="other weights"):
        _tiny(tmp_path / "second", start=tmp_path / "other/best.weights.h5")


def test_a_run_with_epochs_of_its_own_is_not_sharp(tmp_path):
    with pytest.raises(ValueError, match="sharp"):
        fit(
            keras.Sequential,
            Schedule(1, sharpness=0.05),
            1,
            lambda _: Batches(0, lambda _: ()),
            lambda _: {},
            tmp_path,
            one_epoch=lambda *_: {},
        )


def test_the_average_of_the_weights_is_lent_not_given():
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    network.set_weights([np.zeros((1, 1)), np.zeros(1)])
    average = MovingAverage(network, momentum=0.999)
    network.set_weights([np.ones((1, 1)), np.ones(1)])
    average.on_train_batch_end(0)
    with average.in_place():
        # Nearly all of the first step counts: the weights move fast at the start.
        assert network.get_weights()[1][0] == pytest.approx(1 - 2 / 11)
    assert network.get_weights()[1][0] == 1


def test_a_run_of_another_schedule_is_not_mixed_in(tmp_path):
    _tiny(tmp_path)
    with pytest.raises(DataSetError, match="another recipe"):
        _tiny(tmp_path, epochs=5)


def test_a_run_goes_on_in_the_numbers_that_the_next_machine_calculates_in(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        _tiny(tmp_path, stop_before=1)
    state = json.loads((tmp_path / "state.json").read_text())
    state["recipe"]["schedule"]["dtype_policy"] = "mixed_bfloat16"
    (tmp_path / "state.json").write_text(json.dumps(state))
    assert len(_tiny(tmp_path)) == 3
    schedule = json.loads((tmp_path / "state.json").read_text())["recipe"]["schedule"]
    assert schedule["dtype_policy"] == "mixed_bfloat16, then float32"


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16\nbugs\t\t: none\n", "mixed_bfloat16"),
        ("flags\t\t: fpu avx2\nbugs\t\t: avx512_bf16\n", "float32"),
        (None, "float32"),
    ],
)
def test_bfloat16_is_left_to_processors_that_have_it(tmp_path, monkeypatch, cpuinfo, expected):
    file = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        file.write_text(cpuinfo)
    flags = precision.processor_flags(file)
    monkeypatch.setattr(precision, "has_accelerator", lambda: False)
    monkeypatch.setattr(precision, "processor_flags", lambda: flags)
    precision._has_bfloat16.cache_clear()
    try:
        assert precision.dtype_policy("mixed_bfloat16") == expected
        assert precision.dtype_policy("float32") == "float32"
    finally:
        precision._has_bfloat16.cache_clear()


# --- data -------------------------------------------------------------------------------------


@pytest.mark.parametrize("there", [True, False])
def test_torch_is_asked_for_its_accelerator_itself(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    torch = types.ModuleType("torch")
    monkeypatch.setattr(torch, "cuda", types.SimpleNamespace(is_available=lambda: there), False)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert precision.has_accelerator() is there


def test_training_faces_hold_no_copy_of_a_held_out_one(small_data):
    raw, clean = fer2013.load(small_data), fer2013.training_splits(small_data)
    assert len(raw["train"]) == 43
    assert len(clean["train"]) == 42
    assert not set(clean["train"].digests) & set(clean["test"].digests)
    assert len(clean["test"]) == len(raw["test"]) == 21


def test_the_real_fer2013_is_what_its_papers_say(shared):
    splits = fer2013.load(shared / "data")
    assert {s: len(f) for s, f in splits.items()} == {
        "train": 28_709,
        "validation": 3_589,
        "test": 3_589,
    }
    distinct = fer2013.without_copies_of(splits["test"], splits["train"])
    assert len(distinct) == 3_301


def test_the_four_voice_sets_give_the_papers_table(shared):
    clips = voices.clips(shared / "data")
    assert {c: sum(x.corpus == c for x in clips) for c in voices.CORPORA} == {
        "ravdess": 1440,
        "crema_d": 7442,
        "savee": 480,
        "tess": 2800,
    }
    counted = {e: sum(x.emotion == e for x in clips) for e in EMOTIONS}
    assert counted == {
        **dict.fromkeys(("fear", "angry", "sad", "disgust", "happy"), 1923),
        "neutral": 1895,
        "surprise": 652,
    }
    speakers = {
        split: {(x.corpus, x.speaker) for x in clips if x.split == split}
        for split in ("train", "validation", "test")
    }
    assert not speakers["train"] & speakers["test"]
    assert not speakers["train"] & speakers["validation"]
    assert not speakers["validation"] & speakers["test"]
    assert len(speakers["test"]) == 5 + 18 + 1 + 1


@pytest.mark.parametrize(
    ("corpus", "name", "expected"),
    [
        ("ravdess", "03-01-02-01-01-01-24", ("24", "neutral")),
        ("ravdess", "03-01-02-01-01-01-24 (1)", None),
        ("crema_d", "x1001_DFA_ANG_XX", None),
        ("ravdess", "02-01-02-01-01-01-24", None),
        ("crema_d", "1076_MTI_SAD_XX", ("1076", "sad")),
        ("savee", "JK_su15", ("JK", "surprise")),
        ("savee", "DC_a01", ("DC", "angry")),
        ("savee", "DC/a01", ("DC", "angry")),
        ("savee", "je/su07", ("JE", "surprise")),
        ("savee", "JK/KL_sa02", ("KL", "sad")),
        ("savee", "XY/a01", None),
        ("savee", "DC/x01", None),
        ("savee", "a01", None),
        ("tess", "OA_bite_neutral", ("OAF", "neutral")),
        ("tess", "YAF_home_ps", ("YAF", "surprise")),
        ("tess", "readme", None),
    ],
)
def test_clip_names_are_parsed(corpus, name, expected):
    assert voices.parse(corpus, PurePosixPath(f"some/{name}.wav")) == expected


def test_zip_and_folder_read_alike(small_data, tmp_path):
    import shutil

    shutil.make_archive(str(tmp_path / "fer2013"), "zip", small_data / "fer2013")
    zipped = fer2013.load(tmp_path)
    for split, faces in fer2013.load(small_data).items():
        np.testing.assert_array_equal(zipped[split].images, faces.images)
    assert locate(tmp_path, "ravdess") is None
    with pytest.raises(DataSetError, match="neither a folder nor a zip"):
        Files(tmp_path / "nothing")


# --- augmentation and drawing ------------------------------------------------------------------


def test_augmented_faces_are_seeded_and_standardised():
    faces = np.random.default_rng(0).integers(0, 255, (8, FACE_SIZE, FACE_SIZE), np.uint8)
    one, again, other = (
        augmented_faces(faces, 44, STRONG, np.random.default_rng(s)) for s in (1, 1, 2)
    )
    assert one.shape == (8, 44, 44, 1)
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).mean() > 0.1
    assert abs(one.mean()) < 0.2


def test_face_tensor_standardises_each_face_and_leaves_blank_ones_blank():
    faces = np.stack(
        [np.full((48, 48), 77, np.uint8), np.tile(np.arange(48, dtype=np.uint8), (48, 1))]
    )
    tensors = face_tensor(faces)
    assert not tensors[0].any()
    assert tensors[1].std() == pytest.approx(1, abs=1e-3)
    with pytest.raises(ValueError, match="uint8"):
        face_tensor(faces.astype(np.float32))


def _hum(frequency: float = 220.0, seconds: float = 1.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * 16_000)) / 16_000)).astype(
        np.float32
    )


def _pitch(samples: np.ndarray) -> float:
    return float(
        np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * 16_000 / len(samples)
    )


def test_pitch_and_tempo_change_apart():
    samples = _hum()
    higher = change_pitch_and_tempo(samples, 1.12, 1.0)
    faster = change_pitch_and_tempo(samples, 1.0, 1.12)
    assert _pitch(higher) == pytest.approx(220 * 1.12, rel=0.02)
    assert len(higher) == pytest.approx(len(samples), rel=0.05)
    assert _pitch(faster) == pytest.approx(220, rel=0.02)
    assert len(faster) == pytest.approx(len(samples) / 1.12, rel=0.05)


@pytest.mark.parametrize("colour", [0.0, 1.0, 2.0])
def test_noise_comes_at_its_level_and_of_its_colour(colour):
    samples = _hum()
    noise = add_noise(samples, 10.0, colour, np.random.default_rng(0)) - samples
    ratio = 10 * np.log10(np.mean(samples**2) / np.mean(noise**2))
    assert ratio == pytest.approx(10, abs=0.1)
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    low, high = ((frequency > f) & (frequency < 2 * f) for f in (200, 3200))
    # Four octaves higher, each having 2**colour times less power a hertz.
    assert np.log2(power[low].mean() / power[high].mean()) == pytest.approx(4 * colour, abs=0.5)


def test_a_codec_keeps_the_tone():
    samples = _hum()
    assert _pitch(through_codec(samples, 24_000)) == pytest.approx(220, rel=0.02)


@pytest.mark.parametrize("seed", range(12))
def test_augmented_clips_stay_finite_and_of_about_their_length(seed):
    samples = random_voice(_hum(seconds=0.7), np.random.default_rng(seed))
    assert np.isfinite(samples).all()
    assert 0.5 * 11_200 < len(samples) < 1.6 * 11_200


@pytest.mark.parametrize("frames", [40, 100, 250])
def test_random_spectrograms_have_the_asked_length(frames):
    x = np.random.default_rng(0).standard_normal((100, 64)).astype(np.float16)
    out = random_spectrogram(x, frames, 1.0, np.random.default_rng(1))
    assert out.shape == (frames, 64)
    assert out.dtype == np.float32


def _clip(corpus: str, emotion: str) -> voices.Clip:
    return voices.Clip(corpus, "x", "1", emotion, "train")


def test_every_emotion_of_a_corpus_is_drawn_alike():
    clips = (
        *[_clip("ravdess", "happy")] * 30,
        *[_clip("ravdess", "sad")] * 10,
        *[_clip("crema_d", "sad")] * 60,
    )
    p = voice.drawing_probabilities(clips)
    assert p.sum() == pytest.approx(1)
    assert p[:30].sum() == pytest.approx(p[30:40].sum())
    assert p[40:].sum() / p[:40].sum() == pytest.approx(
        voice.CORPUS_SHARE["crema_d"] / voice.CORPUS_SHARE["ravdess"]
    )


def test_clips_take_on_the_sound_of_another_corpus():
    emotions = ("happy", "sad", "surprise")
    level = {"ravdess": 1.0, "crema_d": -1.0}
    pool = voices.Voices(
        tuple(
            _clip(corpus, e)
            for corpus in level
            for e in emotions
            if corpus != "crema_d" or e != "surprise"
        ),
        tuple(
            np.full((9, 64), level[corpus] + 10 * (e == "surprise"), np.float16)
            for corpus in level
            for e in emotions
            if corpus != "crema_d" or e != "surprise"
        ),
    )
    means = voice.mean_spectra(pool)
    ravdess, crema_d, savee, _ = (voices.CORPORA.index(c) for c in voices.CORPORA)
    # Surprise, which CREMA-D lacks, is left out: its colour is no corpus's.
    np.testing.assert_allclose(means[ravdess], 1)
    np.testing.assert_allclose(means[crema_d], -1)
    assert not means[savee].any()
    rng = np.random.default_rng(0)
    changes = np.array([voice.another_sound(means, crema_d, rng, 0.5)[0] for _ in range(2000)])
    moved = changes != 0
    # Half of the clips are offered a corpus; half of these offers are the clip's own.
    assert moved.mean() == pytest.approx(0.25, abs=0.04)
    assert changes[moved].min() >= 1.0
    assert changes[moved].max() <= 2.4


def test_mixup_mixes_a_share_of_the_clips_and_their_labels():
    n = 400
    x = np.repeat(np.arange(n, dtype=np.float32) % 6, 4 * 64).reshape(n, 4, 64)
    labels = np.eye(7, dtype=np.float32)[np.arange(n) % 6]
    mixed, soft = mixing.mixed_up(x, labels, 0.5, np.random.default_rng(0))
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(mixed[:, 0, 0], soft @ np.arange(7), rtol=1e-4, atol=1e-4)
    assert 0.25 < (np.count_nonzero(soft, axis=1) > 1).mean() < 0.5
    assert (soft.max(axis=1) >= 0.5).all()


# --- measures ---------------------------------------------------------------------------------


def test_measures_of_a_known_case():
    labels = np.array([0, 0, 0, 0, 3, 3])
    p = np.full((6, 7), 0.02)
    p[np.arange(6), [0, 0, 0, 3, 3, 0]] = 0.88
    found = measures.summary(p, labels)
    assert found["accuracy"] == pytest.approx(4 / 6, abs=1e-6)
    assert found["unweighted_average_recall"] == pytest.approx((3 / 4 + 1 / 2) / 2)
    assert found["expected_calibration_error"] == pytest.approx(0.88 - 4 / 6, abs=1e-3)
    assert found["confusion_matrix"][0][3] == 1
    low, high = found["accuracy_95"]
    assert low <= found["accuracy"] <= high
    assert "speakers_drawn" not in found
    assert found["classes"]["angry"]["precision"] == pytest.approx(3 / 4)


def test_measures_are_kept_so_exactly_that_they_are_rounded_once():
    kept = measures.rounded(2309 / 3301)
    assert f"{kept:.1%}" == "69.9%"  # and not 70.0%, as it would be from four digits
    assert f"{round(kept, 4):.1%}" == "70.0%"


def test_intervals_of_voices_know_that_the_clips_of_a_speaker_go_together():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 7, 2000)
    speakers = np.repeat([f"ravdess/{number}" for number in range(20)], 100)
    right = rng.random(2000) < np.repeat(rng.uniform(0.3, 0.9, 20), 100)
    p = np.full((2000, 7), 0.02)
    p[np.arange(2000), np.where(right, labels, (labels + 1) % 7)] = 0.88
    by_clip, by_speaker = measures.summary(p, labels), measures.summary(p, labels, speakers)
    assert by_speaker["speakers_drawn"] == 20
    widths = [np.ptp(found["accuracy_95"]) for found in (by_clip, by_speaker)]
    assert widths[1] > 2.5 * widths[0]
    assert by_speaker["accuracy"] == by_clip["accuracy"]
    two = measures.summary(p[:200], labels[:200], speakers[:200])
    assert "speakers_drawn" not in two
    # Another corpus of one speaker is always there as often as it is.
    pooled = speakers.copy()
    pooled[500:] = "tess/1"
    both = measures.summary(p, labels, pooled)
    assert both["speakers_drawn"] == 5
    assert np.ptp(both["accuracy_95"]) < widths[1]


@pytest.mark.parametrize(
    ("speakers", "expected"), [(4, 3.182), (5, 2.776), (12, 2.201), (30, 2.045)]
)
def test_intervals_of_few_speakers_are_as_wide_as_students(speakers, expected):
    times = measures.widening(speakers)
    assert times == pytest.approx((speakers / (speakers - 1)) ** 0.5 * expected / 1.96, rel=0.01)
    assert measures.widening(100_000) == pytest.approx(1, abs=1e-4)
    rng = np.random.default_rng(1)
    rounds, held = 60, 0
    who = np.repeat([f"ravdess/{n}" for n in range(speakers)], 40)
    labels = np.zeros(len(who), np.int64)
    for _ in range(rounds):
        share = np.repeat(rng.normal(0.6, 0.1, speakers), 40)
        answers = (rng.random(len(who)) > share).astype(np.int64)
        low, high = measures.bootstrap_interval(labels, answers, rounds=200, speakers=who)
        held += low <= 0.6 <= high
    assert held >= 0.86 * rounds  # percentiles alone hold in 75% for 4 speakers


def _answered(who: dict[str, float], clips: int = 60) -> Predictions:
    """`corpus/speaker` -> how often they are understood."""
    rng = np.random.default_rng(2)
    ids, right = [], []
    for speaker, share in who.items():
        corpus, number = speaker.split("/")
        for i in range(clips):
            name = f"03-01-0{1 + i % 8}-01-0{i}-01-{number}.wav"
            ids.append(f"{corpus}/{name if corpus == 'ravdess' else f'{number}_{i}_ANG_XX.wav'}")
            right.append(rng.random() < share)
    labels = np.zeros(len(ids), np.int64)
    p = np.eye(7)[np.where(right, 0, 1)]
    groups = np.array([name.split("/")[0] for name in ids])
    return Predictions(np.array(ids), labels, p, groups)


def test_groups_of_few_speakers_get_no_interval_and_gaps_allow_for_the_choice(
    tmp_path, monkeypatch
):
    women = [1074, 1075, 1076, 1078]
    men = [1077, 1080, 1081, 1083]
    who = {f"crema_d/{number}": 0.6 for number in women} | {f"crema_d/{n}": 0.5 for n in men}
    monkeypatch.setattr(fairness, "read_predictions", lambda info: {"test": _answered(who)})
    info = read_info(MODELS_FOLDER / "voice-cnn")
    found = fairness.fairness(info, tmp_path)
    assert "left out of the gaps" in found["note"]
    # The sex of every actor is known without the table that the rest stands in.
    assert list(found["groups"]) == ["sex", "age", "race", "ethnicity"]
    assert {name: m["speakers"] for name, m in found["groups"]["sex"].items()} == {
        "female": 4,
        "male": 4,
    }
    assert not found["groups"]["age"]
    assert "VideoDemographics.csv, does not lie beside" in found["note"]
    rows = ["ActorID,Age,Sex,Race,Ethnicity"]
    ages = dict(zip([*women, *men], [20, 21, 22, 35, 36, 37, 60, 61], strict=True))
    rows += [f"{n},{age},Female,Caucasian,{'Hispanic' if n == 1074 else 'Not Hispanic'}"
             for n, age in ages.items()]  # fmt: skip
    (tmp_path / "crema_d_actors.csv").write_text("\n".join(rows))
    found = fairness.fairness(info, tmp_path)
    assert found["groups"]["age"]["50 and over"]["accuracy_95"] is None
    assert found["groups"]["age"]["under 30"]["accuracy_95"] is not None
    assert set(found["gaps"]["age"]["between"]) == {"under 30", "30 to 49"}
    assert found["groups"]["ethnicity"]["Hispanic"]["accuracy_95"] is None
    assert "ethnicity" not in found["gaps"]
    assert "age, race and ethnicity as CREMA-D gives them" in found["note"]


def test_the_interval_of_a_gap_allows_for_the_choice_of_the_pair():
    rng = np.random.default_rng(4)
    found = Predictions(
        np.arange(900).astype(str),
        np.zeros(900, np.int64),
        np.eye(7)[(rng.random(900) < 0.4).astype(int)],
        np.full(900, ""),
    )
    values = np.repeat(["a", "b", "c", "d"], 225)
    groups = {v: {"accuracy": float(found.right[values == v].mean())} for v in "abcd"}
    gap = fairness._gap(found, found.ids, values, groups)
    chosen = gap["between"]
    alone = fairness._gap(found, found.ids, values, {v: groups[v] for v in chosen})
    assert (alone["between"], alone["difference"]) == (chosen, gap["difference"])
    # 2.64 instead of 1.96 standard errors on each side: 6 pairs instead of one.
    wider = np.ptp(gap["interval_95"]) / np.ptp(alone["interval_95"])
    assert wider == pytest.approx(2.64 / 1.96, rel=0.08)


def test_a_model_whose_data_are_not_there_is_left_as_it_is(small_data, tmp_path, capsys):
    models, data = tmp_path / "models", tmp_path / "data"
    for name in ("face-cnn", "voice-cnn"):
        shutil.copytree(MODELS_FOLDER / name, models / name)
    shutil.copytree(small_data / "fer2013", data / "fer2013")
    before = (models / "voice-cnn/robustness.json").read_bytes()
    common = ["--data", str(data), "--models", str(models)]
    assert main(["report", *common]) == 0
    said = capsys.readouterr().out
    assert "are not in this FER2013, or have other names there" in said
    assert "voice-cnn is not judged anew: No voice data at" in said
    assert (models / "voice-cnn/robustness.json").read_bytes() == before
    assert (models / "REPORT.md").exists()
    assert main(["report", "voice-cnn", *common]) == 1
    place = data / "savee/ALL"
    place.mkdir(parents=True)
    (place / "KL_h01.wav").write_bytes(
        next((small_data / "ravdess/Actor_02").iterdir()).read_bytes()
    )
    capsys.readouterr()
    assert main(["report", "voice-cnn", *common]) == 1
    assert "The voices' test holds no example; at least two" in capsys.readouterr().err
    assert (models / "voice-cnn/robustness.json").read_bytes() == before


def test_temperature_undoes_overconfidence():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4000, 7)) * 1.5
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.array([rng.choice(7, p=row) for row in p])
    assert fit_temperature(logits * 2.5, labels) == pytest.approx(2.5, rel=0.1)


def test_fused_pairs_share_their_label_and_cover_all_emotions(monkeypatch):
    from training.evaluate import Answers

    monkeypatch.setattr(fusion, "PAIRS_PER_EMOTION", 20)
    labels = np.repeat(np.arange(7), 5)
    logits = np.eye(7)[labels] * 9
    corpora = np.where(np.arange(35) % 2, "ravdess", "tess")
    answers = Answers(logits, labels, corpora, np.arange(35).astype(str))
    face, heard, truth = fusion.label_matched_pairs(
        answers, answers, (1.0, 1.0), np.random.default_rng(1)
    )
    assert face.shape == heard.shape == (140, 7)
    np.testing.assert_array_equal(face.argmax(1), truth)
    np.testing.assert_array_equal(heard.argmax(1), truth)
    assert np.bincount(truth).tolist() == [20] * 7


@pytest.mark.parametrize(
    ("scores", "chosen", "tried"),
    [
        ((9, 9, 9, 9), "int8", 2),
        ((9, 5, 9, 9), "dynamic", 3),
        ((9, 5, 7, 9), "dynamic", 4),  # float16 costs nothing, but is too large
        ((9, 7, 5, 9), "int8", 4),
    ],
)
def test_of_the_files_small_enough_the_first_good_or_else_the_best_ships(
    scores: tuple[int, ...], chosen: str, tried: int
) -> None:
    recipe = replace(RECIPES["voice-cnn"], largest_bytes=100)
    files = dict(zip(("float32", *recipe.quantisations), scores, strict=True))
    sizes = {"float32": 400, "int8": 99, "dynamic": 100, "float16": 200}

    def convert(quantisation: str) -> tuple[bytes, Answers]:
        labels = np.zeros(10, np.int64)
        answers = np.eye(7)[(np.arange(10) >= files[quantisation]).astype(int)]
        none = np.full(10, "")
        return bytes(sizes[quantisation]), Answers(answers, labels, none, none)

    found, content, answers, measured = quantised("voice-cnn", recipe, convert)
    assert (found, len(content)) == (chosen, sizes[chosen])
    assert measured[found] == {"validation_score": files[found] / 10, "bytes": len(content)}
    assert (answers.logits.argmax(1) == 0).sum() == files[found]
    assert len(measured) == tried
    assert quantised("voice-cnn", recipe, convert, quick=True)[0] == "float16"
    with pytest.raises(DataSetError, match="fits into 50 bytes"):
        quantised("voice-cnn", replace(recipe, largest_bytes=50), convert)


BUSY = """
import sys, threading, time
from pathlib import Path
import cv2, numpy as np
from training import voices
frames = np.random.default_rng(0).random((600, 1024)).astype(np.float32)
done = threading.Event()
def work():
    while not done.is_set():
        cv2.dft(frames, flags=cv2.DFT_ROWS)
other = threading.Thread(target=work)
other.start()
for wait, rest in np.random.default_rng(1).random((300, 2)) / 500:
    cv2.setNumThreads(2)
    time.sleep(wait)
    voices._open(Path(sys.argv[1]))
    time.sleep(rest / 2)
done.set()
other.join()
"""


def test_a_helper_begins_while_something_else_is_at_work(small_data: Path) -> None:
    done = python("-c", BUSY, str(small_data))
    assert done.returncode == 0, done.stderr
