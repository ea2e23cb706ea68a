"""`voice-cnn`'s recipe judged on every actor of RAVDESS: the literature's five subject-wise folds.

Each network learns once from all speakers of the other corpora, whom no fold judges, first without
labels (`training.filling`), and goes on from there once for each fold, with the four other folds
among its training data. Then comes each fold's second round, taught by what the networks answer
together; the model that ships does not teach here, having heard most actors. Last comes the network
that all others teach, `voice.STUDENT`: on the other corpora by what they came to there, and on each
fold by what they came to in its second round. The length of all that
is fixed ahead: no epoch is chosen by the actors that are judged, nor by anybody else. What the
recipe is made of was chosen on validation speakers, four of RAVDESS's 24 actors among them.

What it came to, mean unweighted average recall: narrow 71.7%, deep 71.8%, both together, as they
ship, 71.7%; wide 70.7%, narrow and wide 71.8%, all three 71.8%. With second rounds of 5 and 3
epochs it was 69.1% for narrow, 66.9% for wide and 68.7% for both. Networks were not chosen by it,
and epochs were made more because the second rounds of the recipe have 44 and 24.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from core.datasets import present
from core.index import RAVDESS_FOLDS
from core.models import probabilities
from training import checks, voice, voices
from training.files import DataSetError
from training.filling import FOLDER, pretrained
from training.measures import (
    bootstrap_interval,
    rounded,
    summary,
    unweighted_average_recall,
    widened,
)

CORPUS = "ravdess"
Epochs = tuple[int, ...]
EPOCHS: dict[str, Epochs] = {"narrow": (16, 5, 24), "wide": (9, 3, 10), "deep": (15, 12)}
"""Of each network, on the other corpora, then on each fold, then in each fold's second round; the
network that they teach has none."""
SEEDS = {"narrow": 7, "wide": 17, "deep": 47}
"""Of each network; of the first two those of the generation before, whose checkpoints go on."""
FILLING_SHARE = 0.6
"""Epochs of filling in what is blanked, as a share of those on the other corpora after it."""
FOLD_RATE = 8e-4
"""Peak learning rate on a fold."""
FOLD_SHARE = {"ravdess": 0.5, "crema_d": 0.4, "savee": 0.05, "tess": 0.05}
"""How often each corpus is drawn on a fold."""
FOLD_CHANGE = voice.ROUND_TWO.prosody_change
"""Of pitch and loudness on a fold, in both rounds."""
ROUNDS = 2000


def folds(
    build: Callable[..., keras.Model],
    data: Path,
    run: Path,
    epochs: Epochs | None = None,
    members: Sequence[str] = (),
    fraction: float = 1.0,
) -> dict[str, Any]:
    """What `folds.json` holds.

    Parameters
    ----------
    build : of the recipe's networks, by `widths` and `blocks`.
    run : folder of checkpoints; what is there already goes on.
    epochs : on the other corpora, on each fold, and in its second round; `EPOCHS` by default.
    members : names of the networks that answer together; `voice.ANSWERING` by default.
    fraction : share of the clips to train and judge on, for a trial.

    Returns
    -------
    `folds`: of each `actors`, `n`, `accuracy`, `unweighted_average_recall` with its interval;
    `mean_unweighted_average_recall` over them, `mean_unweighted_average_recall_95` from drawing
    the actors of each fold anew, `widened` as they are so few; `all`: measures of all answers
    together; `answering`, the networks that answer, and `taught_by`, who taught one of them in both
    its stages; `epochs` of each network, and `filling_epochs` before them.

    Raises
    ------
    DataSetError
        When RAVDESS or all others are missing, or there is no network of that name.
    """
    answering = list(members or voice.ANSWERING)
    known = [member.name for member in voice.NETWORKS]
    if unknown := [name for name in answering if name not in known]:
        raise DataSetError(f"There is no network {unknown[0]!r}; known: {', '.join(known)}.")
    taught_one = voice.STUDENT.name in answering
    chosen = [
        lasting(member, epochs or EPOCHS[member.name])
        for member in voice.MEMBERS
        if taught_one or member.name in answering
    ]
    if CORPUS not in present(data):  # said before anything is computed
        raise DataSetError(
            f"RAVDESS was not found at {data}: put ravdess.zip, or its unpacked folder, there."
        )
    everything = voices.load(data, run.parent / "cache", voice.VARIANTS, voice.SEED, split_of)
    everything = voice.share_of(everything, fraction)
    judged_corpus = np.array([clip.corpus == CORPUS for clip in everything.clips], bool)
    others = everything.where(~judged_corpus)
    checks.told(everything.where(judged_corpus).labels, (), "RAVDESS")
    checks.told(others.labels, (), "The other corpora")
    there = [actors for actors in RAVDESS_FOLDS if _spoken_by(everything, actors).any()]
    learnt = [everything.where(~_spoken_by(everything, actors)) for actors in there]
    starts, ends = {}, {}
    for member in chosen:
        starts[member.name] = start = learn_others(build, member, others, run)
        ends[member.name] = first_round(build, member, start, learnt, run)
    second = [
        second_round(
            build, chosen, pool, run, number, {name: found[number] for name, found in ends.items()}
        )
        for number, pool in enumerate(learnt)
    ]
    if taught_one:
        student = lasting(voice.STUDENT, (epochs or EPOCHS[voice.STUDENT.name])[:2])
        chosen.append(student)
        last = taught_by(build, student, starts, second, others, learnt, run)
        second = [{**weights, student.name: end} for weights, end in zip(second, last, strict=True)]
    clips = everything.where(voice.originals(everything))
    judged = [clips.where(_spoken_by(clips, actors)) for actors in there]
    logits = [
        voice.logits_together(build, {name: weights[name] for name in answering}, part)
        for weights, part in zip(second, judged, strict=True)
    ]
    return {
        **measured(judged, logits),
        "answering": answering,
        "taught_by": {voice.STUDENT.name: list(starts)} if taught_one else {},
        "epochs": {member.name: list(member.epochs) for member in chosen},
        "filling_epochs": {member.name: member.filling for member in chosen},
        "date": datetime.now(UTC).date().isoformat(),
    }


def learn_others(
    build: Callable[..., keras.Model],
    member: voice.Member,
    others: voices.Voices,
    run: Path,
    taught: voice.Taught | None = None,
) -> Path:
    """One network's weights after the other corpora, `taught` by others if it is."""
    network = member.built(build)
    first = _stages(member)[0]
    place = run / member.name
    print(f"{member.name} network, other corpora", flush=True)
    filled = pretrained(
        network,
        others,
        place / FOLDER,
        member.filling_schedule(),
        first.dropout,
        voice.MAX_FRAMES,
    )
    return voice.train_stage(
        network, others, place / "others", first, filled, keep="last", taught=taught
    )


