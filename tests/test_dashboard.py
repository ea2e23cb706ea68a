"""The pages on models: what they compute, every state they show, and training from a page."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import streamlit as st
from scipy.stats import binomtest
from streamlit.testing.v1 import AppTest

from core import datasets, jobs, measures, models, places, reports
from core.datasets import DataSetError, Files
from core.errors import DuetError
from core.predictions import FILE_NAME, Predictions, read_predictions, write_predictions
from core.ui import datasets as local
from core.ui import plots
from tests.test_pages import ROOT, calm, go, start, words
from training.report import write_report


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No data set, and nothing that was trained on this machine."""
    monkeypatch.setenv("DUET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DUET_OWNER", "everyone")  # no browser says where the viewer sits
    monkeypatch.delenv("DUET_DATA", raising=False)
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


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


# --- measures -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("only_first", "only_second"), [(0, 0), (1, 0), (12, 5), (40, 41), (3, 90)]
)
def test_mcnemar_is_the_exact_binomial_test(only_first: int, only_second: int) -> None:
    first = np.repeat([True, False, True, False], [only_first, only_second, 30, 20])
    second = np.repeat([False, True, True, False], [only_first, only_second, 30, 20])
    tosses = only_first + only_second
    expected = binomtest(only_first, tosses, 0.5).pvalue if tosses else 1.0
    assert measures.mcnemar(first, second) == pytest.approx(expected)
    assert measures.mcnemar(second, first) == pytest.approx(expected)


def test_mcnemar_bears_many_examples() -> None:
    right = np.arange(40_000) % 2 == 0
    assert measures.mcnemar(right, ~right) == pytest.approx(1)
    assert measures.mcnemar(right, np.zeros_like(right)) < 1e-300


def test_curves_of_a_perfect_and_of_a_blind_model() -> None:
    positive = np.array([True, True, False, False, False])
    perfect = np.array([0.9, 0.8, 0.3, 0.2, 0.1])
    for make in (measures.roc_curve, measures.precision_recall_curve):
        curve = make(perfect, positive)
        assert curve is not None
        assert curve.area == pytest.approx(1)
    blind = measures.roc_curve(np.full(5, 0.5), positive)
    precision = measures.precision_recall_curve(np.full(5, 0.5), positive)
    assert blind is not None
    assert precision is not None
    assert blind.area == pytest.approx(0.5)
    assert precision.area == pytest.approx(0.4)
    assert measures.roc_curve(perfect, np.zeros(5, bool)) is None
    assert measures.precision_recall_curve(perfect, np.zeros(5, bool)) is None


def test_roc_area_is_the_chance_that_a_positive_scores_higher() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 8, 200) / 8, rng.random(200) < 0.3
    curve = measures.roc_curve(scores, positive)
    assert curve is not None
    gaps = scores[positive][:, None] - scores[~positive]
    assert curve.area == pytest.approx(((gaps > 0) + 0.5 * (gaps == 0)).mean())


def test_coverage_and_calibration_of_a_known_case() -> None:
    p = np.full((4, 7), 0.02)
    p[np.arange(4), [0, 1, 2, 3]] = [0.88, 0.88, 0.4, 0.4]
    labels = np.array([0, 1, 2, 0])
    confidence, right = p.max(axis=1), p.argmax(axis=1) == labels
    assert measures.coverage(confidence, right, 0.5) == (0.5, 1.0)
    assert measures.coverage(confidence, right, 0.0) == (1.0, 0.75)
    assert measures.coverage(confidence, right, 0.99) == (0.0, None)
    bins = measures.reliability(p, labels)
    assert bins.count.tolist() == [2, 2]
    assert bins.accuracy.tolist() == [0.5, 1.0]
    assert bins.error == pytest.approx(0.5 * 0.1 + 0.5 * 0.12)


def test_a_threshold_that_answers_next_to_none_says_so() -> None:
    confidence = np.array([0.4, 0.6, 0.8, 0.9])
    rows = plots.coverage_rows(confidence, np.array([False, True, True, True]))
    titles = [str(plots.coverage(rows, at).layout.title.text) for at in (0.7, 0.99)]
    assert "50% are answered, 100% of these rightly" in titles[0]
    assert "fewer than 1% are answered" in titles[1]


def test_of_two_models_with_one_name_the_first_is_offered() -> None:
    own = places.own_models()
    assert own is not None
    shutil.copytree(models.MODELS_FOLDER / "face-cnn", own / "face-cnn")
    found, broken = models.installed()
    assert [info.folder for info in found if info.name == "face-cnn"] == [
        models.MODELS_FOLDER / "face-cnn"
    ]
    assert "has the name of another model" in broken[-1].problem


def test_shares_of_empty_rows_are_zero() -> None:
    matrix = np.zeros((7, 7), int)
    matrix[0, :2] = 3, 1
    assert measures.shares(matrix, 1)[0, 0] == 0.75
    assert measures.shares(matrix, 0)[0, 1] == 1
    assert not measures.shares(matrix, 1)[1:].any()
    assert plots.confusion_finding(matrix) == "Angry is most often mistaken for disgust (25%)"


