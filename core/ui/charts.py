"""Plotly charts in one template that reads on light and dark backgrounds.

`st.plotly_chart(theme="streamlit")` sets the text colours of the theme in use; everything fixed
here is either one of the emotions' colours or a grey that shows on both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby, pairwise
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core.labels import EMOTIONS
from core.results import TimelinePoint, VoiceResult
from core.ui.looks import LOOKS, VOICE_COLOUR, rgb

if TYPE_CHECKING:
    import plotly.graph_objects as go

GRID = "rgba(128, 138, 144, 0.25)"
CONFIG = {"displayModeBar": False, "responsive": True, "scrollZoom": False}
BELOW = {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom", "x": 0}
"""Where the legend goes: along the bottom, so that a chart keeps its width on a phone.

It is placed in the whole figure, not relative to the plot, so that the plot makes room for as many
lines as the legend needs, also when the window changes its width."""
MAX_COLUMNS = 800
"""Points across a chart; more would not be visible and would slow the page."""


def show(figure: go.Figure, key: str, on_select: Callable[[], None] | None = None) -> None:
    """Draw `figure` over the width there is; `on_select` is called when a point is clicked.

    Its title is set as text above it, where it wraps on a narrow screen, and is what a screen
    reader says of the chart.
    """
    title = str(figure.layout.title.text)
    figure.update_layout(title=None)
    st.html(f'<p class="duet-finding">{title}</p>')
    st.plotly_chart(
        figure,
        width="stretch",
        theme="streamlit",
        config=CONFIG,
        alt=title,
        key=key,
        on_select=on_select or "ignore",
        selection_mode="points",
    )


def blank(title: str, x: str, y: str, height: int) -> go.Figure:
    """An empty figure: title that states the finding, axis titles with units."""
    import plotly.graph_objects as go

    figure = go.Figure()
    figure.update_layout(
        title=title,
        height=height,
        margin={"l": 8, "r": 8, "t": 12, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        dragmode=False,
        hoverlabel={"font": {"size": 13}},
    )
    axis = {"gridcolor": GRID, "zeroline": False, "automargin": True, "fixedrange": True}
    figure.update_xaxes(title=x, **axis)
    figure.update_yaxes(title=y, **axis)
    return figure


def _blocks(values: NDArray[np.floating], columns: int) -> NDArray[np.intp]:
    """Starts of at most `columns` blocks of equal length along the first axis."""
    step = max(1, -(-len(values) // columns))
    return np.arange(0, len(values), step)


def envelope(samples: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(lowest, highest) sample in each of at most `MAX_COLUMNS` blocks."""
    starts = _blocks(samples, MAX_COLUMNS)
    return np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)


