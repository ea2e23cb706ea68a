"""Attacks, the twin that their gradients come from, training on attacked faces, learning curves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from core.face.classify import classify
from core.face.tensor import FACE_SIZE, face_tensor
from core.models import MODELS_FOLDER, Model, find, read_info
from core.reports import read_adversarial, read_learning_curve
from tests.data_makers import fer2013
from training import learning_curve, robust
from training.__main__ import main
from training.architectures import face_cnn
from training.attacks import (
    ATTACKS,
    FAST,
    FGSM,
    PGD,
    Attacker,
    as_faces,
    as_pixels,
    standardised,
)
from training.export import to_litert
from training.fer2013 import Faces
from training.files import DataSetError
from training.loop import one_hot
from training.twin import compare, fill, mean_logits, twin, with_batch_statistics


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """FER2013's layout."""
    data = tmp_path_factory.mktemp("data")
    fer2013(data)
    return data


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the face model's folder, free to be written into."""
    return Path(shutil.copytree(MODELS_FOLDER / "face-cnn", tmp_path / "models" / "face-cnn"))


def faces(n: int = 14, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, FACE_SIZE, FACE_SIZE), np.uint8)


# --- attacks ------------------------------------------------------------------------------------


def test_standardising_with_gradients_is_what_the_app_does() -> None:
    images = np.concatenate([faces(), np.full((1, FACE_SIZE, FACE_SIZE), 90, np.uint8)])
    images[0, :, :] = 100
    images[0, 0, 0] = 101  # flatter than what is stretched
    ours = keras.ops.convert_to_numpy(standardised(as_pixels(images)))
    np.testing.assert_allclose(ours, face_tensor(images), atol=1e-4)
    np.testing.assert_array_equal(as_faces(as_pixels(images)), images)