def first_round(
    build: Callable[..., keras.Model],
    member: voice.Member,
    start: Path,
    learnt: Sequence[voices.Voices],
    run: Path,
) -> list[Path]:
    """One network's weights after each fold's own training data, `learnt`, from `start` on."""
    ends = []
    for number, pool in enumerate(learnt):
        print(f"{member.name} network, fold {number + 1} of {len(learnt)}", flush=True)
        ends.append(_learn_fold(build, member, 1, pool, run, number, start))
    return ends


def taught_by(
    build: Callable[..., keras.Model],
    student: voice.Member,
    starts: Mapping[str, Path],
    ends: Sequence[Mapping[str, Path]],
    others: voices.Voices,
    learnt: Sequence[voices.Voices],
    run: Path,
) -> list[Path]:
    """The weights of the network that all others teach, of each fold.

    Parameters
    ----------
    starts : weights of its teachers after the other corpora, by name; they teach there.
    ends : of each fold, those after its second round.
    """
    taught = voice.answers_together(build, starts, others, None)
    start = learn_others(build, student, others, run, taught)
    found = []
    for number, (teachers, pool) in enumerate(zip(ends, learnt, strict=True)):
        print(f"{student.name} network, fold {number + 1} of {len(learnt)}", flush=True)
        taught = voice.answers_together(build, teachers, pool, None)
        found.append(_learn_fold(build, student, 1, pool, run, number, start, [*teachers], taught))
    return found


def second_round(
    build: Callable[..., keras.Model],
    members: Sequence[voice.Member],
    learnt: voices.Voices,
    run: Path,
    number: int,
    weights: Mapping[str, Path],
) -> dict[str, Path]:
    """Each network's weights after the second round of fold `number`, counted from 0.

    Parameters
    ----------
    learnt : the fold's training data. weights : after its first round, of all that teach, by name.
    """
    taught = voice.answers_together(build, weights, learnt, None)
    ends = {}
    for member in members:
        print(f"{member.name} network, second round of fold {number + 1}", flush=True)
        start = weights[member.name]
        ends[member.name] = _learn_fold(
            build, member, 2, learnt, run, number, start, [*weights], taught
        )
    return ends


