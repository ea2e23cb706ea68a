"""What the pages on data draw; in the template of `core.ui.charts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from core.datasets import DATA_SETS
from core.labels import EMOTIONS
from core.ui.charts import BELOW, DIVERGING, blank
from core.ui.looks import FACE_COLOUR, LOOKS, VOICE_COLOUR
from core.ui.plots import SEVERAL

if TYPE_CHECKING:
    import plotly.graph_objects as go

PATTERNS = ("", "/", ".", "x", "\\", "+", "-")
"""So that no part of a bar is told apart by its colour alone."""


def counts(table: pd.DataFrame, title: str, axis: str) -> go.Figure:
    """Stacked bars: a bar for each row of `table`, a part for each column."""
    import plotly.graph_objects as go

    figure = blank(title, axis, "", 190 + 38 * len(table))
    for number, name in enumerate(table.columns):
        emotion = LOOKS.get(str(name))
        figure.add_trace(
            go.Bar(
                y=[str(row) for row in table.index],
                x=table[name],
                name=str(name),
                orientation="h",
                marker={
                    "color": emotion.colour if emotion else SEVERAL[number % len(SEVERAL)],
                    "pattern": {"shape": "" if emotion else PATTERNS[number % len(PATTERNS)],
                                "solidity": 0.25},
                },
                text=str(name),
                textposition="inside",
                insidetextanchor="middle",
                textangle=0,
                hovertemplate=f"%{{y}}, {name}: %{{x:,}}<extra></extra>",
            )
        )  # fmt: skip
    figure.update_layout(
        barmode="stack",
        legend={**BELOW, "traceorder": "normal"},
        uniformtext={"minsize": 10, "mode": "hide"},
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(tickformat="~s")
    return figure


def beside_the_paper(rows: Sequence[Mapping[str, Any]], title: str, axis: str) -> go.Figure:
    """Two bars each: the paper's number and the one counted here."""
    import plotly.graph_objects as go

    figure = blank(title, "", axis, 300)
    for name, colour, pattern in (("paper", SEVERAL[6], "/"), ("here", FACE_COLOUR, "")):
        figure.add_trace(
            go.Bar(
                x=[row["what"] for row in rows],
                y=[row[name] for row in rows],
                name="in the paper" if name == "paper" else "counted here",
                marker={"color": colour, "pattern": {"shape": pattern, "solidity": 0.3}},
                hovertemplate="%{x}: %{y:,}<extra></extra>",
            )
        )
    figure.update_layout(barmode="group", legend=BELOW)
    return figure


def histogram(
    values: Mapping[str, NDArray[np.floating]], edges: NDArray[np.floating], title: str, axis: str
) -> tuple[go.Figure, list[dict[str, Any]]]:
    """Share of each group's files in each bin, as steps; and the same as rows."""
    import plotly.graph_objects as go

    figure = blank(title, axis, "share (%)", 300)
    rows: list[dict[str, Any]] = []
    middles = (edges[:-1] + edges[1:]) / 2
    for number, (name, group) in enumerate(values.items()):
        counted = np.histogram(np.clip(group, edges[0], edges[-1]), edges)[0]
        share = 100 * counted / max(1, counted.sum())
        emotion = LOOKS.get(name)
        figure.add_trace(
            go.Scatter(
                x=middles,
                y=share,
                name=name,
                mode="lines+markers",
                marker={"symbol": number, "size": 6},
                line={
                    "width": 2,
                    "color": emotion.colour if emotion else SEVERAL[number % len(SEVERAL)],
                },
                hovertemplate=f"{name}, %{{x:.2f}}: %{{y:.1f}}%<extra></extra>",
            )
        )
        rows += [
            {"group": name, "from": float(low), "to": float(high), "files": int(n)}
            for low, high, n in zip(edges[:-1], edges[1:], counted, strict=True)
        ]
    figure.update_layout(legend={**BELOW, "traceorder": "normal"})
    figure.update_yaxes(rangemode="tozero")
    return figure, rows


def spread(
    frame: pd.DataFrame, column: str, title: str, axis: str
) -> tuple[go.Figure, list[dict[str, Any]]]:
    """A box for each emotion (5, 25, 50, 75 and 95% of the clips); and the same as rows."""
    import plotly.graph_objects as go

    figure = blank(title, "", axis, 330)
    rows: list[dict[str, Any]] = []
    for name in EMOTIONS:
        values = frame.loc[frame["label"] == name, column].dropna()
        if not len(values):
            continue
        low, quarter, middle, three, high = np.percentile(values, [5, 25, 50, 75, 95])
        figure.add_trace(
            go.Box(
                x=[name],
                lowerfence=[low],
                q1=[quarter],
                median=[middle],
                q3=[three],
                upperfence=[high],
                name=name,
                marker={"color": LOOKS[name].colour},
                showlegend=False,
            )
        )
        rows.append(
            {
                "emotion": name,
                "clips": len(values),
                **{f"percentile_{p}": round(float(v), 2) for p, v in
                   zip((5, 25, 50, 75, 95), (low, quarter, middle, three, high), strict=True)},
            }
        )  # fmt: skip
    return figure, rows


