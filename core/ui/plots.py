"""What the pages on models draw; in the template of `core.ui.charts`.

No line is told apart by its colour alone: each also has its own dashes, and hovering names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core import measures
from core.labels import EMOTIONS
from core.measures import Curve, Reliability
from core.reports import (
    Adversarial,
    Corrupted,
    Fairness,
    History,
    Ideas,
    LearningCurve,
    Measures,
    OtherSplit,
    Robustness,
)
from core.ui import charts, exports
from core.ui.charts import BELOW, DIVERGING, blank
from core.ui.looks import LOOKS, rgb
from core.words import listed

if TYPE_CHECKING:
    import plotly.graph_objects as go

BLUE, ORANGE, GREY = LOOKS["sad"].colour, LOOKS["happy"].colour, "#7d8b93"
PURPLE, GREEN, RED = (LOOKS[name].colour for name in ("fear", "disgust", "angry"))
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "5px 2px 1px 2px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
SEVERAL = (BLUE, ORANGE, PURPLE, GREEN, RED, LOOKS["surprise"].colour, GREY)
"""Colours of lines that stand for no emotion."""

FEW_EPOCHS = 12
"""Up to so many, each is marked."""

MEASURES = ("accuracy", "unweighted_average_recall")
"""In the order of `core.reports.Learnt.measures`."""

LEGEND_LINE = 18
"""Pixels; on a phone each long name takes a line, at the cost of the plot."""

IDEA_LINE = 17
"""Pixels for each line of an idea's name; every idea gets as many as the longest, two at least."""

FEWEST_ANSWERED = 0.01
"""Share of examples below which the accuracy of the answered says nothing."""

Rows = Sequence[Mapping[str, Any]]


def show(
    figure: go.Figure, key: str, rows: Rows, on_select: Callable[[], None] | None = None
) -> None:
    """The chart, and its numbers to download; `on_select` is called when a point is clicked."""
    charts.show(figure, key, on_select)
    st.download_button(
        "Data (CSV)",
        exports.table(rows),
        file_name=exports.file_name(f"{key}.", "csv"),
        mime="text/csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
        key=f"{key}_csv",
    )


def _line(
    figure: go.Figure, x: Any, y: Any, name: str, number: int, hover: str, **line: Any
) -> None:
    import plotly.graph_objects as go

    look = {"color": SEVERAL[number % len(SEVERAL)], "dash": DASHES[number % len(DASHES)]}
    figure.add_trace(
        go.Scatter(
            x=x,
            y=y,
            name=name,
            mode="lines",
            line={"width": 2.5, **look, **line},
            hovertemplate=f"{name}: {hover}<extra></extra>",
        )
    )


def leaderboard(rows: Rows) -> go.Figure:
    """Accuracy with its interval, a line for each model and split."""
    import plotly.graph_objects as go

    ordered = sorted(rows, key=lambda row: row["accuracy"])
    figure = blank(
        _leaders(rows),
        "accuracy (%), bars: 95% interval",
        "",
        110 + 46 * len(ordered),
    )
    for task, colour, symbol in (("face", BLUE, "circle"), ("voice", ORANGE, "diamond")):
        chosen = [row for row in ordered if row["task"] == task]
        figure.add_trace(
            go.Scatter(
                x=[row["accuracy"] for row in chosen],
                y=[f"{row['model']}: {row['data']}" for row in chosen],
                error_x={
                    "array": [row["accuracy_high"] - row["accuracy"] for row in chosen],
                    "arrayminus": [row["accuracy"] - row["accuracy_low"] for row in chosen],
                    "symmetric": False,
                    "color": GREY,
                },
                mode="markers",
                name=task,
                marker={"color": colour, "symbol": symbol, "size": 11},
                hovertemplate="%{y}: %{x:.1%}<extra></extra>",
            )
        )
    names = [f"{row['model']}: {row['data']}" for row in ordered]
    figure.update_xaxes(tickformat=".0%", dtick=0.1)
    figure.update_yaxes(
        categoryorder="array", categoryarray=names, showticklabels=False, automargin=False
    )
    figure.update_layout(  # above the lines, so that the chart fits on a phone
        annotations=[
            {"xref": "paper", "x": 0, "xanchor": "left", "y": name, "yshift": 11, "text": name,
             "showarrow": False, "font": {"size": 12}}
            for name in names
        ]
    )  # fmt: skip
    figure.update_layout(showlegend=False)
    return figure


