"""Data quality: copies, contradictions, blank pictures, spoilt clips, as lists to keep."""

from __future__ import annotations

from functools import partial

import pandas as pd
import streamlit as st

from core import index
from core.datasets import DATA_SETS
from core.ui import cards, choices, dataplots, datasets, engine, entry, explorer, plots, wall
from core.ui.engine import Trouble

MEANING = {
    "Copies across splits": "The same content lies in more than one split. Before training, "
    "copies of test and validation pictures are dropped, and accuracy is also told without them.",
    "Copies within a split": "The same content lies more than once in one split, so it counts "
    "more than once.",
    "Conflicting labels": "The same content carries different labels: whatever a model says of "
    "it, it is wrong at least once.",
    "Blank pictures": f"Pixels with a standard deviation below {index.BLANK_CONTRAST:.0f} grey "
    "levels: there is nothing to see.",
    "Nearly blank pictures": f"A standard deviation of {index.BLANK_CONTRAST:.0f} to "
    f"{index.NEAR_BLANK_CONTRAST:.0f} grey levels.",
    "Clipped clips": f"More than {index.CLIPPED_SHARE:.1%} of the samples lie at full scale: the "
    "recording was overdriven.",
    "Silent or unreadable clips": "Nothing can be heard in them, or they do not decode; models "
    "neither learn from them nor are judged on them.",
    "Very quiet clips": f"Their loudest 25 ms stay below {index.QUIET_DBFS:.0f} dBFS.",
}
COLUMNS = ["dataset", "file", "label", "split", "duplicate_of", "copies", "labels", "contrast",
           "clipped", "loudness"]  # fmt: skip
SHOWN = 48
PICTURE, CLIP = "picture", "clip"
"""What the address calls the file that is looked at."""


def summary_of(lists: dict[str, pd.DataFrame]) -> None:
    """How many files are on each list, by data set."""
    rows = [
        {"list": name, "set": DATA_SETS[str(key)], "files": int(count)}
        for name, found in lists.items()
        for key, count in found["dataset"].value_counts().items()
        if count
    ]
    if not rows:
        cards.empty("check_circle", "No file of these sets has any of these faults.", "no_faults")
        return
    table = pd.DataFrame(rows).pivot_table(
        index="list", columns="set", values="files", fill_value=0, sort=False
    )
    table = table.reindex([name for name in lists if name in table.index])
    across = len(lists["Copies across splits"])
    title = f"{across:,} files have a copy in another split"
    plots.show(dataplots.counts(table, title, "files"), "quality_counts", rows)


def one_list(lists: dict[str, pd.DataFrame], frame: pd.DataFrame) -> None:
    """One list in full, to look at and to keep."""
    name = choices.one_of_many("List", list(lists), "list")
    found = lists[name].sort_values(["dataset", "group", "file"])
    files = "1 file" if len(found) == 1 else f"{len(found):,} files"
    st.markdown(f"**{files}.** {MEANING[name]}")
    if not len(found):
        return
    shown = found[COLUMNS]
    shown = shown.loc[:, [c for c in COLUMNS if shown[c].notna().any()]]
    names = found["id"].tolist()
    key = explorer.table_key("quality_table", names)
    st.dataframe(
        shown.assign(dataset=dataplots.set_names(shown)),
        hide_index=True,
        placeholder="–",
        height=300,
        key=key,
        on_select=partial(pick, key, names),
        selection_mode="single-row",
        column_config={"dataset": "data set", "duplicate_of": "copy of"},
    )
    st.download_button(
        "Download this list (CSV)",
        shown.to_csv(index=False),
        file_name=f"duet-{name.lower().replace(' ', '-')}.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key="quality_csv",
    )
    if datasets.data_folder() is None:
        st.caption(datasets.missing())
        return
    st.caption("Choose a row, or click a picture, to look at it or to hear it.")
    opened(frame)
    pictured(found[found["dataset"].isin(index.FACE_SETS)])


def pick(key: str, names: list[str]) -> None:
    """Callback: the chosen row's file goes into the address."""
    rows = st.session_state[key].selection.rows
    if rows and rows[0] < len(names):
        choose(names[rows[0]])


def choose(name: str) -> None:
    """Name a picture or a clip in the address, and nothing else beside it."""
    voice = name.partition("/")[0] in index.VOICE_SETS
    st.query_params.pop(PICTURE if voice else CLIP, None)
    explorer.choose(CLIP if voice else PICTURE, name)


def opened(frame: pd.DataFrame) -> None:
    """The picture or clip that the address names."""
    if picked := explorer.chosen(PICTURE, frame[frame["dataset"].isin(index.FACE_SETS)]):
        explorer.picture(picked, frame, PICTURE)
    if picked := explorer.chosen(CLIP, frame[frame["dataset"].isin(index.VOICE_SETS)]):
        with st.container(border=True, key="clip"):
            explorer.clip(picked, frame)


def pictured(found: pd.DataFrame) -> None:
    """The pictures of a list, copies beside each other."""
    if not len(found):
        return
    pages = -(-len(found) // SHOWN)
    number = choices.number_up_to(f"Page (of {pages:,})", pages, "page")
    part = found.iloc[(number - 1) * SHOWN : number * SHOWN]
    words = [f"{row.label}, {row.split}" for row in part.itertuples()]
    made = explorer.tiles(part["id"].tolist(), words)
    if isinstance(made, Trouble):
        engine.told_trouble(made, "quality_trouble")
        return
    wall.show(made, "quality_wall", st.query_params.get(PICTURE, ""), choose, "picture")


def page() -> None:
    """What is wrong with the data."""
    st.title("Data quality")
    st.markdown(
        "No data set is clean. These faults were found by content, file by file; nothing was "
        "removed from the sets."
    )
    frame = explorer.whole_index()
    if isinstance(frame, Trouble):
        engine.told_trouble(frame, "index_trouble")
        return
    lists = index.quality_lists(frame)
    summary_of(lists)
    one_list(lists, frame)
    explorer.traced(explorer.COMMAND)


entry.through_home()
page()
datasets.setting()
cards.footer()
