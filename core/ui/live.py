"""What the Live page is made of: the stream, the answers beside it, the timeline, the end."""

from __future__ import annotations

import asyncio
import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import av
import streamlit as st
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from streamlit_webrtc import WebRtcMode, webrtc_streamer

from core.labels import EMOTIONS
from core.live.director import Director, Now
from core.live.journal import SIDES, Event, Reading, Run, Side, Summary, Tick, coarse, runs
from core.live.settings import Mode, Settings
from core.ui import cards, exports
from core.ui.cards import symbol
from core.ui.devices import Devices
from core.ui.ice import Servers
from core.ui.looks import AGREEMENT_ICONS, LOOKS, ink_on, rgb
from core.words import percent

STREAM = "live_stream"
"""Key of the stream."""

POLL_SECONDS = 0.5
"""Between two looks of the page at what was found; the picture shows every label at once."""

RIBBON_SECONDS = 60.0
RIBBON_CELLS = 400
"""At most as many stretches are drawn: a phone's ribbon has hardly more pixels."""

VIDEO = {"width": {"ideal": 640}, "height": {"ideal": 480}, "frameRate": {"ideal": 30, "max": 30}}

SIDE_NAMES: dict[Side, str] = {"face": "Face", "voice": "Voice", "together": "Together"}
VERBS: dict[Side, cards.Verb] = {"face": "Looks", "voice": "Sounds", "together": "Seems"}
SILENCE_COLOUR = "#dde3e5"
AGREEMENTS = {"exact": "the same emotion", "tone": "the same tone", "none": "no agreement"}

LAST = "Last recording: "
"""Before what stays shown of it where recordings are made in turns."""

QUIET_DBFS, LOUD_DBFS = -60.0, -5.0
"""Ends of the level meter."""


def director() -> Director:
    """This session's; it outlives page switches, and with it what was found."""
    if "duet.live" not in st.session_state:
        palette = {name: rgb(look.colour) for name, look in LOOKS.items()}
        st.session_state["duet.live"] = Director(Settings(), palette)
    found: Director = st.session_state["duet.live"]
    return found


class Ear:
    """Takes the microphone's sound and gives none back, so that nobody hears an echo.

    What streamlit-webrtc calls a sink: it reads a track on the server's event loop.
    """

    def __init__(self, live: Director) -> None:
        self._live = live
        self._track: MediaStreamTrack | None = None
        self._task: asyncio.Task[None] | None = None

    def addTrack(self, track: MediaStreamTrack) -> None:  # noqa: N802 - the library's name
        """The track to read."""
        self._track = track

    def hasTrack(self) -> bool:  # noqa: N802 - the library's name
        """Whether there is one."""
        return self._track is not None

    def start(self) -> None:
        """Begin; called on the event loop."""
        self._task = asyncio.get_running_loop().create_task(self._read())

    def stop(self) -> None:
        """End; may be called from any thread."""
        if self._task is not None:
            self._task.get_loop().call_soon_threadsafe(self._task.cancel)
            self._task = None

    async def _read(self) -> None:
        assert self._track is not None
        try:
            while True:
                frame = await self._track.recv()
                if isinstance(frame, av.AudioFrame):
                    self._live.audio(frame)
        except MediaStreamError:
            pass
        finally:
            self._live.audio_ended()


def asked(settings: Settings) -> list[str]:
    """`camera`, `microphone`: what a mode needs."""
    return ["camera"] * settings.sees + ["microphone"] * settings.hears


