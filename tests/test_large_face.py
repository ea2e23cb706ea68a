"""The larger face model: a deep network and `face-cnn` that answer as one."""

from __future__ import annotations

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from core.embedding import Embedder, with_features
from core.face.classify import classify
from core.models import Model, find, read_info
from tests.data_makers import fer2013
from training import face, recipes
from training.__main__ import main
from training.architectures import ARCHITECTURES, DEEP, face_cnn, together, voice_cnn
from training.export import rebuild, to_litert, write_folder
from training.fer2013 import load
from training.files import DataSetError
from training.learning_curve import learning_curve
from training.loop import Batches, Schedule, fit
from training.twin import compare, mean_logits, read_out, twin

NAME = "face-cnn-large"


def tiny(blocks: tuple[int, ...] = (), name: str = "face-cnn") -> keras.Model:
    """A narrow network that has a block more at the end where the deep one is asked for."""
    return face_cnn((8, 16, 24), (1, 1, blocks[-1] - 1), name=name) if blocks else face_cnn()


@pytest.mark.usefixtures("without_graphs")
def test_it_learns_from_face_cnn_and_answers_together_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fer2013(tmp_path / "data", train=6, held_out=3, suffix=".jpg")
    monkeypatch.setitem(ARCHITECTURES, NAME, tiny)
    shipped = find("face", "face-cnn")
    seen = []
    targets_of = face.targets_of

    def noted(*given):
        seen.append((given, targets_of(*given)))
        return seen[-1][1]

    monkeypatch.setattr(face, "targets_of", noted)
    run, models = tmp_path / "run", tmp_path / "models"
    command = ["train", NAME, "--data", str(tmp_path / "data"), "--models", str(models)]
    assert main([*command, "--run", str(run), "--epochs", "1", "--quick"]) == 0

    (faces, stage, _), targets = seen[0]
    answers = classify(faces.images, Model(shipped))[0] / shipped.temperature
    answers = np.exp(answers) / np.exp(answers).sum(axis=1, keepdims=True)
    labels = np.eye(7)[faces.labels]
    assert stage.teacher == "face-cnn"
    assert targets == pytest.approx((labels + answers) / 2, abs=1e-5)

    info = read_info(models / NAME)
    deep = rebuild(NAME, run / "deep/stage2/best.weights.h5", **DEEP)
    beside = twin(shipped)
    assert info.parameters == deep.count_params() + beside.count_params()
    both = [mean_logits(network, faces.images) for network in (deep, beside)]
    # The file is in float16; and what a face's logits add up to says nothing.
    apart = classify(faces.images, Model(info))[0] - np.mean(both, axis=0)
    assert apart - apart.mean(axis=1, keepdims=True) == pytest.approx(0, abs=0.1)
    assert Embedder(info).faces(faces.images[:3]).shape == (3, 24 + 192)

    sha256 = shipped.sha256[:12]
    card = (info.folder / "README.md").read_text()
    assert f"answers face-cnn as it shipped then (SHA-256 {sha256})" in card
    assert f"half of each target being what face-cnn (SHA-256 {sha256}) answers" in card
    assert "deep network: " not in card  # no other was trained for it

    # Its gradients are those of both, read out of its file.
    data = str(tmp_path / "data")
    correlation = compare(twin(info), Model(info), load(tmp_path / "data")["test"])
    assert correlation > 0.999
    attack = ["adversarial", NAME, "--data", data, "--models", str(models)]
    assert main([*attack, "--run", str(run)]) == 1
    assert "attack its file, without --run" in capsys.readouterr().err

    # What is half done, or was taught by another file, is not shipped.
    export = ["export", NAME, "--data", data, "--models", str(models), "--run", str(run)]
    state = run / "deep/stage1/state.json"
    content = state.read_text()
    state.write_text(content.replace(shipped.sha256, "0" * 64))
    assert main(export) == 1
    assert "taught by another file of face-cnn" in capsys.readouterr().err
    state.write_text(content)
    (run / "deep/stage2/state.json").unlink()
    assert main(export) == 1
    assert "holds 1 of these 2 stages" in capsys.readouterr().err


def test_a_model_that_is_not_as_it_was_is_not_taken_along(tmp_path: Path) -> None:
    fer2013(tmp_path / "data", train=1, held_out=1, suffix=".jpg")
    folder = write_folder(
        "face-cnn", to_litert(tiny((2, 2, 2)), "float32"), find("face").card, [], tmp_path
    )
    with pytest.raises(DataSetError, match="of another architecture"):
        read_out(read_info(folder), load(tmp_path / "data")["validation"])


def test_its_learning_curve_is_that_of_the_network_beside(tmp_path: Path) -> None:
    with pytest.raises(DataSetError, match="with face-cnn; draw the learning curve of that"):
        learning_curve(NAME, tmp_path, tmp_path)


def test_runs_from_before_teachers_were_noted_go_on(tmp_path: Path) -> None:
    def run(facts: dict[str, str]) -> Path:
        return fit(
            tiny_again,
            Schedule(epochs=1, batch_size=4),
            1,
            lambda _: Batches(1, lambda _: (np.zeros((4, 32, 32, 1), np.float32), np.eye(7)[:4])),
            lambda _: {"score": 0.0},
            tmp_path,
            recipe={"examples": 4, **facts},
        )

    def tiny_again() -> keras.Model:
        return tiny((2, 2, 2))

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


def test_its_teacher_is_the_model_that_it_answers_with() -> None:
    recipe = recipes.RECIPES[NAME]
    assert {stage.teacher for stage in face.LARGE.stages} == {recipe.beside}
    assert not recipe.default
    assert recipe.rounds == {"deep": 2}
    assert face_cnn(**DEEP).count_params() > face_cnn().count_params()