def test_models_that_answer_alike_are_said_to_differ_nowhere() -> None:
    matrix = np.eye(7, dtype=int)
    assert plots.difference(matrix, matrix).layout.title.text == (
        "Both recall every emotion equally well"
    )
    other = matrix.copy()
    other[0] = [0, 1, 0, 0, 0, 0, 0]
    title = plots.difference(matrix, other).layout.title.text
    assert title == "Recall differs most for angry: -100.0 points"


def test_predictions_are_compared_example_by_example() -> None:
    made = made_up()
    order = np.random.default_rng(1).permutation(len(made))
    shuffled = made.where(order)
    aligned = shuffled.aligned_with(made)
    assert aligned is not None
    assert aligned.ids.tolist() == made.ids.tolist()
    np.testing.assert_array_equal(aligned.probabilities, made.probabilities)
    assert made.where(order[:-1]).aligned_with(made) is None
    assert made.aligned_with(made.where(order[:-1])) is None


# --- what a folder says -------------------------------------------------------------------------


def test_histories_with_any_columns_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text("epoch,loss\n1,2.0\n2,nan\n3,1.0\n")
    log = reports.read_history(path)
    assert log.kept == []
    assert set(plots.history(log)) == {"loss"}
    path.write_text("epoch,val_score,stage\n1,0.9,1\n2,0.3,2\n3,0.4,2\n")
    log = reports.read_history(path)
    assert log.kept == [2]  # weights are those of the last stage
    assert "epoch 3 were kept: 40.0%" in plots.history(log)["scores"].layout.title.text
    assert "network" not in plots.history_rows(log)[0]
    for info in models.installed()[0]:
        log = reports.read_history(info.folder / "history.csv")
        loss = {"loss"} if log.of("loss") is not None else set()
        assert set(plots.history(log)) == {"scores", "learning_rate"} | loss


def test_the_curves_of_several_networks_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    path.write_text(
        "epoch,loss,val_score,stage,network\n"
        "1,2.0,0.2,1,small\n2,1.5,0.6,1,small\n3,1.0,0.3,2,small\n4,,0.5,2,small\n"
        "5,1.9,0.4,3,large\n6,1.1,0.3,3,large\n"
    )
    log = reports.read_history(path)
    assert log.kept == [3, 4]
    drawn = plots.history(log)
    loss, scores = drawn["loss"], drawn["scores"]
    words = loss.layout.title.text.replace("<br>", " ")
    assert "from 2.00 to 1.00 (small) and from 1.90 to 1.10 (large)" in words
    words = scores.layout.title.text.replace("<br>", " ")
    assert "epoch 4 (small) and 5 (large) were kept: 50.0% and 40.0%" in words
    assert [note.text for note in loss.layout.annotations] == ["small", "stage 2", "large"]
    assert [note.textangle for note in loss.layout.annotations] == [None, -90, None]
    x, y = np.array(scores.data[0].x), np.array(scores.data[0].y)
    assert np.isnan(x[4])  # no line from the one to the other
    assert np.isnan(y[4])
    np.testing.assert_array_equal(y[5:], [0.4, 0.3])
    star = next(trace for trace in scores.data if trace.name == "best epoch")
    assert list(star.x) == [4, 5]
    assert plots.history_rows(log)[5]["network"] == "large"


@pytest.mark.parametrize(
    "content",
    ["", "x\n1\n", "epoch,loss\n", "epoch,loss\na,b\n", "epoch,loss\n1,1e300\n", b"\xff\xfe"],
)
def test_a_spoilt_history_is_named(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DuetError, match=r"history\.csv"):
        reports.read_history(path)


ROBUSTNESS = {
    "split": "test",
    "n": 100,
    "drawn_from": 3589,
    "command": "python -m training report face-cnn --data PATH",
    "clean": {"accuracy": 0.7, "accuracy_95": [0.6, 0.8], "unweighted_average_recall": 0.6},
    "corruptions": {
        name: [
            {"strength": s, "setting": f"level {s}", "accuracy": 0.7 - cost * s,
             "unweighted_average_recall": 0.6 - cost * s}
            for s in range(1, 6)
        ]
        for name, cost in (("blur", 0.02), ("noise", 0.08))
    },
}  # fmt: skip
FAIRNESS = {
    "split": "test",
    "command": "python -m training report face-cnn --data PATH",
    "groups": {
        "sex": {
            "female": {"n": 50, "accuracy": 0.7, "accuracy_95": [0.6, 0.8],
                       "unweighted_average_recall": 0.7},
            "male": {"n": 50, "accuracy": 0.6, "accuracy_95": [0.5, 0.7],
                     "unweighted_average_recall": None},
        }
    },
    "gaps": {"sex": {"measure": "accuracy", "difference": 0.1, "interval_95": [-0.02, 0.2]}},
    "note": "Groups as the data state them.",
}  # fmt: skip


