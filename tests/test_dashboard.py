"""The pages on models: what they compute, every state they show, and training from a page."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from core import datasets, models
from core.datasets import DataSetError, Files
from core.errors import DuetError
from core.predictions import FILE_NAME, Predictions, read_predictions, write_predictions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of a shipped model folder, free to be spoilt."""
    info = models.find("face")
    return Path(shutil.copytree(info.folder, tmp_path / "models" / info.name))


def made_up(n: int = 60, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    return Predictions(
        np.array([f"test/happy/PrivateTest_{i}.jpg" for i in range(n)]),
        np.arange(n) % 7,
        rng.dirichlet(np.ones(7), n),
        np.full(n, ""),
    )


# --- predictions --------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["face", "voice"])
def test_shipped_predictions_are_those_that_the_evaluation_sums_up(task: models.Task) -> None:
    info = models.find(task)
    found = read_predictions(info)
    assert set(found) == {"validation", "test"}
    for split, predictions in found.items():
        matrix = np.zeros((7, 7), int)
        np.add.at(matrix, (predictions.labels, predictions.answers), 1)
        assert matrix.tolist() == info.evaluation["splits"][split]["confusion_matrix"]
        assert len(set(predictions.ids)) == len(predictions)


def test_written_predictions_keep_every_answer(folder: Path) -> None:
    p = np.full((2, 7), 0.001)
    p[0, 2:4] = 0.45001, 0.45002  # one number in float16
    p[1, 0] = 0.95
    made = Predictions(
        np.array(["a", "b"]), np.array([3, 0]), p / p.sum(1, keepdims=True), np.array(["", ""])
    )
    write_predictions(folder, {"test": made})
    found = read_predictions(models.read_info(folder))["test"]
    assert found.answers.tolist() == [3, 0]
    assert found.right.all()


@pytest.mark.parametrize(
    ("content", "word"),
    [(None, "is missing"), (b"", "damaged"), (b"PK no zip", "damaged"), (b"\x80\x04", "damaged")],
)
def test_missing_and_broken_predictions_get_a_sentence(
    folder: Path, content: bytes | None, word: str
) -> None:
    (folder / FILE_NAME).unlink()
    if content is not None:
        (folder / FILE_NAME).write_bytes(content)
    with pytest.raises(DuetError, match=word) as caught:
        read_predictions(models.read_info(folder))
    assert FILE_NAME in caught.value.message
    assert "python -m training evaluate face-cnn" in caught.value.message


@pytest.mark.parametrize(
    "change",
    [
        {"test/labels": np.full(60, 9, np.int8)},
        {"test/labels": np.zeros(59, np.int8)},
        {"test/probabilities": np.full((60, 7), np.nan)},
        {"test/ids": np.array([{"a": 1}] * 60, dtype=object)},
        {"test/more": np.zeros(1), "test/ids": np.zeros(60)},
        {"stray": np.zeros(3)},
    ],
)
def test_rubbish_in_predictions_is_refused(folder: Path, change: dict[str, np.ndarray]) -> None:
    path = write_predictions(folder, {"test": made_up()})
    with np.load(path) as stored:
        arrays = dict(stored)
    np.savez(path, **{**arrays, **change})
    with pytest.raises(DuetError, match="damaged"):
        read_predictions(models.read_info(folder))


# --- data sets ----------------------------------------------------------------------------------


def test_examples_are_read_from_folder_and_zip_but_from_nowhere_else(tmp_path: Path) -> None:
    place = tmp_path / "fer2013" / "test" / "happy"
    place.mkdir(parents=True)
    (place / "PrivateTest_1.jpg").write_bytes(b"a picture")
    (tmp_path / "secret.txt").write_text("not for you")
    name = "test/happy/PrivateTest_1.jpg"
    assert datasets.present(tmp_path) == ("fer2013",)
    opened = Files(tmp_path / "fer2013")
    assert opened.read(name) == b"a picture"
    for wrong in ("../secret.txt", str(tmp_path / "secret.txt"), "test/none.jpg", "test"):
        with pytest.raises(DataSetError, match="has no file"):
            opened.read(wrong)
    shutil.make_archive(str(tmp_path / "fer2013"), "zip", tmp_path / "fer2013")
    zipped = Files(tmp_path / "fer2013.zip")
    assert zipped.read(name) == b"a picture"
    with pytest.raises(DataSetError, match="has no file"):
        zipped.read("../secret.txt")


def test_an_example_is_named_with_its_set() -> None:
    assert datasets.set_of("test/happy/a.jpg", "face") == ("fer2013", "test/happy/a.jpg")
    assert datasets.set_of("tess/x/y.ogg", "voice") == ("tess", "x/y.ogg")