def _learn_fold(
    build: Callable[..., keras.Model],
    member: voice.Member,
    stage: int,
    learnt: voices.Voices,
    run: Path,
    number: int,
    start: Path,
    teachers: Sequence[str] = (),
    taught: voice.Taught | None = None,
) -> Path:
    """One network's weights after stage `stage` of its plan on fold `number`, both from 0.

    Parameters
    ----------
    learnt : the fold's training data. start : weights to go on from. teachers : their names, if it
        is `taught`.
    """
    by = f"-taught-by-{'-'.join(teachers)}" if teachers else ""
    return voice.train_stage(
        member.built(build),
        learnt,
        run / member.name / f"fold{number + 1}{by}",
        _stages(member)[stage],
        start,
        FOLD_SHARE,
        keep="last",
        taught=taught,
    )


def lasting(member: voice.Member, epochs: Epochs) -> voice.Member:
    """A network trained for so long, from `SEEDS`, and that fills in what is blanked first."""
    filling = math.ceil(FILLING_SHARE * epochs[0])
    return replace(member, filling=filling, epochs=epochs, seed=SEEDS[member.name])


def split_of(_: voices.Clip) -> str:
    """Everybody is learnt from, but for the fold in turn: there is nothing left to choose."""
    return "train"


def _stages(member: voice.Member) -> tuple[voice.Stage, ...]:
    first, *later = member.stages()
    warmup = voice.STAGES[1].schedule.warmup_epochs
    return (
        first,
        *(
            replace(
                stage,
                schedule=replace(stage.schedule, learning_rate=FOLD_RATE, warmup_epochs=warmup),
                prosody_change=FOLD_CHANGE,
            )
            for stage in later
        ),
    )


def _spoken_by(data: voices.Voices, actors: frozenset[str]) -> NDArray[np.bool_]:
    return np.array([c.corpus == CORPUS and c.speaker in actors for c in data.clips], bool)


def measured(
    judged: Sequence[voices.Voices], logits: Sequence[NDArray[np.float32]]
) -> dict[str, Any]:
    """`folds`, their mean with its interval, and `all` of `folds.json`.

    Parameters
    ----------
    judged : of each fold, the clips of its actors. logits : of each fold, (n, 7).
    """
    answers = [part.argmax(axis=1) for part in logits]
    recalls = [
        unweighted_average_recall(part.labels, given)
        for part, given in zip(judged, answers, strict=True)
    ]
    rows = []
    for part, given, recall in zip(judged, answers, recalls, strict=True):
        interval = bootstrap_interval(
            part.labels, given, unweighted_average_recall, speakers=voices.speakers_of(part.clips)
        )
        rows.append(
            {
                "actors": sorted({int(clip.speaker) for clip in part.clips}),
                "n": len(part),
                "accuracy": rounded(np.mean(given == part.labels)),
                "unweighted_average_recall": rounded(recall),
                "unweighted_average_recall_95": [rounded(end) for end in interval],
            }
        )
    rng = np.random.default_rng(7)
    drawn = [_mean_recall_of_drawn(judged, answers, rng) for _ in range(ROUNDS)]
    mean = float(np.mean(recalls))
    low, high = widened(
        (float(np.percentile(drawn, 2.5)), float(np.percentile(drawn, 97.5))),
        mean,
        sum(len({clip.speaker for clip in part.clips}) for part in judged),
        strata=len(rows),
    )
    together = summary(
        probabilities(np.concatenate(logits)),
        np.concatenate([part.labels for part in judged]),
        np.concatenate([voices.speakers_of(part.clips) for part in judged]),
    )
    return {
        "folds": rows,
        "mean_unweighted_average_recall": rounded(mean),
        "mean_unweighted_average_recall_95": [rounded(max(0.0, low)), rounded(min(1.0, high))],
        "all": together,
    }


def _mean_recall_of_drawn(
    judged: Sequence[voices.Voices],
    answers: Sequence[NDArray[np.int64]],
    rng: np.random.Generator,
) -> float:
    """Mean recall over the folds, each with as many of its actors drawn with replacement."""
    found = []
    for part, given in zip(judged, answers, strict=True):
        speakers = np.array([clip.speaker for clip in part.clips])
        names = np.unique(speakers)
        rows = [np.flatnonzero(speakers == name) for name in rng.choice(names, len(names))]
        chosen = np.concatenate(rows)
        found.append(unweighted_average_recall(part.labels[chosen], given[chosen]))
    return float(np.mean(found))