ADVERSARIAL = {
    "n": 100,
    "drawn_from": 3000,
    "command": "python -m training adversarial face-cnn --data PATH",
    "clean": {"accuracy": 0.7, "accuracy_95": [0.6, 0.8]},
    "attacks": {
        name: {
            "setting": f"{steps} steps",
            "epsilons": [
                {"epsilon": e, "accuracy": left / e, "accuracy_95": [0.0, 0.5]} for e in (1, 2, 4)
            ],
        }
        for name, steps, left in (("FGSM", 1, 0.4), ("PGD", 10, 0.2))
    },
    "note": "The attacker knows the weights.",
}
LEARNING_CURVE = {
    "points": [
        {"fraction": f, "n": int(1000 * f), "epochs": 3,
         **{s: {"accuracy": 0.4 + 0.2 * f, "unweighted_average_recall": 0.3 + 0.2 * f}
            for s in ("validation", "test")}}
        for f in (1.0, 0.5)
    ],
    "settings": "3 epochs",
    "command": "python -m training learning-curve face-cnn --data PATH",
    "note": "Short runs.",
}  # fmt: skip


def test_attacks_and_learning_curves_are_read(folder: Path) -> None:
    info = models.read_info(folder)
    for name in ("adversarial.json", "learning_curve.json"):
        (folder / name).unlink(missing_ok=True)
    assert reports.read_adversarial(info) is None
    assert reports.read_learning_curve(info) is None
    (folder / "adversarial.json").write_text(json.dumps(ADVERSARIAL))
    (folder / "learning_curve.json").write_text(json.dumps(LEARNING_CURVE))
    attacked, curve = reports.read_adversarial(info), reports.read_learning_curve(info)
    assert attacked is not None
    assert curve is not None
    figure = plots.adversarial(attacked, {"other": attacked})
    assert figure.layout.title.text == (
        "PGD with at most 4 grey levels a pixel leaves 5.0% right, of 70.0%"
    )
    assert [trace.name for trace in figure.data] == ["FGSM", "PGD", "other, PGD"]
    assert len(plots.adversarial_rows({"it": attacked})) == 8
    title = plots.learning_curve(curve).layout.title.text
    assert title.startswith("1,000 instead of 500 training examples: +10.0 points")
    assert [row["n"] for row in plots.learning_curve_rows(curve)] == [500, 1000]


LEVERS = {
    "series": [
        {
            "base": {"name": "as it is", "score": 0.5, "seconds": 100, "parameters": 10},
            "tried": [
                {"name": name, "score": 0.5 + gain, "gain": gain, "p": p, "seconds": 200,
                 "parameters": 20}
                for name, gain, p in names
            ],
            "n": 100,
            "measure": "accuracy",
            "settings": "4 epochs",
            "command": "python -m training levers face-cnn --data PATH",
        }
        for names in (
            [("wider", 0.01, 0.2), ("longer", 0.05, 0.001)],
            [("deeper", 0.06, 0.06), ("narrower", -0.1, 0.0)],
        )
    ]
}  # fmt: skip


def test_ideas_are_read_and_those_beyond_chance_set_apart(folder: Path) -> None:
    info = models.read_info(folder)
    (folder / "levers.json").unlink(missing_ok=True)
    assert reports.read_levers(info) == []
    (folder / "levers.json").write_text(json.dumps(LEVERS))
    found = reports.read_levers(info)
    assert [[idea.name for idea in ideas.tried] for ideas in found] == [
        ["longer", "wider"],
        ["deeper", "narrower"],
    ]
    assert found[0].tried[0].cost == 2
    figure = plots.levers(found)
    beyond, chance = figure.data
    assert list(beyond.y) == ["narrower", "longer"]
    assert list(chance.y) == ["wider", "deeper"]
    # What gained more may be chance all the same, and what lost is no gain.
    assert figure.layout.title.text == "Longer gains most: +5.0 points of accuracy in short runs"
    nothing = plots.levers(found[1:]).layout.title.text
    assert nothing == "No idea gains accuracy beyond chance in short runs"


WHOLE = {
    "whole_runs": [
        {"name": "longer", "cost": "twice the time", "ships": True, "changes": [
            {"measure": "accuracy", "before": 0.5, "after": 0.625, "p": 0.014},
            {"measure": "log loss", "before": 1.25, "after": 1.2},
        ]},
        {"name": "twofold", "ships": False, "commit": "abc1234", "changes": [
            {"measure": "log loss", "before": 0.88, "after": 0.8612},
        ]},
        {"name": "nothing", "ships": False, "changes": []},
    ]
}  # fmt: skip


def test_whole_runs_are_read_beside_short_ones(folder: Path) -> None:
    info = models.read_info(folder)
    (folder / "levers.json").unlink(missing_ok=True)
    assert reports.read_whole_runs(info) == []
    (folder / "levers.json").write_text(json.dumps(LEVERS))
    assert reports.read_whole_runs(info) == []
    (folder / "levers.json").write_text(json.dumps(LEVERS | WHOLE))
    longer, twofold = reports.read_whole_runs(info)
    said = ["accuracy 50.0% to 62.5% (p 0.014)", "log loss 1.25 to 1.2"]
    assert [str(change) for change in longer.changes] == said
    assert [str(change) for change in twofold.changes] == ["log loss 0.88 to 0.861"]
    assert (twofold.cost, twofold.ships) == ("", False)
    assert len(reports.read_levers(info)) == 2
    report = write_report(folder.parent).read_text()
    assert f"| longer | {'; '.join(said)} | twice the time | yes |" in report
    assert "| twofold (commit abc1234) | log loss 0.88 to 0.861 |  | no |" in report
    (folder / "levers.json").write_text(json.dumps(LEVERS | {"whole_runs": [{"name": "x"}]}))
    with pytest.raises(DuetError, match="misstates"):
        reports.read_whole_runs(info)