def stream(live: Director, servers: Servers, devices: Devices) -> Any:
    """The stream itself: start, stop, devices. Returns its context (`state.playing`).

    In hybrid mode a device that is not there or not allowed is not asked for: browsers give
    neither where one of two is refused, and the other side can go on alone.

    Pictures go through `Director.video` on the event loop, which takes about a millisecond:
    the library's own threads would only give each picture back one picture late.
    """
    camera, microphone = live.settings.sees, live.settings.hears
    if camera and microphone and devices.refused("camera") != devices.refused("microphone"):
        camera, microphone = not devices.refused("camera"), not devices.refused("microphone")
    return webrtc_streamer(
        STREAM,
        mode=WebRtcMode.SENDRECV,
        rtc_configuration=servers.configuration,
        media_stream_constraints={
            "video": VIDEO if camera else False,
            "audio": microphone,
        },
        video_frame_callback=live.video if camera else None,
        on_video_ended=live.video_ended if camera else None,
        sink_audio_track=Ear(live) if microphone else None,
        async_processing=False,
        sendback_video=camera,
        sendback_audio=False,
        video_html_attrs={
            "autoPlay": True, "controls": False, "muted": True, "playsInline": True,
            "style": {"width": "100%", "borderRadius": "0.6rem"},
        },
        translations={
            "start": "Start",
            "stop": "Stop",
            "select_device": "Choose camera and microphone",
            "device_ask_permission": "Allow camera and microphone in your browser.",
            "device_access_denied": "Camera or microphone is not allowed; press the lock beside "
            "the address to allow it.",
            "device_not_available": "The camera or microphone is not available.",
            "media_api_not_available": "This browser gives this page no camera; open it by https.",
        },
        on_change=_changed,
    )  # fmt: skip


def _changed() -> None:
    """Callback: note a connection that was tried and did not come about."""
    state = st.session_state[STREAM].state
    if state.playing:
        st.session_state["duet.live.tried"] = st.session_state["duet.live.failed"] = False
    elif state.signalling:
        st.session_state["duet.live.tried"] = True
    elif st.session_state.pop("duet.live.tried", False):
        st.session_state["duet.live.failed"] = True


def failed() -> bool:
    """Whether the last try to connect came to nothing."""
    return bool(st.session_state.get("duet.live.failed"))


# --- now -----------------------------------------------------------------------------------------


def answers(now: Now, mode: Mode) -> None:
    """What is seen and heard at this moment; where nothing is, why."""
    missing = " ".join(now.missing)
    if mode == "hybrid":
        _together(now, missing)
    if mode != "voice":
        _faces(now, missing if mode == "face" else "")
    if mode != "face":
        _voice(now, missing if mode == "voice" else "")
    for number, text in enumerate(now.faults):
        _line("error", text, f"live_fault_{number}")


def _together(now: Now, missing: str) -> None:
    with st.container(key="live_together"):
        if now.paused:
            _quiet("Both together: paused.")
        elif now.fused and now.together:
            _answer("together", now.fused, LAST if now.turns else "")
            with st.container(key="live_agreement"):
                cards.statement(AGREEMENT_ICONS[now.together.agreement], now.together.sentence)
            cards.weights(now.together, "live_weights")
        elif missing:
            _line("info", missing, "live_missing")
        else:
            _quiet("Both together: as soon as a face is seen and speech is heard.")


def _faces(now: Now, missing: str) -> None:
    with st.container(key="live_faces"):
        several = len(now.faces) > 1
        if now.paused:
            _quiet("Face: paused.")
            return
        for face in now.faces:
            _answer("face", face.reading, f"Face {face.number}: " if several else "")
        if not now.faces:
            nothing = "No face." if "picture" in now.flowing else "No picture."
            _quiet(missing or nothing)


def _voice(now: Now, missing: str) -> None:
    with st.container(key="live_voice"):
        if now.paused:
            _quiet("Voice: paused.")
        elif now.voice:
            _answer("voice", now.voice, LAST if now.turns else "")
        elif now.heard and now.heard.state == "speech":
            _quiet("Listening: half a second of speech is needed.")
        elif now.heard:
            _quiet("Silence." if now.heard.state == "silence" else "Sound, but no speech.")
        else:
            _quiet(missing or ("No recording." if now.turns else "No sound."))
        if not now.turns:
            _meter(now.level_dbfs)


def heading(side: Side, reading: Reading) -> str:
    """The answer in words, such as "Looks happy · 83% sure"."""
    word, sure = LOOKS[reading.label].adjective, percent(reading.confidence)
    if reading.unsure:
        return f"Unsure: perhaps {word} · {sure}"
    return f"{VERBS[side]} {word} · {sure} sure"