def _leaders(rows: Rows) -> str:
    """The best model of each task, on the first data that the task is judged on."""
    words = []
    for task in dict.fromkeys(row["task"] for row in rows):
        data = next(row["data"] for row in rows if row["task"] == task)
        fit = [row for row in rows if (row["task"], row["data"]) == (task, data)]
        best = max(fit, key=lambda row: row["accuracy"])
        words.append(f"{best['model']} {best['accuracy']:.1%} on {data}")
    return f"Most accurate: {'; '.join(words)}"


# --- training -----------------------------------------------------------------------------------


def logged_name(column: str) -> str:
    """What a column of `history.csv` is called: `val_uar_ravdess` -> `validation, uar ravdess`."""
    if column.startswith("val_"):
        rest = column.removeprefix("val_")
        plain = rest in ("loss", "accuracy")
        return "validation" if plain else f"validation, {rest.replace('_', ' ')}"
    return "training" if column in ("loss", "accuracy") else column.replace("_", " ")


def history(log: History) -> dict[str, go.Figure]:
    """Charts of the columns that there are: loss, accuracy and other scores, learning rate."""
    epochs = log.columns["epoch"]
    groups: dict[str, list[str]] = {
        "loss": [c for c in ("loss", "val_loss") if c in log.columns],
        "scores": _scores(log),
        "learning_rate": [c for c in ("learning_rate",) if c in log.columns],
    }
    made = {}
    for kind, columns in groups.items():
        if not columns:
            continue
        title, unit, hover = _logged_titles(kind, log)
        figure = blank(title, "epoch", unit, 300 + LEGEND_LINE * max(0, len(columns) - 3))
        for number, column in enumerate(columns):
            values = log.columns[column]
            if kind == "learning_rate":
                values = np.where(values > 0, values, np.nan)  # the axis is logarithmic
            name = logged_name(column)
            _line(figure, _apart(epochs, log), _apart(values, log), name, number, hover)
        if min(len(rows) for _, rows in log.networks) <= FEW_EPOCHS:
            figure.update_traces(mode="lines+markers")
        if len(log) <= FEW_EPOCHS:
            figure.update_xaxes(dtick=1)
        if kind != "learning_rate":
            _mark_kept(figure, epochs[log.kept], log.columns[columns[-1]][log.kept])
        _mark_stages(figure, log)
        figure.update_layout(legend=BELOW, showlegend=len(columns) > 1)
        made[kind] = figure
    if "scores" in made:
        made["scores"].update_yaxes(tickformat=".0%")
    if "learning_rate" in made:
        made["learning_rate"].update_yaxes(type="log", exponentformat="power", dtick=1)
    return made


def _apart(values: NDArray[np.float64], log: History) -> NDArray[np.float64]:
    """`values` of all epochs with a gap between networks, over which no line is drawn."""
    return np.insert(values, [int(rows[0]) for _, rows in log.networks[1:]], np.nan)


def _scores(log: History) -> list[str]:
    """Training accuracy first, the validation measure that chose the weights last."""
    names = [c for c in log.columns if c == "accuracy" or c.startswith("val_")]
    names = [c for c in names if c != "val_loss"]
    same = (
        "val_accuracy" in names
        and "val_score" in names
        and np.array_equal(log.columns["val_accuracy"], log.columns["val_score"], equal_nan=True)
    )
    if same:
        names.remove("val_score")
    leading = "val_score" if "val_score" in names else "val_accuracy"
    return [c for c in names if c != leading] + [c for c in names if c == leading]


def _logged_titles(kind: str, log: History) -> tuple[str, str, str]:
    """(finding, unit of the y axis, hover) of a training chart."""
    if kind == "loss":
        loss = log.columns["loss"] if "loss" in log.columns else log.columns["val_loss"]
        title = f"Loss went {listed(_fell(log, loss))} in {len(log)} epochs"
        return title, "loss (nats)", "%{y:.3f} in epoch %{x}"
    if kind == "learning_rate":
        highest = float(np.nanmax(log.columns["learning_rate"]))
        return (
            f"The learning rate peaked at {highest:.2g}",
            "learning rate",
            "%{y:.2g} in epoch %{x}",
        )
    leading, title = log.columns[_scores(log)[-1]], "Scores by epoch"
    if kept := log.kept:
        epochs = [f"{log.columns['epoch'][row]:.0f}{_network(log, row)}" for row in kept]
        scores = [f"{leading[row]:.1%}" for row in kept]
        title = (
            f"The weights of epoch {listed(epochs)} were kept: {listed(scores)} on validation data"
        )
    return title, "score (%)", "%{y:.1%} in epoch %{x}"


