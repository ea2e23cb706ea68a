"""Models: all of them side by side, one of them in full, two of them compared."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from core import measures, reports
from core.labels import EMOTIONS
from core.measures import Curve
from core.models import ModelInfo, installed
from core.predictions import Predictions
from core.reports import Adversarial, Evaluation, Measures
from core.results import UNSURE_BELOW
from core.ui import boards, cards, datasets, engine, entry, exports, plots
from core.ui.choices import ANY, one_of_few, one_of_many
from core.ui.engine import Trouble
from core.words import listed

ALL, ONE, TWO = "All models", "One model", "Side by side"
SECTIONS = ("Training", "Confusion", "By emotion", "Curves", "Trust", "Robustness and fairness",
            "Card")  # fmt: skip
MEASURE = "duet.models.measure"
"""Where in the session it says that speed is to be measured."""


def mark_evaluated(*infos: ModelInfo) -> None:
    """`mark` what comes from the evaluation of models, and from the answers written with it."""
    for info in infos:
        if not isinstance(found := boards.evaluation(info), Trouble):
            engine.mark(info, found.model_sha256)


def by_name(infos: Sequence[ModelInfo]) -> dict[str, ModelInfo]:
    """Name -> model."""
    return {info.name: info for info in infos}


# --- all ----------------------------------------------------------------------------------------


def everything(infos: list[ModelInfo]) -> None:
    """The leaderboard."""
    rows = filtered(boards.rows(infos))
    if rows:
        figure = plots.leaderboard(rows)
        plots.show(figure, "leaderboard", rows)
        table(rows)
        shown = {row["model"] for row in rows}
        mark_evaluated(*(info for info in infos if info.name in shown))
        st.caption(
            "Intervals: 95%, bootstrap over pictures, or within each voice set over speakers with "
            "all their clips, widened for being few (over clips where a set has fewer than three "
            "speakers). Measured by "
            "`python -m training evaluate NAME --data PATH --write`; click a row to see its model."
        )
    else:
        cards.empty("leaderboard", "No model fits this choice; widen it.", "leaderboard_empty")
    speed(infos)
    for info in infos:
        for number, trouble in enumerate(boards.faults(info)):
            engine.show_trouble(trouble, f"fault_{info.name}_{number}")


def filtered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that a person asked for."""
    left, right = st.columns([1, 1], gap="large")
    with left:
        task = one_of_few("Reads", [ANY, "face", "voice"], "reads")
    with right:
        data = one_of_many("Judged on", [ANY, *dict.fromkeys(row["data"] for row in rows)], "on")
    honest = st.toggle(
        "Only honest splits",
        key="honest",
        bind="query-params",
        help="Its card says how the data it is judged on were kept out of training.",
    )
    return [
        row
        for row in rows
        if task in (ANY, row["task"])
        and data in (ANY, row["data"])
        and (row["honest_split"] or not honest)
    ]


def table(rows: list[dict[str, Any]]) -> None:
    """All numbers; sorted by a click on a column's head."""
    config = st.column_config
    columns = {  # what the page measures on demand has to be in sight
        "model": config.TextColumn("model", pinned=True),
        "data": config.TextColumn("judged on", width=190),
        "accuracy": config.NumberColumn(format="%.1f%%"),
        "accuracy_95": config.TextColumn("95%"),
        "recall": config.NumberColumn("average recall", format="%.1f%%",
                                      help="Unweighted average recall: every emotion counts alike"),
        "recall_95": config.TextColumn("95% "),
        "milliseconds": config.NumberColumn("ms here", format="%.2f",
                                            help="One answer on this machine, median"),
        "megabytes": config.NumberColumn("MB", format="%.2f"),
        "honest_split": config.CheckboxColumn("honest split"),
        "n": config.NumberColumn("examples", format="localized"),
        "calibration_error": config.NumberColumn("calibration error", format="%.3f"),
        "parameters": config.NumberColumn(format="localized"),
        "own": config.CheckboxColumn("your own"),
        "trained_on": config.TextColumn("trained on", width="large"),
    }  # fmt: skip
    shown = [
        {
            **row,
            "accuracy": 100 * row["accuracy"],
            "recall": 100 * row["recall"],
            "accuracy_95": _span(row, "accuracy"),
            "recall_95": _span(row, "recall"),
        }
        for row in rows
    ]
    st.dataframe(
        shown,
        column_order=list(columns),
        column_config=columns,
        hide_index=True,
        placeholder="–",  # as long as nobody measured the speed
        key="leaderboard_table",
        on_select=partial(open_row, [row["model"] for row in rows]),
        selection_mode="single-row",
        alt="Leaderboard of all models",
    )