def _answer(side: Side, reading: Reading, before: str = "") -> None:
    look = LOOKS[reading.label]
    st.html(
        f'<div class="duet-answer small" style="--c:{look.colour};--ink:{ink_on(look.colour)}">'
        f"{symbol('question_mark' if reading.unsure else look.icon)}"
        f"<div><h2>{before}{heading(side, reading)}</h2></div></div>"
    )


def _quiet(text: str) -> None:
    st.html(f'<p class="duet-live-quiet">{html.escape(text)}</p>')


def _line(icon: str, text: str, key: str) -> None:
    with st.container(key=key):
        st.html(f'<div class="duet-note">{symbol(icon)}<div>{html.escape(text)}</div></div>')


def _meter(level: float) -> None:
    share = min(1.0, max(0.0, (level - QUIET_DBFS) / (LOUD_DBFS - QUIET_DBFS)))
    st.html(
        f'<div class="duet-meter" role="meter" aria-label="Level of the microphone" '
        f'aria-valuemin="{QUIET_DBFS:.0f}" aria-valuemax="{LOUD_DBFS:.0f}" '
        f'aria-valuenow="{level:.0f}">{symbol("mic")}<div class="duet-track" '
        f'style="--c:#2b8a5a"><i style="width:{100 * share:.0f}%"></i></div></div>'
    )


def speed(now: Now) -> None:
    """Frame rate and delay."""
    rows = "".join(
        f'<tr><th scope="row">{name}</th><td>{value:.1f}</td></tr>'
        for name, value in now.speed.items()
    )
    with st.container(key="live_speed"):
        st.html(f'<table class="duet-speed">{rows}</table>')


# --- over time -----------------------------------------------------------------------------------


def timeline(
    ticks: Sequence[Tick],
    events: Sequence[Event],
    mode: Mode,
    key: str,
    last: float = math.inf,
) -> None:
    """A ribbon for each side, in the emotions' colours with their names, and what happened.

    HTML instead of a chart: it is drawn anew every second or two and costs next to nothing.
    """
    with st.container(key=key):
        if not ticks:
            _quiet("Nothing yet: what is seen and heard appears here over time.")
            return
        end = max(tick.time + tick.seconds for tick in ticks)
        start = max(ticks[0].time, end - last)
        sides = [side for side in SIDES if mode == "hybrid" or side == mode]
        rows = "".join(
            _ribbon(side, coarse(runs(ticks, side), start, end, RIBBON_CELLS), start, end)
            for side in sides
        )
        shown = [event for event in events if event.time >= start]
        st.html(
            f'<div class="duet-ribbons">{rows}<span></span><div class="duet-ribbon-ends">'
            f"<span>{_clock(start)}</span><span>{_clock(end)}</span></div></div>"
            + _events(shown[-6:])
        )


def _ribbon(side: Side, stretches: Sequence[Run], start: float, end: float) -> str:
    whole = max(end - start, 1e-6)
    parts = []
    for run in stretches:
        begin = max(run.start, start)
        left, width = 100 * (begin - start) / whole, 100 * (run.end - begin) / whole
        colour = LOOKS[run.label].colour if run.label in LOOKS else SILENCE_COLOUR
        name = run.label if width > 1.6 * len(run.label) else ""
        parts.append(
            f'<i title="{run.label}, {_clock(run.start)} to {_clock(run.end)}" '
            f'style="left:{left:.2f}%;width:{width:.2f}%;background:{colour};'
            f'color:{ink_on(colour)}">{name}</i>'
        )
    words = ", ".join(run.label for run in stretches[-8:]) or "nothing yet"
    name = SIDE_NAMES[side]
    return (
        f'<span>{name}</span><div class="duet-ribbon" role="img" '
        f'aria-label="{name} over time, the last ones: {words}">{"".join(parts)}</div>'
    )


