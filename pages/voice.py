"""Voice: recordings in; the emotion overall, over time, and the moments that mattered."""

from __future__ import annotations

from functools import partial

import streamlit as st

from core.results import VoiceResult
from core.ui import cards, ending, engine, entry, exports, inputs, keep, views
from core.ui.engine import Trouble
from core.ui.keep import Media

SHELF = "voice"


def show(media: Media, result: VoiceResult) -> None:
    """The answer, then why, then the sound itself, then details."""
    cards.answer("Sounds", result.emotion, "voice_answer")
    cards.notes(result.quality)
    left, right = st.columns(2, gap="large")
    with left:
        cards.bars(result.emotion, "voice_bars")
    with right:
        views.player(media, result)
        views.moments(result)
    st.subheader("Why")
    with st.container(key="voice_why"):
        views.waveform(media, result)
        views.timeline(result)
    with st.expander("The sound in pictures", icon=":material/graphic_eq:", key="voice_sound"):
        views.sound(media, result)
    with st.expander("Details", icon=":material/list:", key="voice_details"):
        details(result)


def details(result: VoiceResult) -> None:
    """Numbers for those who want them."""
    stretches = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in result.speech)
    lines = [
        f"Duration: {result.duration:.2f} s, of which {result.speech_seconds:.2f} s are speech",
        f"Speech: {stretches}",
        f"Time: {cards.timings(result.milliseconds)}",
    ]
    lines += cards.model_facts(engine.offered("voice"), result.model)
    st.markdown("\n".join(f"- {line}" for line in lines))


def page() -> None:
    """Recordings in, answers out."""
    st.title("Voice")
    st.markdown("Say a sentence or upload a recording; the tone is read, not the words.")
    inputs.recording(SHELF, many=True)
    inputs.full_notice(SHELF)
    model = inputs.model("voice")
    if not keep.shelf(SHELF):
        cards.empty(
            "mic",
            "No recording yet. Record a sentence, upload one, or try the sample: a voice "
            "synthesised by code.",
            "voice_empty",
        )
        inputs.sample(SHELF, "voice")
        return
    key_of = partial(engine.voice_key, model=model)
    analyse = partial(engine.voice, model=model)
    inputs.analyse_all(SHELF, key_of, analyse)
    with st.container(key="voice_result"):
        st.divider()
        media = inputs.pick(SHELF)
        with st.spinner("Listening", show_time=False):
            result = analyse(media)
        if isinstance(result, Trouble):
            engine.show_trouble(result, "voice_trouble")
        else:
            if media.origin == "sample":
                st.caption("A sample: this voice was synthesised by code and belongs to nobody.")
            show(media, result)
    answers = [(item, analyse(item)) for item in keep.shelf(SHELF) if keep.known(key_of(item))]
    ending.show(
        SHELF,
        "recording",
        answers,
        lambda result: [result.emotion],
        exports.voices_csv,
    )


entry.through_home()
page()
cards.footer()