def mean_spectrogram(
    mel: NDArray[np.floating], centres: NDArray[np.float64], title: str, difference: bool
) -> go.Figure:
    """A mean log-mel spectrogram, (columns, bands), or how it differs from the others'."""
    import plotly.graph_objects as go

    figure = blank(title, "time (% of the clip)", "frequency (Hz, mel scale)", 300)
    bands = np.arange(mel.shape[1])
    limit = max(1.0, float(np.abs(mel).max()))
    scale = (
        {"colorscale": DIVERGING, "zmin": -limit, "zmax": limit}
        if difference
        else {"colorscale": "Cividis", "zmin": float(mel.min()), "zmax": float(mel.max())}
    )
    figure.add_trace(
        go.Heatmap(
            z=np.round(mel.T, 1),
            x=100 * (np.arange(len(mel)) + 0.5) / len(mel),
            y=bands,
            customdata=np.repeat(np.round(centres)[:, np.newaxis], len(mel), axis=1),
            colorbar={"title": {"text": "dB"}, "thickness": 10, "len": 0.9},
            hovertemplate="%{x:.0f}%, %{customdata:.0f} Hz: %{z:.1f} dB<extra></extra>",
            **scale,
        )
    )
    wanted = [125, 250, 500, 1000, 2000, 4000]
    figure.update_yaxes(
        tickvals=[float(np.interp(hertz, centres, bands)) for hertz in wanted],
        ticktext=[str(hertz) for hertz in wanted],
    )
    return figure


def places(rows: pd.DataFrame, colour_by: str, title: str) -> go.Figure:
    """The map: a point for each example, coloured by a column of `rows`; click to choose."""
    import plotly.graph_objects as go

    figure = blank(title, "", "", 560)
    right_or_wrong = colour_by == "right"
    groups = [True, False] if right_or_wrong else list(EMOTIONS)
    for number, name in enumerate(groups):
        part = rows[rows[colour_by] == name]
        if not len(part):
            continue
        if right_or_wrong:
            shown, colour = ("right", SEVERAL[6]) if name else ("wrong", LOOKS["angry"].colour)
        else:
            shown, colour = str(name), LOOKS[str(name)].colour
        figure.add_trace(
            go.Scattergl(
                x=part["x"],
                y=part["y"],
                mode="markers",
                name=shown,
                marker={"color": colour, "size": 6, "symbol": number, "opacity": 0.8},
                customdata=part[["id", "label", "answer", "confidence"]],
                hovertemplate="labelled %{customdata[1]}, read as %{customdata[2]} "
                "(%{customdata[3]:.0%})<br>%{customdata[0]}<extra></extra>",
            )
        )
    figure.update_layout(legend={**BELOW, "traceorder": "normal"})
    for axis in (figure.update_xaxes, figure.update_yaxes):
        axis(showticklabels=False, showgrid=False)
    return figure


def mark(figure: go.Figure, x: float, y: float) -> None:
    """A ring around the chosen point of a map."""
    import plotly.graph_objects as go

    figure.add_trace(
        go.Scatter(
            x=[x],
            y=[y],
            mode="markers",
            name="chosen",
            marker={"size": 20, "color": "rgba(0,0,0,0)",
                    "line": {"width": 3, "color": VOICE_COLOUR}},
            hoverinfo="skip",
            showlegend=False,
        )
    )  # fmt: skip


def grey_levels(
    before: NDArray[np.uint8], after: NDArray[np.float32]
) -> tuple[go.Figure, list[dict[str, Any]]]:
    """How the pixels are spread, in standard deviations, before and after standardising."""
    import plotly.graph_objects as go

    title = (
        f"Normalising: {before.mean():.0f} ± {before.std():.0f} grey levels become "
        f"{after.mean():z.2f} ± {after.std():.2f}"
    )
    figure = blank(title, "value after normalising (standard deviations)", "pixels", 240)
    edges = np.linspace(-4, 4, 33)
    counted = np.histogram(np.clip(after, -4, 4), edges)[0]
    middles = (edges[:-1] + edges[1:]) / 2
    figure.add_trace(
        go.Bar(x=middles, y=counted, marker={"color": FACE_COLOUR}, showlegend=False,
               hovertemplate="%{x:.2f}: %{y} pixels<extra></extra>")
    )  # fmt: skip
    rows = [{"value": float(m), "pixels": int(n)} for m, n in zip(middles, counted, strict=True)]
    return figure, rows


def set_names(frame: pd.DataFrame) -> pd.Series:
    """The data set of each row as it is called."""
    return frame["dataset"].astype("str").map(DATA_SETS)