def _events(shown: Sequence[Event]) -> str:
    items = "".join(
        f"<li><b>{_clock(event.time)}</b> {html.escape(event.text)}</li>"
        for event in reversed(shown)
    )
    return f'<ul class="duet-events">{items}</ul>' if items else ""


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def summary(found: Summary, key: str) -> None:
    """The session in a few numbers: time per emotion, changes, agreement."""
    sides = [side for side in SIDES if found.seconds[side]]
    if not sides:
        told = f"{_clock(found.duration)} in all: no emotion was read."
        _line("info", told, key)
        return
    head = "".join(f'<th scope="col">{SIDE_NAMES[side]}</th>' for side in sides)
    rows = []
    for name in EMOTIONS:
        if not any(name in found.seconds[side] for side in sides):
            continue
        cells = "".join(_share(found.seconds[side], name) for side in sides)
        rows.append(
            f'<tr style="--c:{LOOKS[name].colour}"><th scope="row">'
            f"{symbol(LOOKS[name].icon)}{name}</th>{cells}</tr>"
        )
    changes = "".join(f"<td>{found.changes[side]}</td>" for side in sides)
    rows.append(f'<tr><th scope="row">changes</th>{changes}</tr>')
    agreed = ", ".join(f"{AGREEMENTS[kind]} {share:.0%}" for kind, share in found.agreement.items())
    with st.container(key=key):
        st.html(
            f'<p class="duet-finding">{_clock(found.duration)} in all, time per emotion</p>'
            f'<table class="duet-table"><thead><tr><th scope="col">emotion</th>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table>"
            + (f"<p>Face and voice together: {agreed} of the time.</p>" if agreed else "")
        )


def _share(times: dict[str, float], name: str) -> str:
    seconds, whole = times.get(name, 0.0), max(sum(times.values()), 1e-6)
    shown = f"{seconds:.1f}" if 0 < seconds < 9.95 else f"{seconds:.0f}"
    return (
        f'<td>{shown} s<div class="duet-track"><i style="width:{100 * seconds / whole:.0f}%">'
        "</i></div></td>"
    )


@dataclass(frozen=True)
class Prepared:
    """Files of one moment, ready to be downloaded."""

    json: str
    csv: str
    picture: bytes | None = None


def downloads(live: Director, running: bool) -> None:
    """The session as JSON and CSV, and while it runs the picture of a moment.

    Files are made before they are offered: one that is made at the click could be dropped by the
    next look of the page at what was found, before the browser has fetched it.
    """
    with st.container(horizontal=True, key="live_downloads"):
        if running:
            st.button(
                "Prepare a download",
                icon=":material/photo_camera:",
                key="live_prepare",
                on_click=_prepare,
                args=(live,),
                help="Takes the picture and the session as they are at this moment. They go to "
                "you and are forgotten when you stop.",
            )
            prepared: Prepared | None = st.session_state.get("duet.live.prepared")
        else:
            st.session_state.pop("duet.live.prepared", None)
            prepared = _files(live)
        if prepared:
            _offer("JSON", prepared.json, "duet-live.json", "application/json")
            _offer("CSV", prepared.csv, "duet-live.csv", "text/csv")
            if prepared.picture:
                _offer("snapshot", prepared.picture, "duet-snapshot.jpg", "image/jpeg")


def clear(live: Director) -> None:
    """Callback: forget the session so far, and the files made of it."""
    live.clear()
    st.session_state.pop("duet.live.prepared", None)


def _files(live: Director) -> Prepared:
    return Prepared(exports.live_json(live.journal), exports.live_csv(live.journal))


def _prepare(live: Director) -> None:
    """Callback: make the files of this moment."""
    files = _files(live)
    st.session_state["duet.live.prepared"] = replace(files, picture=live.snapshot())


def _offer(kind: str, content: str | bytes, name: str, mime: str) -> None:
    st.download_button(
        f"Download {kind}",
        content,
        file_name=name,
        mime=mime,
        icon=":material/download:",
        on_click="ignore",
        key=f"live_{kind.lower()}",
    )