def _fell(log: History, loss: NDArray[np.float64]) -> list[str]:
    """How the loss of each network went, from the first epoch to the last that noted it."""
    found = []
    for _, rows in log.networks:
        noted = rows[np.isfinite(loss[rows])]
        if len(noted):
            first, last = noted[0], noted[-1]
            found.append(f"from {loss[first]:.2f} to {loss[last]:.2f}{_network(log, last)}")
    return found or ["unnoted"]


def _network(log: History, row: int) -> str:
    name = log.network[row] if log.network else ""
    return f" ({name})" if name else ""


def _mark_kept(figure: go.Figure, epochs: NDArray[np.float64], values: NDArray[np.float64]) -> None:
    import plotly.graph_objects as go

    for epoch in epochs:
        figure.add_vline(x=float(epoch), line={"color": GREY, "width": 1, "dash": "dot"})
    there = np.isfinite(values)
    if there.any():
        figure.add_trace(
            go.Scatter(
                x=epochs[there],
                y=values[there],
                name="best epoch",
                mode="markers",
                marker={"symbol": "star", "size": 13, "color": RED},
                hovertemplate="best epoch: %{x}<extra></extra>",
            )
        )


def _mark_stages(figure: go.Figure, log: History) -> None:
    """Where a network, or a further stage of its training, begins."""
    stage = log.columns.get("stage", np.zeros(len(log)))

    def mark(row: int, text: str, **place: Any) -> None:
        figure.add_vline(
            x=float(log.columns["epoch"][row]) - 0.5,
            line={"color": GREY, "width": 1},
            annotation={"text": text, "font": {"size": 11}, **place},
        )

    if log.network:
        figure.update_layout(margin_t=24)  # for their names, above the curves
    for name, rows in log.networks:
        if log.network:
            mark(rows[0], name, yanchor="bottom")
        for row in rows[1:][np.diff(stage[rows]) > 0]:
            number = stage[row] - stage[rows[0]] + 1
            mark(row, f"stage {number:.0f}", textangle=-90)  # on a phone they are close together


def history_rows(log: History) -> Rows:
    """As `history.csv` has it."""
    columns: dict[str, Any] = {**log.columns, **({"network": log.network} if log.network else {})}
    return [{name: values[i] for name, values in columns.items()} for i in range(len(log))]


# --- confusion ----------------------------------------------------------------------------------


def confusion_finding(matrix: NDArray[np.integer]) -> str:
    """The commonest mistake, as a share of its true emotion."""
    by_row = measures.shares(matrix, 1)
    np.fill_diagonal(by_row, 0)
    if not by_row.any():
        return "Every answer is right"
    row, column = np.unravel_index(int(by_row.argmax()), by_row.shape)
    share = by_row[row, column]
    return (
        f"{EMOTIONS[row].capitalize()} is most often mistaken for {EMOTIONS[column]} ({share:.0%})"
    )


def confusion(
    matrix: NDArray[np.integer], axis: int | None, chosen: tuple[int, int] | None
) -> go.Figure:
    """The confusion matrix as counts (`axis` None), shares of rows (1) or of columns (0).

    Each cell can be clicked; `chosen` (true, answer) is framed.
    """
    values = measures.shares(matrix, axis)
    figure = blank(confusion_finding(matrix), "answer", "true emotion", 440)
    unit = "%{z:.0f}" if axis is None else "%{z:.0%}"
    _cells(figure, values, unit, [[0, _see_through(BLUE, 0.03)], [1, _see_through(BLUE, 0.65)]])
    _clickable(figure, matrix)
    if chosen is not None:
        row, column = chosen
        figure.add_shape(
            type="rect", x0=column - 0.5, x1=column + 0.5, y0=row - 0.5, y1=row + 0.5,
            line={"color": ORANGE, "width": 3},
        )  # fmt: skip
    return figure


def difference(first: NDArray[np.integer], second: NDArray[np.integer]) -> go.Figure:
    """By row: how many points more of each true emotion the second model gives each answer."""
    points = 100 * (measures.shares(second, 1) - measures.shares(first, 1))
    diagonal = points.diagonal()
    most = int(np.abs(diagonal).argmax())
    title = f"Recall differs most for {EMOTIONS[most]}: {diagonal[most]:+.1f} points"
    if not diagonal[most]:
        title = "Both recall every emotion equally well"
    figure = blank(title, "answer", "true emotion", 440)
    limit = max(1.0, float(np.abs(points).max()))
    whole = np.round(points) + 0.0  # no "-0"
    _cells(figure, whole, "%{z:+.0f}", DIVERGING, (-limit, limit))
    return figure


def _see_through(colour: str, opacity: float) -> str:
    red, green, blue = rgb(colour)
    return f"rgba({red}, {green}, {blue}, {opacity})"


