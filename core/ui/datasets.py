"""The data sets on this machine, where there are any: which folder, and one example of them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from core import datasets
from core.datasets import DataSetError, Files
from core.errors import DuetError
from core.models import Task
from core.ui import owner

VARIABLE = "DUET_DATA"
SETTING = "duet.data"
"""Where in the session it says which folder a person chose."""

MISSING = (
    f"The data sets are not here: name their folder in the sidebar, or in {VARIABLE} before the "
    "app starts. It holds fer2013, ravdess, crema_d, savee and tess, as zips or folders."
)
NOT_HERE = (
    "The pictures and recordings are not on this server; whoever runs Duet can name their folder "
    f"in {VARIABLE}."
)


def missing() -> str:
    """What to do where the data sets are not here, for those who can do it."""
    return MISSING if owner.here() else NOT_HERE


def data_folder() -> Path | None:
    """The folder that holds the data sets: the session's own, else `DUET_DATA`; None without one.

    At least one of the sets is in it. Only the owner has a folder of their own.
    """
    named = st.session_state.get(SETTING) or os.environ.get(VARIABLE)
    if not named:
        return None
    try:
        folder = Path(named).expanduser()
    except RuntimeError:  # `~name` of nobody
        return None
    return folder if datasets.present(folder) else None


def setting() -> None:
    """Draw the choice of the data folder in the sidebar, for whom it is."""
    if not owner.here():
        return
    with st.sidebar:
        st.text_input(
            "Folder of the data sets",
            value=st.session_state.get(SETTING) or os.environ.get(VARIABLE, ""),
            key="data_folder_input",
            placeholder="/path/to/data",
            help="On the machine where Duet runs. Holds fer2013, ravdess, crema_d, savee and "
            "tess, as zips or folders.",
            on_change=_chosen,
        )
        folder = data_folder()
        if folder:
            st.caption(f"Found: {', '.join(datasets.present(folder))}")
        elif st.session_state.get(SETTING) or os.environ.get(VARIABLE):
            st.caption("None of the data sets is in this folder.")
        else:
            st.caption("Pictures and recordings of the data sets show once this is set.")


def _chosen() -> None:
    if not owner.here():
        return
    st.session_state[SETTING] = st.session_state["data_folder_input"].strip()


@st.cache_resource(show_spinner=False, max_entries=16)
def opened(path: str, changed: float) -> Files:
    """The files of one data set; listed once per server, again when the set has `changed`."""
    return Files(path)


def example(name: str, task: Task) -> bytes:
    """The file of one example, by its id in `core.predictions`.

    Raises
    ------
    DuetError
        `not_found` when the data or this file are not here.
    """
    folder = data_folder()
    if folder is None:
        raise DuetError("not_found", missing())
    corpus, inside = datasets.set_of(name, task)
    known = corpus == "fer2013" or corpus in datasets.CORPORA
    path = datasets.locate(folder, corpus) if known else None
    if path is None:
        where = f"in {folder}; put its zip or folder there" if owner.here() else "on this server"
        raise DuetError("not_found", f"{corpus} is not {where}.")
    try:
        return opened(str(path), path.stat().st_mtime).read(inside)
    except (DataSetError, OSError) as error:
        raise DuetError("not_found", f"{str(error).rstrip('.')}; check the data set.") from None


def face_image(name: str) -> NDArray[np.uint8]:
    """One picture of FER2013 by its id, uint8 (48, 48).

    Raises
    ------
    DuetError
        `not_found` without it, `damaged` when it is no picture.
    """
    import cv2

    content = np.frombuffer(example(name, "face"), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE) if len(content) else None
    if image is None:
        raise DuetError("damaged", f"{name} is no picture; restore the data set.")
    return np.asarray(image, np.uint8)


def clip(name: str) -> bytes:
    """One recording of the voice sets by its id (`corpus/path`), as the file it is.

    Raises
    ------
    DuetError
        `not_found` without it.
    """
    return example(name, "voice")
