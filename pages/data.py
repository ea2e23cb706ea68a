"""Data: the sets that the models learned from, counted, beside the paper's own tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from core.datasets import DATA_SETS
from core.index import FACE_SETS, VOICE_SETS
from core.labels import EMOTIONS
from core.ui import cards, choices, dataplots, datasets, engine, entry, explorer, plots
from core.ui.engine import Trouble
from core.words import listed

LICENCES = {
    "fer2013": "Kaggle competition data, research use",
    "ravdess": "CC BY-NC-SA 4.0",
    "crema_d": "ODbL 1.0",
    "savee": "research use",
    "tess": "CC BY-NC-ND 4.0",
}
PARTS = {
    "label": "emotion",
    "split": "split",
    "sex": "sex",
    "intensity": "intensity",
}
"""Column of the index -> by what the files are counted."""


WAYS_ON = (
    ("data_faces", "Faces", "face"),
    ("data_voices", "Voices", "graphic_eq"),
    ("data_map", "Map", "scatter_plot"),
    ("data_quality", "Quality", "rule"),
)


def ways_on() -> None:
    """Links to the other pages on data."""
    with st.container(horizontal=True, key="data_ways"):
        for name, label, icon in WAYS_ON:
            st.page_link(f"pages/{name}.py", label=label, icon=f":material/{icon}:")


def sets(summary: dict[str, Any]) -> None:
    """One card a set: what it is and how much there is of it."""
    for column, name in zip(st.columns(len(DATA_SETS)), DATA_SETS, strict=True):
        with column, st.container(border=True, key=f"set_{name}"):
            files = summary["files"].get(name, 0)
            if people := summary["speakers"].get(name):
                lines = f"{summary['hours'].get(name, 0):.1f} hours, {people} speakers"
            elif files:
                lines = f"{summary['distinct'][name]:,} of them distinct"
            else:
                lines = "not in this summary"
            kind = "pictures" if name in FACE_SETS else "clips"
            st.html(
                f'<div class="duet-card"><h3>{DATA_SETS[name]}</h3>'
                f"<p><b>{files:,}</b> {kind}</p><p>{lines}</p>"
                f"<p><small>{LICENCES[name]}</small></p></div>"
            )


def counted(frame: pd.DataFrame) -> None:
    """Files by emotion, each bar divided by what the reader asks for."""
    left, right = st.columns(2, gap="large")
    with left:
        kinds = ["All voices", *(DATA_SETS[name] for name in (*FACE_SETS, *VOICE_SETS))]
        which = choices.one_of_many("Data set", kinds, "set")
    names = {title: [key] for key, title in DATA_SETS.items()} | {"All voices": list(VOICE_SETS)}
    chosen = frame[frame["dataset"].isin(names[which])]
    if explorer.is_absent(chosen, "voices" if which == kinds[0] else which, "counts_absent"):
        return
    with right:
        stated = [c for c in PARTS if c in ("label", "split") or (chosen[c] != "").any()]
        by = choices.one_of_few("Divided by", stated, "by", PARTS.__getitem__)
    if by == "label":
        table = pd.crosstab(dataplots.set_names(chosen), chosen["label"])
    else:
        values = chosen[by].astype("str").replace("", "not stated")
        table = pd.crosstab(chosen["label"], values)
    table = table.loc[:, table.sum() > 0]
    figure = dataplots.counts(table, balance(chosen, which), "files")
    rows = table.reset_index().to_dict("records")
    plots.show(figure, "data_counts", rows)


def speakers(frame: pd.DataFrame) -> None:
    """Clips of every speaker, and on which side of the split they are."""
    clips = frame[frame["dataset"].isin(VOICE_SETS)]
    if not len(clips):
        return
    grouped = clips.groupby(["dataset", "speaker"], observed=True)
    table = grouped.agg(
        sex=("sex", "first"),
        split=("split", "first"),
        clips=("label", "size"),
        seconds=("duration", "median"),
    ).reset_index()
    table["dataset"] = dataplots.set_names(table)
    with st.expander(f"All {len(table)} speakers", icon=":material/groups:", key="speakers"):
        st.dataframe(
            table,
            hide_index=True,
            placeholder="–",
            column_config={
                "dataset": "data set",
                "seconds": st.column_config.NumberColumn("median length", format="%.1f s"),
            },
            key="speakers_table",
        )
        st.caption("Nobody who speaks in one split speaks in another.")


def balance(chosen: pd.DataFrame, which: str) -> str:
    """How even the emotions are, in a sentence."""
    found = chosen["label"].value_counts()
    found = found[found > 0]
    missing = [name for name in EMOTIONS if name not in found.index]
    rest = f", {listed(missing)} not at all" if missing else ""
    if found.max() <= 1.05 * found.min():
        every = "all other emotions" if missing else "all emotions"
        return f"{which}: {every} are there about equally often{rest}"
    return (
        f"{which}: {found.index[0]} is there {found.max() / found.min():.1f} times as often as "
        f"{found.index[-1]}{rest}"
    )


def paper(summary: dict[str, Any], frame: pd.DataFrame) -> None:
    """The paper's tables beside what is counted here, where it counts the same sets."""
    there = set(frame["dataset"])
    sides = [side for side in (VOICE_SETS, FACE_SETS) if set(side) <= there]
    if not sides:
        return
    st.subheader("Beside the paper's own tables")
    for column, side in zip(st.columns(2, gap="large"), sides, strict=False):
        part = frame[frame["dataset"].isin(side)]
        with column:
            papers_clips(summary, part) if side == VOICE_SETS else papers_pictures(summary, part)
    if len(sides) == 2:
        differences()