def columns(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means over blocks of frames: at most `MAX_COLUMNS` rows of (frames, bands)."""
    starts = _blocks(frames, MAX_COLUMNS)
    lengths = np.diff(np.append(starts, len(frames)))
    means = np.add.reduceat(frames, starts, axis=0) / lengths[:, np.newaxis]
    return means.astype(np.float32)


def waveform(
    lowest: NDArray[np.float32], highest: NDArray[np.float32], result: VoiceResult
) -> go.Figure:
    """The recording, with speech shaded and the moments that mattered in the emotion's colour."""
    import plotly.graph_objects as go

    spoken = f"{result.speech_seconds:.1f} of {result.duration:.1f} s are speech"
    figure = blank(f"Waveform: {spoken}", "time (s)", "amplitude", 220)
    times = (np.arange(len(lowest)) + 0.5) * result.duration / len(lowest)
    figure.add_trace(
        go.Scatter(
            x=np.concatenate([times, times[::-1]]),
            y=np.concatenate([highest, lowest[::-1]]),
            fill="toself",
            mode="lines",
            line={"color": "#7d8b93", "width": 1},
            fillcolor="rgba(125, 139, 147, 0.75)",
            hoverinfo="skip",
            name="waveform",
            showlegend=False,
        )
    )
    limit = max(0.02, float(np.abs([lowest.min(), highest.max()]).max())) * 1.1
    for start, end in result.speech:
        figure.add_vrect(
            x0=start, x1=end, fillcolor=VOICE_COLOUR, opacity=0.13, line_width=0, layer="below"
        )
    colour = LOOKS[result.emotion.label].colour
    for number, moment in enumerate(result.moments[:3], 1):
        figure.add_vrect(x0=moment.start, x1=moment.end, line={"color": colour, "width": 2})
        figure.add_annotation(
            x=(moment.start + moment.end) / 2, y=limit, text=f"<b>{number}</b>", showarrow=False,
            yanchor="bottom", font={"size": 13},
        )  # fmt: skip
    figure.update_yaxes(range=[-limit, limit * 1.25], nticks=5)
    figure.update_xaxes(range=[0, result.duration])
    return figure


def spectrogram(
    mel: NDArray[np.float32], centres: NDArray[np.float64], duration: float
) -> go.Figure:
    """Log-mel spectrogram, (columns, bands) in dB."""
    import plotly.graph_objects as go

    top = float(mel.max())
    loudest = int(mel.mean(axis=0).argmax())
    figure = blank(
        f"Log-mel spectrogram: strongest around {centres[loudest]:.0f} Hz",
        "time (s)", "frequency (Hz, mel scale)", 290,
    )  # fmt: skip
    bands = np.arange(mel.shape[1])
    figure.add_trace(
        go.Heatmap(
            z=np.round(mel.T, 1),
            x=np.linspace(0, duration, len(mel)),
            y=bands,
            customdata=np.repeat(np.round(centres)[:, np.newaxis], len(mel), axis=1),
            zmin=top - 70,
            zmax=top,
            colorscale="Cividis",
            colorbar={"title": {"text": "dB"}, "thickness": 10, "len": 0.9},
            hovertemplate="%{x:.2f} s, %{customdata:.0f} Hz: %{z:.0f} dB<extra></extra>",
        )
    )
    wanted = [125, 250, 500, 1000, 2000, 4000]
    places = [float(np.interp(hertz, centres, bands)) for hertz in wanted]
    figure.update_yaxes(tickvals=places, ticktext=[str(hertz) for hertz in wanted])
    return figure


def standardised(mfcc: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each coefficient in standard deviations from its mean: the first ones dwarf the others."""
    deviation = np.maximum(mfcc.std(axis=0), 1e-6)
    return np.asarray((mfcc - mfcc.mean(axis=0)) / deviation, np.float32)


DIVERGING = [[0.0, LOOKS["sad"].colour], [0.5, "rgba(128, 138, 144, 0.08)"],
             [1.0, LOOKS["happy"].colour]]  # fmt: skip
"""Blue, the background, orange: apart for colour-blind people and on both themes."""


def cepstrum(mfcc: NDArray[np.float32], duration: float) -> go.Figure:
    """Standardised MFCC, (columns, coefficients)."""
    import plotly.graph_objects as go

    figure = blank(
        f"MFCC: how the timbre moves, {mfcc.shape[1]} coefficients",
        "time (s)",
        "coefficient",
        270,
    )
    figure.add_trace(
        go.Heatmap(
            z=np.round(mfcc.T, 2),
            x=np.linspace(0, duration, len(mfcc)),
            y=np.arange(mfcc.shape[1]),
            zmin=-3,
            zmax=3,
            colorscale=DIVERGING,
            colorbar={"title": {"text": "SD"}, "thickness": 10, "len": 0.9},
            hovertemplate="%{x:.2f} s, coefficient %{y}: %{z:.1f} SD<extra></extra>",
        )
    )
    return figure


def _changes(points: Sequence[TimelinePoint]) -> str:
    """What the timeline shows, in a few words."""
    labels = [point.emotion.label for point in points if point.emotion]
    changes = sum(a != b for a, b in pairwise(labels))
    leading = max(EMOTIONS, key=labels.count)
    if not changes:
        return f"{leading} throughout"
    times = "once" if changes == 1 else f"{changes} times"
    share = f"{labels.count(leading)} of {len(labels)} windows"
    return f"{leading} leads in {share}; the leader changes {times}"


def timeline(points: Sequence[TimelinePoint], duration: float) -> go.Figure:
    """Probabilities stacked, a column for each window; gaps where there is no speech.

    A column is as wide as the step from window to window and stands around its window's middle;
    the first and the last one reach to the ends that only they cover.
    """
    import plotly.graph_objects as go

    heard = [point for point in points if point.emotion]
    figure = blank(
        f"Over time: {_changes(points)}", "time (s), middle of each window", "probability", 310
    )
    half = min((b.start - a.start for a, b in pairwise(points)), default=duration) / 2
    lefts = [(point.start + point.end) / 2 - half for point in heard]
    rights = [left + 2 * half for left in lefts]
    lefts[0], rights[-1] = heard[0].start, min(duration, heard[-1].end)
    widths = [right - left for left, right in zip(lefts, rights, strict=True)]
    spans = [f"{point.start:.1f} to {point.end:.1f} s" for point in heard]
    for index, emotion in enumerate(EMOTIONS):
        figure.add_trace(
            go.Bar(
                x=lefts,
                y=[point.emotion.probabilities[index] for point in heard if point.emotion],
                width=widths,
                offset=0,
                name=emotion,
                customdata=spans,
                marker={"color": LOOKS[emotion].colour, "line": {"width": 0}},
                hovertemplate=f"{emotion}: %{{y:.0%}}, %{{customdata}}<extra></extra>",
            )
        )
    figure.update_layout(
        barmode="stack",
        bargap=0,
        legend={**BELOW, "traceorder": "normal"},
    )
    figure.update_xaxes(range=[0, duration])
    top = _name_runs(figure, heard, lefts, rights, duration)
    figure.update_yaxes(range=[0, top], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    return figure


def _name_runs(
    figure: go.Figure,
    heard: Sequence[TimelinePoint],
    lefts: Sequence[float],
    rights: Sequence[float],
    duration: float,
) -> float:
    """Write the leading emotion over each run of columns, upright where the run is narrow.

    So nobody has to tell the emotions apart by colour. The narrowest runs stay without a name:
    names would cover each other.

    Returns
    -------
    The upper end that the y axis needs.
    """
    top = 1.1
    labels = [point.emotion.label for point in heard if point.emotion]
    for label, members in groupby(range(len(labels)), key=labels.__getitem__):
        run = list(members)
        share = (rights[run[-1]] - lefts[run[0]]) / duration
        if share < 0.05:
            continue
        upright = share < 0.2
        top = 1.35 if upright else top
        figure.add_annotation(
            x=(lefts[run[0]] + rights[run[-1]]) / 2, y=1, yanchor="bottom", text=label,
            textangle=-90 if upright else 0, showarrow=False, font={"size": 12},
        )  # fmt: skip
    return top


def attention(result: VoiceResult) -> go.Figure:
    """How the model spread its attention over the recording."""
    import plotly.graph_objects as go

    peak = float(result.attention_times[int(result.attention.argmax())])
    figure = blank(
        f"Attention: the model listened most at {peak:.1f} s", "time (s)", "attention (%)", 210
    )
    red, green, blue = rgb(LOOKS[result.emotion.label].colour)
    figure.add_trace(
        go.Scatter(
            x=result.attention_times,
            y=np.round(100 * result.attention, 2),
            mode="lines",
            fill="tozeroy",
            line={"color": f"rgb({red}, {green}, {blue})", "width": 2},
            fillcolor=f"rgba({red}, {green}, {blue}, 0.25)",
            hovertemplate="%{x:.2f} s: %{y:.1f}%<extra></extra>",
            showlegend=False,
        )
    )
    figure.update_xaxes(range=[0, result.duration])
    figure.update_yaxes(rangemode="tozero")
    return figure
