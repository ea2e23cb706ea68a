"""The paper's face network: what it is made of, and its way from training into the app."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras.src.applications import efficientnet

import core
from core import models
from core.embedding import Embedder
from core.errors import DuetError
from core.face.tensor import FACE_PIXELS, FaceInput
from core.results import ImageResult
from core.ui.samples import drawn_face
from tests.test_training import small_data  # noqa: F401  a fixture
from training import architectures, face, recipes
from training.__main__ import main
from training.architectures import ARCHITECTURES, face_efficientnetb7, take_imagenet_weights
from training.files import DataSetError
from training.loop import Batches, Schedule, fit
from training.provenance import MADE_WITH, made_with, note_making, unless_refused
from training.recipes import RECIPES
from training.ship import finished_stages

NAME = "face-efficientnetb7"


def tiny(**arguments: Any) -> keras.Model:
    """Two blocks of an EfficientNet, as narrow as they get."""
    blocks = efficientnet.DEFAULT_BLOCKS_ARGS[:2]
    return efficientnet.EfficientNet(
        0.25, 0.1, 64, blocks_args=blocks, name="tiny", weights_name="b0", **arguments
    )


build_small = partial(face_efficientnetb7, tiny)


@pytest.fixture(scope="module")
def small() -> keras.Model:
    return build_small()


def test_it_has_as_many_parameters_as_the_paper_says() -> None:
    network = ARCHITECTURES[NAME]()
    assert network.count_params() == 64_765_342
    trainable = sum(int(np.prod(w.shape)) for w in network.trainable_weights)
    assert trainable == 64_449_495
    assert network.get_layer("head_norm").input.shape == (None, 2560)


def test_its_evidence_is_the_logits_as_one_place(small: keras.Model) -> None:
    for size in (32, 64):
        x = np.random.default_rng(size).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
        answer = small.predict_on_batch(x)
        assert answer["evidence"].shape == (2, 1, 1, 7)
        np.testing.assert_array_equal(answer["evidence"][:, 0, 0], answer["logits"])


def test_its_head_is_regularised_and_the_optimiser_hears_of_it(
    small: keras.Model, tmp_path: Path
) -> None:
    dense = small.get_layer("head_dense")
    assert dense.units == 256
    kinds = (keras.regularizers.L2, keras.regularizers.L1, keras.regularizers.L1)
    found = (dense.kernel_regularizer, dense.activity_regularizer, dense.bias_regularizer)
    assert [type(one) for one in found] == list(kinds)

    x = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    y = np.eye(7, dtype=np.float32)[:4]
    schedule = replace(face.PAPER.stages[0].schedule, epochs=1, batch_size=4)
    trained = keras.Model(small.input, small.output["logits"])
    before = keras.Model(small.input, small.get_layer("head_norm").output)
    trained(x)
    activity = np.maximum(dense(before(x)), 0).sum(axis=1).mean()
    kernel = 0.016 * np.square(dense.kernel).sum()
    added = float(sum(trained.losses))
    assert added == pytest.approx(kernel + 0.006 * activity, rel=1e-3)
    assert activity > 0

    fit(
        known_head,
        schedule,
        1,
        lambda _: Batches(1, lambda _: (x, y)),
        lambda _: {"score": 0.0},
        tmp_path,
    )
    (row,) = csv.DictReader((tmp_path / "history.csv").open())
    # Logits of nothing: a cross-entropy of ln 7. The rest comes of the head.
    inside = int(dense.kernel.shape[0])
    kernel, activity, bias = 0.016 * inside * 0.1**2, 0.006 * 255 * 0.5, 0.006 * (255 * 0.5 + 50)
    assert float(row["loss"]) == pytest.approx(np.log(7) + kernel + activity + bias, rel=1e-3)


def known_head() -> keras.Model:
    """As `build_small`; what the head adds to the loss does not depend on its input.

    One unit has weights and never answers, the others answer 0.5 to anything.
    """
    network = build_small()
    dense = network.get_layer("head_dense")
    kernel, bias = np.zeros(dense.kernel.shape), np.full(256, 0.5)
    kernel[:, 0], bias[0] = 0.1, -50.0
    dense.set_weights([kernel, bias])
    logits = network.get_layer("logits")
    logits.set_weights([np.zeros(weight.shape) for weight in logits.get_weights()])
    return network


def test_the_course_grows_its_pictures_with_adamax() -> None:
    assert face.PAPER.plan == ("64 px", "128 px", "224 px")
    before = face.PAPER.forerunner
    assert before is not None
    assert before.name == RECIPES[NAME].forerunner
    assert [stage.size for stage in (*before.stages, before.then)] == [32, 48, 48, 48]
    for stage in (before.then, *face.PAPER.stages):
        assert stage.schedule.optimiser == "adamax"
        assert stage.schedule.label_smoothing == 0
        assert stage.size % 16 == 0


def test_predictions_in_batches_are_those_of_each_face(small: keras.Model) -> None:
    faces = np.random.default_rng(1).integers(0, 255, (5, 48, 48), np.uint8)
    prepared = FaceInput(FACE_PIXELS, 32)
    found = face.predicted_logits(small, faces, prepared, batch_size=2)
    both = np.concatenate([prepared(faces), prepared(faces)[:, :, ::-1]])
    logits = small.predict_on_batch(both)["logits"]
    np.testing.assert_allclose(found, (logits[:5] + logits[5:]) / 2, atol=1e-4)


# --- ImageNet's weights -------------------------------------------------------------------------


@pytest.fixture
def theirs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> keras.Model:
    """`tiny` with "ImageNet weights": made-up ones stand where Keras looks for them."""
    stored = tmp_path / "tiny.weights.h5"
    whole = {"include_top": False, "pooling": "max", "input_shape": (None, None, 3)}
    made_up = tiny(**whole, weights=None)
    norm = next(x for x in made_up.layers if isinstance(x, keras.layers.Normalization))
    norm.set_weights([np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.3, 0.4]), np.array(0)])
    made_up.save_weights(stored)
    monkeypatch.setattr(
        "keras.src.applications.efficientnet.file_utils.get_file", lambda *_, **__: str(stored)
    )
    return tiny(**whole, weights="imagenet")


def answers_alike(network: keras.Model, theirs: keras.Model) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    found, expected = (m.predict_on_batch(x) for m in (network.get_layer("tiny"), theirs))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_imagenet_weights_make_the_network_answer_as_keras_own(
    theirs: keras.Model, tmp_path: Path
) -> None:
    network = build_small()
    take_imagenet_weights(network, tiny)
    answers_alike(network, theirs)
    path = tmp_path / "start.weights.h5"
    network.save_weights(path)
    again = build_small()
    again.load_weights(path)
    answers_alike(again, theirs)


@pytest.mark.usefixtures("quick_course", "without_graphs")
def test_where_imagenet_weights_can_be_had_the_network_begins_with_them(
    theirs: keras.Model,
    small_data: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(face, "take_imagenet_weights", partial(take_imagenet_weights, base=tiny))
    run, folder = tmp_path / "run", tmp_path / "models"
    common = [NAME, "--data", str(small_data), "--models", str(folder), "--run", str(run)]
    assert main(["train", *common, "--epochs", "1", "--stages", "1", "--quick"]) == 0
    start = run / "start.weights.h5"
    began = build_small()
    began.load_weights(start)
    answers_alike(began, theirs)
    state = json.loads((run / "stage1/state.json").read_text())
    assert state["start"] == hashlib.sha256(start.read_bytes()).hexdigest()
    assert not (run / "forerunner").exists()  # nothing smaller has to learn first
    trained = build_small()
    trained.load_weights(run / "stage1/best.weights.h5")
    pairs = zip(trained.trainable_weights, began.trainable_weights, strict=True)
    assert any((now.numpy() != before.numpy()).any() for now, before in pairs)
    info = models.read_info(folder / NAME)
    assert info.card["initial_weights"] == "ImageNet weights"
    assert info.card["stages_left_out"] == ["96 px", "128 px"]
    assert "forerunner" not in info.card
    assert "--no-imagenet" not in info.card["command"]
    assert "It began with ImageNet weights" in (folder / NAME / "README.md").read_text()


def test_without_imagenet_weights_it_starts_from_random_ones_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(_: keras.Model) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(face, "take_imagenet_weights", unreachable)
    weights, words = face._start(build_small, tmp_path, imagenet=True)
    assert weights is None
    assert "could not be had" in words
    assert "no route to host" in capsys.readouterr().out
    # A run that goes on keeps what it started from, though the weights can be had by now.
    monkeypatch.setattr(face, "take_imagenet_weights", lambda _: None)
    assert face._start(build_small, tmp_path, imagenet=True) == (None, words)
    weights, words = face._start(build_small, tmp_path / "another", imagenet=True)
    assert words == "ImageNet weights"
    assert weights is not None
    build_small().load_weights(weights)
    assert face._start(build_small, tmp_path / "third", imagenet=False) == (None, "random weights")


# --- from training into the app -----------------------------------------------------------------


@pytest.fixture
def quick_course(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest network on small pictures, with the same machinery."""
    stages = tuple(
        replace(stage, size=size)
        for stage, size in zip(face.PAPER.stages, (64, 96, 128), strict=True)
    )
    before = face.PAPER.forerunner
    assert before is not None
    before = replace(before, build=build_small)
    course = replace(face.PAPER, stages=stages, forerunner=before)
    recipe = replace(RECIPES[NAME], train=partial(face.train, course=course), plan=course.plan)
    monkeypatch.setitem(recipes.RECIPES, NAME, recipe)
    monkeypatch.setitem(architectures.ARCHITECTURES, NAME, build_small)


