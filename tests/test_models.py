"""Model folders: what is offered, what is refused and why."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import models
from core.errors import DuetError
from core.labels import EMOTIONS
from core.models import MODELS_FOLDER
from core.predictions import read_predictions
from training.measures import expected_calibration_error

README = Path(__file__).parent.parent / "README.md"


@pytest.fixture
def folder(tmp_path):
    """A copy of a shipped model folder, free to be spoilt."""
    info = models.find("face")
    return shutil.copytree(info.folder, tmp_path / info.name)


def spoil(folder, **changes):
    path = folder / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def error_by_chance(probabilities):
    """The expected calibration error that a perfectly calibrated model, of these probabilities,
    stays below in 19 of 20 draws of the labels: of 300 clips it is seldom near zero.
    """
    shares = probabilities / probabilities.sum(axis=1, keepdims=True)
    rng = np.random.default_rng(0)
    drawn = [
        (shares.cumsum(axis=1) > rng.random((len(shares), 1))).argmax(axis=1) for _ in range(400)
    ]
    return np.quantile([expected_calibration_error(shares, labels) for labels in drawn], 0.95)


@pytest.mark.parametrize("task", ["face", "voice"])
def test_a_default_of_each_task_ships_and_keeps_its_contract(task):
    info = models.find(task)
    assert info.default
    assert info.parameters <= 3_000_000
    assert info.bytes <= 4 * 1024 * 1024
    assert (info.folder / "model.tflite").stat().st_size == info.bytes
    assert (info.folder / "README.md").is_file()
    assert (info.folder / "history.csv").read_text().startswith("epoch,")
    card = info.card
    for key in ("data", "seed", "git_commit", "hardware", "wall_time_hours", "licence_of_weights"):
        assert card[key] not in (None, ""), key
    splits = info.evaluation["splits"]
    test = splits["test"]
    # Nearly half of the voices' test clips are of TESS's one woman, whom the model takes otherwise.
    assert test["expected_calibration_error"] < (0.05 if task == "face" else 0.07)
    answers = read_predictions(info)["test"]
    for corpus in ("crema_d", "ravdess") if task == "voice" else ():
        rows = np.char.startswith(answers.ids, f"{corpus}/")
        error = splits[f"test/{corpus}"]["expected_calibration_error"]
        assert error < error_by_chance(answers.probabilities[rows]), corpus
    assert np.sum(test["confusion_matrix"]) == test["n"]


def test_the_defaults_are_as_good_as_they_have_to_be():
    face = models.find("face").evaluation["splits"]
    assert face["test"]["n"] == 3589
    assert face["test"]["accuracy"] >= 0.68
    voice = models.find("voice").evaluation["splits"]
    for corpus in ("ravdess", "crema_d"):
        assert voice[f"test/{corpus}"]["unweighted_average_recall"] >= 0.60, corpus


def test_installed_lists_usable_and_broken_folders(folder, tmp_path):
    (tmp_path / "rotten").mkdir()
    (tmp_path / "rotten" / "model.json").write_text("{")
    (tmp_path / ".hidden").mkdir()
    usable, broken = models.installed(tmp_path)
    assert [m.name for m in usable] == [folder.name]
    assert [b.folder.name for b in broken] == ["rotten"]
    assert "model.json" in broken[0].problem
    assert models.installed(tmp_path / "nowhere") == ([], [])


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"task": "smell"}, "task"),
        ({"labels": list(reversed(EMOTIONS))}, "labels"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": "warm"}, "warm"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": 1e-300}, "temperature"),
        ({"default": "no"}, "'no'"),
        ({"name": "another"}, "another"),
        ({"parameters": None}, "misstates"),
        ({"labels": None}, "misstates"),
        ({"labels": 7}, "misstates"),
    ],
)
def test_a_misstated_card_is_refused_with_its_fault(folder, changes, word):
    spoil(folder, **changes)
    with pytest.raises(DuetError, match=word) as caught:
        models.read_info(folder)
    assert caught.value.code == "damaged_model"


def test_a_card_is_parsed_once_and_its_changes_are_seen(folder, monkeypatch):
    first = models.read_info(folder)
    assert first.evaluation
    (folder / "evaluation.json").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(models.json, "loads", None)
        again = models.read_info(folder)
    assert again == first
    assert again.evaluation == {}
    (folder / "model.tflite").rename(folder / "away")
    with pytest.raises(DuetError, match=r"model\.tflite is missing"):
        models.read_info(folder)
    (folder / "away").rename(folder / "model.tflite")
    spoil(folder, temperature=first.temperature + 1)
    assert models.read_info(folder).temperature == first.temperature + 1
    spoil(folder, labels=None)
    for _ in range(2):
        with pytest.raises(DuetError, match="misstates"):
            models.read_info(folder)


def test_missing_files_are_named(folder):
    (folder / "model.tflite").unlink()
    with pytest.raises(DuetError, match=r"model\.tflite is missing"):
        models.read_info(folder)
    (folder / "model.json").unlink()
    with pytest.raises(DuetError, match=r"model\.json is missing"):
        models.read_info(folder)


def test_altered_weights_are_not_loaded(folder):
    info = models.read_info(folder)
    path = folder / "model.tflite"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DuetError, match="SHA-256"):
        models.Model(info)


def test_what_is_no_network_is_not_loaded(folder):
    import hashlib

    content = b"not a network" * 100
    (folder / "model.tflite").write_bytes(content)
    spoil(folder, sha256=hashlib.sha256(content).hexdigest())
    with pytest.raises(DuetError, match="not a LiteRT model"):
        models.Model(models.read_info(folder))


def test_a_list_without_labels_does_not_hide_the_other_models(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    spoil(tmp_path / "other", labels=None)
    usable, broken = models.installed(tmp_path)
    assert [m.name for m in usable] == [folder.name]
    assert [b.folder.name for b in broken] == ["other"]


def test_a_network_for_another_task_is_not_loaded(folder):
    spoil(folder, task="voice")
    with pytest.raises(DuetError, match="lacks the output scores") as caught:
        models.Model(models.read_info(folder))
    assert caught.value.code == "damaged_model"


def test_a_network_with_two_inputs_is_not_loaded(folder, monkeypatch):
    class Two:
        def __init__(self, **_):
            pass

        def get_signature_runner(self):
            return self

        def get_input_details(self):
            return {"face": {}, "voice": {}}

        def get_output_details(self):
            return {"logits": {}, "evidence": {}}

    monkeypatch.setattr(models, "interpreter_class", lambda: Two)
    with pytest.raises(DuetError, match="has 2 inputs") as caught:
        models.Model(models.read_info(folder))
    assert caught.value.code == "damaged_model"


def test_no_other_model_answers_in_the_place_of_a_broken_default_one(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "another")
    spoil(tmp_path / "another", name="another", default=False)
    assert models.find("face", folder=tmp_path).name == folder.name
    (folder / "model.json").write_text("")
    with pytest.raises(DuetError, match=folder.name) as caught:
        models.find("face", folder=tmp_path)
    assert caught.value.code == "damaged_model"
    assert models.find("face", "another", tmp_path).name == "another"
    shutil.rmtree(folder)
    assert models.find("face", folder=tmp_path).name == "another"


def test_a_place_that_cannot_be_looked_into_holds_no_model(monkeypatch):
    monkeypatch.setenv("DUET_HOME", "/" + "long" * 100)
    usable, broken = models.installed()
    assert {m.folder.parent for m in usable} == {MODELS_FOLDER}
    assert broken == []


def test_input_of_another_shape_than_the_network_takes_damages_no_answer(folder):
    model = models.Model(models.read_info(folder))
    with pytest.raises(DuetError, match="cannot take") as caught:
        model(np.zeros((1, 48, 48, 3), np.float32))
    assert caught.value.code == "damaged_model"
    assert model(np.zeros((1, 48, 48, 1), np.float32))["logits"].shape == (1, len(EMOTIONS))


def test_find_by_name_and_default(folder, tmp_path):
    assert models.find("face", folder.name, tmp_path).name == folder.name
    absent: list[tuple[models.Task, str | None]] = [("face", "nobody"), ("voice", None)]
    for task, name in absent:
        with pytest.raises(DuetError) as caught:
            models.find(task, name, tmp_path)
        assert caught.value.code == "unknown_model"


def test_a_model_is_loaded_once_and_answers_several_threads_alike():
    info = models.find("face")
    assert models.load(info) is models.load(info)
    model = models.load(info)
    rng = np.random.default_rng(0)
    batches = [rng.standard_normal((n, 48, 48, 1)).astype(np.float32) for n in (1, 3, 2, 5)]
    alone = [model(batch)["logits"] for batch in batches]
    found: dict[int, np.ndarray] = {}

    def ask(number: int) -> None:
        for _ in range(5):
            found[number] = model(batches[number])["logits"]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(len(batches))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, expected in enumerate(alone):
        np.testing.assert_allclose(found[number], expected, atol=1e-4)


def test_probabilities_are_a_softmax_that_temperature_flattens():
    logits = np.array([3.0, 1, 0, 0, 0, 0, 0])
    sharp, flat = models.probabilities(logits), models.probabilities(logits, 4.0)
    assert sharp.sum() == pytest.approx(1)
    assert sharp[0] > flat[0] > 1 / 7
    assert np.isfinite(models.probabilities(logits * 1e6)).all()


# --- what the README says ----------------------------------------------------------------------

JUDGED_ON = {
    "FER2013 PrivateTest, all": "test",
    "FER2013 PrivateTest, without pictures that its Training split has too": "test-distinct",
    "RAVDESS, 5 unheard actors": "test/ravdess",
    "CREMA-D, 18 unheard actors (six emotions)": "test/crema_d",
    "SAVEE, 1 unheard man": "test/savee",
    "TESS, 1 unheard woman": "test/tess",
    "all four": "test",
}


def with_interval(measures: dict[str, Any], name: str) -> str:
    low, high = measures[f"{name}_95"]
    return f"{measures[name]:.1%} ({low:.1%} to {high:.1%})"


def table_below(head: str) -> list[list[str]]:
    """The cells of the README's table with that head."""
    after = README.read_text().split(f"{head}\n")[1]
    rows = [line for line in after.split("\n\n")[0].splitlines() if not line.startswith("|---")]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_the_readme_says_of_models_what_was_measured() -> None:
    head = (
        "| model | held-out data | n | accuracy (95%) | unweighted average recall (95%) "
        "| calibration error |"
    )
    rows = table_below(head)
    assert len(rows) == 10
    for model, data, *cells in rows:
        name = model.split("`")[1]
        evaluation = json.loads((MODELS_FOLDER / name / "evaluation.json").read_text())
        found = evaluation["splits"][JUDGED_ON[data]]
        assert cells == [
            f"{found['n']:,}",
            with_interval(found, "accuracy"),
            with_interval(found, "unweighted_average_recall"),
            f"{found['expected_calibration_error']:.3f}",
        ], (model, data)


def test_the_readme_says_of_fusion_what_was_measured() -> None:
    rows = table_below("| answer from | accuracy (95%) | log loss | calibration error |")
    measured = json.loads((MODELS_FOLDER / "fusion.json").read_text())["test"]
    assert len(rows) == 6
    for way, *cells in rows:
        found = measured[way.removesuffix(" (ships)")]
        assert cells == [
            with_interval(found, "accuracy"),
            f"{found['log_loss']:.3f}",
            f"{found['expected_calibration_error']:.3f}",
        ], way