def _cells(
    figure: go.Figure,
    values: NDArray[np.floating],
    text: str,
    scale: Any,
    limits: tuple[float, float] | None = None,
) -> None:
    import plotly.graph_objects as go

    low, high = limits or (0.0, max(float(values.max()), 1e-9))
    places = list(range(len(EMOTIONS)))
    figure.add_trace(
        go.Heatmap(
            z=values, x=places, y=places, zmin=low, zmax=high, colorscale=scale, xgap=2, ygap=2,
            showscale=False, hoverinfo="skip",
        )
    )  # fmt: skip
    names = {"tickvals": places, "ticktext": list(EMOTIONS)}
    figure.update_xaxes(**names, showgrid=False, range=[-0.5, 6.5], ticklabeloverflow="allow")
    figure.update_yaxes(**names, showgrid=False, range=[6.5, -0.5])
    # What Streamlit writes in is too pale to be read on a filled cell.
    ink = "#e4eaec" if st.context.theme.type == "dark" else "#1d2730"
    written = _written(values, text)
    figure.update_layout(  # all at once: each added one copies those before it
        annotations=[
            {"x": column, "y": row, "text": written[row][column], "showarrow": False,
             "font": {"size": 12, "color": ink}}
            for row in places
            for column in places
        ]
    )  # fmt: skip


def _written(values: NDArray[np.floating], text: str) -> list[list[str]]:
    form = text.removeprefix("%{z:").removesuffix("}")
    return [[format(float(value), form) for value in row] for row in values]


def _clickable(figure: go.Figure, matrix: NDArray[np.integer]) -> None:
    """Unseen markers over the cells, for Plotly lets markers be chosen but no cells."""
    import plotly.graph_objects as go

    rows, columns = (index.ravel() for index in np.indices(matrix.shape))
    unseen = {"marker": {"opacity": 0}}
    words = [
        f"{matrix[r, c]:,} of true {EMOTIONS[r]} answered {EMOTIONS[c]}"
        for r, c in zip(rows, columns, strict=True)
    ]
    figure.add_trace(
        go.Scatter(
            x=columns,
            y=rows,
            mode="markers",
            marker={"size": 34, "symbol": "square", "opacity": 0},
            selected=unseen,
            unselected=unseen,
            customdata=words,
            hovertemplate="%{customdata}<extra></extra>",
            showlegend=False,
        )
    )


def confusion_rows(matrix: NDArray[np.integer]) -> Rows:
    """A row for each cell: count and both shares."""
    by_row, by_column = measures.shares(matrix, 1), measures.shares(matrix, 0)
    return [
        {
            "true": true,
            "answer": answer,
            "count": int(matrix[i, j]),
            "share_of_true": round(float(by_row[i, j]), 4),
            "share_of_answer": round(float(by_column[i, j]), 4),
        }
        for i, true in enumerate(EMOTIONS)
        for j, answer in enumerate(EMOTIONS)
    ]


# --- per emotion --------------------------------------------------------------------------------


def per_class(found: Measures) -> go.Figure:
    """Precision, recall and F1 of every emotion that occurs."""
    import plotly.graph_objects as go

    there = [name for name in EMOTIONS if found.classes[name].support]
    best, worst = (choose(there, key=lambda name: found.classes[name].f1) for choose in (max, min))
    figure = blank(
        f"{best.capitalize()} is recognised best (F1 {found.classes[best].f1:.0%}), "
        f"{worst} worst ({found.classes[worst].f1:.0%})",
        "emotion",
        "measure (%)",
        330,
    )
    for kind, colour, pattern in (
        ("precision", BLUE, ""), ("recall", ORANGE, "/"), ("f1", GREY, "."),
    ):  # fmt: skip
        name = "F1" if kind == "f1" else kind
        figure.add_trace(
            go.Bar(
                x=there,
                y=[getattr(found.classes[emotion], kind) for emotion in there],
                name=name,
                marker={"color": colour, "pattern": {"shape": pattern, "size": 6}},
                hovertemplate=f"{name} of %{{x}}: %{{y:.1%}}<extra></extra>",
            )
        )
    figure.update_layout(barmode="group", legend=BELOW)
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return figure


def per_class_rows(found: Measures) -> Rows:
    """A row for each emotion."""
    return [{"emotion": name, **vars(found.classes[name])} for name in EMOTIONS]