def papers_clips(summary: dict[str, Any], voices: pd.DataFrame) -> None:
    """Clips by emotion."""
    clips = voices["label"].value_counts()
    rows = [
        {"what": name, "paper": summary["paper"]["clips"][name], "here": int(clips.get(name, 0))}
        for name in EMOTIONS
    ]
    same = all(row["paper"] == row["here"] for row in rows)
    total = sum(row["here"] for row in rows)
    title = f"Voice clips: {total:,}, {'as' if same else 'not as'} in the paper"
    plots.show(dataplots.beside_the_paper(rows, title, "clips"), "paper_clips", rows)


def papers_pictures(summary: dict[str, Any], faces: pd.DataFrame) -> None:
    """Pictures by split."""
    trained = int((faces["split"] == "train").sum())
    wanted = summary["paper"]["pictures"]
    rows = [
        {"what": "train", "paper": wanted["train"], "here": trained},
        {"what": "test", "paper": wanted["test"], "here": len(faces) - trained},
    ]
    title = f"Pictures: the paper has {wanted['train'] + wanted['test'] - len(faces)} more"
    plots.show(dataplots.beside_the_paper(rows, title, "pictures"), "paper_pictures", rows)


def differences() -> None:
    """Why the numbers differ, and what the same numbers hide."""
    st.markdown(
        "- **Pictures.** The paper counts 28,717 for training and 7,186 for testing; FER2013 as "
        "published holds 28,709 and 7,178. The eight more each fit a count of all entries of a "
        "folder: its pictures, seven folders of classes, and the folder itself.\n"
        "- **Test pictures.** The 7,178 are PublicTest and PrivateTest together, 3,589 each. Here "
        "PublicTest chooses the model and only PrivateTest judges it.\n"
        "- **Clips.** The four sets give the paper's numbers clip by clip when RAVDESS's calm "
        "counts as neutral and TESS's pleasant surprise as surprise.\n"
        "- **RAVDESS twice.** Kaggle's RAVDESS holds every file a second time in a folder inside "
        "itself. Counted twice, it would bring the clips to 13,602; here every clip counts once.\n"
        "- **Surprise** is rare among the clips because CREMA-D, the largest set, has none."
    )


def durations(frame: pd.DataFrame) -> None:
    """How long the clips last."""
    clips = frame[frame["dataset"].isin(VOICE_SETS)]
    if not len(clips):
        return
    st.subheader("How long the clips are")
    groups = {
        DATA_SETS[name]: clips.loc[clips["dataset"] == name, "duration"].dropna().to_numpy()
        for name in VOICE_SETS
    }
    groups = {name: values for name, values in groups.items() if len(values)}
    seconds = clips["duration"].dropna()
    title = (
        f"Half of the clips last {seconds.quantile(0.25):.1f} to {seconds.quantile(0.75):.1f} s, "
        f"the longest {seconds.max():.1f} s"
    )
    figure, rows = dataplots.histogram(groups, np.arange(0, 7.01, 0.25), title, "duration (s)")
    plots.show(figure, "durations", rows)
    st.caption("Silence at both ends counts; the models leave it out.")


def page() -> None:
    """All sets at a glance."""
    st.title("Data")
    st.markdown(
        "What the models learned from: one set of faces and four of voices, and how it compares "
        "with the paper's."
    )
    ways_on()
    summary, frame = explorer.summary(), explorer.whole_index()
    if isinstance(summary, Trouble) or isinstance(frame, Trouble):
        engine.told_trouble(summary, "summary_trouble")
        engine.told_trouble(frame, "index_trouble")
        return
    sets(summary)
    st.subheader("What is in them")
    counted(frame)
    speakers(frame)
    paper(summary, frame)
    durations(frame)
    explorer.traced(summary["command"])


entry.through_home()
page()
datasets.setting()
cards.footer()
