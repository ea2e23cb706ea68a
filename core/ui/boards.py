"""What the pages on models share: names of splits, the leaderboard's rows, answers, examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from core import bench, datasets, reports
from core.errors import DuetError
from core.labels import EMOTIONS
from core.models import ModelInfo
from core.predictions import FILE_NAME, Predictions, read_predictions
from core.reports import Evaluation, Measures
from core.ui import cards, engine
from core.ui import datasets as local
from core.ui.engine import Trouble
from core.words import percent

FACE_SPLITS = {
    "validation": "FER2013 PublicTest (validation)",
    "test": "FER2013 PrivateTest",
    "test-distinct": "PrivateTest without copies of training images",
}

SPEEDS = "duet.speeds"
"""Where in the session the measured speeds are: SHA-256 -> milliseconds."""


def split_name(info: ModelInfo, split: str) -> str:
    """What a split of `evaluation.json` is called."""
    if info.task == "face":
        return FACE_SPLITS.get(split, split)
    part, _, corpus = split.partition("/")
    people = {"test": "unheard speakers", "validation": "validation speakers"}.get(part, part)
    return f"{cards.CORPORA.get(corpus, corpus) if corpus else 'All corpora'}, {people}"


def evaluation(info: ModelInfo) -> Evaluation | Trouble:
    """The model's measures, or what is wrong with them."""
    return engine.told(partial(reports.read_evaluation, info))


def splits_first_tests(found: Evaluation) -> list[str]:
    """Names of the splits, those for judging before those for choosing."""
    return sorted(found.splits, key=lambda name: not name.startswith("test"))


def faults(info: ModelInfo) -> list[Trouble]:
    """What is wrong with a folder whose `model.json` is sound."""
    checks: tuple[Callable[[ModelInfo], object], ...] = (
        reports.check_weights,
        reports.read_evaluation,
        reports.read_card,
        reports.read_robustness,
        reports.read_fairness,
        reports.read_adversarial,
        reports.read_learning_curve,
        reports.read_levers,
        reports.read_other_splits,
    )
    found: list[object] = [engine.told(partial(check, info)) for check in checks]
    found.append(engine.told(lambda: reports.read_history(info.folder / "history.csv")))
    return [trouble for trouble in found if isinstance(trouble, Trouble)]


def rows(infos: Sequence[ModelInfo]) -> list[dict[str, Any]]:
    """Of the leaderboard: one for each model and test split."""
    speeds: dict[str, float] = st.session_state.get(SPEEDS, {})
    found = []
    for info in infos:
        measured = evaluation(info)
        if isinstance(measured, Trouble):
            continue
        splits = [name for name in splits_first_tests(measured) if name.startswith("test")]
        named = [measured.splits[name] for name in splits or measured.splits]
        found += [_row(info, m, speeds.get(info.sha256)) for m in named]
    return found


def _row(info: ModelInfo, m: Measures, speed: float | None) -> dict[str, Any]:
    held_apart = info.card.get("held_apart")
    return {
        "model": info.name,
        "task": info.task,
        "data": split_name(info, m.split),
        "n": m.n,
        "accuracy": m.accuracy,
        "accuracy_low": m.accuracy_95[0],
        "accuracy_high": m.accuracy_95[1],
        "recall": m.unweighted_average_recall,
        "recall_low": m.unweighted_average_recall_95[0],
        "recall_high": m.unweighted_average_recall_95[1],
        "calibration_error": m.expected_calibration_error,
        "megabytes": round(info.bytes / 1e6, 2),
        "parameters": info.parameters,
        "milliseconds": float("nan") if speed is None else round(speed, 2),
        "honest_split": isinstance(held_apart, str) and bool(held_apart),
        "trained_on": str(info.card.get("data", "not stated")),
        "own": info.own,
    }


def measure_speed(info: ModelInfo) -> None:
    """Measure how long one answer takes here and remember it for the session, if it answers."""
    found = engine.attempt(partial(bench.model_speed, info))
    if not isinstance(found, Trouble):
        st.session_state.setdefault(SPEEDS, {})[info.sha256] = found