def one_against_all(curves: Mapping[str, Curve], kind: str) -> go.Figure:
    """ROC (`kind` "roc") or precision-recall curves, one for each emotion against the others."""
    best, worst = (choose(curves, key=lambda name: curves[name].area) for choose in (max, min))
    named = "area under the curve" if kind == "roc" else "average precision"
    figure = blank(
        f"{best.capitalize()} is told apart best ({named} {curves[best].area:.2f}), "
        f"{worst} worst ({curves[worst].area:.2f})",
        "false positive rate (%)" if kind == "roc" else "recall (%)",
        "true positive rate (%)" if kind == "roc" else "precision (%)",
        400,
    )
    for number, name in enumerate(EMOTIONS):
        if name in curves:
            curve = thinned(curves[name])
            label = f"{name} {curves[name].area:.2f}"
            hover = "%{y:.0%} at %{x:.0%}"
            _line(figure, curve.x, curve.y, label, number, hover, color=LOOKS[name].colour)
    if kind == "roc":
        _chance(figure)
    figure.update_layout(legend=BELOW)
    figure.update_xaxes(range=[0, 1], tickformat=".0%")
    figure.update_yaxes(range=[0, 1.01], tickformat=".0%")
    return figure


def _chance(figure: go.Figure) -> None:
    figure.add_shape(
        type="line", x0=0, y0=0, x1=1, y1=1, line={"color": GREY, "width": 1, "dash": "dot"}
    )


def thinned(curve: Curve, points: int = 300) -> Curve:
    """A curve with no more points than a screen shows."""
    rows = np.unique(np.linspace(0, len(curve.x) - 1, points).astype(int))
    return Curve(curve.x[rows], curve.y[rows], curve.area)


def curve_rows(curves: Mapping[str, Curve], x: str, y: str) -> Rows:
    """A row for each point of each curve."""
    return [
        {"emotion": name, x: round(float(a), 4), y: round(float(b), 4)}
        for name, curve in curves.items()
        for a, b in zip(curve.x, curve.y, strict=True)
    ]


# --- how far to trust it ------------------------------------------------------------------------


def calibration(bins: Reliability) -> go.Figure:
    """How often answers are right at each confidence, beside the diagonal of the ideal."""
    import plotly.graph_objects as go

    tilt = float(((bins.accuracy - bins.confidence) * bins.count).sum() / bins.count.sum())
    word = "surer than it is right" if tilt < 0 else "less sure than it is right"
    finding = "The model is about as sure as it is right"
    if abs(tilt) >= 0.02:
        finding = f"The model is {word}, by {100 * abs(tilt):.1f} points"
    title = f"{finding} (expected calibration error {bins.error:.3f})"
    figure = blank(title, "confidence (%)", "accuracy (%)", 360)
    _chance(figure)
    figure.add_trace(
        go.Scatter(
            x=bins.confidence,
            y=bins.accuracy,
            mode="lines+markers",
            line={"color": BLUE, "width": 2},
            marker={"size": 5 + 25 * np.sqrt(bins.count / bins.count.max()), "color": BLUE,
                    "opacity": 0.75},
            customdata=bins.count,
            hovertemplate="%{x:.0%} sure, %{y:.0%} right: %{customdata} examples<extra></extra>",
            showlegend=False,
        )
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_yaxes(range=[0, 1.05], tickformat=".0%")
    return figure


def calibration_rows(bins: Reliability) -> Rows:
    """A row for each bin."""
    return [
        {"confidence": round(float(c), 4), "accuracy": round(float(a), 4), "count": int(n)}
        for c, a, n in zip(bins.confidence, bins.accuracy, bins.count, strict=True)
    ]


def coverage_rows(
    confidence: NDArray[np.floating], right: NDArray[np.bool_]
) -> list[dict[str, float]]:
    """Share answered and accuracy of these, for thresholds of 0 to 99%."""
    rows = []
    for threshold in np.arange(0, 1, 0.01):
        share, accuracy = measures.coverage(confidence, right, float(threshold))
        if accuracy is not None and share >= FEWEST_ANSWERED:
            rows.append(
                {
                    "threshold": round(float(threshold), 2),
                    "answered": round(share, 4),
                    "accuracy": round(accuracy, 4),
                }
            )
    return rows


def coverage(rows: Sequence[Mapping[str, float]], chosen: float) -> go.Figure:
    """Accuracy against the share that is answered, with the chosen threshold marked."""
    import plotly.graph_objects as go

    at = min(rows, key=lambda row: abs(row["threshold"] - chosen))
    there = abs(at["threshold"] - chosen) < 0.005
    finding = f"{at['answered']:.0%} are answered, {at['accuracy']:.0%} of these rightly"
    if not there:  # so high that the rows leave it out
        finding = f"fewer than {FEWEST_ANSWERED:.0%} are answered"
    figure = blank(
        f"Unsure below {chosen:.0%}: {finding}",
        "answered (% of all)",
        "accuracy of the answered (%)",
        360,
    )
    figure.add_trace(
        go.Scatter(
            x=[row["answered"] for row in rows],
            y=[row["accuracy"] for row in rows],
            customdata=[row["threshold"] for row in rows],
            mode="lines",
            line={"color": BLUE, "width": 2.5},
            hovertemplate="unsure below %{customdata:.0%}: %{x:.0%} answered, %{y:.1%} right"
            "<extra></extra>",
            showlegend=False,
        )
    )
    figure.add_trace(
        go.Scatter(
            x=[at["answered"]] if there else [], y=[at["accuracy"]] if there else [],
            mode="markers", hoverinfo="skip",
            marker={"size": 14, "color": ORANGE, "symbol": "diamond"}, showlegend=False,
        )
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1.02], tickformat=".0%")
    figure.update_yaxes(tickformat=".0%")
    return figure


