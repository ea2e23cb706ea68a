"""Face: pictures in; every face marked, named and explained."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.labels import EMOTIONS
from core.results import FaceResult, ImageResult
from core.ui import cards, ending, engine, entry, exports, inputs, keep, views
from core.ui.engine import Trouble
from core.ui.keep import Media

SHELF = "face"


def choose_face(result: ImageResult, media: Media) -> int:
    """Which face to explain, the largest one at first."""
    if len(result.faces) == 1:
        return 0
    chosen: int = st.pills(
        f"{len(result.faces)} faces, largest first",
        range(len(result.faces)),
        default=0,
        required=True,
        format_func=lambda index: f"Face {index + 1}",
        key=f"face_choice_{media.id}",
        persist_state="session",
    )
    return chosen or 0


def show(media: Media, result: ImageResult) -> None:
    """The answer, then the picture and how sure, then why, then details."""
    mirrored = media.origin == "camera" and inputs.mirrored()
    chosen = choose_face(result, media)
    face = result.faces[chosen]
    cards.answer("Looks", face.emotion, "face_answer")
    cards.notes(face.quality)
    left, right = st.columns(2, gap="large")
    with left, st.container(key="face_picture"):
        views.marked(media, result, chosen, mirrored)
    with right:
        cards.bars(face.emotion, "face_bars")
    why(media, face, mirrored)
    with st.expander("Details", icon=":material/list:", key="face_details"):
        details(result, chosen)


def why(media: Media, face: FaceResult, mirrored: bool) -> None:
    """The attention map, for any emotion."""
    st.subheader("Why")
    left, right = st.columns(2, gap="large")
    with right:
        emotion: str = st.selectbox(
            "Show what speaks for",
            EMOTIONS,
            index=EMOTIONS.index(face.emotion.label),
            key=f"evidence_{media.id}_{face.emotion.label}",
        )
        st.caption(
            "Bright places raised the model's score for this emotion, the outlined ones most; "
            "dark places did not. It shows what the model went by, not what the person felt."
        )
    with left, st.container(key="face_attention"):
        views.attention(media, face, emotion, mirrored)


def details(result: ImageResult, chosen: int) -> None:
    """Numbers for those who want them."""
    face = result.faces[chosen]
    box = face.box
    lines = [
        f"Picture: {result.width} x {result.height} px; detector `{result.detector}`, "
        f"score {face.detection_score:.2f}",
        f"Box: x {box.x:.0f}, y {box.y:.0f}, {box.width:.0f} x {box.height:.0f} px"
        " (from the top left of the picture as the camera took it)",
    ]
    if face.landmarks:
        points = ", ".join(
            f"{name.replace('_', ' ')} ({x:.0f}, {y:.0f})"
            for name, (x, y) in vars(face.landmarks).items()
        )
        lines.append(f"Landmarks (the person's own right and left): {points}")
    lines.append(f"Time: {cards.timings(result.milliseconds)}")
    lines += cards.model_facts(engine.offered("face"), result.model)
    st.markdown("\n".join(f"- {line}" for line in lines))
    views.framed(face)


def page() -> None:
    """Pictures in, answers out."""
    st.title("Face")
    st.markdown("Take a picture or upload some; every face in it is found and read.")
    inputs.picture(SHELF, many=True)
    inputs.full_notice(SHELF)
    model = inputs.model("face")
    if not keep.shelf(SHELF):
        cards.empty(
            "face",
            "No picture yet. Take one, upload one, or try the sample: a face drawn by code.",
            "face_empty",
        )
        inputs.sample(SHELF, "face")
        return
    key_of = partial(engine.face_key, model=model)
    analyse = partial(engine.face, model=model)
    inputs.analyse_all(SHELF, key_of, analyse)
    with st.container(key="face_result"):
        st.divider()
        media = inputs.pick(SHELF)
        with st.spinner("Reading the picture", show_time=False):
            result = analyse(media)
        if isinstance(result, Trouble):
            engine.show_trouble(result, "face_trouble")
        else:
            if media.origin == "sample":
                st.caption("A sample: this face was drawn by code and belongs to nobody.")
            show(media, result)
    answers = [(item, analyse(item)) for item in keep.shelf(SHELF) if keep.known(key_of(item))]
    ending.show(
        SHELF,
        "picture",
        answers,
        lambda result: [face.emotion for face in result.faces],
        exports.faces_csv,
    )


entry.through_home()
page()
cards.footer()
