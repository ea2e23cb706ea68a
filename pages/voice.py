"""Voice: recordings in; the emotion overall, over time, and the moments that mattered."""

from __future__ import annotations

import streamlit as st

from core.results import VoiceResult
from core.ui import cards, engine, entry, exports, inputs, keep, views
from core.ui.engine import Trouble
from core.ui.keep import Media

SHELF = "voice"


def overview(model: str | None) -> None:
    """Every answer so far, where there are several files."""
    rows = []
    for media in keep.shelf(SHELF):
        if keep.known(engine.voice_key(media, model)):
            result = engine.voice(media, model)
            emotions = [result.emotion] if isinstance(result, VoiceResult) else []
            rows.append((keep.title(SHELF, media), emotions))
    if len(rows) > 1:
        cards.overview(rows, "voice_overview")


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
    lines += [cards.model_line(i) for i in engine.offered("voice") if i.name == result.model]
    lines.append(cards.CALIBRATED)
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
        inputs.sample(SHELF, "voice", single=False)
        return
    inputs.analyse_all(
        SHELF,
        lambda item: engine.voice_key(item, model),
        lambda item: engine.voice(item, model),
    )
    with st.container(key="voice_result"):
        st.divider()
        media = inputs.pick(SHELF)
        with st.spinner("Listening", show_time=False):
            result = engine.voice(media, model)
        if isinstance(result, Trouble):
            engine.show_trouble(result, "voice_trouble")
        else:
            if media.origin == "sample":
                st.caption("A sample: this voice was synthesised by code and belongs to nobody.")
            show(media, result)
    overview(model)
    keep_or_go(model)


def keep_or_go(model: str | None) -> None:
    """Downloads of everything, and forgetting."""
    items = keep.shelf(SHELF)
    done = [engine.voice(i, model) for i in items if keep.known(engine.voice_key(i, model))]
    results = [result for result in done if isinstance(result, VoiceResult)]
    if results:
        source = results[0].source if len(results) == 1 else "voices"
        cards.downloads(
            exports.as_json(results),
            exports.voices_csv(results),
            (exports.file_name(source, "json"), exports.file_name(source, "csv")),
            "voice",
        )
    inputs.forget(SHELF, "recording")


entry.through_home()
page()
cards.footer()