def robustness(found: Robustness) -> go.Figure:
    """Accuracy over the strength of each corruption, from clean on."""
    loss = {
        name: found.clean.accuracy - points[-1].accuracy
        for name, points in found.corruptions.items()
        if points
    }
    worst = max(loss, key=lambda name: loss[name])
    figure = blank(
        f"{worst.capitalize()} hurts most: {100 * loss[worst]:.1f} points at its strongest",
        "strength (0 is clean)",
        "accuracy (%)",
        400,
    )
    for number, name in enumerate(loss):
        points = [found.clean, *found.corruptions[name]]
        _line(
            figure,
            [p.strength for p in points],
            [p.accuracy for p in points],
            name,
            number,
            "%{y:.1%} (%{customdata})",
        )
        figure.data[-1].update(
            customdata=[_setting(p) for p in points],
            mode="lines+markers",
            marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8},
        )
    figure.update_layout(legend=BELOW)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_xaxes(dtick=1)
    return figure


def _setting(point: Corrupted) -> str:
    """How an example was spoilt, and the interval of the accuracy where it is known."""
    if not point.accuracy_95:
        return point.setting
    low, high = point.accuracy_95
    return f"95%: {low:.1%} to {high:.1%}; {point.setting}"


def robustness_rows(found: Robustness) -> Rows:
    """A row for each corruption and strength."""
    rows = []
    points = [("clean", found.clean)]
    points += [(name, point) for name, steps in found.corruptions.items() for point in steps]
    for name, point in points:
        row = {"corruption": name, **vars(point)}
        row["accuracy_low"], row["accuracy_high"] = row.pop("accuracy_95") or (None, None)
        rows.append(row)
    return rows


def adversarial(found: Adversarial, others: Mapping[str, Adversarial]) -> go.Figure:
    """Accuracy over how far attacks may change a picture; of other models under the worst one.

    Parameters
    ----------
    found : of the model in question. others : name -> of the models to compare it with.
    """
    worst = _worst_attack(found)
    least = found.attacks[worst][-1]
    figure = blank(
        f"{worst} with at most {least.epsilon} grey levels a pixel leaves "
        f"{least.accuracy:.1%} right, of {found.clean.accuracy:.1%}",
        "largest change of a pixel (grey levels of 255)",
        "accuracy (%)",
        360,
    )
    drawn = [(name, found, name) for name in found.attacks if found.attacks[name]]
    drawn += [(f"{model}, {(a := _worst_attack(o))}", o, a) for model, o in others.items()]
    for number, (name, of, attack) in enumerate(drawn):
        points = [of.clean, *of.attacks[attack]]
        hover = "%{y:.1%} at %{x} of 255"
        _line(
            figure, [p.epsilon for p in points], [p.accuracy for p in points], name, number, hover
        )
        figure.data[-1].update(
            mode="lines+markers", marker={"symbol": SYMBOLS[number % len(SYMBOLS)], "size": 8}
        )
    figure.update_layout(legend=BELOW)
    figure.update_yaxes(tickformat=".0%", rangemode="tozero")
    figure.update_xaxes(dtick=1)
    return figure


def _worst_attack(found: Adversarial) -> str:
    """The attack that leaves least at the largest epsilon it was tried with."""
    tried = [name for name, points in found.attacks.items() if points]
    return min(tried, key=lambda name: found.attacks[name][-1].accuracy)


def adversarial_rows(found: Mapping[str, Adversarial]) -> Rows:
    """A row for each model, attack and epsilon."""
    return [
        {
            "model": model,
            "attack": attack,
            "epsilon": point.epsilon,
            "n": of.n,
            "accuracy": point.accuracy,
            "accuracy_low": point.accuracy_95[0],
            "accuracy_high": point.accuracy_95[1],
        }
        for model, of in found.items()
        for attack, points in of.attacks.items()
        for point in (of.clean, *points)
    ]