def test_what_cannot_be_exported_in_the_end_is_not_trained(
    small_data: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("keras.backend.backend", lambda: "torch")
    common = [NAME, "--data", str(small_data), "--run", str(tmp_path / "run")]
    for command in ("train", "export"):
        assert main([command, *common]) == 1
        assert "Keras calculates with torch here" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("quick_course", "without_graphs")
def test_from_training_without_an_export_to_an_answer_in_the_app(
    small_data: Path,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, folder = tmp_path / "run", tmp_path / "models"
    common = [NAME, "--data", str(small_data), "--models", str(folder), "--run", str(run)]
    training = ["--epochs", "1", "--no-imagenet", "--no-export"]
    assert main(["train", *common, *training, "--stages", "1"]) == 0
    parts = ("stage1/state.json", "forerunner/stage3/state.json", "grown.weights.h5")
    first = [(run / part).read_bytes() for part in parts]
    assert main(["train", *common, *training, "--stages", "2"]) == 0
    assert [(run / part).read_bytes() for part in parts] == first  # not trained anew
    assert not folder.exists()
    assert main(["export", *common, "--stages", "3"]) == 1  # not trained yet
    making = json.loads((run / MADE_WITH).read_text())
    (run / MADE_WITH).write_text(json.dumps({**making, "note": "Its rate was changed once."}))
    assert main(["export", *common, "--quick"]) == 0

    info = models.read_info(folder / NAME)
    assert not info.default
    assert info.card["quantisation"] == "dynamic"
    assert info.card["input"] == {"shape": ["n", 64, 64, 3], "preprocessing": FACE_PIXELS}
    assert info.card["initial_weights"].endswith("the same faces, EfficientNetB0")
    before = info.card["forerunner"]
    assert (before["network"], before["epochs"]) == ("EfficientNetB0", 3)
    assert before["stages"][0]["initial_weights"] == "random weights"
    hours = sum(
        json.loads((run / part / "state.json").read_text())["seconds"]
        for part in (*(f"forerunner/stage{n}" for n in (1, 2, 3)), "stage1", "stage2")
    )
    assert info.card["wall_time_hours"] == round(hours / 3600, 2)
    rows = list(csv.DictReader((folder / NAME / "history.csv").open()))
    assert [row["network"] for row in rows] == ["EfficientNetB0"] * 3 + [NAME] * 2
    assert [row["stage"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert info.card["stages_left_out"] == ["96 px", "128 px"]
    assert "--stages 2 --no-imagenet" in info.card["command"]
    assert [stage["stage"]["size"] for stage in info.card["stages"]] == [48, 64]
    assert set(info.evaluation["splits"]) == {"validation", "test", "test-distinct"}
    card = (folder / NAME / "README.md").read_text()
    assert "Only the first 2 of its 4 stages of training took place" in card
    assert "at 96 px and 128 px; it is used at 64 px" in card
    assert "\n\nIts rate was changed once.\n\n" in card
    assert "It began with weights grown from those of a smaller network" in card
    assert "EfficientNetB0 had begun with random weights and had 3 epochs" in card
    assert "those after epoch 5 of `history.csv`, which validated best" in card

    # The float network and the file that ships answer alike.
    best = run / "stage2/best.weights.h5"
    network = build_small()
    network.load_weights(best)
    faces = np.random.default_rng(3).integers(0, 255, (3, 48, 48), np.uint8)
    prepared = FaceInput(FACE_PIXELS, 64)
    floats = network.predict_on_batch(prepared(faces))["logits"]
    shipped = models.Model(info)(prepared(faces))
    np.testing.assert_allclose(shipped["logits"], floats, atol=0.1)
    embeddings = Embedder(info).faces(faces)
    assert embeddings.shape == (3, 256)

    # Beside the default model it is loaded only when it is named.
    default = models.find("face").folder
    shutil.copytree(default, folder / default.name)
    monkeypatch.setattr(models, "MODELS_FOLDER", folder)
    monkeypatch.setattr(models, "_loaded", {})
    picture = drawn_face().data
    result = core.analyze(picture)
    assert isinstance(result, ImageResult)
    assert result.model == default.name
    assert result.faces[0].has_map
    assert not any(path.name == NAME for path, *_ in models._loaded)
    result = core.analyze(picture, face_model=NAME)
    assert isinstance(result, ImageResult)
    assert result.model == NAME
    assert not result.faces[0].has_map
    assert np.shape(result.to_dict()["faces"][0]["attention"]) == (1, 1)
    monkeypatch.setattr(models, "_loaded", {})
    path = folder / NAME / "model.json"
    path.write_text(path.read_text().replace(FACE_PIXELS, "core.face.tensor.from_the_future"))
    with pytest.raises(DuetError, match="from_the_future") as caught:
        core.analyze(picture, face_model=NAME)
    assert caught.value.code == "damaged_model"


def test_a_run_that_goes_on_keeps_what_it_learnt_from_and_its_note(tmp_path: Path) -> None:
    note_making(tmp_path, "train x", ["ravdess", "tess"])
    noted = {**made_with(tmp_path), "note": "Its rate was changed once."}
    (tmp_path / MADE_WITH).write_text(json.dumps(noted))
    note_making(tmp_path, "train x --epochs 3", ["crema_d", "tess"])
    found = made_with(tmp_path)
    assert found["data_sets"] == ["ravdess", "tess", "crema_d"]
    assert (found["command"], found["note"]) == ("train x --epochs 3", noted["note"])
    refusing, given_up = pytest.raises(DataSetError), pytest.raises(KeyboardInterrupt)
    for where, before in ((tmp_path, found), (tmp_path / "new", {})):
        for expected, error in ((refusing, DataSetError("no")), (given_up, KeyboardInterrupt())):
            with expected, unless_refused(where):
                note_making(where, "train x", ["savee"])
                raise error
            kept = made_with(where).get("data_sets")
            if expected is refusing:
                assert kept == before.get("data_sets")
            else:
                assert kept == [*before.get("data_sets", []), "savee"]
    (tmp_path / MADE_WITH).write_text('{"command": ')  # the machine was switched off
    note_making(tmp_path, "train x", ["tess"])
    assert made_with(tmp_path)["data_sets"] == ["tess"]


@pytest.mark.usefixtures("quick_course")
def test_a_run_that_began_otherwise_is_refused_before_anything_is_trained(
    small_data: Path,  # noqa: F811
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = tmp_path / "run/stage1/state.json"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"recipe": {"initial_weights": "random weights"}}))
    common = ["--data", str(small_data), "--run", str(tmp_path / "run")]
    assert main(["train", NAME, *common, "--no-imagenet", "--no-export"]) == 1
    assert "did not begin with weights grown" in capsys.readouterr().err
    assert not (tmp_path / "run/forerunner").exists()


def test_growth_that_is_repeated_takes_the_forerunner_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = face.PAPER.forerunner
    assert before is not None
    before = replace(before, build=build_small)
    asked: list[Path] = []

    def trained(_build: object, _splits: object, run: Path, *_: object) -> Path:
        asked.append(run)
        path = tmp_path / "best.weights.h5"
        build_small().save_weights(path)
        return path

    monkeypatch.setattr(face, "_through", trained)
    path = tmp_path / "grown.weights.h5"
    path.write_bytes(b"of a run that was broken off")
    face._grow(before, build_small, {}, tmp_path, face.PAPER, None, 1.0, "random weights")
    build_small().load_weights(path)
    assert asked == [tmp_path / face.FORERUNNER]
    assert {x.name for x in tmp_path.iterdir()} == {path.name, "best.weights.h5"}


def test_what_a_recipe_cannot_do_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(tmp_path), "--run", str(tmp_path / "run")]
    for name, option, words in (
        (NAME, ["--stages", "5"], "has 4 stages"),
        ("voice-cnn", ["--stages", "1"], "has no stages"),
        ("face-cnn", ["--no-imagenet"], "random weights anyway"),
    ):
        assert main(["train", name, *common, *option]) == 1
        assert words in capsys.readouterr().err
    assert main(["export", "voice-cnn", *common, "--stages", "1"]) == 1
    assert "has no stages" in capsys.readouterr().err


def test_a_stage_that_was_broken_off_can_be_left_out(tmp_path: Path) -> None:
    for number, epochs in ((1, 5), (2, 3)):
        stage = tmp_path / f"stage{number}"
        stage.mkdir()
        history = [{"val_score": 0.1 * epoch} for epoch in range(epochs)]
        state = {
            "epoch": epochs,
            "recipe": {"schedule": vars(Schedule(epochs=5))},
            "history": history,
        }
        (stage / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataSetError, match="broken off"):
        finished_stages(tmp_path)
    assert finished_stages(tmp_path, 1) == [tmp_path / "stage1"]
    with pytest.raises(DataSetError, match="2 of these 3 stages"):
        finished_stages(tmp_path, 3)
