"""Hybrid: a face and a voice side by side, apart (simple) and together (hybrid)."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.results import FaceResult, HybridResult, ImageResult, VoiceResult
from core.ui import cards, engine, entry, exports, flow, inputs, keep, views
from core.ui.engine import Trouble
from core.ui.looks import AGREEMENT_ICONS
from core.ui.samples import drawn_face, synthetic_voice

PICTURE, RECORDING = "hybrid_picture", "hybrid_recording"

METHODS = {
    "average": "The fused answer is the mean of both sides' calibrated probabilities; both "
    "count alike.",
    "product": "The fused answer is the weighted product of both sides' calibrated probabilities: "
    "what both find likely gains, what one finds unlikely loses.",
    "certainty": "The fused answer is a weighted product of both sides' calibrated probabilities "
    "in which the surer side counts more.",
    "certainty+confusion": "The fused answer is a weighted product of both sides' calibrated "
    "probabilities in which the surer side counts more, each first tempered by what its model is "
    "known to confuse.",
}
"""How the fused answer came about, for each rule of `core.fusion`."""

UNTRIED = (
    "How sure both are together was measured on faces and voices that mean the same emotion. "
    "People may also show one and voice another: then each by itself tells more."
)
"""Said where the two disagree."""


def picture_way() -> ImageResult | None:
    """The way in for the picture, and what was read from it."""
    st.subheader("Picture")
    with st.container(key="hybrid_face"):
        inputs.picture(PICTURE, many=False)
        analyse = partial(engine.face, model=engine.version("face", inputs.model("face")))
        if items := keep.shelf(PICTURE):
            return flow.read("Reading the picture", items[0], analyse, "hybrid_face_trouble")
        cards.empty("face", "No picture yet. Take or upload one.", "hybrid_face_empty")
        _borrow("face", PICTURE, "Use the picture from the Face page")
        return None


def recording_way() -> VoiceResult | None:
    """The way in for the recording, and what was heard in it."""
    st.subheader("Recording")
    with st.container(key="hybrid_voice"):
        inputs.recording(RECORDING, many=False)
        analyse = partial(engine.voice, model=engine.version("voice", inputs.model("voice")))
        if items := keep.shelf(RECORDING):
            return flow.read("Listening", items[0], analyse, "hybrid_voice_trouble")
        cards.empty("mic", "No recording yet. Record or upload one.", "hybrid_voice_empty")
        _borrow("voice", RECORDING, "Use the recording from the Voice page")
        return None


def _borrow(source: str, shelf: str, label: str) -> None:
    """Take over what lies on another page's shelf."""
    if items := keep.shelf(source):
        picked = st.session_state.get(keep.pick_key(source))
        media = next((item for item in items if item.id == picked), items[0])
        st.button(
            label,
            icon=":material/content_copy:",
            key=f"{shelf}_borrow",
            on_click=keep.take,
            args=(shelf, media),
            kwargs={"single": True},
        )


def together(picture: ImageResult, recording: VoiceResult, chosen: int) -> HybridResult | None:
    """The fused answer and the agreement."""
    st.subheader("Hybrid: both together")
    result = engine.together(picture, recording, chosen)
    if isinstance(result, Trouble):
        engine.show_trouble(result, "hybrid_trouble")
        return None
    cards.answer("Seems", result.fused, "hybrid_answer")
    with st.container(key="hybrid_agreement"):
        cards.statement(AGREEMENT_ICONS[result.agreement], result.sentence)
    if result.agreement == "none":
        st.caption(UNTRIED)
    return result


def simple(face: FaceResult | None, recording: VoiceResult | None) -> None:
    """Two separate answers."""
    st.subheader("Simple: each by itself")
    left, right = st.columns(2, gap="large")
    with left:
        if face:
            cards.answer("Looks", face.emotion, "hybrid_face_answer", small=True)
            cards.notes(face.quality)
        else:
            st.caption("The face's answer appears here once there is a picture with a face.")
    with right:
        if recording:
            cards.answer("Sounds", recording.emotion, "hybrid_voice_answer", small=True)
            cards.notes(recording.quality)
        else:
            st.caption("The voice's answer appears here once there is a recording with speech.")


def how(result: HybridResult) -> None:
    """How the fused answer came about."""
    left, right = st.columns([1.3, 1], gap="large")
    with left:
        cards.compare(result, "hybrid_compare")
    with right:
        cards.weights(result, "hybrid_weights")
        st.caption(METHODS.get(result.method, f"Joined by the rule {result.method}."))


def seen_and_heard(picture: ImageResult | None, chosen: int, voice: VoiceResult | None) -> None:
    """The picture with its faces marked, the recording to play and as a waveform."""
    left, right = st.columns(2, gap="large")
    if picture:
        media = keep.shelf(PICTURE)[0]
        with left:
            mirrored = media.origin == "camera" and inputs.mirrored()
            views.marked(media, picture, chosen, mirrored)
    if voice:
        media = keep.shelf(RECORDING)[0]
        with right:
            views.player(media, voice, whole_only=True)
            views.waveform(media, voice)


def results(picture: ImageResult | None, recording: VoiceResult | None) -> None:
    """Both answers together, each by itself, and how they came about."""
    chosen = 0
    if picture:
        key = f"hybrid_choice_{keep.shelf(PICTURE)[0].id}"
        chosen = flow.choose_face(picture, "Whose voice is it?", key)
    result = together(picture, recording, chosen) if picture and recording else None
    simple(picture.faces[chosen] if picture else None, recording)
    if any(item.origin == "sample" for item in keep.shelf(PICTURE) + keep.shelf(RECORDING)):
        st.caption("Samples: drawn and synthesised by code, they belong to nobody.")
    if result:
        how(result)
    seen_and_heard(picture, chosen, recording)
    if result and picture:
        source = f"{picture.source.rsplit('.', 1)[0]}-{result.voice.source}"
        cards.downloads(
            exports.as_json([result]),
            exports.hybrid_csv(result),
            (exports.file_name(source, "json"), exports.file_name(source, "csv")),
            "hybrid",
        )


def page() -> None:
    """A picture and a recording in, both answers out."""
    st.title("Hybrid")
    st.markdown("Give a picture and a recording of the same moment: first together, then apart.")
    left, right = st.columns(2, gap="medium")
    with left:
        picture = picture_way()
    with right:
        recording = recording_way()
    if not keep.shelf(PICTURE) and not keep.shelf(RECORDING):
        st.button(
            "Try a drawn face with a synthetic voice",
            icon=":material/group_work:",
            key="hybrid_sample",
            on_click=inputs.take_samples,
            args=({PICTURE: drawn_face, RECORDING: synthetic_voice},),
            kwargs={"single": True},
        )
        return
    with st.container(key="hybrid_result"):
        results(picture, recording)
    inputs.forget(PICTURE, "picture")
    inputs.forget(RECORDING, "recording")


entry.through_home()
page()
cards.footer()
