"""The larger face model: a deep network and `face-cnn` that answer as one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from core.embedding import Embedder
from core.face.classify import classify
from core.models import Model, find, read_info
from tests.data_makers import fer2013
from training import face, recipes, ship
from training.__main__ import main
from training.architectures import ARCHITECTURES, face_cnn
from training.export import rebuild, to_litert, write_folder
from training.files import DataSetError
from training.twin import mean_logits, twin

NAME = "face-cnn-large"


def tiny(blocks: tuple[int, ...] = (1, 1, 1), name: str = "tiny") -> keras.Model:
    return face_cnn((8, 16, 24), tuple(1 for _ in blocks), name=name)


@pytest.mark.usefixtures("without_graphs")
def test_it_learns_from_face_cnn_and_answers_together_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
    deep = rebuild(NAME, run / "deep/stage2/best.weights.h5")
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


def test_a_model_that_is_not_as_it_was_is_not_taken_along(tmp_path: Path) -> None:
    folder = write_folder("face-cnn", to_litert(tiny(), "float32"), find("face").card, [], tmp_path)
    with pytest.raises(DataSetError, match="of another architecture"):
        ship._read_out(read_info(folder), tmp_path)


def test_its_teacher_is_the_model_that_it_answers_with() -> None:
    recipe = recipes.RECIPES[NAME]
    assert {stage.teacher for stage in face.LARGE.stages} == {recipe.beside}
    assert not recipe.default
    deep = face_cnn(**face.DEEP)
    assert deep.count_params() > face_cnn().count_params()
    assert replace(face.LARGE).plan == ("44 px", "48 px")
