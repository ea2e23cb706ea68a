"""RandAugment: its operations, how they are drawn, and that a stage that asks for them has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from training import face, levers, rand_augment
from training.architectures import face_cnn
from training.fer2013 import Faces
from training.loop import Batches
from training.rand_augment import OPERATIONS, STRENGTH, rand_augmented


@pytest.mark.parametrize("strength", [-STRENGTH, STRENGTH, -1.0, 1.0])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.__name__)
def test_operations_of_rand_augment_keep_size_kind_and_their_input(operation, strength):
    rng = np.random.default_rng(0)
    face = cv2.GaussianBlur(rng.integers(0, 255, (48, 40), np.uint8), (0, 0), 1)
    before = face.copy()
    changed = operation(face, strength)
    assert (changed.shape, changed.dtype) == (face.shape, np.uint8)
    np.testing.assert_array_equal(face, before)
    assert np.array_equal(changed, face) == (operation is rand_augment.identity)
    blank = np.full((48, 40), 77, np.uint8)
    assert operation(blank, strength).std() == 0


def test_operations_of_rand_augment_do_what_they_are_called():
    face = np.tile(np.arange(50, 98, dtype=np.uint8), (48, 1))
    face[20:28, 20:28] = 220
    assert rand_augment.auto_contrast(face, 0.3).min() == 0
    assert rand_augment.auto_contrast(face, 0.3).max() == 255
    assert len(np.unique(rand_augment.posterise(face, 1.0))) <= 16
    solarised = rand_augment.solarise(face, 0.3)
    assert solarised[24, 24] == 35
    assert (solarised[:19] == face[:19]).all()
    assert rand_augment.brighter(face, -1.0).mean() == pytest.approx(face.mean() / 10, abs=1)
    assert rand_augment.more_contrast(face, 0.3).std() > face.std()
    assert rand_augment.more_contrast(face, -0.3).std() < face.std()
    assert rand_augment.shifted_across(face, 0.3)[24, 30] == 220
    assert rand_augment.shifted_across(face, 0.3)[24, 21] != 220
    assert rand_augment.shifted_down(face, -0.3)[16, 24] == 220
    upright = np.zeros((49, 49), np.uint8)
    upright[:, 24] = 255
    assert rand_augment.rotated(upright, 1.0)[4].argmax() != 24
    assert rand_augment.sheared_across(upright, 1.0)[4].argmax() == pytest.approx(18, abs=1)
    assert rand_augment.sheared_down(upright, 1.0)[4].argmax() == 24


def test_rand_augment_draws_for_each_face_and_is_seeded():
    face = np.random.default_rng(0).integers(0, 255, (48, 48), np.uint8)
    drawn = [rand_augmented(face, 2, np.random.default_rng(seed)) for seed in range(30)]
    again = [rand_augmented(face, 2, np.random.default_rng(seed)) for seed in range(30)]
    np.testing.assert_array_equal(drawn, again)
    assert len({one.tobytes() for one in drawn}) > 20
    assert rand_augmented(face, 0, np.random.default_rng(0)) is face


def test_a_stage_learns_from_faces_after_the_operations_that_it_asks_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = np.random.default_rng(0).integers(0, 255, (8, 48, 48), np.uint8)
    names = tuple(str(i) for i in range(8))
    faces = Faces(images, np.arange(8) % 7, np.array(names), names)
    asked: list[Batches] = []

    def fit(build: Any, schedule: Any, steps: int, batches: Any, *others: Any, **more: Any) -> Path:
        asked.append(batches(0))
        return tmp_path

    def first_batch(operations: int) -> np.ndarray:
        stage = replace(levers.FACE_BASE, operations=operations)
        splits = {"train": faces, "validation": faces}
        face.train_stage(face_cnn, splits, tmp_path, face.COMPACT, stage, 1.0, None, {})
        return asked[-1][0][0]

    told = []

    def drawn(one: np.ndarray, operations: int, rng: np.random.Generator) -> np.ndarray:
        told.append(operations)
        return np.full_like(one, 7) if operations else one

    monkeypatch.setattr(face, "fit", fit)
    assert first_batch(0).std() > 0.5
    monkeypatch.setattr(face, "rand_augmented", drawn)
    assert first_batch(0).std() > 0.5
    assert not first_batch(2).any()  # what is of one level is standardised to nothing
    assert told == [0] * 8 + [2] * 8
