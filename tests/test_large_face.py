"""The larger face model: the network of `face-cnn`, which goes on with enlarged faces."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from core.embedding import Embedder, with_features
from core.face.classify import classify
from core.face.tensor import FACE_TENSOR, FaceInput, face_tensor
from core.models import Model, find, read_info
from tests.data_makers import fer2013
from training import face, recipes
from training.__main__ import main
from training.architectures import face_cnn, together, voice_cnn
from training.attacks import as_pixels, enlarged
from training.export import rebuild, to_litert, write_folder
from training.fer2013 import load
from training.files import DataSetError
from training.learning_curve import learning_curve
from training.loop import Batches, Schedule, fit
from training.twin import compare, mean_logits, read_out, twin

NAME = "face-cnn-large"
SIZE = face.LARGE_SIZE


def tiny() -> keras.Model:
    return face_cnn((8, 16, 24), (1, 1, 1))


@pytest.mark.usefixtures("without_graphs")
def test_it_goes_on_from_face_cnn_and_is_asked_about_enlarged_faces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fer2013(tmp_path / "data", train=6, held_out=3, suffix=".jpg")
    shipped = find("face", "face-cnn")
    judged = []
    predicted = face.predicted_logits

    def noted(model, images, prepared):
        judged.append(prepared)
        return predicted(model, images, prepared)

    monkeypatch.setattr(face, "predicted_logits", noted)
    data, run, models = str(tmp_path / "data"), tmp_path / "run", tmp_path / "models"
    command = ["train", NAME, "--data", data, "--models", str(models), "--run", str(run)]
    assert main([*command, "--epochs", "1", "--quick"]) == 0
    assert set(judged) == {FaceInput(FACE_TENSOR, SIZE)}

    faces = load(tmp_path / "data")["test"]
    begun = rebuild(NAME, run / "start.weights.h5")
    expected = mean_logits(twin(shipped), faces.images)
    assert mean_logits(begun, faces.images) == pytest.approx(expected, abs=2e-3)

    info = read_info(models / NAME)
    assert info.card["input"] == {"shape": ["n", SIZE, SIZE, 1], "preprocessing": FACE_TENSOR}
    assert not info.card["default"]
    trained = rebuild(NAME, run / "stage2/best.weights.h5")
    logits, evidence = classify(faces.images, Model(info))
    assert evidence.shape == (len(faces), SIZE // 8, SIZE // 8, 7)
    # The file is in float16; and what a face's logits add up to says nothing.
    apart = logits - mean_logits(trained, faces.images, SIZE)
    assert apart - apart.mean(axis=1, keepdims=True) == pytest.approx(0, abs=0.1)
    assert Embedder(info).faces(faces.images[:3]).shape == (3, 192)
    card = (info.folder / "README.md").read_text()
    sha256 = shipped.sha256[:12]
    assert f"It began with the weights of face-cnn as it shipped then (SHA-256 {sha256}" in card

    # An attacker changes the faces that people send, not the enlarged ones.
    assert compare(twin(info), Model(info), faces) > 0.999
    attack = ["adversarial", NAME, "--data", data, "--models", str(models), "--faces", "4"]
    assert main(attack) == 0
    assert "on 4 test faces" in capsys.readouterr().out

    # What began with other weights is not gone on with, and what is half done not shipped.
    state = run / "stage1/state.json"
    content = state.read_text()
    state.write_text(content.replace(shipped.sha256, "0" * 64))
    assert main([*command, "--epochs", "1", "--quick"]) == 1
    assert "did not begin with the weights of face-cnn" in capsys.readouterr().err
    state.write_text(content)
    (run / "stage2/state.json").unlink()
    assert main(["export", *command[1:]]) == 1
    assert "holds 1 of these 2 stages" in capsys.readouterr().err


def test_a_model_that_is_not_as_it_was_is_not_gone_on_with(tmp_path: Path) -> None:
    fer2013(tmp_path / "data", train=1, held_out=1, suffix=".jpg")
    content = to_litert(tiny(), "float32")
    folder = write_folder("face-cnn", content, find("face").card, [], tmp_path)
    with pytest.raises(DataSetError, match="of another architecture"):
        read_out(read_info(folder), load(tmp_path / "data")["validation"])


def test_its_learning_curve_is_that_of_what_it_starts_from(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="starts from face-cnn; draw the learning curve of that"):
        learning_curve(NAME, tmp_path, tmp_path)


def test_faces_are_enlarged_alike_in_use_and_under_attack() -> None:
    faces = np.random.default_rng(0).integers(0, 255, (2, 48, 48), np.uint8)
    larger = np.stack([cv2.resize(x, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR) for x in faces])
    assert face_tensor(faces, SIZE) == pytest.approx(face_tensor(larger), abs=1e-6)
    attacked = keras.ops.convert_to_numpy(enlarged(as_pixels(faces), SIZE))
    assert attacked * 255 == pytest.approx(larger[..., np.newaxis], abs=1)


def test_runs_from_before_teachers_were_noted_go_on(tmp_path: Path) -> None:
    def run(facts: dict[str, str]) -> Path:
        return fit(
            tiny,
            Schedule(epochs=1, batch_size=4),
            1,
            lambda _: Batches(1, lambda _: (np.zeros((4, 32, 32, 1), np.float32), np.eye(7)[:4])),
            lambda _: {"score": 0.0},
            tmp_path,
            recipe={"examples": 4, **facts},
        )

    before = run({}).read_bytes()
    assert run({"teacher_sha256": "0" * 64}).read_bytes() == before
    state = tmp_path / "state.json"
    noted = json.loads(state.read_text())
    noted["recipe"]["teacher_sha256"] = "1" * 64
    state.write_text(json.dumps(noted))
    with pytest.raises(DataSetError, match="another recipe"):
        run({"teacher_sha256": "0" * 64})


def test_constants_that_are_added_lead_to_no_features() -> None:
    def network(name: str, width: int) -> keras.Model:
        return voice_cnn((4, 4, width), (1, 1, 1), name=name)

    joined = together([network("narrow", 8), network("wide", 16)])
    for model, count in ((network("alone", 8), 1), (joined, 2)):
        assert len(with_features(to_litert(model, "float16"))[1]) == count


def test_it_is_offered_behind_face_cnn_and_as_small() -> None:
    recipe = recipes.RECIPES[NAME]
    assert not recipe.default
    assert recipe.begins_with == "face-cnn"
    assert recipe.largest_bytes == recipes.SMALL_BYTES
    assert all(stage.judged_size == SIZE for stage in face.LARGE.stages)