RANDOM_SPLIT = {
    "n": 100,
    "accuracy": 0.9,
    "unweighted_average_recall": 0.9,
    "unweighted_average_recall_95": [0.8, 0.95],
    "speaker_in_training": 1.0,
    "clip_in_training": 0.5,
    "epochs": 6,
    "plateau": False,
    "command": "python -m training random-split --data PATH",
}


def test_attacks_and_learning_curves_are_shown_where_there_are_any(second: Path) -> None:
    for name in ("adversarial.json", "learning_curve.json", "levers.json"):
        (second / name).unlink(missing_ok=True)
    app = view(go(start(), "models"), "One model")
    app.selectbox(key="model").set_value(second.name).run()
    for there in (False, True):
        if there:
            (second / "adversarial.json").write_text(json.dumps(ADVERSARIAL))
            (second / "robustness.json").write_text(json.dumps(ROBUSTNESS))
            (second / "learning_curve.json").write_text(json.dumps(LEARNING_CURVE))
            (second / "random_split.json").write_text(json.dumps(RANDOM_SPLIT))
            (second / "levers.json").write_text(json.dumps(LEVERS | WHOLE))
        app.button_group(key="section").set_value("Training").run()
        calm(app)
        assert ("What more data bring" in words(app)) is there
        assert ("Longer gains most" in words(app)) is there
        assert ("What whole runs came to" in words(app)) is there
        assert ("**longer** (ships): accuracy 50.0% to 62.5%" in words(app)) is there
        assert ("A split that leaks would claim" in words(app)) is there
        assert ("chosen by these examples, too. The number of ep" in words(app)) is there
        app.button_group(key="section").set_value("Robustness and fairness").run()
        calm(app)
        assert ("leaves 5.0% right" in words(app)) is there
        assert ("The attacker knows the weights" in words(app)) is there
        assert ("On 100 test faces of 3,000, drawn at random" in words(app)) is there
        assert ("On 100 test examples of 3,589, drawn at random" in words(app)) is there


def test_numbers_of_another_file_are_marked(second: Path) -> None:
    sentence = f"What is said here of {second.name} was measured on another file"
    files = {
        "evaluation.json": json.loads((second / "evaluation.json").read_text()),
        "robustness.json": ROBUSTNESS,
        "fairness.json": FAIRNESS,
        "adversarial.json": ADVERSARIAL,
    }
    app = start()
    for sha256, marked in ((models.read_info(second).sha256, False), ("0" * 64, True)):
        for name, found in files.items():
            (second / name).write_text(json.dumps({**found, "model_sha256": sha256}))
        app = view(go(app, "models"), "All models")
        assert (sentence in words(app)) is marked
        app = view(app, "One model")
        app.selectbox(key="model").set_value(second.name).run()
        for section, tables in (("Trust", 1), ("Robustness and fairness", 3)):
            app.button_group(key="section").set_value(section).run()
            calm(app)
            said = words(app).count(sentence)
            assert said == marked * tables, section


def test_what_was_not_drawn_is_not_said_to_be() -> None:
    assert reports.of_how_many(1000, 3589, "faces") == "1,000 faces of 3,589, drawn at random"
    assert reports.of_how_many(3589, 3589, "faces") == "3,589 faces"
    assert reports.of_how_many(3589, 0, "faces") == "3,589 faces"


def test_robustness_and_fairness_are_read(folder: Path) -> None:
    info = models.read_info(folder)
    for name in ("robustness.json", "fairness.json"):
        (folder / name).unlink()
    assert reports.read_robustness(info) is None
    assert reports.read_fairness(info) is None
    (folder / "robustness.json").write_text(json.dumps(ROBUSTNESS))
    (folder / "fairness.json").write_text(json.dumps(FAIRNESS))
    robust, fair = reports.read_robustness(info), reports.read_fairness(info)
    assert robust is not None
    assert fair is not None
    assert plots.robustness(robust).layout.title.text.startswith("Noise hurts most: 40.0 points")
    rows = plots.robustness_rows(robust)
    assert len(rows) == 11
    # Files from before there were intervals are read, too.
    assert (rows[0]["accuracy_low"], rows[0]["accuracy_high"]) == (0.6, 0.8)
    assert (rows[1]["accuracy_low"], rows[1]["accuracy_high"]) == (None, None)
    hovered = plots.robustness(robust).data[0].customdata
    assert list(hovered[:2]) == ["95%: 60.0% to 80.0%; clean", "level 1"]
    title = plots.fairness(fair, "sex").layout.title.text
    assert title.endswith("up to 10.0 points (95%: -2.0 to 20.0), which may be chance")
    fewer = replace(fair.groups["sex"]["male"], accuracy_95=None)
    fair = replace(fair, groups={"sex": {**fair.groups["sex"], "other": fewer}})
    title = plots.fairness(fair, "sex").layout.title.text
    assert title.endswith("which may be chance, not counting other (few people)")
    assert robust.corpora == ()
    (folder / "robustness.json").write_text(json.dumps({**ROBUSTNESS, "corpora": ["crema_d"]}))
    robust = reports.read_robustness(info)
    assert robust is not None
    assert robust.corpora == ("CREMA-D",)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("evaluation.json", reports.read_evaluation),
        ("robustness.json", reports.read_robustness),
        ("fairness.json", reports.read_fairness),
        ("adversarial.json", reports.read_adversarial),
        ("learning_curve.json", reports.read_learning_curve),
        ("levers.json", reports.read_levers),
    ],
)
@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"splits": {}}', '{"splits": {"test": 3}}', "[" * 100_000,
                '{"split": "test", "n": NaN, "groups": [], "clean": 1, "corruptions": 2}']
)  # fmt: skip
def test_spoilt_reports_are_named(
    folder: Path, name: str, read: Callable[[models.ModelInfo], object], content: str
) -> None:
    (folder / name).write_text(content)
    with pytest.raises(DuetError) as caught:
        read(models.read_info(folder))
    assert caught.value.code == "damaged_model"
    assert name in caught.value.message