def _span(row: dict[str, Any], name: str) -> str:
    return f"{row[f'{name}_low']:.1%} to {row[f'{name}_high']:.1%}"


def open_row(names: list[str]) -> None:
    """Callback: show the model of the row that was clicked."""
    if chosen := st.session_state["leaderboard_table"].selection.rows:
        st.session_state["model"] = names[chosen[0]]
        st.query_params["model"] = names[chosen[0]]  # only choices on the page write it themselves
        st.session_state["view"] = ONE


def speed(infos: list[ModelInfo]) -> None:
    """Measure on demand how fast each model is here."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Measure speed here",
            icon=":material/speed:",
            key="measure_speed",
            on_click=st.session_state.update,
            args=({MEASURE: True},),
        )
        st.caption("One framed face, or three seconds of sound; takes a second for each model.")
    if not st.session_state.pop(MEASURE, False):
        return
    bar = st.progress(0.0)
    for number, info in enumerate(infos):
        bar.progress(number / len(infos), f"Measuring {info.name}")
        boards.measure_speed(info)  # a model that does not load is told of below
    st.rerun()


# --- one ----------------------------------------------------------------------------------------


def one(infos: list[ModelInfo]) -> None:
    """Everything about one model."""
    known = by_name(infos)
    if st.query_params.get("model", infos[0].name) not in known:
        st.info(
            "The address of this page names a model that is not here; this is another one.",
            icon=":material/info:",
        )
    info = known[one_of_many("Model", list(known), "model")]
    own = "  \nYour own: trained from this app." if info.own else ""
    st.markdown(f"{cards.model_line(info)}  \n{cards.headline(info)}{own}")
    weights = engine.told(partial(reports.check_weights, info))
    engine.told_trouble(weights, "weights_trouble")
    section = one_of_few("Show", SECTIONS, "section", hidden=True)
    if section == "Training":
        training(info)
    elif section == "Card":
        card(info)
    elif section == "Robustness and fairness":
        robustness(info)
        adversarial(info, [other for other in infos if other is not info])
        fairness(info)
    else:
        judged(info, section)


def judged(info: ModelInfo, section: str) -> None:
    """What was measured on one split."""
    evaluation = boards.evaluation(info)
    if isinstance(evaluation, Trouble):
        engine.show_trouble(evaluation, "evaluation_trouble")
        return
    found = evaluation.splits[choose_split(info, evaluation)]
    engine.mark(info, evaluation.model_sha256)
    answers = boards.predictions(info, found.split)
    if section == "Confusion":
        confusion(info, found, answers)
    elif section == "By emotion":
        plots.show(plots.per_class(found), "by_emotion", plots.per_class_rows(found))
    elif isinstance(answers, Trouble):
        engine.show_trouble(answers, "predictions_trouble")
    elif section == "Curves":
        curves(answers)
    else:
        trust(answers)
    traced(evaluation)


def choose_split(info: ModelInfo, evaluation: Evaluation) -> str:
    """On which data."""
    return one_of_many(
        "Judged on",
        boards.splits_first_tests(evaluation),
        "split",
        partial(boards.split_name, info),
    )


def traced(evaluation: Evaluation) -> None:
    """Where the numbers come from."""
    if evaluation.command:
        st.caption(f"By `{evaluation.command}` on {engine.plain(evaluation.date)}.")


def training(info: ModelInfo) -> None:
    """How it learnt, epoch by epoch."""
    log = engine.told(lambda: reports.read_history(info.folder / "history.csv"))
    if isinstance(log, Trouble):
        engine.show_trouble(log, "history_trouble")
    else:
        for kind, figure in plots.history(log).items():
            plots.show(figure, f"history_{kind}", plots.history_rows(log))
    if isinstance(note := info.card.get("note"), str) and note:
        st.caption(engine.plain(note))
    learning_curve(info)
    levers(info)
    other_splits(info)
    st.markdown("**Make it yourself**")
    st.code(reports.reproduce(info), language="sh", wrap_lines=True)


def learning_curve(info: ModelInfo) -> None:
    """What more data bring, where short runs were made to show it."""
    found = engine.told(partial(reports.read_learning_curve, info))
    if isinstance(found, Trouble):
        engine.show_trouble(found, "learning_curve_trouble")
    elif found is not None and found.points:
        st.subheader("What more data bring")
        rows = plots.learning_curve_rows(found)
        plots.show(plots.learning_curve(found), "learning_curve", rows)
        measured_by(f"{found.note} {found.settings}".strip(), found.command)


def levers(info: ModelInfo) -> None:
    """What single ideas are worth, where short or whole runs were made to show it."""
    found = engine.told(partial(reports.read_levers, info))
    if isinstance(found, Trouble):
        engine.show_trouble(found, "levers_trouble")
        return
    whole = engine.told(partial(reports.read_whole_runs, info))
    if isinstance(whole, Trouble):
        engine.show_trouble(whole, "levers_trouble")
        return
    if any(ideas.tried for ideas in found):
        short_runs(found)
    if whole:
        whole_runs(whole)


def short_runs(found: list[reports.Ideas]) -> None:
    """Ideas in runs that are much shorter than those that ship."""
    st.subheader("What single ideas are worth")
    plots.show(plots.levers(found), "levers", plots.levers_rows(found))
    st.caption(
        "Short runs that differ in one idea each from one without it, judged on validation "
        "data. Beyond chance: p times the number of ideas tried in one go is below 0.05. What "
        "holds against overfitting is worth more in a long run."
    )
    for ideas in found:
        settings = f"{ideas.settings} ({ideas.n:,} examples); p by {ideas.test}"
        measured_by(settings, ideas.command)


def whole_runs(found: list[reports.WholeRun]) -> None:
    """What decisions about the recipe came to in whole trainings."""
    st.subheader("What whole runs came to")
    for run in found:
        ships = "ships" if run.ships else "does not ship"
        cost = f" Cost: {run.cost}." if run.cost else ""
        st.markdown(f"- **{run.what}** ({ships}): {'; '.join(map(str, run.changes))}.{cost}")
    st.caption(f"On validation data. {reports.WHOLE_RUNS}")


def other_splits(info: ModelInfo) -> None:
    """How good the recipe is where the examples are divided in another way, if somebody tried."""
    found = engine.told(partial(reports.read_other_splits, info))
    evaluation = boards.evaluation(info)
    if isinstance(found, Trouble):
        engine.show_trouble(found, "other_splits_trouble")
    elif found and not isinstance(evaluation, Trouble) and "test" in evaluation.splits:
        st.subheader("Divided in another way")
        engine.mark(info, evaluation.model_sha256)
        test = evaluation.splits["test"]
        rows = plots.other_splits_rows(found, test)
        plots.show(plots.other_splits(found, test), "other_splits", rows)
        words = "“Unheard speakers” is what we stand by."
        if any(other.leaks for other in found):
            words += (
                " Its interval is from drawing speakers anew; that of the split that leaks, from "
                "drawing examples, is too narrow."
            )
        st.caption(words)
        for other in found:
            measured_by(other.note.rstrip("."), other.command)


WAYS: dict[str, int | None] = {"Counts": None, "By row": 1, "By column": 0}


def confusion(info: ModelInfo, found: Measures, answers: Predictions | Trouble) -> None:
    """The confusion matrix, and the examples of a cell that is clicked."""
    way = one_of_few("Cells", list(WAYS), "cells", explained=(
        "By row: of each true emotion, what share got each answer. By column: of each answer, "
        "what share was truly each emotion."
    ))  # fmt: skip
    chosen = cell()
    figure = plots.confusion(found.confusion_matrix, WAYS[way], chosen)
    plots.show(figure, "confusion", plots.confusion_rows(found.confusion_matrix), on_select=clicked)
    left, right = st.columns(2)
    with left:
        one_of_many("True emotion", [ANY, *EMOTIONS], "true")
    with right:
        one_of_many("Answer", [ANY, *EMOTIONS], "answer")
    if isinstance(answers, Trouble):
        engine.show_trouble(answers, "predictions_trouble")
    elif chosen:
        in_cell(info, answers, *chosen)
    else:
        st.caption("Click a cell, or choose both emotions, to see its examples.")


def cell() -> tuple[int, int] | None:
    """The chosen cell: (true, answer)."""
    state = (str(st.session_state.get(k) or st.query_params.get(k)) for k in ("true", "answer"))
    true, answer = state
    known = true in EMOTIONS and answer in EMOTIONS
    return (EMOTIONS.index(true), EMOTIONS.index(answer)) if known else None


def clicked() -> None:
    """Callback: take over the cell that was clicked."""
    if points := st.session_state["confusion"].selection.points:
        st.session_state["true"] = EMOTIONS[int(points[0]["y"])]
        st.session_state["answer"] = EMOTIONS[int(points[0]["x"])]


def in_cell(info: ModelInfo, answers: Predictions, true: int, answer: int) -> None:
    """The examples of one cell, the surest answers first."""
    chosen = answers.where((answers.labels == true) & (answers.answers == answer))
    chosen = chosen.where(np.argsort(-chosen.confidence, kind="stable"))
    st.subheader(f"True {EMOTIONS[true]}, answered {EMOTIONS[answer]}: {len(chosen):,}")
    boards.examples(info, chosen, boards.sureness(chosen), f"cell_{info.name}_{true}_{answer}")


def curves(answers: Predictions) -> None:
    """ROC and precision-recall of every emotion."""
    for kind, make, x, y in (
        ("roc", measures.roc_curve, "false_positive_rate", "true_positive_rate"),
        ("precision_recall", measures.precision_recall_curve, "recall", "precision"),
    ):
        made: dict[str, Curve] = {}
        for index, name in enumerate(EMOTIONS):
            curve = make(answers.probabilities[:, index], answers.labels == index)
            if curve is not None:
                made[name] = curve
        if made:
            st.subheader("ROC" if kind == "roc" else "Precision and recall")
            figure = plots.one_against_all(made, kind)
            plots.show(figure, kind, plots.curve_rows(made, x, y))


def trust(answers: Predictions) -> None:
    """Calibration, and what a threshold for "unsure" costs and gains."""
    bins = measures.reliability(answers.probabilities, answers.labels)
    plots.show(plots.calibration(bins), "calibration", plots.calibration_rows(bins))
    st.caption("Dots: answers of about one confidence, larger where there are more of them.")
    st.subheader("When to say “unsure”")
    threshold = st.slider(
        "Unsure below (%)", 0, 99, round(100 * UNSURE_BELOW), key="unsure", bind="query-params",
        help=f"Duet's pages say unsure below {UNSURE_BELOW:.0%}.",
    )  # fmt: skip
    rows = plots.coverage_rows(answers.confidence, answers.right)
    plots.show(plots.coverage(rows, threshold / 100), "coverage", rows)


def robustness(info: ModelInfo) -> None:
    """How far it bears noise, blur and the like."""
    st.subheader("Robustness")
    found = engine.told(partial(reports.read_robustness, info))
    if isinstance(found, Trouble):
        engine.show_trouble(found, "robustness_trouble")
    elif found is None or not any(found.corruptions.values()):
        cards.empty(
            "shield_question",
            "Nobody has measured yet how this model bears noise, blur and the like: its folder "
            "has no robustness.json.",
            "robustness_empty",
        )
    else:
        engine.mark(info, found.model_sha256)
        plots.show(plots.robustness(found), "robustness", plots.robustness_rows(found))
        sets = f" of {listed(list(found.corpora))}" if found.corpora else ""
        examples = reports.of_how_many(found.n, found.drawn_from, f"{found.split} examples{sets}")
        measured_by(f"What each strength is, its point says. On {examples}", found.command)


def adversarial(info: ModelInfo, others: Sequence[ModelInfo]) -> None:
    """How far it bears pictures changed on purpose, where somebody has tried."""
    found = engine.told(partial(reports.read_adversarial, info))
    if isinstance(found, Trouble):
        engine.show_trouble(found, "adversarial_trouble")
    elif found is not None and any(found.attacks.values()):
        st.subheader("When somebody means to mislead it")
        engine.mark(info, found.model_sha256)
        beside = _attacked(others)
        for other in others:
            if other.name in beside:
                engine.mark(other, beside[other.name].model_sha256)
        rows = plots.adversarial_rows({info.name: found, **beside})
        plots.show(plots.adversarial(found, beside), "adversarial", rows)
        how = "; ".join(f"{name}: {way}" for name, way in found.settings.items() if way)
        st.caption(engine.plain(f"{found.note} {how}"))
        faces = reports.of_how_many(found.n, found.drawn_from, "test faces")
        measured_by(f"On {faces}", found.command)


def _attacked(infos: Sequence[ModelInfo]) -> dict[str, Adversarial]:
    """Name -> how it stands up to attacks, of the models that were attacked."""
    found = {}
    for info in infos:
        attacked = engine.told(partial(reports.read_adversarial, info))
        if isinstance(attacked, Adversarial) and any(attacked.attacks.values()):
            found[info.name] = attacked
    return found


def measured_by(on: str, command: str) -> None:
    """On what a report was measured, and by which command if it says so."""
    st.caption(f"{engine.plain(on)}, by `{command}`." if command else f"{engine.plain(on)}.")


def fairness(info: ModelInfo) -> None:
    """How even it is for groups of people."""
    st.subheader("Fairness")
    found = engine.told(partial(reports.read_fairness, info))
    if isinstance(found, Trouble):
        engine.show_trouble(found, "fairness_trouble")
    elif found is None or not any(found.groups.values()):
        cards.empty(
            "diversity_3",
            "It was not measured whether this model is as good for all groups of people: its "
            "folder has no fairness.json.",
            "fairness_empty",
        )
    else:
        engine.mark(info, found.model_sha256)
        for attribute, groups in found.groups.items():
            if groups:
                figure = plots.fairness(found, attribute)
                plots.show(figure, f"fairness_{attribute}", plots.fairness_rows(found))
        if found.note:
            st.markdown(engine.plain(found.note))
        measured_by(f"On {found.split}", found.command)


def card(info: ModelInfo) -> None:
    """The model card as it stands in the folder."""
    held_apart = info.card.get("held_apart")
    if isinstance(held_apart, str):
        cards.statement("verified", held_apart)
    text = engine.told(partial(reports.read_card, info))
    if isinstance(text, Trouble):
        engine.show_trouble(text, "card_trouble")
    else:
        with st.container(border=True, key="model_card"):
            st.markdown(text)
        st.download_button(
            "Download the card", text, file_name=f"{info.name}.md", mime="text/markdown",
            icon=":material/download:", on_click="ignore", key="card_download",
        )  # fmt: skip


# --- two ----------------------------------------------------------------------------------------


def two(infos: list[ModelInfo]) -> None:
    """Two models of one task on the same examples."""
    fit = [info for info in infos if sum(other.task == info.task for other in infos) > 1]
    if not fit:
        cards.empty(
            "compare_arrows",
            "Two models of one task are needed. Train a small one on the Train page, or put a "
            "model folder below models/.",
            "two_empty",
        )
        return
    known = by_name(fit)
    left, right = st.columns(2)
    with left:
        first = known[one_of_many("First", list(known), "first")]
    others = [info.name for info in fit if info.task == first.task and info is not first]
    with right:
        second = known[one_of_many("Second", others, "second")]
    evaluation = boards.evaluation(first)
    if isinstance(evaluation, Trouble):
        engine.show_trouble(evaluation, "first_trouble")
        return
    split = choose_split(first, evaluation)
    mine, others_said = (boards.predictions(info, split) for info in (first, second))
    if isinstance(mine, Trouble) or isinstance(others_said, Trouble):
        engine.told_trouble(mine, "first_said_trouble")
        engine.told_trouble(others_said, "second_said_trouble")
        return
    compared(first, second, mine, others_said)


def compared(
    first: ModelInfo, second: ModelInfo, one_said: Predictions, other_said: Predictions
) -> None:
    """The comparison, where both answered the same examples."""
    aligned = other_said.aligned_with(one_said)
    if aligned is None:
        st.info(
            "The two models were not judged on the same examples, so they cannot be compared one "
            "by one; evaluate both on the same data.",
            icon=":material/info:",
        )
        return
    mark_evaluated(first, second)
    verdict(first, second, one_said, aligned)
    matrices = [measures.confusion_matrix(p.labels, p.answers) for p in (one_said, aligned)]
    figure = plots.difference(*matrices)
    rows = [
        {**a, "second_count": b["count"], "second_share_of_true": b["share_of_true"]}
        for a, b in zip(*(plots.confusion_rows(m) for m in matrices), strict=True)
    ]
    plots.show(figure, "difference", rows)
    st.caption(
        f"Points by which {second.name} gives an answer more often (orange) or more rarely (blue) "
        f"than {first.name}, of each true emotion."
    )
    disagreements(first, second, one_said, aligned)


def verdict(first: ModelInfo, second: ModelInfo, a: Predictions, b: Predictions) -> None:
    """Who is right more often, and whether that may be chance."""
    p = measures.mcnemar(a.right, b.right)
    gap = 100 * float(b.right.mean() - a.right.mean())
    better, worse = (second, first) if gap > 0 else (first, second)
    chance = "which may be chance" if p >= 0.05 else "hardly by chance"
    small = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    words = (
        f"{better.name} is right more often than {worse.name} by {abs(gap):.1f} points, {chance}"
    )
    if not gap:
        words = "Both models are right equally often"
    cards.statement("balance", f"{words} (McNemar's exact test, {small})")
    counts = (
        ("Both right", a.right & b.right),
        (f"Only {first.name}", a.right & ~b.right),
        (f"Only {second.name}", b.right & ~a.right),
        ("Both wrong", ~a.right & ~b.right),
    )
    for column, (label, rows) in zip(st.columns(4), counts, strict=True):
        column.metric(label, f"{int(rows.sum()):,}", border=True)


def disagreements(first: ModelInfo, second: ModelInfo, a: Predictions, b: Predictions) -> None:
    """The examples that the two answer differently."""
    differ = np.flatnonzero(a.answers != b.answers)
    st.subheader(f"They disagree on {len(differ):,} of {len(a):,} examples")
    only = one_of_few("Which", ["All", "Only the first is right", "Only the second is right",
                            "Both are wrong"], "which")  # fmt: skip
    right = {
        "All": np.ones(len(a), bool),
        "Only the first is right": a.right,
        "Only the second is right": b.right,
        "Both are wrong": ~a.right & ~b.right,
    }[only]
    rows = differ[right[differ]]
    said = [
        f"{EMOTIONS[a.labels[i]]}: {EMOTIONS[a.answers[i]]} / {EMOTIONS[b.answers[i]]}"
        for i in rows
    ]
    st.caption(f"True emotion: answer of {first.name} / answer of {second.name}")
    boards.examples(first, a.where(rows), said, f"differ_{first.name}_{second.name}_{only}")
    st.download_button(
        "Data (CSV)",
        exports.table(
            {
                "example": str(a.ids[i]),
                "true": EMOTIONS[a.labels[i]],
                first.name: EMOTIONS[a.answers[i]],
                second.name: EMOTIONS[b.answers[i]],
            }
            for i in rows
        ),
        file_name="duet-disagreements.csv",
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key="disagreements_csv",
    )


def page() -> None:
    """The three views."""
    st.title("Models")
    st.markdown("How good the models are, where they err, and how far to trust them.")
    infos, broken = installed()
    view = one_of_few("View", (ALL, ONE, TWO), "view", hidden=True)
    if not infos:
        cards.empty(
            "leaderboard",
            "No model is installed yet. Put a model folder below models/, or train one on the "
            "Train page.",
            "models_empty",
        )
    elif view == ALL:
        everything(infos)
    elif view == ONE:
        one(infos)
    else:
        two(infos)
    for number, folder in enumerate(broken):
        engine.show_trouble(Trouble("damaged_model", folder.problem), f"broken_model_{number}")
    datasets.setting()


entry.through_home()
page()
cards.footer()
