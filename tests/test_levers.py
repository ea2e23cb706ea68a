"""Single ideas: what each changes in a short run, how runs are set beside each other, mixing."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import DuetError
from core.labels import EMOTIONS
from core.models import Model, find, read_info
from core.reports import read_levers
from core.voice import overall_logits
from core.voice.features import MEL_BANDS
from core.voice.prosody import COLUMNS
from core.voice.tensor import STEP_SECONDS
from tests.data_makers import crema_d, fer2013, ravdess, tone
from training import face, filling, levers, mixing, views, voice, voices
from training.__main__ import main
from training.architectures import ARCHITECTURES, face_cnn, voice_cnn
from training.fer2013 import Faces
from training.files import DataSetError
from training.report import write_report


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The models that ship, free to be written into."""
    for task in ("face", "voice"):
        info = find(task)
        shutil.copytree(info.folder, tmp_path / "models" / info.name)
        (tmp_path / "models" / info.name / "levers.json").unlink(missing_ok=True)
    return tmp_path / "models"


@pytest.mark.usefixtures("without_graphs")
def test_ideas_for_faces_are_tried_and_told(
    models: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fer2013(tmp_path / "data", train=6)
    small = partial(face_cnn, widths=(8, 8, 8))
    monkeypatch.setitem(
        ARCHITECTURES, "face-cnn", lambda **changes: small(**{**changes, "widths": (8, 8, 8)})
    )
    ideas = [
        "mixup of 30%",
        "sharpness-aware, radius 0.1, in float32",
        "rare emotions count more",
        "judged without the mirror image",
    ]
    command = ["levers", "face-cnn", "--data", str(tmp_path / "data"), "--models", str(models)]
    command += ["--run", str(tmp_path / "run"), "--epochs", "1", "--only", *ideas]  # fmt: skip
    assert main(command) == 0
    file = json.loads((models / "face-cnn" / "levers.json").read_text())
    (found,) = file["series"]
    assert {row["name"] for row in found["tried"]} == set(ideas)
    assert found["n"] == 4 * len(EMOTIONS)
    assert found["base"]["parameters"] == small().count_params()
    for row in found["tried"]:
        assert row["gain"] == pytest.approx(row["score"] - found["base"]["score"], abs=2e-4)
        assert 0 <= row["p"] <= 1
    assert '--only "mixup of 30%"' in found["command"]
    report = write_report(models).read_text()
    assert "What single ideas are worth" in report
    assert "| mixup of 30% |" in report
    capsys.readouterr()
    assert main(command) == 0  # nothing is left to do, and the answers are the same
    assert "resuming after epoch 1 of 1" in capsys.readouterr().out
    assert json.loads((models / "face-cnn" / "levers.json").read_text()) == file
    whole = {"whole_runs": [{"name": "x", "changes": [], "ships": True}]}
    (models / "face-cnn" / "levers.json").write_text(json.dumps(file | whole))
    later = [*command[: -len(ideas)], "without dropout", ideas[0]]
    assert main(later) == 0
    file = json.loads((models / "face-cnn" / "levers.json").read_text())
    first, second = file["series"]
    assert file["whole_runs"] == whole["whole_runs"]
    assert {row["name"] for row in first["tried"]} == set(ideas[1:])
    assert {row["name"] for row in second["tried"]} == {"without dropout", ideas[0]}
    report = write_report(models).read_text()
    assert report.count("| mixup of 30% |") == report.count("| without dropout |") == 1
    assert report.count("| as it is |") == 2
    assert main([*command[:-1], "magic"]) == 1
    assert "no idea 'magic'; there are 'twice as long'" in capsys.readouterr().err
    assert main(["levers", "voice-cnn1d", *command[2:]]) == 1


@pytest.mark.usefixtures("without_graphs")
def test_ideas_for_voices_are_tried_and_told(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ravdess(tmp_path / "data", (1, 3))
    crema_d(tmp_path / "data", (1001, 1062))
    monkeypatch.setitem(
        ARCHITECTURES, "voice-cnn", lambda **changes: voice_cnn((4, 4, 8), **changes)
    )
    command = ["levers", "voice-cnn", "--data", str(tmp_path / "data"), "--models", str(models)]
    command += ["--run", str(tmp_path / "run"), "--epochs", "1"]
    assert main([*command, "--only", "without augmented copies"]) == 0
    (found,) = json.loads((models / "voice-cnn" / "levers.json").read_text())["series"]
    assert [row["name"] for row in found["tried"]] == ["without augmented copies"]
    assert found["n"] == 8 + 6
    assert found["measure"] == "unweighted average recall"
    assert found["test"] == levers.SWAPPING
    read = read_levers(read_info(models / "voice-cnn"))
    assert [ideas.test for ideas in read] == [levers.SWAPPING]
    del found["test"]
    (models / "voice-cnn" / "levers.json").write_text(json.dumps({"series": [found]}))
    (old,) = read_levers(read_info(models / "voice-cnn"))
    assert "over all clips, not of the unweighted average recall" in old.test
    ideas = [
        "first fills in what is blanked, for half as many epochs",
        "excerpts of up to 4.8 s instead of 3.2",
        "also windows of 16 and 128 ms beside those of 40",
        "without pitch and loudness beside the spectrogram",
    ]
    assert main([*command, "--epochs", "2", "--run", str(tmp_path / "two"), "--only", *ideas]) == 0
    found = json.loads((models / "voice-cnn" / "levers.json").read_text())["series"][-1]
    assert {row["name"] for row in found["tried"]} == set(ideas)
    parameters = {
        row["name"]: row["parameters"] - found["base"]["parameters"] for row in found["tried"]
    }
    assert [parameters[idea] for idea in ideas] == [
        0,
        0,
        2 * 2 * 3 * 3,  # the stem's two filters see two more spectrograms
        -(9 * 4 * 32 + 4 * 32 + 32 * 8),  # their convolution, its normalisation, where they join
    ]
    (filled,) = (tmp_path / "two").glob("*/filling/history.csv")
    assert len(filled.read_text().splitlines()) == 2


def test_the_chance_of_a_gain_is_that_of_the_recall_itself() -> None:
    rng = np.random.default_rng(3)
    corpora = np.array(["ravdess"] * 70 + ["crema_d"] * 140 + ["savee"] * 70)
    labels = np.tile(np.arange(7), 40)
    wrong = (labels + 1) % 7
    judged = corpora != "savee"

    def ran(right: np.ndarray) -> levers.Ran:
        answers = np.where(right, labels, wrong)
        return levers.Ran(
            labels, answers, corpora, levers.mean_recall(labels, answers, corpora), 1.0, 1
        )

    base = ran(rng.random(280) < 0.5)
    better = ran(base.right | (judged & (rng.random(280) < 0.4)))
    assert levers._p(base, better) < 0.01
    assert levers._p(base, base) == 1
    # Whatever SAVEE's clips do, the recall is not of them, and neither is its p.
    savee = ran(np.where(judged, base.right, ~base.right))
    assert levers._p(base, savee) == 1
    level = ran(base.right ^ (rng.random(280) < 0.1))
    assert levers._p(base, level) > 0.02


def test_one_emotion_is_no_idea_tried(models: Path, tmp_path: Path, capsys) -> None:
    fer2013(tmp_path / "data", train=2, held_out=2)
    for path in (tmp_path / "data").rglob("*.png"):
        if path.parent.name != "happy":
            path.unlink()
    command = ["levers", "face-cnn", "--data", str(tmp_path / "data"), "--models", str(models)]
    assert main([*command, "--run", str(tmp_path / "run"), "--only", "mixup of 30%"]) == 1
    assert "holds only happy" in capsys.readouterr().err


def test_ideas_need_the_sets_that_they_are_judged_on(models: Path, tmp_path: Path, capsys) -> None:
    place = tmp_path / "data/savee/ALL"
    place.mkdir(parents=True)
    for speaker in ("DC", "JK"):
        for number, code in enumerate(("a", "h", "sa")):
            (place / f"{speaker}_{code}01.wav").write_bytes(tone(150 + 70 * number, 0.6))
    command = ["levers", "voice-cnn", "--data", str(tmp_path / "data"), "--models", str(models)]
    assert main([*command, "--run", str(tmp_path / "run"), "--only", "without mixup"]) == 1
    assert "judged on RAVDESS and CREMA-D, and neither is there" in capsys.readouterr().err


def test_corpora_are_drawn_as_often_as_they_have_clips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ravdess(tmp_path, (1, 3))
    crema_d(tmp_path, (1001, 1002, 1062))
    asked = []

    def train_stage(build, everything, run, stage, start, share, taught):
        assert taught is None
        asked.append(voice.drawing_probabilities(everything.of("train").clips, share))
        run.mkdir(parents=True)
        (run / "state.json").write_text('{"history": [{"seconds": 1}]}')
        build().save_weights(run / "best.weights.h5")
        return run / "best.weights.h5"

    monkeypatch.setattr(voice, "train_stage", train_stage)
    known, prepared = levers.LEVERS["voice-cnn"]
    ran = prepared(tmp_path, tmp_path / "run", 1.0)
    for lever in known:
        if lever.by_size or lever.name == levers.BASE:
            ran(lever, 1)
    by_share, by_size = (found.reshape(1 + voice.VARIANTS, -1) for found in asked)
    # 8 clips of an actor of RAVDESS and 6 of each of two of CREMA-D are learnt from.
    assert by_size[:, :8].sum() == pytest.approx(8 / 20)
    shares = voice.CORPUS_SHARE
    expected = shares["ravdess"] / (shares["ravdess"] + shares["crema_d"])
    assert by_share[:, :8].sum() == pytest.approx(expected)


def test_a_network_learns_to_fill_in_what_is_blanked(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    clips, spectrograms = [], []
    sound = rng.normal(0, 1, COLUMNS)
    for number in range(96):
        split = "validation" if number < 16 else "train"
        clips.append(voices.Clip("ravdess", str(number), "1", EMOTIONS[number % 7], split))
        bands = rng.choice([-1, 1]) * sound  # each clip has one of two sounds all along
        spectrograms.append(np.tile(bands, (220, 1)).astype(np.float16))
    everything = voices.Voices(tuple(clips), tuple(spectrograms))
    schedule = replace(
        voice.STAGES[0].schedule.lasting(6), batch_size=8, learning_rate=1e-2, averaging=0.0
    )
    build = partial(voice_cnn, (8, 8, 32))
    arguments = (build, everything, tmp_path, schedule, 0.0, voice.MAX_FRAMES)
    weights = filling.pretrained(*arguments)
    history = [row.split(",") for row in (tmp_path / "history.csv").read_text().splitlines()]
    scores = [float(row[history[0].index("val_score")]) for row in history[1:]]
    assert scores[0] < 0.2 < scores[-1]  # guessing the mean, 0, would be worth 0
    network = build(dropout=0.3)
    network.load_weights(weights)
    learnt = filling.filling_network(build())
    learnt.load_weights(tmp_path / "best.weights.h5")
    kept = {layer.name: layer.get_weights() for layer in network.layers}
    for layer in learnt.layers:
        for one, other in zip(layer.get_weights(), kept.get(layer.name, []), strict=False):
            np.testing.assert_array_equal(one, other)
    assert {"guess"} == {layer.name for layer in learnt.layers} - set(kept)
    # Asked again, as by a run that goes on: the same weights, so that what starts there goes on.
    before = weights.read_bytes()
    assert filling.pretrained(*arguments).read_bytes() == before
    weights.write_bytes(b"made elsewhere")  # where what is random came out otherwise
    assert filling.pretrained(*arguments).read_bytes() == b"made elsewhere"


@pytest.mark.parametrize(("dilations", "seconds"), [((1, 2), 2.4), ((2, 5), 3.5)])
def test_a_step_sees_as_far_as_is_said(dilations: tuple[int, ...], seconds: float) -> None:
    network = voice_cnn((4, 4, 8), dilations=dilations)
    x = np.random.default_rng(0).normal(0, 1, (1, 640, COLUMNS, 1)).astype(np.float32)
    before = np.asarray(network(x)["evidence"])
    x[:, 320] += 5
    changed = (np.asarray(network(x)["evidence"]) != before).any(axis=(0, 2, 3))
    first, *_, last = np.flatnonzero(changed)
    assert (last - first + 1) * STEP_SECONDS == pytest.approx(seconds, abs=STEP_SECONDS)


def test_only_what_is_blanked_counts_and_it_is_told() -> None:
    rng = np.random.default_rng(0)
    excerpts = rng.normal(1, 1, (60, 80, MEL_BANDS)).astype(np.float32)
    x, y = filling.blanked(excerpts, rng)
    assert x.shape == (60, 80, MEL_BANDS, 1)
    assert y.shape == (60, 10, 8 * MEL_BANDS + 1)
    hidden = y[..., -1] > 0
    assert 0.3 < hidden.mean() < 0.5
    assert hidden.any(axis=1).all()
    gaps = ["".join("x" if step else " " for step in row).split() for row in hidden]
    assert {len(gap) for row in gaps for gap in row} == {1, 2, 3}
    cells = x[..., 0].reshape(60, 10, -1)
    assert (cells[hidden] == 0).all()
    np.testing.assert_array_equal(cells[~hidden], y[..., :-1][~hidden])
    right = y[..., :-1].copy()
    right[~hidden] = 9.0  # a guess about what is there anyway
    assert float(np.mean(filling.loss(y, right))) == 0
    assert float(filling.accuracy(y, right)) == 1
    nothing = np.zeros_like(right)
    assert float(filling.accuracy(y, nothing)) == 0
    loss = float(np.mean(filling.loss(y, nothing)))
    assert loss == pytest.approx(float(np.mean(right[hidden] ** 2)), rel=1e-4)


def test_the_model_that_ships_teaches_of_what_it_hears(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tuple(
        voices.Clip("ravdess", f"{i}", f"{i}", emotion, split)
        for i, (emotion, split) in enumerate(
            [("happy", "train"), ("sad", "train"), ("sad", "validation")]
        )
    )
    spectrograms = tuple(np.zeros((100, MEL_BANDS), np.float16) for _ in range(5))
    everything = voices.Voices((*clips, *clips[:2]), spectrograms)  # with copies of the first two
    heard = voice.ShippedAnswers({clips[0]: np.array([0, 0, 0, 2, 0, 0, 0], np.float32)}, "abc")

    def shipped_answers(data, asked, run):
        assert (data, tuple(asked), run) == (tmp_path, clips[:2], tmp_path / "run/teacher")
        return heard

    monkeypatch.setattr(voice, "shipped_answers", shipped_answers)
    taught = levers._taught(tmp_path, tmp_path / "run", everything)
    assert (taught.teachers, taught.shipped) == ((), "abc")
    assert taught.targets.keys() == set(clips[:2])
    expected = np.exp([0, 0, 0, 2, 0, 0, 0]) / (6 + np.exp(2))
    np.testing.assert_allclose(taught.targets[clips[0]], expected, rtol=1e-6)
    np.testing.assert_array_equal(taught.targets[clips[1]], np.eye(7)[EMOTIONS.index("sad")])
    monkeypatch.setattr(voice, "shipped_answers", lambda *_: None)
    with pytest.raises(DataSetError, match="cannot teach"):
        levers._taught(tmp_path, tmp_path / "run", everything)


def test_every_idea_changes_just_what_it_says() -> None:
    for base, known, builder in (
        (levers.FACE_BASE, levers.FACE_LEVERS, face_cnn),
        (levers.VOICE_BASE, levers.VOICE_LEVERS, voice_cnn),
    ):
        assert len({levers._folder(Path(), lever) for lever in known}) == len(known)
        plain = builder().count_params()
        for lever in known[1:]:
            stage = levers._stage(base, lever, base.schedule.epochs)
            same_network = builder(**lever.network).count_params() == plain
            changed = stage != base or not same_network or not lever.mirrored or lever.by_size
            assert changed or lever.pretraining or {"dropout", "dilations"} & set(lever.network)
            if lever.view != views.VIEW:  # the network is built for what it sees
                assert lever.network.keys() & {"windows", "prosody"}


# --- targets --------------------------------------------------------------------------------------


def _faces(labels: list[int], digests: list[str]) -> Faces:
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 48, 48), np.uint8)
    return Faces(images, np.array(labels), np.array(digests), tuple(digests))


def test_copies_share_their_labels_and_a_teacher_softens_them() -> None:
    stage = levers.FACE_BASE
    faces = _faces([0, 3, 3, 5], ["a", "a", "b", "c"])
    plain = face.targets_of(faces, stage)
    np.testing.assert_array_equal(plain, np.eye(7)[[0, 3, 3, 5]])
    shared = face.targets_of(faces, levers._stage(stage, _lever("share their labels"), 1))
    np.testing.assert_allclose(shared[:2, [0, 3]], 0.5)
    np.testing.assert_array_equal(shared[2:], plain[2:])
    taught = face.targets_of(faces, levers._stage(stage, _lever("target from face-cnn"), 1))
    np.testing.assert_allclose(taught.sum(axis=1), 1, rtol=1e-5)
    assert (taught[np.arange(4), [0, 3, 3, 5]] > 0.5).all()
    assert (taught[np.arange(4), [0, 3, 3, 5]] < 1).all()


def _lever(words: str) -> levers.Lever:
    return next(lever for lever in levers.FACE_LEVERS if words in lever.name)


def test_rare_emotions_count_more() -> None:
    weight = face.weights_of(np.array([0] * 90 + [1] * 10))
    assert weight.mean() == pytest.approx(1)
    assert weight[-1] / weight[0] == pytest.approx(3)


def test_without_copies_each_clip_is_drawn_as_itself(tmp_path: Path) -> None:
    ravdess(tmp_path, (1, 2))
    everything = voices.load(tmp_path, tmp_path / "cache", variants=2)
    mask = voice.originals(everything)
    assert mask.tolist() == [True] * 16 + [False] * 16  # actor 1 is learnt from, 2 is not


# --- mixing ---------------------------------------------------------------------------------------


def test_cutmix_pastes_as_much_as_it_says() -> None:
    n = 300
    x = np.zeros((n, 20, 20, 1), np.float32) + (np.arange(n) % 5).reshape(-1, 1, 1, 1)
    labels = np.eye(7, dtype=np.float32)[np.arange(n) % 5]
    mixed, soft = mixing.cut_and_mixed(x, labels, 0.5, np.random.default_rng(0))
    assert (x[:, 0, 0, 0] == np.arange(n) % 5).all()  # what it was given stays as it was
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    for number in range(5):
        share = (mixed == number).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(soft[:, number], share, atol=1e-5)
    assert 0.25 < (np.count_nonzero(soft, axis=1) > 1).mean() < 0.5
    assert (soft[np.arange(n), np.arange(n) % 5] >= 0.49).all()


def test_mixup_takes_pictures_too() -> None:
    x = np.arange(8, dtype=np.float32).reshape(8, 1, 1, 1) * np.ones((8, 3, 3, 1), np.float32)
    mixed, soft = mixing.mixed_up(x, np.eye(8, dtype=np.float32), 1.0, np.random.default_rng(1))
    np.testing.assert_allclose(mixed[:, 0, 0, 0], soft @ np.arange(8), rtol=1e-5)


def test_an_easy_start_is_short_and_plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    clips, spectrograms = [], []
    for number in range(256):
        emotion = EMOTIONS[number % len(EMOTIONS)]
        clips.append(voices.Clip("ravdess", str(number), "1", emotion, "train"))
        spectrograms.append(rng.normal(1, 0.1, (300, MEL_BANDS)).astype(np.float16))
    everything = voices.Voices(tuple(clips), tuple(spectrograms))
    caught = []

    def fit(build, schedule, steps, epoch_batches, *rest, **named):
        caught.append((build, epoch_batches))
        return tmp_path

    monkeypatch.setattr(voice, "fit", fit)
    schedule = replace(voice.STAGES[0].schedule, epochs=10, batch_size=16)
    stage = replace(voice.STAGES[0], schedule=schedule, easy=0.4, mixup=0.6, dropout=0.2)
    voice.train_stage(dict, everything, tmp_path, stage, None)
    ((build, epoch_batches),) = caught
    assert build() == {"dropout": 0.2}

    def of(epoch: int) -> tuple[int, float, float]:
        """(frames, what is blank of what is not mixed, what is mixed) of an epoch."""
        batches = [epoch_batches(epoch)[index] for index in range(4)]
        blank = np.mean([(x == 0).mean() for x, _ in batches])
        mixed = np.mean([(y.max(axis=1) < 1).mean() for _, y in batches])
        return batches[1][0].shape[1], float(blank), float(mixed)

    assert of(0) == (voice.EASY_FRAMES, 0, 0)
    middle, whole = of(2), of(4)
    assert voice.EASY_FRAMES < middle[0] < whole[0] == voice.MAX_FRAMES
    assert 0 < middle[1] < whole[1]
    assert 0 < middle[2] < whole[2]
    assert of(9)[0] == voice.MAX_FRAMES
    voice.train_stage(dict, everything, tmp_path, replace(stage, easy=0.0), None)
    (_, epoch_batches) = caught[-1]
    assert of(0)[0] == voice.MAX_FRAMES
    few = replace(stage, schedule=replace(schedule, epochs=2))
    assert few.hardness(0) == 1  # with an easy start there would be little else
    voice.train_stage(dict, everything, tmp_path, replace(stage, easy=0.0, short=0.5), None)
    (_, epoch_batches) = caught[-1]
    lengths = [epoch_batches(epoch)[i][0].shape[1] for epoch in range(24) for i in range(1, 4)]
    assert 0.3 < np.mean(np.array(lengths) < voice.MAX_FRAMES) < 0.7
    assert len(set(lengths)) > 5
    assert voice.SHORTEST_FRAMES <= min(lengths) < voice.EASY_FRAMES
    voice.train_stage(dict, everything, tmp_path, replace(stage, extra_seconds=1.6), None)
    (_, epoch_batches) = caught[-1]
    assert of(0)[0] == voice.EASY_FRAMES
    assert of(9)[0] == voice.MAX_FRAMES + 100


@pytest.mark.parametrize("short", [{}, {"epochs": 2}, {"fraction": 0.9}])
def test_all_networks_teach_each_and_what_ships_teaches_whole_trainings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: dict[str, Any]
) -> None:
    ravdess(tmp_path, (1, 2, 3, 4))
    trained = []
    asked: list[dict[str, Path]] = []
    answers = None if short else "shipped"

    def train_stage(build, everything, run, stage, start, taught):
        trained.append((run.relative_to(tmp_path).as_posix(), build(), start, taught))
        return run / "best"

    def pretrained(build, everything, run, schedule, dropout, longest):
        trained.append((run.relative_to(tmp_path).as_posix(), build(), None, schedule.epochs))
        return run / "network"

    def shipped_answers(data, clips, run):
        assert not short
        assert {clip.split for clip in clips} == {"train"}
        assert len(set(clips)) == len(clips)
        return answers

    def answers_together(build, weights, data, shipped):
        assert {clip.split for clip in data.clips} == {"train"}
        asked.append(dict(weights))
        assert shipped == answers
        return f"taught{len(asked)}"

    monkeypatch.setattr(voice, "train_stage", train_stage)
    monkeypatch.setattr(voice, "pretrained", pretrained)
    monkeypatch.setattr(voice, "shipped_answers", shipped_answers)
    monkeypatch.setattr(voice, "answers_together", answers_together)
    voice.train(dict, tmp_path, tmp_path / "run", **short)
    expected = []
    for numbers, members, teaching in (
        ((0, 1, 2), voice.MEMBERS, None),
        ((3,), voice.MEMBERS, "taught1"),
        ((0, 1, 2), (voice.STUDENT,), "taught2"),
    ):
        for member in members:
            folder = f"run/{member.name}"
            starts = [None, "filling/network", "stage1/best", "stage2/best"]
            for number in numbers:
                weights = starts[number]
                start = tmp_path / folder / weights if weights else None
                told = teaching if number else short.get("epochs", member.filling)
                name = f"{folder}/{f'stage{number}' if number else 'filling'}"
                network = {"widths": member.widths, "blocks": member.blocks}
                expected.append((name, network, start, told))
    assert trained == expected
    # The second round is taught by what both came to before it, the last network by what they do
    # after it.
    assert asked == [
        {m.name: tmp_path / f"run/{m.name}/stage{number}/best" for m in voice.MEMBERS}
        for number in (2, 3)
    ]


def test_all_stages_of_a_face_network_see_the_same_share_taught_by_the_second(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fer2013(tmp_path, train=20, held_out=10)
    seen, asked = [], []

    def share(faces, fraction, seed):
        seen.append((len(faces), fraction, seed))
        return faces

    class Network:
        def load_weights(self, path: Path) -> None:
            asked.append(path)

    def fit(build, schedule, steps, epoch_batches, score, run, teachers, **named):
        targets = epoch_batches(0)[0][1]
        assert (targets.max() < 1) == bool(teachers)
        return run / "best"

    def predicted_logits(network, faces, prepared):
        return np.zeros((len(faces), len(EMOTIONS)), np.float32)

    monkeypatch.setattr(face.fer2013, "share", share)
    monkeypatch.setattr(face, "fit", fit)
    monkeypatch.setattr(face, "predicted_logits", predicted_logits)
    face.train(Network, tmp_path, tmp_path / "run", fraction=0.5)
    assert len(seen) == 2 + 2 * len(face.COMPACT.stages)
    assert len({seed for _, _, seed in seen}) == 1
    assert asked == [tmp_path / "run/stage2/best"] * 2


def test_a_share_holds_clips_with_all_their_copies(tmp_path: Path) -> None:
    ravdess(tmp_path, (1, 3, 4))
    everything = voices.load(tmp_path, tmp_path / "cache", variants=2)
    copies = Counter(everything.clips)
    share = voice.share_of(everything, 0.25)
    assert len(set(share.clips)) == round(0.25 * len(copies))
    assert all(copies[clip] == n for clip, n in Counter(share.clips).items())
    half = voice.share_of(everything, 0.5)
    assert set(share.clips) < set(half.clips)  # what more data bring is more of the same
    assert voice.share_of(everything, 1) is everything


def test_teachers_share_in_the_targets_of_clips_and_their_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = tuple(
        voices.Clip("ravdess", f"{emotion}", "1", emotion, "train")
        for emotion in ("happy", "sad") * 2
    )
    shapes = (100, 120, 90, 110)
    spectrograms = tuple(np.full((n, MEL_BANDS), i, np.float16) for i, n in enumerate(shapes))
    everything = voices.Voices(clips, spectrograms)  # the last two are copies of the first two
    logits = {"narrow": 2.0, "wide": -1.0, "deep": 0.5}
    asked = []

    def predicted(network: str, data: voices.Voices) -> np.ndarray:
        asked.append([float(s[0, 0]) for s in data.spectrograms])
        return np.outer(np.arange(len(data)) + 1, logits[network] * np.eye(7)[0]).astype(np.float32)

    class Network(str):
        def load_weights(self, path: Path) -> None:
            assert path == tmp_path / self

    names = {(member.widths, member.blocks): member.name for member in voice.NETWORKS}
    assert len(names) == 3
    monkeypatch.setattr(voice, "predicted_logits", predicted)
    build = lambda widths, blocks: Network(names[widths, blocks])  # noqa: E731
    weights = {member.name: tmp_path / member.name for member in voice.MEMBERS}
    taught = voice.answers_together(build, weights, everything, None)
    targets = taught.targets
    assert (taught.teachers, taught.shipped) == ([*weights.values()], "")
    assert asked == [[0, 1], [0, 1]]
    of_deep = {"deep": tmp_path / "deep"}
    np.testing.assert_array_equal(
        voice.logits_together(build, of_deep, everything)[:, 0], [0.5, 1, 1.5, 2]
    )
    sure = [np.exp(0.5 * (i + 1)) / (6 + np.exp(0.5 * (i + 1))) for i in range(2)]
    assert [targets[clip][0] for clip in clips[:2]] == pytest.approx(sure)
    shipped = voice.ShippedAnswers({clips[1]: np.array([0, 3, 0, 0, 0, 0, 0], np.float32)}, "abc")
    also = voice.answers_together(build, weights, everything, shipped)
    beside = also.targets
    assert (also.teachers, also.shipped) == ([*weights.values()], "abc")
    np.testing.assert_array_equal(beside[clips[0]], targets[clips[0]])
    together = np.exp([0.5, 1.5, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(beside[clips[1]], together / together.sum(), rtol=1e-5)
    caught = []

    def fit(build, schedule, steps, epoch_batches, *rest, **named):
        caught.append(epoch_batches(0)[0][1])
        return tmp_path

    monkeypatch.setattr(voice, "fit", fit)
    member = voice.MEMBERS[0]
    stage = replace(member.stages()[2], mixup=0.0)
    assert stage.schedule.seed == member.seed + 2
    voice.train_stage(dict, everything, tmp_path, stage, None, taught=taught)
    (y,) = caught
    for emotion, i in (("happy", 0), ("sad", 1)):
        rows = y[y[:, EMOTIONS.index(emotion)] > 0.5]
        assert len(rows) > 3
        expected = (1 - stage.taught) * np.eye(7)[EMOTIONS.index(emotion)]
        np.testing.assert_allclose(
            rows, np.tile(expected + stage.taught * targets[clips[i]], (len(rows), 1)), rtol=1e-5
        )


def test_answers_of_the_model_that_ships_are_kept_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ravdess(tmp_path, (1, 3))
    clips = [clip for clip in voices.clips(tmp_path) if clip.split == "train"]
    monkeypatch.setattr(voice, "CLIPS_AT_ONCE", 3)

    def find_speech(recording):
        if recording.source == clips[3].path:
            raise DuetError("silent", "The recording is silent.")
        return [(0.0, recording.duration)]

    monkeypatch.setattr(voices, "find_speech", find_speech)
    answers = voice.shipped_answers(tmp_path, clips, tmp_path / "run")
    assert answers
    model = Model(find("voice", voice.TEACHER))
    assert answers.sha256 == model.info.sha256
    assert set(answers.logits) == {*clips} - {clips[3]}
    heard = voices.hear(tmp_path, clips[4:5])
    expected = overall_logits(heard.samples[0], heard.segments[0], model) * model.info.temperature
    np.testing.assert_allclose(answers.logits[clips[4]], expected, rtol=1e-5)

    monkeypatch.setattr(voice, "installed", lambda: ([], []))  # whatever ships by now
    again = voice.shipped_answers(tmp_path, clips[:5], tmp_path / "run")
    assert again
    assert again.sha256 == answers.sha256
    assert set(again.logits) == {*clips[:5]} - {clips[3]}
    np.testing.assert_array_equal(again.logits[clips[4]], answers.logits[clips[4]])
    assert voice.shipped_answers(tmp_path, clips[:5], tmp_path / "other") is None

    monkeypatch.undo()  # a model that was installed since does not teach a run begun without
    assert voice.shipped_answers(tmp_path, clips[:5], tmp_path / "other") is None
    with pytest.raises(DataSetError, match="begun without"):
        voice.shipped_answers(tmp_path, clips, tmp_path / "other")


def test_filling_in_learns_from_training_clips_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks = {"train": 1.0, "validation": 2.0, "test": 3.0}
    clips, spectrograms = [], []
    for number in range(60):
        split = list(marks)[number % 3]
        clips.append(voices.Clip("ravdess", str(number), "1", EMOTIONS[number % 7], split))
        spectrograms.append(np.full((120 + number, COLUMNS), marks[split], np.float16))
    everything = voices.Voices(tuple(clips), tuple(spectrograms))
    seen: dict[str, set[float]] = {"learnt": set(), "judged": set()}

    class Network:
        def predict_on_batch(self, x: np.ndarray) -> dict[str, np.ndarray]:
            shape = (len(x), x.shape[1] // 8, 8 * COLUMNS)
            return {"logits": np.zeros(shape, np.float32)}

    def fit(build, schedule, steps, epoch_batches, score, run, **named):
        for batch in epoch_batches(0).made_ahead():
            seen["learnt"] |= set(np.round(batch[1][..., MEL_BANDS // 2].ravel()))
        monkeypatch.setattr(filling, "accuracy", lambda y, guess: noted(y))
        assert named["keep"] == "best"
        score(Network())
        raise KeyboardInterrupt

    def noted(y: np.ndarray) -> np.ndarray:
        seen["judged"] |= set(np.round(y[..., MEL_BANDS // 2].ravel()))
        return np.zeros(1)

    monkeypatch.setattr(filling, "fit", fit)
    schedule = replace(voice.STAGES[0].schedule.lasting(1), batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        filling.pretrained(dict, everything, tmp_path, schedule, 0.0, voice.MAX_FRAMES)
    # Filters of random microphones change a mark by up to 0.5.
    assert seen["learnt"] <= {0.0, 1.0, 2.0}
    assert not seen["learnt"] & {3.0, 4.0}
    assert {2.0} <= seen["judged"] <= {1.0, 2.0, 3.0}


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    ravdess(tmp_path, (1, 3))
    everything = voices.load(tmp_path, tmp_path / "cache")
    stage = replace(voice.STAGES[0], schedule=voice.STAGES[0].schedule.lasting(1))
    voice.train_stage(partial(voice_cnn, (4, 4, 8)), everything, tmp_path / "run", stage, None)
    other = partial(voice_cnn, (4, 4, 8), dilations=(1, 2))  # whose weights are as many
    with pytest.raises(DataSetError, match="another recipe"):
        voice.train_stage(other, everything, tmp_path / "run", stage, None)