def test_altered_weights_are_noticed(folder: Path) -> None:
    info = models.read_info(folder)
    reports.check_weights(info)
    (folder / "model.tflite").write_bytes(b"other")
    with pytest.raises(DuetError, match="SHA-256"):
        reports.check_weights(info)


# --- the pages ----------------------------------------------------------------------------------


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """A model of one's own beside the shipped ones: the face model, answering a little worse."""
    info = models.find("face")
    place = tmp_path / "home" / "models" / "face-cnn-own-1"
    shutil.copytree(info.folder, place)
    card = json.loads((place / "model.json").read_text())
    card |= {"name": place.name, "default": False}
    (place / "model.json").write_text(json.dumps(card))
    rng = np.random.default_rng(0)
    spoilt = {}
    for split, found in read_predictions(info).items():
        p = found.probabilities * rng.dirichlet(np.ones(7) * 3, len(found))
        p /= p.sum(axis=1, keepdims=True)
        spoilt[split] = Predictions(found.ids, found.labels, p, found.groups)
    write_predictions(place, spoilt)
    return place


@pytest.fixture
def one_of_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of what ships, only the default models."""
    place = tmp_path / "shipped"
    place.mkdir()
    for name in ("face-cnn", "voice-cnn"):
        (place / name).symlink_to(models.MODELS_FOLDER / name)
    monkeypatch.setattr(models, "MODELS_FOLDER", place)


def view(app: AppTest, name: str) -> AppTest:
    app.button_group(key="view").set_value(name).run()
    calm(app)
    return app


def test_the_leaderboard_lists_filters_and_measures() -> None:
    app = go(start(), "models")
    text = words(app)
    evaluation = json.loads((models.MODELS_FOLDER / "face-cnn/evaluation.json").read_text())
    accuracy = evaluation["splits"]["test"]["accuracy"]
    assert f"Most accurate: face-cnn {accuracy:.1%} on FER2013 PrivateTest" in text
    rows = app.dataframe[0].value
    assert {"face-cnn", "voice-cnn"} <= set(rows["model"])
    assert rows["honest_split"].all()
    assert rows["milliseconds"].isna().all()
    assert app.dataframe[0].proto.placeholder == "–"
    app.button_group(key="reads").set_value("voice").run()
    calm(app)
    assert set(app.dataframe[0].value["model"]) == {"voice-cnn", "voice-cnn1d"}
    app.button(key="measure_speed").click().run()
    calm(app)
    assert (app.dataframe[0].value["milliseconds"] > 0).all()


@pytest.mark.parametrize("name", ["face-cnn", "voice-cnn"])
def test_one_model_shows_every_section(name: str) -> None:
    app = view(go(start(), "models"), "One model")
    app.selectbox(key="model").set_value(name).run()
    assert "were kept" in words(app)
    assert f"python -m training train {name} --data PATH" in app.code[0].value
    for section, expected in {
        "Confusion": "is most often mistaken for",
        "By emotion": "is recognised best",
        "Curves": "is told apart best",
        "Trust": "Unsure below 50%",
        "Robustness and fairness": f"python -m training report {name}",
        "Card": "How good it is",
    }.items():
        app.button_group(key="section").set_value(section).run()
        calm(app)
        assert expected in words(app), section


@pytest.mark.usefixtures("one_of_each")
def test_what_a_card_notes_stands_beside_the_curves_too(second: Path) -> None:
    card = json.loads((second / "model.json").read_text())
    noted = {**card, "note": "Its schedule was changed on the way."}
    (second / "model.json").write_text(json.dumps(noted))
    app = view(go(start(), "models"), "One model")
    app.selectbox(key="model").set_value(card["name"]).run()
    calm(app)
    assert "Its schedule was changed on the way." in words(app)


def test_a_cell_lists_its_examples_or_shows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = view(go(start(), "models"), "One model")
    app.button_group(key="section").set_value("Confusion").run()
    app.selectbox(key="true").set_value("disgust")
    app.selectbox(key="answer").set_value("happy").run()
    calm(app)
    assert "True disgust, answered happy: 1" in words(app)
    assert "The data sets are not here" in words(app)
    (row,) = app.dataframe[0].value.to_dict("records")
    place = tmp_path / "data" / "fer2013" / row["file"]
    place.parent.mkdir(parents=True)
    place.write_bytes(_jpeg())
    monkeypatch.setenv("DUET_DATA", str(tmp_path / "data"))
    app.run()
    calm(app)
    assert "The data sets are not here" not in words(app)
    assert len(app.get("image")) == 1
    place.write_bytes(b"no picture")
    app.run()
    calm(app)
    assert "is no picture" in words(app).replace("\\", "")


def test_visitors_are_not_told_of_a_sidebar_that_they_do_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for owner, sentence in (
        ("everyone", "name their folder in the sidebar"),
        ("nobody", "whoever runs Duet can name their folder in DUET_DATA."),
    ):
        monkeypatch.setenv("DUET_OWNER", owner)
        app = view(go(start(), "models"), "One model")
        app.button_group(key="section").set_value("Confusion").run()
        app.selectbox(key="true").set_value("disgust")
        app.selectbox(key="answer").set_value("happy").run()
        calm(app)
        said = "\n".join(caption.value for caption in app.caption)
        assert sentence in said
        assert ("sidebar" in said) is (owner == "everyone")
        with pytest.raises(DuetError, match=sentence):
            local.example("test/happy/PrivateTest_1.jpg", "face")


def _jpeg() -> bytes:
    import cv2

    done, content = cv2.imencode(".jpg", np.full((48, 48), 99, np.uint8))
    assert done
    return content.tobytes()


def test_the_threshold_is_shared_by_the_address() -> None:
    app = AppTest.from_file(str(ROOT / "Home.py"), default_timeout=60)
    app.query_params["view"] = "One model"
    app.query_params["section"] = "Trust"
    app.query_params["unsure"] = "80"
    go(app, "models")
    assert "Unsure below 80%" in words(app)


@pytest.mark.usefixtures("one_of_each")
def test_two_models_are_compared_where_they_saw_the_same(second: Path) -> None:
    app = view(go(start(), "models"), "Side by side")
    text = words(app)
    assert "face-cnn is right more often than face-cnn-own-1" in text
    assert "p &lt; 0.001" in text
    assert "Recall differs most for" in text
    assert sum(int(m.value.replace(",", "")) for m in app.metric) == 3589
    found = read_predictions(models.read_info(second))
    fewer = {split: p.where(np.arange(len(p) - 1)) for split, p in found.items()}
    write_predictions(second, fewer)
    (second / FILE_NAME).touch()
    st.cache_resource.clear()
    app.run()
    calm(app)
    assert "not judged on the same examples" in words(app)


@pytest.mark.usefixtures("one_of_each")
def test_one_model_of_a_task_has_nothing_beside_it() -> None:
    assert "Two models of one task are needed" in words(view(go(start(), "models"), "Side by side"))


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("model.json", b"{", "is not valid JSON"),
        ("model.tflite", b"x", "SHA-256 differs"),
        ("evaluation.json", b"[]", "is no JSON object"),
        ("evaluation.json", None, "is missing"),
        ("evaluation.json", b"[" * 100_000, "is not valid JSON"),
        ("history.csv", b"epoch,loss\n1,1e300\n", "beyond"),
        ("history.csv", b"", "has no rows"),
        ("history.csv", None, "is missing"),
        ("README.md", None, "is missing"),
        ("README.md", b"\xff\xfe", "is no text"),
        ("predictions.npz", b"PK", "damaged"),
        ("robustness.json", b"3", "is no JSON object"),
        ("fairness.json", b'{"split": "test", "groups": {"sex": {"a": 1}}}', "misstates"),
        ("adversarial.json", b'{"n": 3}', "misstates"),
        ("learning_curve.json", b'{"points": 3}', "misstates"),
        ("random_split.json", b'{"n": 3}', "misstates"),
        ("levers.json", b'{"series": 3}', "misstates"),
        ("levers.json", b'{"series": [], "whole_runs": 3}', "misstates"),
        ("folds.json", b'{"epochs": 3}', "misstates"),
    ],
)
def test_a_broken_folder_gets_a_sentence_and_the_rest_works(
    second: Path, name: str, content: bytes | None, word: str
) -> None:
    (second / name).unlink(missing_ok=True)
    if content is not None:
        (second / name).write_bytes(content)
    app = go(start(), "models")
    said = [words(app)]
    assert "Most accurate: face-cnn" in said[0]
    view(app, "One model")
    if name != "model.json":
        app.selectbox(key="model").set_value("face-cnn-own-1").run()
        for section in ("Training", "Confusion", "Trust", "Robustness and fairness", "Card"):
            app.button_group(key="section").set_value(section).run()
            calm(app)
            said.append(words(app))
    said.append(words(view(app, "Side by side")))
    told = [text.replace("\\", "") for text in said]
    assert any(name in text and word in text for text in told)


def test_without_any_model_the_page_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(models, "MODELS_FOLDER", tmp_path)
    app = go(start(), "models")
    for name in ("One model", "Side by side"):
        assert "No model is installed yet" in words(view(app, name))


def test_own_models_are_marked_and_never_the_default(second: Path) -> None:
    known, _ = models.installed()
    assert [info.name for info in known if info.own] == ["face-cnn-own-1"]
    assert models.find("face").name == "face-cnn"
    assert "--models" in reports.reproduce(models.find("face", "face-cnn-own-1"))
    app = view(go(start(), "models"), "One model")
    app.selectbox(key="model").set_value("face-cnn-own-1").run()
    assert "Your own" in words(app)


def test_mapped_models_of_one_title_are_told_apart(second: Path) -> None:
    title = models.find("face").title
    choice = go(start(), "data_map").selectbox(key="model")
    assert [name for name in choice.options if name.startswith(title)] == [
        f"{title} (face-cnn)",
        f"{title} (face-cnn-own-1)",
    ]


# --- training from the app ----------------------------------------------------------------------

FAKE = """
import pathlib, sys, time
run, folder, slow = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3] == "slow"
print("stage 1 of 1", flush=True)
stage = run / "stage1"
stage.mkdir(parents=True, exist_ok=True)
path = stage / "history.csv"
text = path.read_text() if path.exists() else "epoch,loss,val_score,seconds\\n"
path.write_text(text + f"{text.count(chr(10))},1.5,0.4,2.0\\n")
if slow:
    time.sleep(60)
