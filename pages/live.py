"""Live: face, voice and both in real time, through camera and microphone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import streamlit as st

from core.live.director import Director
from core.live.settings import SMOOTHING_SECONDS, Mode, Settings
from core.results import UNSURE_BELOW
from core.ui import cards, connection, engine, entry, ice, inputs, live, turns
from core.ui.engine import Trouble

MODES: dict[Mode, str] = {"hybrid": "Hybrid", "face": "Face", "voice": "Voice"}
ICONS: dict[Mode, str] = {"hybrid": "group_work", "face": "face", "voice": "mic"}


def controls(playing: bool) -> Settings:
    """What the viewer chose. The mode stays while camera or microphone is on."""
    mode: Mode | None = st.segmented_control(
        "Look and listen to",
        list(MODES),
        default="hybrid",
        required=True,
        format_func=lambda name: f":material/{ICONS[name]}: {MODES[name]}",
        key="live_mode",
        persist_state="session",
        disabled=playing,
        help="Stop first to change it.",
    )
    return replace(live.director().settings, mode=mode or "hybrid")


def looks(settings: Settings) -> Settings:
    """Switches below the picture."""
    with st.container(horizontal=True, key="live_switches"):
        mirror, overlay = settings.mirror, settings.overlay
        if settings.sees:
            mirror = st.toggle(
                "Show me as in a mirror", value=True, key="mirror", persist_state="session"
            )
            overlay = st.toggle(
                "Draw on the picture", value=True, key="live_overlay", persist_state="session"
            )
    return replace(settings, mirror=mirror, overlay=overlay)


def finer(settings: Settings, faces: list[int]) -> Settings:
    """Model, smoothing, threshold, whose voice, speed."""
    with st.expander("Settings", icon=":material/tune:", key="live_settings"):
        face_model = inputs.model("face") if settings.sees else None
        voice_model = inputs.model("voice") if settings.hears else None
        smoothing = st.slider(
            "Smoothing of the face (s)", 0.0, 2.0, SMOOTHING_SECONDS, 0.1,
            key="live_smoothing", persist_state="session",
            help="Time constant: after this long, 63% of a change has arrived.",
        )  # fmt: skip
        threshold = st.slider(
            "Unsure below (%)", 0, 95, round(100 * UNSURE_BELOW), 5,
            key="live_threshold", persist_state="session",
            help="An emotion less probable than this is marked with a question mark.",
        )  # fmt: skip
        speaker = st.selectbox(
            "Whose voice is it?",
            [0, *faces],
            format_func=lambda number: f"Face {number}" if number else "The largest face",
            key="live_speaker",
        )
        st.toggle("Show frame rate and delay", key="live_speed_on", persist_state="session")
    return replace(
        settings,
        face_model=face_model,
        voice_model=voice_model,
        smoothing=float(smoothing),
        threshold=threshold / 100,
        speaker=speaker or None,
    )


def without_models(settings: Settings) -> None:
    """Say it where a model that is needed is not installed."""
    for task, needed in (("face", settings.sees), ("voice", settings.hears)):
        if needed and not engine.offered("face" if task == "face" else "voice"):
            words = engine.no_model("face" if task == "face" else "voice")
            st.info(words, icon=":material/info:")


def beside(director: Director, playing: bool) -> None:
    """The answers of this moment, polled."""
    now = director.now()
    mode = director.settings.mode
    if playing or now.running:
        if now.paused:
            cards.statement("pause_circle", "Paused: pictures flow, nothing is analysed.")
        live.answers(now, mode)
        if st.session_state.get("live_speed_on"):
            live.speed(now)
    elif director.journal.ticks():
        st.subheader("Summary")
        live.summary(director.journal.summary(), "live_summary")
    else:
        cards.empty(
            "videocam",
            "Press Start. Your browser asks for camera and microphone; what they give is "
            "analysed as it comes and kept nowhere.",
            "live_empty",
        )


def over_time(director: Director) -> None:
    """The timeline, polled."""
    ticks = director.journal.ticks()
    if not ticks:
        return
    st.subheader("Over time")
    span = st.segmented_control(
        "Show",
        ["The last minute", "The whole session"],
        default="The last minute",
        required=True,
        key="live_span",
        persist_state="session",
        label_visibility="collapsed",
    )
    shown = ticks if span == "The whole session" else director.journal.ticks(live.RIBBON_SECONDS)
    live.timeline(shown, director.journal.events(), director.settings.mode, "live_timeline")


def buttons(director: Director, playing: bool) -> None:
    """Pause and clear."""
    with st.container(horizontal=True, key="live_buttons"):
        if playing:
            paused = director.paused
            st.button(
                "Go on" if paused else "Pause",
                icon=f":material/{'play_arrow' if paused else 'pause'}:",
                key="live_pause",
                on_click=director.pause,
                args=(not paused,),
            )
        if director.journal.ticks() or playing:
            st.button("Clear", icon=":material/delete:", key="live_clear", on_click=director.clear)


def in_turns(director: Director) -> None:
    """Where pictures cannot flow: one a second, and recordings."""
    settings = director.settings
    if settings.sees:
        st.fragment(_picture_turn)()
    if settings.hears:
        recording = st.audio_input("Say a sentence, three seconds or more", key="live_turn_voice")
        mark = getattr(recording, "file_id", None)
        if recording and st.session_state.get("duet.live.turn") != mark:
            st.session_state["duet.live.turn"] = mark
            _told(engine.attempt(lambda: director.hear(recording.getvalue())))


def _picture_turn() -> None:
    director = live.director()
    if picture := turns.picture("live_turn_camera", inputs.mirrored()):
        _told(engine.attempt(lambda: director.see(picture)))
        if shown := director.snapshot():
            st.image(shown, width="stretch", alt="The last picture, with faces marked")
    live.answers(director.now(), director.settings.mode)


def _told(answer: Any) -> None:
    if isinstance(answer, Trouble):
        engine.show_trouble(answer, "live_turn_trouble")


def help_to_connect(director: Director, servers: ice.Servers) -> bool:
    """The check, and the way without a connection; whether that way is chosen."""
    local = ice.is_local()
    if live.failed():
        st.warning(
            "The connection did not come about: most likely a firewall blocks it (ICE). Check "
            "the connection below, or go on with a picture every second.",
            icon=":material/info:",
        )
    with st.expander("It does not start?", icon=":material/help:", key="live_help",
                     expanded=live.failed()):  # fmt: skip
        settings = director.settings
        connection.check(
            "live_check", servers, local=local, sees=settings.sees, hears=settings.hears
        )
        chosen: bool = st.toggle(
            "Do without a connection: a picture every second, recordings in turns",
            key="live_turns",
        )
    return chosen


def page() -> None:
    """Camera and microphone in, answers beside them."""
    st.title("Live")
    st.markdown("Look into the camera and speak: face and voice are read as you go.")
    director = live.director()
    context = st.session_state.get(live.STREAM)
    playing = bool(context and context.state.playing)
    settings = controls(playing)
    without_models(settings)
    left, right = st.columns([1.15, 1], gap="large")
    with left, st.container(key="live_picture"):
        settings = looks(settings)
        place = st.container()
        settings = finer(settings, [face.number for face in director.now().faces])
        director.settings = settings
        servers = ice.servers()
        by_turns = help_to_connect(director, servers)
        with place:
            if by_turns:
                in_turns(director)
            else:
                playing = bool(live.stream(director, servers).state.playing)
    every = live.POLL_SECONDS if playing else None
    with right, st.container(key="live_now"):
        if not by_turns:
            st.fragment(beside, run_every=every)(director, playing)
        buttons(director, playing)
    st.fragment(over_time, run_every=2 * live.POLL_SECONDS if playing or by_turns else None)(
        director
    )
    if director.journal.ticks() or playing:
        live.downloads(director, playing)


entry.through_home()
page()
cards.footer()