Bands = tuple[Attacker, np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def bands() -> Bands:
    """A tiny network that reads at which height a face is bright, with faces it knows."""
    labels = np.arange(70) % 7
    images = np.random.default_rng(0).integers(100, 130, (70, 14, 14)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[2 * label : 2 * label + 2] += 6
    keras.utils.set_random_seed(0)
    network = keras.Sequential(
        [keras.Input((14, 14, 1)), keras.layers.Flatten(), keras.layers.Dense(7)]
    )
    network.compile("adam", keras.losses.CategoricalCrossentropy(from_logits=True))
    network.fit(face_tensor(images), one_hot(labels, 7), epochs=120, verbose=0)
    return Attacker(lambda x: network(x, training=False)), images, labels


def test_attacks_stay_within_epsilon_and_mislead(bands: Bands) -> None:
    attacker, images, labels = bands
    pixels, targets = as_pixels(images), one_hot(labels, 7)

    def accuracy(changed: np.ndarray) -> float:
        logits = keras.ops.convert_to_numpy(attacker.logits(changed))
        return float(np.mean(logits.argmax(axis=1) == labels))

    assert accuracy(pixels) > 0.9
    for attack in (*ATTACKS.values(), FAST):
        left = []
        for epsilon in (1, 4):
            rng = np.random.default_rng(1)
            changed = attacker.attacked(pixels, targets, epsilon / 255, attack, rng)
            assert np.abs(changed - pixels).max() <= epsilon / 255 + 1e-6
            sent = as_faces(changed).astype(int)
            assert np.abs(sent - images).max() <= epsilon
            left.append(accuracy(changed))
        assert left[1] < left[0] <= 1
        assert left[1] < 0.5
    rng = np.random.default_rng(1)
    each = (rng.integers(1, 5, len(pixels)) / 255).astype(np.float32)
    changed = attacker.attacked(pixels, targets, each, PGD, rng)
    assert (np.abs(changed - pixels).max(axis=(1, 2, 3)) <= each + 1e-6).all()


def test_pixels_stay_between_black_and_white_and_a_blank_face_has_a_gradient(bands: Bands) -> None:
    attacker, _, _ = bands
    pixels = np.zeros((2, 14, 14, 1), np.float32)
    pixels[1] = 1
    changed = attacker.attacked(pixels, one_hot(np.array([0, 3]), 7), 4 / 255, FGSM,
                                np.random.default_rng(0))  # fmt: skip
    assert np.isfinite(changed).all()
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert (changed != pixels).any()


# --- the twin -----------------------------------------------------------------------------------


def test_the_twin_answers_as_the_file_does() -> None:
    info = find("face", "face-cnn")
    images = np.stack([cv2.GaussianBlur(face, (0, 0), 3) for face in faces(42)])
    network = twin(info)
    its, files = mean_logits(network, images), classify(images, Model(info))[0]
    assert np.corrcoef(its.ravel(), files.ravel())[0, 1] > 0.99
    labels = np.arange(len(images)) % 7
    known = Faces(images, labels, np.full(len(images), ""), tuple(map(str, labels)))
    assert compare(network, Model(info), known) > 0.99
    before = mean_logits(network, images)
    with_batch_statistics(network, face_tensor(images))
    np.testing.assert_allclose(mean_logits(network, images), before, atol=1e-3)
    norm = network.get_layer("stem_1_norm")
    assert not np.allclose(keras.ops.convert_to_numpy(norm.moving_variance), 1)
    with pytest.raises(DataSetError, match="does not answer like the file of face-cnn"):
        compare(face_cnn(), Model(info), known)


@pytest.mark.parametrize("quantisation", ["float16", "dynamic"])
def test_weights_are_read_from_every_kind_of_file(quantisation: str) -> None:
    keras.utils.set_random_seed(1)
    original, other = (face_cnn((16, 16, 16), (1, 1, 1)) for _ in range(2))
    rng = np.random.default_rng(0)
    for layer in original.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    fill(other, to_litert(original, quantisation), "it")
    x = face_tensor(faces(4))
    expected, found = (m.predict(x, verbose=0)["logits"] for m in (original, other))
    assert np.corrcoef(expected.ravel(), found.ravel())[0, 1] > 0.999
    with pytest.raises(DataSetError, match="it is of another architecture"):
        fill(face_cnn((24, 24, 24), (1, 1, 1)), to_litert(original, quantisation), "it")


def test_only_grey_face_networks_have_a_twin() -> None:
    with pytest.raises(DataSetError, match="no face network whose architecture is known"):
        twin(find("voice"))
    assert main(["adversarial", "voice-cnn", "--data", "nowhere"]) == 1


# --- the commands -------------------------------------------------------------------------------


def test_the_adversarial_check_is_written_and_read(
    folder: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    common = ["--data", str(data), "--models", str(folder.parent)]
    assert main(["adversarial", "face-cnn", *common, "--faces", "9"]) == 0
    said = capsys.readouterr().out
    assert "FGSM" in said
    assert "PGD" in said
    written = json.loads((folder / "adversarial.json").read_text())
    assert (written["n"], written["drawn_from"]) == (9, 28)
    assert written["correlation"] > 0.99
    assert written["command"].endswith("face-cnn --data PATH --faces 9")
    found = read_adversarial(read_info(folder))
    assert found is not None
    assert found.n == 9
    for points in found.attacks.values():
        assert [p.epsilon for p in points] == [1, 2, 4]
        assert all(p.accuracy_95[0] <= p.accuracy <= p.accuracy_95[1] for p in points)


def test_one_percent_of_adversarial_training_broken_off_and_gone_on_with(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    models, run = tmp_path / "models", tmp_path / "run"
    common = ["--data", str(data), "--run", str(run), "--models", str(models)]
    train = ["train", "face-cnn-robust", *common, "--epochs", "2", "--fraction", "0.01", "--quick"]
    whole = robust._batches

    def broken(*arguments):
        if arguments[-1] == 1:
            raise KeyboardInterrupt
        return whole(*arguments)

    monkeypatch.setattr(robust, "_batches", broken)
    assert main(train) == 130
    first = json.loads((run / "stage1" / "state.json").read_text())["history"]
    monkeypatch.setattr(robust, "_batches", whole)
    assert main(train) == 0
    state = json.loads((run / "stage1" / "state.json").read_text())
    assert "the weights of face-cnn as it shipped then" in state["recipe"]["initial_weights"]
    assert state["history"][:1] == first
    assert [row["epoch"] for row in state["history"]] == [1, 2]
    assert {"val_accuracy", "val_attacked", "val_score"} <= state["history"][0].keys()
    info = read_info(models / "face-cnn-robust")
    Model(info)
    assert not info.default
    # Its own weights and the twin of its file do for gradients alike.
    attack = ["adversarial", info.name, "--data", str(data), "--models", str(models)]
    assert main([*attack, "--faces", "3"]) == 0
    assert main([*attack, "--faces", "3", "--run", str(run)]) == 0
    assert "--run RUN" in json.loads((info.folder / "adversarial.json").read_text())["command"]


def test_a_learning_curve_is_drawn_resumed_and_read(
    folder: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["learning-curve", "face-cnn", "--data", str(data), "--models", str(folder.parent)]
    arguments += ["--run", str(tmp_path / "run"), "--fractions", "0.5", "1", "--epochs", "1"]
    assert main(arguments) == 0
    first = json.loads((folder / "learning_curve.json").read_text())
    assert [point["fraction"] for point in first["points"]] == [0.5, 1]
    assert [point["epochs"] for point in first["points"]] == [2, 1]
    assert first["points"][1]["n"] == 28
    assert "--fractions 0.5 1 --epochs 1" in first["command"]
    capsys.readouterr()
    assert main(arguments) == 0
    assert "resuming after epoch 2 of 2" in capsys.readouterr().out
    assert json.loads((folder / "learning_curve.json").read_text())["points"] == first["points"]
    found = read_learning_curve(read_info(folder))
    assert found is not None
    assert [point.n for point in found.points] == [14, 28]
    assert main([*arguments[:1], "nobody", *arguments[2:]]) == 1


def test_shares_are_gone_over_more_often_but_not_without_end() -> None:
    assert [learning_curve.epochs_on(f, 3) for f in learning_curve.FRACTIONS] == [24, 24, 12, 6, 3]
    with pytest.raises(DataSetError, match="starts from face-cnn"):
        learning_curve.learning_curve("face-cnn-robust", Path("x"), Path("y"))
