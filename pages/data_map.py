"""Data, map: the test set as a model sees it, alike beside alike."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.map import EmbeddingMap
from core.models import ModelInfo
from core.ui import cards, choices, dataplots, datasets, engine, entry, explorer, plots
from core.ui.engine import Trouble
from core.words import percent

COLOURS = {"label": "label", "answer": "the model's answer", "right": "right or wrong"}
KEY, LIST = "data_map_points", "data_map_list"
PARAMETER = "example"
PURITY_NEIGHBOURS = 10


def rows_of(found: EmbeddingMap, said: pd.DataFrame) -> pd.DataFrame:
    """A row for each point: id, place, label, answer, confidence, right."""
    places = pd.DataFrame(found.places, columns=["x", "y"], index=pd.Index(found.ids, name="id"))
    columns = said[["true", "answer", "confidence", "right"]].rename(columns={"true": "label"})
    joined = places.join(columns, how="inner").reset_index()
    joined["right"] = joined["right"].astype(bool)
    return joined


@st.cache_data(show_spinner=False, max_entries=8)
def alike(places: np.ndarray, values: list[Any]) -> np.ndarray:
    """Share (n,) of the points nearest to each on the map that have its value."""
    names = np.array(values)
    same = []
    for start in range(0, len(places), 512):
        part = places[start : start + 512]
        distance = ((part[:, np.newaxis] - places) ** 2).sum(axis=2)
        near = np.argpartition(distance, PURITY_NEIGHBOURS, axis=1)[:, : PURITY_NEIGHBOURS + 1]
        hits = (names[near] == names[start : start + 512, np.newaxis]).sum(axis=1) - 1
        same.append(hits / PURITY_NEIGHBOURS)
    return np.concatenate(same)


def finding(rows: pd.DataFrame, by: str) -> str:
    """What the map shows, in a sentence."""
    points = rows[["x", "y"]].to_numpy(np.float32)
    wrong = ~rows["right"].to_numpy()
    if by == "right":
        title = f"{int(wrong.sum()):,} of {len(rows):,} are wrong"
        if not wrong.any():
            return title
        near = alike(points, rows["right"].tolist())[wrong].mean()
        return f"{title}; of the ten nearest neighbours of these, {near:.0%} are wrong too"
    share = alike(points, rows[by].tolist()).mean()
    same = "carry the same label" if by == "label" else "get the same answer"
    return f"{share:.0%} of the nearest ten neighbours {same}"


def picked() -> None:
    """Callback: the point that was clicked goes into the address."""
    points = st.session_state[KEY].selection.points
    if points and points[0].get("customdata"):
        data = points[0]["customdata"]
        explorer.choose(PARAMETER, str(data[0] if isinstance(data, list) else data["0"]))


def to_choose_from(rows: pd.DataFrame, chosen: str | None) -> None:
    """The points as a list to choose from, for the keyboard and for screen readers."""
    ordered = rows.sort_values(["label", "answer", "confidence"], ascending=[True, True, False])
    words = {
        str(row.id): f"{row.label}, read as {row.answer} {percent(row.confidence)}: {row.id}"
        for row in ordered.itertuples()
    }
    st.session_state[LIST] = chosen if chosen in words else None
    st.selectbox(
        f"Open one of {len(words):,}",
        list(words),
        index=None,
        format_func=words.__getitem__,
        key=LIST,
        placeholder="Choose a point, or type what to look for",
        on_change=named,
    )


def named() -> None:
    """Callback: the point that was chosen from the list goes into the address."""
    if name := st.session_state[LIST]:
        explorer.choose(PARAMETER, name)
    else:
        st.query_params.pop(PARAMETER, None)


def one(info: ModelInfo, frame: pd.DataFrame) -> None:
    """The map of one model, and the example chosen on it."""
    found, said = explorer.map_of(info), explorer.answers(info)
    if isinstance(found, Trouble) or isinstance(said, Trouble):
        engine.told_trouble(found, "map_trouble")
        engine.told_trouble(said, "said_trouble")
        return
    engine.mark(info, found.model_sha256)
    rows = rows_of(found, said)
    by = choices.one_of_few("Coloured by", list(COLOURS), "by", COLOURS.__getitem__)
    if len(rows) <= PURITY_NEIGHBOURS:
        cards.empty("scatter_plot", "The map and the answers name different examples.", "map_empty")
        return
    figure = dataplots.places(rows, by, finding(rows, by))
    chosen = explorer.chosen(PARAMETER, frame)
    place = rows[rows["id"] == chosen]
    if len(place):
        dataplots.mark(figure, float(place["x"].iloc[0]), float(place["y"].iloc[0]))
    plots.show(figure, KEY, rows.round(3).to_dict("records"), picked)
    st.caption(
        f"{found.how} Near each other: alike to the model. The axes mean nothing. "
        "Hover a point to read it, click it to open it, or choose it below."
    )
    explorer.traced(f"python -m training map {info.name} --data PATH")
    to_choose_from(rows, chosen)
    if chosen and len(place):
        opened(chosen, place.iloc[0], info, frame)


def opened(name: str, point: pd.Series, info: ModelInfo, frame: pd.DataFrame) -> None:
    """The chosen example: its answer, and itself where the data are here."""
    with st.container(border=True, key="example"):
        st.markdown(
            f"`{name}`: labelled **{point['label']}**, read as **{point['answer']}** "
            f"({percent(float(point['confidence']))})"
        )
        if datasets.data_folder() is None:
            st.caption(datasets.missing())
        elif info.task == "face":
            explorer.face(name, frame, partial(explorer.choose, PARAMETER), "example")
        else:
            explorer.clip(name, frame)


def page() -> None:
    """The map of one of the models that come with one."""
    st.title("Map of the test set")
    frame = explorer.whole_index()
    if isinstance(frame, Trouble):
        engine.told_trouble(frame, "index_trouble")
        return
    infos = {**explorer.mapped("face"), **explorer.mapped("voice")}
    if not infos:
        cards.empty(
            "scatter_plot",
            "No model comes with a map yet. Make one with python -m training map NAME --data PATH.",
            "map_none",
        )
        return
    name = choices.one_of_many(
        "Model", list(infos), "model", cards.titles(infos.values()).__getitem__
    )
    one(infos[name], frame)


entry.through_home()
page()
datasets.setting()
cards.footer()
