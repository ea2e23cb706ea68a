"""Hybrid: a face and a voice side by side, apart (simple) and together (hybrid)."""

from __future__ import annotations

import streamlit as st

from core.results import HybridResult, ImageResult, VoiceResult
from core.ui import cards, engine, entry, exports, inputs, keep, views
from core.ui.engine import Trouble
from core.ui.keep import Media
from core.ui.looks import AGREEMENT_ICONS

PICTURE, RECORDING = "hybrid_picture", "hybrid_recording"

METHODS = {
    "average": "The fused answer is the weighted mean of both sides' calibrated probabilities.",
    "product": "The fused answer is the weighted product of both sides' calibrated probabilities: "
    "what both find likely gains, what one finds unlikely loses.",
    "certainty": "The fused answer is a product of both sides' calibrated probabilities in which "
    "the surer side counts more.",
    "certainty+confusion": "The fused answer is a product of both sides' calibrated probabilities "
    "in which the surer side counts more, each first tempered by what its model is known to "
    "confuse.",
}
"""How the fused answer came about, for each rule of `core.fusion`."""


def face_side() -> tuple[ImageResult | None, int]:
    """The picture, its way in and its own answer; and which face was chosen."""
    st.subheader("Picture")
    with st.container(key="hybrid_face"):
        inputs.picture(PICTURE, many=False)
        model = inputs.model("face")
        items = keep.shelf(PICTURE)
        if not items:
            cards.empty("face", "No picture yet. Take or upload one.", "hybrid_face_empty")
            _borrow("face", PICTURE, "Use the picture from the Face page")
            return None, 0
        with st.spinner("Reading the picture", show_time=False):
            result = engine.face(items[0], model)
        if isinstance(result, Trouble):
            engine.show_trouble(result, "hybrid_face_trouble")
            return None, 0
        chosen = 0
        if len(result.faces) > 1:
            chosen = st.pills(
                "Whose voice is it?",
                range(len(result.faces)),
                default=0,
                required=True,
                format_func=lambda index: f"Face {index + 1}",
                key=f"hybrid_choice_{items[0].id}",
                persist_state="session",
            )
        mirrored = items[0].origin == "camera" and inputs.mirrored()
        views.marked(items[0], result, chosen, mirrored)
        return result, chosen


def voice_side() -> VoiceResult | None:
    """The recording, its way in and its own answer."""
    st.subheader("Recording")
    with st.container(key="hybrid_voice"):
        inputs.recording(RECORDING, many=False)
        model = inputs.model("voice")
        items = keep.shelf(RECORDING)
        if not items:
            cards.empty("mic", "No recording yet. Record or upload one.", "hybrid_voice_empty")
            _borrow("voice", RECORDING, "Use the recording from the Voice page")
            return None
        with st.spinner("Listening", show_time=False):
            result = engine.voice(items[0], model)
        if isinstance(result, Trouble):
            engine.show_trouble(result, "hybrid_voice_trouble")
            return None
        views.player(items[0], result, whole_only=True)
        views.waveform(items[0], result)
        return result


def _borrow(source: str, shelf: str, label: str) -> None:
    """Take over what lies on another page's shelf."""
    if items := keep.shelf(source):
        picked = st.session_state.get(keep.pick_key(source))
        media = next((item for item in items if item.id == picked), items[0])
        st.button(
            label,
            icon=":material/content_copy:",
            key=f"{shelf}_borrow",
            on_click=_take_over,
            args=(shelf, media),
        )


def _take_over(shelf: str, media: Media) -> None:
    keep.put(shelf, media, single=True)


def simple(picture: ImageResult | None, chosen: int, recording: VoiceResult | None) -> None:
    """Two separate answers."""
    st.subheader("Simple: each by itself")
    left, right = st.columns(2, gap="large")
    with left:
        if picture:
            face = picture.faces[chosen]
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


def hybrid(result: HybridResult) -> None:
    """Both together: the fused answer, the agreement, and how it came about."""
    st.subheader("Hybrid: both together")
    cards.answer("Seems", result.fused, "hybrid_answer")
    with st.container(key="hybrid_agreement"):
        cards.statement(AGREEMENT_ICONS[result.agreement], result.sentence)
    left, right = st.columns([1.3, 1], gap="large")
    with left:
        cards.compare(result, "hybrid_compare")
    with right:
        cards.weights(result, "hybrid_weights")
        st.caption(METHODS.get(result.method, f"Joined by the rule {result.method}."))


def page() -> None:
    """A picture and a recording in, both answers out."""
    st.title("Hybrid")
    st.markdown("Give a picture and a recording of the same moment: first apart, then together.")
    left, right = st.columns(2, gap="large")
    with left:
        picture, chosen = face_side()
    with right:
        recording = voice_side()
    if not keep.shelf(PICTURE) and not keep.shelf(RECORDING):
        st.button(
            "Try a drawn face with a synthetic voice",
            icon=":material/group_work:",
            key="hybrid_sample",
            on_click=inputs.sample_pair,
            args=(PICTURE, RECORDING),
        )
        return
    with st.container(key="hybrid_result"):
        st.divider()
        if any(item.origin == "sample" for item in keep.shelf(PICTURE) + keep.shelf(RECORDING)):
            st.caption("Samples: drawn and synthesised by code, they belong to nobody.")
        simple(picture, chosen, recording)
        if picture and recording:
            result = engine.together(picture, recording, chosen)
            if isinstance(result, Trouble):
                engine.show_trouble(result, "hybrid_trouble")
            else:
                hybrid(result)
                cards.downloads(
                    exports.as_json([result]),
                    exports.hybrid_csv(result),
                    ("duet-hybrid.json", "duet-hybrid.csv"),
                    "hybrid",
                )
    inputs.forget(PICTURE, "picture")
    inputs.forget(RECORDING, "recording")


entry.through_home()
page()
cards.footer()