if sys.argv[3] == "fail":
    sys.exit("The data are of another kind.")
folder.mkdir(parents=True, exist_ok=True)
(folder / "README.md").write_text("# done")
"""


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[str], None]]:
    """Takes the place of the training command; how it goes can be chosen."""
    how = ["slow"]
    (tmp_path / "fake.py").write_text(FAKE)

    def command(job: jobs.Job) -> list[str]:
        run = str(job.folder / "checkpoints")
        return [sys.executable, str(tmp_path / "fake.py"), run, str(job.model), how[0]]

    def choose(way: str) -> None:
        how[0] = way

    monkeypatch.setattr(jobs.Job, "command", command)
    yield choose
    for job in jobs.jobs():
        jobs.stop(job)
    ended()


def ended() -> None:
    """Wait until no run is at work."""
    deadline = time.monotonic() + 30
    while jobs.running():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def has_begun(job: jobs.Job, epochs: int = 1) -> None:
    """Wait until it has finished some epochs."""
    deadline = time.monotonic() + 30
    while jobs.progress(job).done < epochs:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_recipes_are_those_that_training_knows() -> None:
    from training import face, voice
    from training.recipes import RECIPES

    known = {name: recipe.task for name, recipe in RECIPES.items()}
    assert jobs.RECIPES.items() <= known.items()
    voices = sum(1 + len(member.stages()) for member in voice.NETWORKS)
    assert jobs.STAGES["face-cnn"] == len(face.COMPACT.stages)
    assert jobs.STAGES["voice-cnn"] == voices


def test_networks_stand_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    job = cast("jobs.Job", SimpleNamespace(folder=tmp_path))
    order = ("narrow/stage1", "wide/stage1", "narrow/stage2", "wide/stage2", "deep/stage1")
    for number, stage in enumerate(order):
        path = job.folder / "checkpoints" / stage / "history.csv"
        path.parent.mkdir(parents=True)
        path.write_text(f"epoch,loss,val_score\n1,{number},0.5\n")
        os.utime(path, (1e9 + number, 1e9 + number))
    history = jobs._history(job, jobs._read(job))
    assert history
    assert history.network == ("narrow", "narrow", "wide", "wide", "deep")
    assert [name for name, _ in history.networks] == ["narrow", "wide", "deep"]
    assert history.columns["loss"].tolist() == [0, 2, 1, 3, 4]
    assert history.columns["epoch"].tolist() == [1, 2, 3, 4, 5]


def test_a_run_is_stopped_resumed_finished_and_deleted(
    fake: Callable[[str], None], tmp_path: Path
) -> None:
    job = jobs.start("face-cnn", tmp_path, 3, 0.5)
    has_begun(job)
    assert jobs.running() == job.id
    with pytest.raises(DuetError, match="at work already") as caught:
        jobs.start("face-cnn", tmp_path, 3, 0.5)
    assert caught.value.code == "busy"
    with pytest.raises(DuetError, match="stop it first"):
        jobs.delete(job)
    found = jobs.progress(job)
    assert (found.words, found.done, found.total) == ("1 of 3 epochs are done", 1, 3)
    assert found.seconds_left == pytest.approx(4.0)
    jobs.stop(job)
    ended()
    (job,) = jobs.jobs()
    assert jobs.state(job) == "stopped"
    fake("quick")
    jobs.resume(job)
    ended()
    (job,) = jobs.jobs()
    assert jobs.state(job) == "done"
    assert jobs.progress(job).done == 2
    jobs.delete(job)
    assert jobs.jobs() == []
    assert not job.model.exists()


def test_a_run_outlives_whoever_began_it_and_is_found_again(
    fake: Callable[[str], None], tmp_path: Path
) -> None:
    job = jobs.start("face-cnn", tmp_path, 3, 0.5)
    has_begun(job)
    app = go(start(), "train")  # another session, that knows only the folder
    assert "At work" in words(app)
    assert app.button(key=f"stop_{job.id}").label == "Stop"
    app.button(key=f"stop_{job.id}").click().run()
    ended()
    app.run()
    calm(app)
    assert "Stopped. It goes on from the last finished epoch." in words(app)
    assert app.button(key=f"resume_{job.id}").label == "Go on"


def test_a_run_that_goes_on_counts_from_when_it_went_on(
    fake: Callable[[str], None], tmp_path: Path
) -> None:
    job = jobs.start("face-cnn", tmp_path, 3, 0.5)
    has_begun(job)
    jobs.stop(job)
    ended()
    (job,) = jobs.jobs()
    known = {name: value for name, value in vars(job).items() if name != "begun"}
    written = json.dumps(known | {"started": time.time() - 48 * 3600})  # by an earlier version
    (job.folder / "job.json").write_text(written)
    (job,) = jobs.jobs()
    jobs.resume(job)
    has_begun(job, epochs=2)
    text = words(go(start(), "train"))
    assert re.search(r"Running for \d+ s\.", text)
    assert time.strftime("begun %Y-%m-%d %H:%M", time.localtime(job.started)) in text
    assert job.at_work_since == job.started  # as long as nothing else is known


def test_a_failed_run_says_why(fake: Callable[[str], None], tmp_path: Path) -> None:
    fake("fail")
    job = jobs.start("face-cnn", tmp_path, 3, 0.5)
    ended()
    assert jobs.state(job) == "failed"
    assert jobs.fault(job) == "The data are of another kind."
    assert "The training failed: The data are of another kind." in words(
        go(start(), "train")
    ).replace("\\", "")


def test_rubbish_among_the_runs_is_passed_over(tmp_path: Path) -> None:
    runs = places.own_runs()
    assert runs is not None
    for name, content in (("a", "{"), ("b", "[]"), ("c", '{"id": "../../etc"}'), ("d", "{}")):
        (runs / name).mkdir(parents=True)
        (runs / name / "job.json").write_text(content)
    assert jobs.jobs() == []
    calm(go(start(), "train"))


def test_without_data_or_packages_the_page_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert "The data sets are not here" in words(go(start(), "train"))
    monkeypatch.setattr(jobs, "missing", lambda: ["tensorflow"])
    assert "Training needs tensorflow" in words(go(start(), "train"))


def test_the_form_starts_a_run(
    fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake("quick")
    (tmp_path / "data" / "fer2013").mkdir(parents=True)
    monkeypatch.setenv("DUET_DATA", str(tmp_path / "data"))
    app = go(start(), "train")
    assert app.selectbox(key="train_recipe").options == ["Face (face-cnn)"]
    app.slider(key="train_epochs").set_value(1)
    app.slider(key="train_share").set_value(5)
    app.button(key="train_start").click().run()
    calm(app)
    ended()
    (job,) = jobs.jobs()
    assert (job.epochs, job.fraction, job.recipe) == (1, 0.05, "face-cnn")
    app.run()
    calm(app)
    assert "Done. The model is installed as your own" in words(app)


def test_a_finished_model_is_tried_at_once(second: Path) -> None:
    job = jobs.Job(second.name, "face-cnn", second.name, "/data", 1, 0.05, 0.0)
    job.folder.mkdir(parents=True)
    (job.folder / "job.json").write_text(json.dumps(vars(job)))
    app = go(start(), "train")
    app.button(key=f"try_{job.id}").click().run()
    calm(app)
    assert app.selectbox(key="face_model").value == second.name
    go(app, "train").button(key=f"delete_{job.id}").click().run()
    calm(app)
    assert not second.exists()
    assert "Earlier runs" not in words(app)


def test_the_command_of_a_run_is_told_without_its_places() -> None:
    from training.__main__ import _parser, _said

    def said(*more: str) -> str:
        return _said(_parser().parse_args(["train", "face-cnn", "--data", "/somewhere", *more]))

    assert said() == "python -m training train face-cnn --data PATH"
    assert said("--called", "mine", "--epochs", "2", "--fraction", "0.1", "--quick").endswith(
        "--data PATH --called mine --epochs 2 --fraction 0.1 --quick"
    )


def test_only_the_owner_trains_and_names_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DUET_OWNER", "nobody")
    app = go(start(), "train")
    assert "Training is for the person at the machine" in words(app)
    assert not app.button
    assert not app.text_input
    monkeypatch.setenv("DUET_OWNER", "everyone")
    assert go(start(), "train").text_input(key="data_folder_input")


@pytest.mark.parametrize(
    ("address", "ip", "headers", "owner"),
    [
        ("http://localhost:8501/train", None, {}, True),
        ("http://192.168.0.7:8501/train", "192.168.0.9", {}, False),
        ("https://duet.example.org/train", None, {}, False),  # behind a proxy on the same machine
        ("http://localhost:8501/train", None, {"X-Forwarded-For": "203.0.113.9"}, False),
    ],
)
def test_the_owner_sits_at_the_machine(
    monkeypatch: pytest.MonkeyPatch,
    address: str,
    ip: str | None,
    headers: dict[str, str],
    owner: bool,
) -> None:
    from core.ui import owner as module

    said = headers

    class Context:
        url, ip_address, headers = address, ip, said

    monkeypatch.setattr(module.st, "context", Context)
    monkeypatch.delenv("DUET_OWNER")
    assert module.here() is owner
