"""Home: what Duet is, three ways in, a sample to click, and what is installed."""

from __future__ import annotations

import streamlit as st

from core.ui import cards, engine, keep
from core.ui.samples import drawn_face, synthetic_voice

CARDS = (
    ("face", "Face", "face", "Take a picture or upload some. Every face is found, named and "
     "explained."),
    ("voice", "Voice", "mic", "Say a sentence or upload a recording. Hear which moments gave it "
     "away."),
    ("hybrid", "Hybrid", "group_work", "A face and a voice together: do they agree, and what do "
     "they say as one?"),
)  # fmt: skip


def ways_in() -> None:
    """Three big cards, one for each page."""
    for column, (key, title, icon, text) in zip(st.columns(3), CARDS, strict=True):
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


def samples() -> None:
    """Something to click without camera or microphone."""
    st.subheader("No camera or microphone? Try a sample")
    face, voice, both = (column.container() for column in st.columns(3))
    if face.button("A drawn face", icon=":material/draw:", key="sample_face", width="stretch"):
        keep.put("face", drawn_face())
        st.switch_page("pages/face.py")
    if voice.button(
        "A synthetic voice", icon=":material/graphic_eq:", key="sample_voice", width="stretch"
    ):
        keep.put("voice", synthetic_voice())
        st.switch_page("pages/voice.py")
    if both.button(
        "Both together", icon=":material/group_work:", key="sample_both", width="stretch"
    ):
        keep.put("hybrid_picture", drawn_face(), single=True)
        keep.put("hybrid_recording", synthetic_voice(), single=True)
        st.switch_page("pages/hybrid.py")
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
                    f"No {task} model is installed yet. Put a model folder below `models/`, or "
                    f"train one: `python -m training train {task}-cnn --data PATH`.",
                    icon=":material/info:",
                )
            for number, info in enumerate(infos):
                default = " (in use)" if number == 0 and len(infos) > 1 else ""
                st.markdown(f"{cards.model_line(info)}{default}  \n{cards.headline(info)}")
        st.markdown(f"**Face detector:** {engine.detector_sentence()}")
        for number, folder in enumerate(engine.broken()):
            engine.show_trouble(
                engine.Trouble("damaged_model", folder.problem), f"broken_model_{number}"
            )


st.html(
    '<div class="duet-hero"><h1>Duet</h1><p>Duet tells how a person seems to feel from a face, '
    "from a voice, and from both together. It shows why, and says how sure it is.</p></div>"
)
cards.chips()
ways_in()
samples()
installed()
cards.footer()