def learning_curve(found: LearningCurve) -> go.Figure:
    """Accuracy and average recall of short runs over how many examples they learnt from."""
    figure = blank(
        _gain_finding(found), "training examples (logarithmic)", "on validation and test data (%)",
        360,
    )  # fmt: skip
    n = [point.n for point in found.points]
    number = 0
    for split in ("validation", "test"):
        for index, measure in enumerate(("accuracy", "average recall")):
            values = [point.measures[split][index] for point in found.points]
            hover = "%{y:.1%} from %{x:,} examples"
            _line(figure, n, values, f"{split}, {measure}", number, hover)
            figure.data[-1].update(
                mode="lines+markers", marker={"symbol": SYMBOLS[number], "size": 8}
            )
            number += 1
    figure.update_layout(legend=BELOW)
    figure.update_xaxes(type="log", tickvals=n, ticktext=[f"{v:,}" for v in n])
    figure.update_yaxes(tickformat=".0%")
    return figure


def _gain_finding(found: LearningCurve) -> str:
    if len(found.points) < 2:
        return "One short run does not show what more data bring"
    less, most = found.points[-2:]
    gain = 100 * (most.measures["test"][0] - less.measures["test"][0])
    return (
        f"{most.n:,} instead of {less.n:,} training examples: {gain:+.1f} points of test accuracy "
        "in short runs"
    )


def learning_curve_rows(found: LearningCurve) -> Rows:
    """A row for each short run."""
    return [
        {
            "fraction": point.fraction,
            "n": point.n,
            "epochs": point.epochs,
            **{
                f"{split}_{name}": value
                for split, values in point.measures.items()
                for name, value in zip(MEASURES, values, strict=True)
            },
        }
        for point in found.points
    ]


def levers(found: Sequence[Ideas]) -> go.Figure:
    """What each idea gained in a short run, the best on top; by shape, whether beyond chance."""
    import plotly.graph_objects as go

    rows = sorted(levers_rows(found), key=lambda row: row["gain"])
    each = IDEA_LINE * max(2, *(1 + _narrow(row["idea"]).count("<br>") for row in rows))
    height = 150 + each * len(rows)
    figure = blank(_levers_finding(rows, found[0].measure), "gain (points)", "", height)
    for kept, name, look in (
        (True, "beyond chance", {"color": BLUE, "symbol": "circle"}),
        (False, "may be chance", {"color": GREY, "symbol": "circle-open", "line": {"width": 2}}),
    ):
        some = [row for row in rows if row["beyond_chance"] is kept]
        figure.add_trace(
            go.Scatter(
                x=[100 * row["gain"] for row in some],
                y=[_narrow(row["idea"]) for row in some],
                customdata=[[row["score"], row["p"], row["cost"]] for row in some],
                mode="markers",
                marker={"size": 12, **look},
                name=name,
                hovertemplate="%{y}: %{x:+.1f} points to %{customdata[0]:.1%}<br>p "
                "%{customdata[1]:.3f}, %{customdata[2]:.1f} times the time<extra></extra>",
            )
        )
    figure.add_vline(x=0, line={"color": GREY, "width": 1})
    figure.update_layout(legend=BELOW)
    figure.update_xaxes(tickformat="+.0f")
    figure.update_yaxes(categoryorder="array", categoryarray=[_narrow(row["idea"]) for row in rows])
    return figure


def _narrow(name: str) -> str:
    """A name in lines so short that half of a phone's width holds them."""
    return "<br>".join(wrap(name, 26))


def _levers_finding(rows: Rows, measure: str) -> str:
    kept = [row for row in reversed(rows) if row["beyond_chance"] and row["gain"] > 0]
    if not kept:
        return f"No idea gains {measure} beyond chance in short runs"
    best = kept[0]["idea"]
    return (
        f"{best[0].upper()}{best[1:]} gains most: {100 * kept[0]['gain']:+.1f} points of {measure} "
        "in short runs"
    )


def levers_rows(found: Sequence[Ideas]) -> Rows:
    """A row for each idea."""
    return [
        {
            "idea": idea.name,
            "score": idea.score,
            "gain": idea.gain,
            "p": idea.p,
            "beyond_chance": idea.beyond_chance,
            "cost": round(idea.cost, 2),
            "parameters": idea.parameters,
            "settings": ideas.settings,
        }
        for ideas in found
        for idea in ideas.tried
    ]