@st.cache_resource(show_spinner=False, max_entries=8)
def _predictions(_info: ModelInfo, folder: str, changed: float) -> dict[str, Predictions]:
    return read_predictions(_info)


def predictions(info: ModelInfo, split: str) -> Predictions | Trouble:
    """The model's answers on a split, or on one corpus of it (`test/ravdess`)."""

    def job() -> Predictions:
        path = info.folder / FILE_NAME
        changed = path.stat().st_mtime if path.is_file() else 0.0
        found = _predictions(info, str(info.folder), changed)
        name, _, corpus = split.partition("/")
        if name not in found:
            raise DuetError(
                "not_found",
                f"{path} holds no single answers on {split_name(info, split)}; "
                "choose another test set.",
            )
        whole = found[name]
        return whole.where(whole.groups == corpus) if corpus else whole

    return engine.told(job)


def probability_rows(found: Predictions) -> list[dict[str, Any]]:
    """A row for each example: file, truth, answer and probabilities."""
    return [
        {
            "example": str(name),
            "true": EMOTIONS[label],
            "answer": EMOTIONS[answer],
            **{e: round(float(v), 4) for e, v in zip(EMOTIONS, p, strict=True)},
        }
        for name, label, answer, p in zip(
            found.ids, found.labels, found.answers, found.probabilities, strict=True
        )
    ]


# --- examples -----------------------------------------------------------------------------------

PICTURES_AT_ONCE, CLIPS_AT_ONCE = 24, 6


def examples(info: ModelInfo, found: Predictions, words: Sequence[str], key: str) -> None:
    """The examples themselves where the data are here, else their names; a page of them at a time.

    Parameters
    ----------
    words : what to say of each.
    """
    if not len(found):
        st.caption("There is no such example.")
        return
    if local.data_folder() is None:
        st.caption(local.missing())
        names = [{"file": str(i), "answer": w} for i, w in zip(found.ids, words, strict=True)]
        st.dataframe(names, height=240, hide_index=True, key=f"{key}_names")
        return
    at_once = PICTURES_AT_ONCE if info.task == "face" else CLIPS_AT_ONCE
    pages = -(-len(found) // at_once)
    number = 1
    if pages > 1:
        number = int(st.number_input(f"Page (of {pages})", 1, pages, 1, key=f"{key}_page",
                                     width=160))  # fmt: skip
    rows_shown = range((number - 1) * at_once, min(number * at_once, len(found)))
    shown = [(str(found.ids[i]), words[i]) for i in rows_shown]
    (_pictures if info.task == "face" else _clips)(shown, key)


def _pictures(shown: Sequence[tuple[str, str]], key: str) -> None:
    with st.container(horizontal=True, gap="small", key=f"{key}_wall"):
        for name, words in shown:
            image = engine.told(partial(local.face_image, name))
            if isinstance(image, Trouble):
                engine.show_trouble(image, f"{key}_trouble")
                return
            large = np.kron(image, np.ones((2, 2), np.uint8))
            st.image(large, caption=words, width=96, alt=f"A face. {words}")


def _clips(shown: Sequence[tuple[str, str]], key: str) -> None:
    for name, words in shown:
        content = engine.told(partial(local.clip, name))
        if isinstance(content, Trouble):
            engine.show_trouble(content, f"{key}_trouble")
            return
        st.caption(engine.plain(f"{words} · {datasets.set_of(name, 'voice')[1]}"))
        st.audio(content, format=_sound_type(name))


def _sound_type(name: str) -> str:
    ending = name.rsplit(".", 1)[-1].lower()
    return {"ogg": "audio/ogg", "opus": "audio/ogg", "mp3": "audio/mpeg"}.get(
        ending, f"audio/{ending}"
    )


def sureness(found: Predictions) -> list[str]:
    """`sad 62%`: the answer to each example and how sure it is."""
    return [
        f"{EMOTIONS[answer]} {percent(float(p))}"
        for answer, p in zip(found.answers, found.confidence, strict=True)
    ]
