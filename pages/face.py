"""Face: pictures in; every face marked, named and explained."""

from __future__ import annotations

import streamlit as st

from core.labels import EMOTIONS
from core.results import FaceResult, ImageResult
from core.ui import cards, engine, entry, exports, flow, inputs, views
from core.ui.keep import Media


def show(media: Media, result: ImageResult) -> None:
    """The answer, then the picture and how sure, then why, then details."""
    mirrored = media.origin == "camera" and inputs.mirrored()
    question = f"{len(result.faces)} faces, largest first"
    chosen = flow.choose_face(result, question, f"face_choice_{media.id}")
    face = result.faces[chosen]
    cards.answer("Looks", face.emotion, "face_answer")
    cards.notes(face.quality)
    left, right = st.columns(2, gap="large")
    with left, st.container(key="face_picture"):
        views.marked(media, result, chosen, mirrored)
    with right:
        cards.bars(face.emotion, "face_bars")
    if face.has_map:
        why(media, face, mirrored)
    else:
        no_map(result.model)
    with st.expander("Details", icon=":material/list:", key="face_details"):
        details(media, result, chosen)


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
            persist_state="session",
        )
        st.caption(
            "Bright places raised the model's score for this emotion, the outlined ones most; "
            "dark places did not. It shows what the model went by, not what the person felt."
        )
    with left, st.container(key="face_attention"):
        views.attention(media, face, emotion, mirrored)


def no_map(model: str) -> None:
    """Why there is no attention map."""
    st.subheader("Why")
    st.markdown(
        f"`{model}` looks at the face as a whole: its answer does not come apart into places, so "
        "there is no map of them. Another model may have one."
    )


def details(media: Media, result: ImageResult, chosen: int) -> None:
    """Numbers for those who want them."""
    face = result.faces[chosen]
    box = face.box
    taken = ", as the camera took it, not mirrored" if media.origin == "camera" else ""
    lines = [
        f"Picture: {sizes(result)}; detector `{result.detector}`, score {face.detection_score:.2f}",
        f"Box: x {box.x:.0f}, y {box.y:.0f}, {box.width:.0f} x {box.height:.0f} px"
        f" (from the top left of the analysed picture{taken})",
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


def sizes(result: ImageResult) -> str:
    """The size of the picture, and that at which it was analysed where it was reduced."""
    analysed = (result.width, result.height)
    original = (result.original_width, result.original_height)
    if original in (analysed, (0, 0)):
        return f"{result.width} x {result.height} px"
    return "{} x {} px, analysed at {} x {} px".format(*original, *analysed)


entry.through_home()
st.title("Face")
st.markdown("Take a picture or upload some; every face in it is found and read.")
inputs.picture("face", many=True)
flow.follow(
    flow.Course(
        task="face",
        thing="picture",
        icon="face",
        empty="No picture yet. Take one, upload one, or try the sample: a face drawn by code.",
        waiting="Reading the picture",
        sample="this face was drawn by code",
        key=engine.face_key,
        analyse=engine.face,
        show=show,
        emotions=lambda result: [face.emotion for face in result.faces],
        table=exports.faces_csv,
    )
)
cards.footer()
