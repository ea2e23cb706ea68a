"""The five folds of RAVDESS: who is learnt from and who is judged, the figures, the page."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from core import reports
from core.index import RAVDESS_FOLDS
from core.models import find, read_info
from core.ui import plots
from tests.data_makers import crema_d, ravdess
from training import folds, voice, voices
from training.__main__ import main
from training.architectures import ARCHITECTURES, voice_cnn
from training.report import write_report


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tones by three actors of RAVDESS, of three folds, and by two of CREMA-D."""
    place = tmp_path_factory.mktemp("voices")
    ravdess(place, (1, 2, 3))
    crema_d(place, (1001, 1062))
    return place


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The voice model that ships, and no other."""
    info = find("voice")
    shutil.copytree(info.folder, tmp_path / "models" / info.name)
    (tmp_path / "models" / info.name / "folds.json").unlink(missing_ok=True)
    return tmp_path / "models"


@pytest.mark.usefixtures("without_graphs")
def test_every_actor_is_judged_once_by_a_network_that_never_heard_them(
    data: Path,
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(ARCHITECTURES, "voice-cnn", lambda **_: voice_cnn((4, 4, 8), (1, 1, 1)))
    crema = {("crema_d", "1001"), ("crema_d", "1062")}
    heard, judged, begun, stages, asked = [], [], [], [], []
    taught: list[voice.Taught | None] = []
    train, predict = voice.train_stage, voice.predicted_logits

    def noted(build, everything, run, *rest, **named):
        who = {(c.corpus, c.speaker) for c in everything.of("train").clips}
        heard.append((run.name, who, len(everything.of("train"))))
        taught.append(named.get("taught"))
        begun.append(rest[1])
        stages.append(rest[0])
        return train(build, everything, run, *rest, **named)

    def also_noted(network, part):
        judged.append({(c.corpus, c.speaker) for c in part.clips})
        return predict(network, part)

    def filled(build, everything, run, schedule, *rest):
        assert {(c.corpus, c.speaker) for c in everything.clips} == crema
        schedules.append((run.name, schedule.epochs))
        return fill(build, everything, run, schedule, *rest)

    def answered(build, weights, part):
        asked.append(weights.values())
        return together(build, weights, part)

    together = voice.logits_together
    monkeypatch.setattr(voice, "logits_together", answered)
    schedules: list[tuple[str, int]] = []
    fill = folds.pretrained
    monkeypatch.setattr(folds, "pretrained", filled)
    monkeypatch.setattr(voice, "train_stage", noted)
    command = ["folds", "--data", str(data), "--models", str(models), "--epochs", "2", "1", "2"]
    command += ["--run", str(tmp_path / "run")]
    assert main(command) == 0
    assert schedules == [("filling", 2)] * 3
    copies = 1 + voice.VARIANTS
    # Actor 2 is of the first fold, 3 of the second and 1 of the fifth; 1062 is for validation
    # elsewhere, but here nothing is chosen.
    first = [
        ("others", crema, 12 * copies),
        ("fold1", {*crema, ("ravdess", "1"), ("ravdess", "3")}, 28 * copies),
        ("fold2", {*crema, ("ravdess", "1"), ("ravdess", "2")}, 28 * copies),
        ("fold3", {*crema, ("ravdess", "2"), ("ravdess", "3")}, 28 * copies),
    ]
    again = [(f"{name}-taught-by-narrow-wide", *rest) for name, *rest in first[1:] for _ in "nw"]
    student = [first[0], *(again[2 * i] for i in range(3))]
    assert heard == [*first, *first, *again, *student]
    # The second round is taught by what both networks came to in the first one, and nothing else.
    assert taught[:8] == [None] * 8
    second = [each for each in taught[8:14] if each]
    folders = [[path.parent for path in each.teachers] for each in second]
    run = tmp_path / "run"
    assert folders == [
        [run / "narrow" / f"fold{number}", run / "wide" / f"fold{number}"]
        for number in (1, 2, 3)
        for _ in "nw"
    ]
    assert all(not each.shipped and len(each.targets) == 28 for each in second)
    assert begun[8:14] == [each.teachers[i % 2] for i, each in enumerate(second)]
    assert [stage.schedule.epochs for stage in stages] == [2, 1, 1, 1] * 2 + [2] * 6 + [2, 1, 1, 1]
    assert [stage.taught for stage in stages] == [0] * 8 + [0.5] * 10
    seeds = [stage.schedule.seed for stage in stages]
    assert seeds == [7, 8, 8, 8, 17, 18, 18, 18, *[9, 19] * 3, 47, 48, 48, 48]
    # The last network is taught by them: what they came to without any actor, then in its fold.
    last = [each for each in taught[14:] if each]
    both = ("narrow", "wide")
    assert [each.teachers for each in last] == [
        [run / name / "others" / "best.weights.h5" for name in both],
        *(
            [run / name / f"fold{n}-taught-by-narrow-wide" / "best.weights.h5" for name in both]
            for n in (1, 2, 3)
        ),
    ]
    assert [len(each.targets) for each in last] == [12, 28, 28, 28]
    assert begun[15:] == [run / "deep" / "others" / "best.weights.h5"] * 3
    # And what ships is judged.
    assert [[*weights] for weights in asked[-3:]] == [
        [
            run / name / f"fold{n}-taught-by-narrow-wide" / "best.weights.h5"
            for name in voice.ANSWERING
        ]
        for n in (1, 2, 3)
    ]
    assert {path.parent.parent.name for weights in asked[:-3] for path in weights} == {*both}
    found = json.loads((models / "voice-cnn" / "folds.json").read_text())
    assert [fold["actors"] for fold in found["folds"]] == [[2], [3], [1]]
    assert [fold["n"] for fold in found["folds"]] == [8, 8, 8]
    assert found["all"]["n"] == 24
    assert found["command"].endswith("--epochs 2 1 2")
    assert found["answering"] == ["narrow", "deep"]
    assert found["taught_by"] == {"deep": ["narrow", "wide"]}
    assert found["epochs"] == {"narrow": [2, 1, 2], "wide": [2, 1, 2], "deep": [2, 1]}
    assert found["filling_epochs"] == {"narrow": 2, "wide": 2, "deep": 2}
    assert "mean" in (text := write_report(models).read_text().lower())
    assert "every actor of ravdess, in five folds" in text
    assert "clips of each emotion in each of ravdess and crema-d)" in text
    judged_before = read_info(models / "voice-cnn").evaluation["splits"]["test"]
    assert f"calibration error {judged_before['expected_calibration_error']:.3f}:" in text
    told = "2 epochs without labels, then 2 epochs on all speakers of the other corpora, then 1 on"
    assert f"narrow network: {told}" in text
    assert "then 2 taught by what narrow and wide answered; deep network: 2 epochs without" in text
    assert "other four folds, all with labels taught by what narrow and wide answered; ju" in text
    assert "judged are the answers of narrow and deep together. no epoch" in text
    path = models / "voice-cnn" / "folds.json"
    (other,) = [x for x in reports.read_other_splits(read_info(path.parent)) if "folds" in x.name]
    assert told.replace("narrow network: ", "") in other.note
    assert "other four folds, then 2 taught by what narrow and wide answered;" in other.note

    # It goes on where it stopped: nothing is left to do, and the answers are the same.
    monkeypatch.setattr(voice, "predicted_logits", also_noted)
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out.count("resuming after epoch") == 21
    assert json.loads((models / "voice-cnn" / "folds.json").read_text())["all"] == found["all"]
    assert {frozenset(part) for part in judged} >= {
        frozenset({("ravdess", actor)}) for actor in ("1", "2", "3")
    }
    # Others of its networks answer at no further cost, without the one that nobody asks.
    assert main([*command, "--networks", "narrow", "wide"]) == 0
    assert capsys.readouterr().out.count("resuming after epoch") == 16
    found = json.loads((models / "voice-cnn" / "folds.json").read_text())
    assert (found["answering"], found["taught_by"]) == (["narrow", "wide"], {})
    assert set(found["epochs"]) == {"narrow", "wide"}
    assert "judged are" not in reports.fold_networks(found)
    alone = reports.fold_networks({**found, "answering": ["wide"]})
    assert "; judged are the answers of wide. No epoch" in alone


def test_a_network_that_is_not_there_is_said(data: Path, models: Path, capsys) -> None:
    command = ["folds", "--data", str(data), "--models", str(models), "--networks", "broad"]
    assert main(command) == 1
    assert "no network 'broad'; known: narrow, wide, deep" in capsys.readouterr().err


def test_its_figures_are_means_over_folds_with_actors_drawn_anew() -> None:
    parts, logits = [], []
    for number in range(2):
        clips = tuple(
            voices.Clip("ravdess", f"{number}-{i}", f"{4 * number + i % 4}", emotion, "train")
            for i, emotion in enumerate(["happy", "sad"] * 8)
        )
        part = voices.Voices(clips, ())
        right = np.eye(7, dtype=np.float32)[part.labels]
        if number:  # the second fold is right about the happy ones only
            right[:] = np.eye(7, dtype=np.float32)[voices.INDEX["happy"]]
        parts.append(part)
        logits.append(9 * right)
    found = folds.measured(parts, logits)
    assert [fold["unweighted_average_recall"] for fold in found["folds"]] == [1.0, 0.5]
    sure, unsure = (fold["unweighted_average_recall_95"] for fold in found["folds"])
    assert sure == [1.0, 1.0]
    assert unsure[0] < 0.5 < unsure[1]  # each actor speaks one emotion, and half of them are drawn
    assert found["mean_unweighted_average_recall"] == 0.75
    low, high = found["mean_unweighted_average_recall_95"]
    assert low <= 0.75 <= high
    assert found["all"]["accuracy"] == 0.75


def test_folds_and_their_mean_are_kept_to_six_digits() -> None:
    clips = tuple(
        voices.Clip("ravdess", f"{i}", f"{i % 4}", emotion, "train")
        for i, emotion in enumerate(["happy", "sad", "angry"] * 4)
    )
    part = voices.Voices(clips, ())
    logits = np.eye(7, dtype=np.float32)[part.labels]
    logits[part.labels == voices.INDEX["angry"]] = np.eye(7)[voices.INDEX["sad"]]
    found = folds.measured([part, part], [logits, logits])
    assert found["folds"][0]["unweighted_average_recall"] == 0.666667
    assert found["mean_unweighted_average_recall"] == 0.666667


def test_other_ways_to_divide_are_read_and_drawn(models: Path) -> None:
    info = read_info(models / "voice-cnn")
    assert reports.read_other_splits(info) == []
    interval = [0.6, 0.8]
    (info.folder / "folds.json").write_text(
        json.dumps(
            {
                "all": {"n": 1440, "accuracy": 0.7},
                "mean_unweighted_average_recall": 0.7,
                "mean_unweighted_average_recall_95": interval,
                "epochs": {"narrow": [16, 5], "wide": [9, 3, 2]},
                "command": "python -m training folds --data PATH",
            }
        )
    )
    (info.folder / "random_split.json").write_text(
        json.dumps(
            {
                "n": 7000,
                "accuracy": 0.9,
                "unweighted_average_recall": 0.9,
                "unweighted_average_recall_95": [0.89, 0.91],
                "speaker_in_training": 1.0,
                "clip_in_training": 0.96,
                "epochs": 6,
            }
        )
    )
    found = reports.read_other_splits(info)
    assert [(other.n, other.leaks) for other in found] == [(7000, True), (1440, False)]
    assert "96% of clips" in found[0].note
    assert (
        "wide network: 9 epochs on all speakers of the other corpora, then 3 on them and the other"
        in found[1].note
    )
    test = reports.read_evaluation(info).splits["test"]
    assert "judged are" not in found[1].note  # all of them, as far as the file says
    gain = 100 * (0.9 - test.unweighted_average_recall)
    title = plots.other_splits(found, test).layout.title.text
    assert title == f"A split that leaks would claim {gain:+.1f} points of average recall"
    assert "70.0% on five folds of RAVDESS" in plots.other_splits(found[1:], test).layout.title.text
    rows = plots.other_splits_rows(found, test)
    assert [row["n"] for row in rows] == [test.n, 7000, 1440]


def test_folds_hold_each_actor_once() -> None:
    everyone = [actor for fold in RAVDESS_FOLDS for actor in fold]
    assert sorted(map(int, everyone)) == list(range(1, 25))
