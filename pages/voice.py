"""Voice: recordings in; the emotion overall, over time, and the moments that mattered."""

from __future__ import annotations

import streamlit as st

from core.results import VoiceResult
from core.ui import cards, engine, entry, exports, flow, inputs, views
from core.ui.keep import Media


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


entry.through_home()
st.title("Voice")
st.markdown("Say a sentence or upload a recording; the tone is read, not the words.")
inputs.recording("voice", many=True)
flow.follow(
    flow.Course(
        task="voice",
        thing="recording",
        icon="mic",
        empty="No recording yet. Record a sentence, upload one, or try the sample: a voice "
        "synthesised by code.",
        waiting="Listening",
        sample="this voice was synthesised by code",
        key=engine.voice_key,
        analyse=engine.voice,
        show=show,
        emotions=lambda result: [result.emotion],
        table=exports.voices_csv,
    )
)
cards.footer()
