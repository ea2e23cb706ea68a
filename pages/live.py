"""Live: face, voice and both in real time, through camera and microphone."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator
from streamlit.errors import StreamlitInvalidLayoutContextError

from core.live.director import Director
from core.live.settings import SMOOTHING_SECONDS, Mode, Settings
from core.results import UNSURE_BELOW
from core.ui import cards, connection, devices, engine, entry, ice, inputs, live, turns
from core.ui.engine import Trouble

MODES: dict[Mode, str] = {"hybrid": "Hybrid", "face": "Face", "voice": "Voice"}
ICONS: dict[Mode, str] = {"hybrid": "group_work", "face": "face", "voice": "mic"}

POLLED = "duet.live.polled"
"""Key of when the page was last polled."""

REVIVE_SECONDS = 4.0
"""Between two looks whether polls still come."""


def chosen_mode(playing: bool) -> Mode:
    """What the viewer chose; it stays while camera or microphone is on."""
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
    return mode or "hybrid"


def looks(director: Director) -> None:
    """Switches above the picture."""
    with st.container(horizontal=True, key="live_switches"):
        mirror = st.toggle(
            "Show me as in a mirror", value=True, key="mirror", persist_state="session"
        )
        overlay = st.toggle(
            "Draw on the picture", value=True, key="live_overlay", persist_state="session"
        )
    director.settings = replace(director.settings, mirror=mirror, overlay=overlay)


def finer(director: Director) -> None:
    """Model, smoothing, threshold, speed."""
    settings = director.settings
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
    st.toggle("Show frame rate and delay", key="live_speed_on", persist_state="session")
    director.settings = replace(
        settings,
        face_model=face_model,
        voice_model=voice_model,
        smoothing=float(smoothing),
        threshold=threshold / 100,
    )


def whose_voice(director: Director) -> None:
    """The face that speaks; polled, for faces come and go."""
    now, chosen = director.now(), director.settings.speaker
    faces = {face.number for face in now.faces}
    if chosen in now.known:
        faces.add(chosen)
    speaker = st.selectbox(
        "Whose voice is it?",
        [0, *sorted(faces)],
        format_func=lambda number: f"Face {number}" if number else "The largest face",
        key="live_speaker",
    )
    director.settings = replace(director.settings, speaker=speaker or None)


def without_models(settings: Settings) -> None:
    """Say it where a model that is needed is not installed."""
    for task, needed in (("face", settings.sees), ("voice", settings.hears)):
        if needed and not engine.offered("face" if task == "face" else "voice"):
            words = engine.no_model("face" if task == "face" else "voice")
            st.info(words, icon=":material/info:")


def beside(director: Director, playing: bool, missing: Sequence[str]) -> None:
    """The answers of this moment; `missing` says what stands in the way of devices."""
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
        asked = " and ".join(live.asked(director.settings))
        cards.empty(
            "videocam",
            f"Press Start. Your browser asks for the {asked}; what comes from there is analysed "
            "as it comes and kept nowhere.",
            "live_empty",
        )
    for text in missing:
        if playing:
            text = text.replace("try again", "press Stop, then Start")
        st.warning(text, icon=":material/info:")


def over_time(director: Director) -> None:
    """The timeline."""
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
    last = math.inf if span == "The whole session" else live.RIBBON_SECONDS
    live.timeline(
        director.journal.ticks(last),
        director.journal.events(),
        director.settings.mode,
        "live_timeline",
        last,
    )


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
            st.button(
                "Clear",
                icon=":material/delete:",
                key="live_clear",
                on_click=live.clear,
                args=(director,),
            )


def in_turns(director: Director) -> None:
    """Where pictures cannot flow: one a second, and recordings."""
    settings = director.settings
    if settings.sees:
        st.fragment(_picture_turn)()
    if settings.hears:
        recording = st.audio_input("Say a sentence, three seconds or more", key="live_turn_voice")
        mark = getattr(recording, "file_id", None)
        before, answer = st.session_state.get("duet.live.turn", (None, None))
        if recording and before != mark:
            answer = engine.attempt(lambda: director.hear(recording.getvalue()))
            st.session_state["duet.live.turn"] = mark, answer
        if recording:
            _told(answer, "live_turn_voice_trouble")


def _picture_turn() -> None:
    director = live.director()
    if picture := turns.picture("live_turn_camera", inputs.mirrored()):
        _told(engine.attempt(lambda: director.see(picture)), "live_turn_picture_trouble")
        if shown := director.snapshot():
            st.image(shown, width="stretch", alt="The last picture, with faces marked")


def _told(answer: Any, key: str) -> None:
    if isinstance(answer, Trouble):
        engine.show_trouble(answer, key)


def help_to_connect(director: Director, servers: ice.Servers) -> None:
    """The check, and the way without a connection."""
    local = ice.is_local()
    if live.failed():
        st.warning(
            "The connection did not come about. Unless you stopped it before it was there, a "
            "firewall most likely blocks it (ICE): check the connection below, or go on with a "
            "picture every second.",
            icon=":material/info:",
        )
    with st.expander("It does not start?", icon=":material/help:", key="live_help",
                     expanded=live.failed()):  # fmt: skip
        settings = director.settings
        connection.check(
            "live_check", servers, local=local, sees=settings.sees, hears=settings.hears
        )
        st.toggle(
            "Do without a connection: a picture every second, recordings in turns",
            key="live_turns",
            on_change=director.stop,
        )


@dataclass(frozen=True)
class Places:
    """Containers outside what is polled, to be drawn into."""

    beside: DeltaGenerator
    """To the right of the picture."""
    speaker: DeltaGenerator | None
    """Among the settings; None where it is not asked whose voice is heard."""


def polled(
    director: Director, playing: bool, by_turns: bool, places: Places, missing: Sequence[str]
) -> None:
    """Everything that changes by itself or by a click while the film runs, drawn anew as a whole.

    When a poll arrives just as Streamlit has drawn the whole page, what of that drawing has not
    been sent yet is lost, timers of further polls included. So only one part of the page is
    polled, the last one, with all that may change in it: a poll that does such damage mends it.
    """
    try:
        all_polled(director, playing, by_turns, places, missing)
    except StreamlitInvalidLayoutContextError:
        # The drawing of the whole page ended before this part of it had its places: once more.
        st.rerun()


def all_polled(
    director: Director, playing: bool, by_turns: bool, places: Places, missing: Sequence[str]
) -> None:
    """The parts of `polled`."""
    st.session_state[POLLED] = time.monotonic()
    if playing:
        # The first of its parts: when polls pile up, Streamlit may drop what this poll has drawn
        # but not what a fragment inside it has, and a browser that is told of a part behind parts
        # it does not know gives the whole page up.
        st.fragment(revive, run_every=REVIVE_SECONDS)()
    if places.speaker:
        with places.speaker:
            whose_voice(director)
    with places.beside:
        if by_turns:
            live.answers(director.now(), director.settings.mode)
        else:
            beside(director, playing, missing)
        buttons(director, playing)
    over_time(director)
    if director.journal.ticks() or playing:
        live.downloads(director, playing or by_turns)


def revive() -> None:
    """Draw the whole page anew where polls have ended though the film runs: they go on then."""
    if time.monotonic() - st.session_state[POLLED] > REVIVE_SECONDS / 2:
        st.rerun()


def page() -> None:
    """Camera and microphone in, answers beside them."""
    st.title("Live")
    st.markdown("Look into the camera and speak: face and voice are read as you go.")
    director = live.director()
    context = st.session_state.get(live.STREAM)
    by_turns = bool(st.session_state.get("live_turns"))
    if director.now().turns and not by_turns:
        director.stop()  # the page was left meanwhile
    playing = bool(context and context.state.playing and not by_turns)
    director.settings = replace(director.settings, mode=chosen_mode(playing))
    sees = director.settings.sees
    without_models(director.settings)
    left, right = st.columns([1.15, 1], gap="large")
    picture = left.container(key="live_picture")
    # On a phone the answers follow the picture at once, and what can be set comes after them.
    now, below = right.container(key="live_now"), st.container(key="live_below")
    servers = ice.servers()
    with below:
        if sees:
            # Fragments, so that a change of a setting draws nothing else anew.
            st.fragment(looks)(director)
        with st.expander("Settings", icon=":material/tune:", key="live_settings"):
            st.fragment(finer)(director)
            speaker = st.container() if director.settings.mode == "hybrid" else None
        help_to_connect(director, servers)
        there = devices.devices("live_devices")
    with picture:
        if by_turns:
            in_turns(director)
        else:
            playing = bool(live.stream(director, servers, there).state.playing)
    missing = there.sentences(*live.asked(director.settings))
    places = Places(now, speaker)
    every = live.POLL_SECONDS if playing or by_turns else None
    st.fragment(polled, run_every=every)(director, playing, by_turns, places, missing)


entry.through_home()
page()
cards.footer()
