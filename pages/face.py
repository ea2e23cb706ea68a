"""Face: pictures in; every face marked, named and explained."""

from __future__ import annotations

import streamlit as st

from core.labels import EMOTIONS
from core.results import FaceResult, ImageResult
from core.ui import cards, engine, entry, exports, inputs, keep, views
from core.ui.engine import Trouble
from core.ui.keep import Media

SHELF = "face"


def overview(model: str | None) -> None:
    """Every answer so far, where there are several files."""
    rows = []
    for media in keep.shelf(SHELF):
        if keep.known(engine.face_key(media, model)):
            result = engine.face(media, model)
            emotions = (
                [face.emotion for face in result.faces] if isinstance(result, ImageResult) else []
            )
            rows.append((keep.title(SHELF, media), emotions))
    if len(rows) > 1:
        cards.overview(rows, "face_overview")


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
    lines += [cards.model_line(i) for i in engine.offered("face") if i.name == result.model]
    lines.append(cards.CALIBRATED)
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
        inputs.sample(SHELF, "face", single=False)
        return
    inputs.analyse_all(
        SHELF,
        lambda item: engine.face_key(item, model),
        lambda item: engine.face(item, model),
    )
    with st.container(key="face_result"):
        st.divider()
        media = inputs.pick(SHELF)
        with st.spinner("Reading the picture", show_time=False):
            result = engine.face(media, model)
        if isinstance(result, Trouble):
            engine.show_trouble(result, "face_trouble")
        else:
            if media.origin == "sample":
                st.caption("A sample: this face was drawn by code and belongs to nobody.")
            show(media, result)
    overview(model)
    keep_or_go(model)


def keep_or_go(model: str | None) -> None:
    """Downloads of everything, and forgetting."""
    items = keep.shelf(SHELF)
    done = [engine.face(i, model) for i in items if keep.known(engine.face_key(i, model))]
    results = [result for result in done if isinstance(result, ImageResult)]
    if results:
        source = results[0].source if len(results) == 1 else "faces"
        cards.downloads(
            exports.as_json(results),
            exports.faces_csv(results),
            (exports.file_name(source, "json"), exports.file_name(source, "csv")),
            "face",
        )
    inputs.forget(SHELF, "picture")


entry.through_home()
page()
cards.footer()
