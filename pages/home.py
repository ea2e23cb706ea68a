"""Home: what Duet is, four ways in, a sample to click, and what is installed."""

from __future__ import annotations

from collections.abc import Callable

import streamlit as st

from core.ui import cards, engine, entry, inputs
from core.ui.keep import Media
from core.ui.samples import drawn_face, synthetic_voice

GO = "duet.go"
"""Where in the session it says which page to open next."""

CARDS = (
    ("face", "Face", "face", "Take a picture or upload some. Every face is found, named and "
     "explained."),
    ("voice", "Voice", "mic", "Say a sentence or upload a recording. Hear which moments gave it "
     "away."),
    ("hybrid", "Hybrid", "group_work", "A face and a voice together: do they agree, and what do "
     "they say as one?"),
    ("live", "Live", "videocam", "Look into the camera and speak: face and voice are read as you "
     "go."),
)  # fmt: skip


def ways_in() -> None:
    """Four big cards, one for each page."""
    columns = [*st.columns(2), *st.columns(2)]
    for column, (key, title, icon, text) in zip(columns, CARDS, strict=True):
        with column, st.container(border=True, key=f"card_{key}"):
            st.html(
                f'<div class="duet-card">{cards.symbol(icon)}<h3>{title}</h3><p>{text}</p></div>'
            )
            st.page_link(
                f"pages/{key}.py",
                label=f"Open {title}",
                icon=":material/arrow_forward:",
                width="stretch",
            )


def take(samples_by_shelf: dict[str, Callable[[], Media]], page: str) -> None:
    """Callback: put samples on their shelves and go to the page that shows them."""
    inputs.take_samples(samples_by_shelf, single=page == "hybrid")
    st.session_state[GO] = f"pages/{page}.py"


def samples() -> None:
    """Something to click without camera or microphone."""
    if page := st.session_state.pop(GO, None):
        st.switch_page(page)
    st.subheader("No camera or microphone? Try a sample")
    both = {"hybrid_picture": drawn_face, "hybrid_recording": synthetic_voice}
    offers = (
        ("sample_face", "A drawn face", "draw", {"face": drawn_face}, "face"),
        ("sample_voice", "A synthetic voice", "graphic_eq", {"voice": synthetic_voice}, "voice"),
        ("sample_both", "Both together", "group_work", both, "hybrid"),
    )
    for column, (key, label, icon, shelves, page) in zip(st.columns(3), offers, strict=True):
        column.button(
            label,
            icon=f":material/{icon}:",
            key=key,
            width="stretch",
            on_click=take,
            args=(shelves, page),
        )
    st.caption(
        "The face is drawn and the voice synthesised by code: they show how Duet answers, "
        "not how well it reads people."
    )


def installed() -> None:
    """The models and the detector in use, and how good they are."""
    st.subheader("What is at work here")
    with st.container(key="active_models"):
        for task in ("face", "voice"):
            infos = engine.offered("face" if task == "face" else "voice")
            if not infos:
                st.info(
                    engine.no_model("face" if task == "face" else "voice"), icon=":material/info:"
                )
            names = [info.name for info in infos]
            chosen = st.session_state.get(f"{task}_model")
            used = chosen if chosen in names else next(iter(names), None)
            for info in infos:
                in_use = " (in use)" if info.name == used and len(infos) > 1 else ""
                st.markdown(f"{cards.model_line(info)}{in_use}  \n{cards.headline(info)}")
        st.markdown(f"**Face detector:** {engine.detector_sentence()}")
        for number, folder in enumerate(engine.broken()):
            engine.show_trouble(
                engine.Trouble("damaged_model", folder.problem), f"broken_model_{number}"
            )


entry.through_home()
st.html(
    '<div class="duet-hero"><h1>Duet</h1><p>Duet tells how a person seems to feel from a face, '
    "from a voice, and from both together. It shows why, and says how sure it is.</p></div>"
)
cards.chips()
ways_in()
samples()
installed()
cards.footer()