def other_splits(found: Sequence[OtherSplit], test: Measures) -> go.Figure:
    """Average recall with its interval on the test split, and where the data were divided else."""
    rows = other_splits_rows(found, test)
    figure = blank(_split_finding(found, test), "average recall (%)", "", 150 + 48 * len(rows))
    for row, symbol in zip(rows, cycle(SYMBOLS)):
        value, low, high = (row[f"unweighted_average_recall{x}"] for x in ("", "_low", "_high"))
        where = f"{row['split']} ({row['n']:,})".replace(", ", ",<br>", 1)
        _dot(figure, row["split"], where, value, (low, high), symbol)
    figure.update_xaxes(tickformat=".0%")
    return figure


def _dot(
    figure: go.Figure,
    name: str,
    where: str,
    value: float,
    ends: tuple[float, float] | None,
    symbol: str,
) -> None:
    """A value with its interval, if it has one, on the line `where`."""
    import plotly.graph_objects as go

    low, high = ends or (value, value)
    told = f" ({low:.1%} to {high:.1%})" if ends else ", too few people for an interval"
    figure.add_trace(
        go.Scatter(
            x=[value],
            y=[where],
            error_x={"array": [max(0, high - value)], "symmetric": False,
                     "arrayminus": [max(0, value - low)], "color": GREY},
            mode="markers",
            marker={"size": 12, "color": BLUE, "symbol": symbol},
            hovertemplate=f"{name}: %{{x:.1%}}{told}<extra></extra>",
            showlegend=False,
        )
    )  # fmt: skip


def _split_finding(found: Sequence[OtherSplit], test: Measures) -> str:
    for other in found:
        if other.leaks:
            gain = 100 * (other.unweighted_average_recall - test.unweighted_average_recall)
            return f"A split that leaks would claim {gain:+.1f} points of average recall"
    named = [f"{other.unweighted_average_recall:.1%} on {other.name}" for other in found]
    return f"Average recall: {', '.join(named)}"


def other_splits_rows(found: Sequence[OtherSplit], test: Measures) -> Rows:
    """A row for the test split and for each other division, from the bottom up."""
    own = {
        "split": "unheard speakers",
        "n": test.n,
        "accuracy": test.accuracy,
        "unweighted_average_recall": test.unweighted_average_recall,
        "unweighted_average_recall_low": test.unweighted_average_recall_95[0],
        "unweighted_average_recall_high": test.unweighted_average_recall_95[1],
    }
    others = [
        {
            "split": other.name,
            "n": other.n,
            "accuracy": other.accuracy,
            "unweighted_average_recall": other.unweighted_average_recall,
            "unweighted_average_recall_low": other.unweighted_average_recall_95[0],
            "unweighted_average_recall_high": other.unweighted_average_recall_95[1],
        }
        for other in found
    ]
    return [own, *others]


def fairness(found: Fairness, attribute: str) -> go.Figure:
    """Accuracy with its interval for each group of people."""
    groups = found.groups[attribute]
    names = sorted(groups, key=lambda name: groups[name].accuracy)
    figure = blank(_gap_finding(found, attribute), "accuracy (%)", "", 130 + 42 * len(names))
    for name, symbol in zip(names, cycle(SYMBOLS)):
        m = groups[name]
        _dot(figure, name, f"{name} ({m.n:,})", m.accuracy, m.accuracy_95, symbol)
    figure.update_xaxes(tickformat=".0%")
    return figure


def _gap_finding(found: Fairness, attribute: str) -> str:
    gap, name = found.gaps.get(attribute), attribute.replace("_", " ")
    if gap is None:
        return f"Accuracy by {name}"
    measure = gap.measure.replace("_", " ") or "accuracy"
    size = f"{100 * abs(gap.difference):.1f} points"
    if gap.interval_95:
        low, high = sorted(100 * end for end in gap.interval_95)
        size += f" (95%: {low:.1f} to {high:.1f})"
    doubt = "" if gap.certain or not gap.interval_95 else ", which may be chance"
    few = [group for group, m in found.groups[attribute].items() if m.accuracy_95 is None]
    among = f", not counting {listed(few)} (few people)" if few else ""
    return f"By {name}, {measure} differs by up to {size}{doubt}{among}"


def fairness_rows(found: Fairness) -> Rows:
    """A row for each group."""
    return [
        {
            "attribute": attribute,
            "group": name,
            "n": m.n,
            "accuracy": m.accuracy,
            "accuracy_low": m.accuracy_95[0] if m.accuracy_95 else None,
            "accuracy_high": m.accuracy_95[1] if m.accuracy_95 else None,
            "unweighted_average_recall": m.unweighted_average_recall,
        }
        for attribute, groups in found.groups.items()
        for name, m in groups.items()
    ]
