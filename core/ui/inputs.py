"""Ways in: camera, recorders, uploads, samples. Whatever comes in is put on the page's shelf."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import streamlit as st
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import DeletedFile, UploadedFile

from core.ui import cards, engine, keep
from core.ui.keep import Media
from core.ui.samples import drawn_face, synthetic_voice

PICTURE_TYPES = ["jpg", "jpeg", "png", "webp", "bmp", "gif"]
RECORDING_TYPES = ["wav", "flac", "ogg", "oga", "opus", "mp3", "m4a", "mp4", "webm"]

CAMERA, RECORD, UPLOAD = "Camera", "Record", "Upload"
ICONS = {
    CAMERA: ":material/photo_camera:",
    RECORD: ":material/mic:",
    UPLOAD: ":material/upload_file:",
}

PAUSE_SECONDS = 1.5
"""Silence after which the hands-free recorder stops."""


def _way(shelf: str, ways: list[str]) -> str:
    """The way in that is chosen; the first one at the start."""
    chosen: str = st.segmented_control(
        "Way in",
        ways,
        default=ways[0],
        required=True,
        format_func=lambda way: f"{ICONS[way]} {way}",
        key=f"{shelf}_way",
        label_visibility="collapsed",
        persist_state="session",
    )
    return chosen or ways[0]


def _take(shelf: str, key: str, origin: keep.Origin, name: str, single: bool) -> None:
    """Callback: put what the widget holds on the shelf."""
    files = _held(st.session_state.get(key))
    if not files:  # cleared, or taken already: the result stays
        return
    came = []
    for file in files:
        called = f"{name} {keep.count(shelf)}" if name else file.name
        came.append(Media(called, file.getvalue(), origin))
        if origin == "microphone":  # the recorder stays and goes on showing its recording
            st.session_state.setdefault(_recorded_key(shelf), []).append(file.file_id)
        else:
            _discard(file.file_id)
    keep.take(shelf, *came, single=single)
    if origin == "upload":
        keep.count(key.rsplit("_", 1)[0])  # a fresh uploader, ready for the next files


def _held(value: Any) -> list[UploadedFile]:
    """The files that a widget holds.

    A click that comes before the run of an upload has ended starts the next run with the old
    widget, whose files were taken and discarded: Streamlit then calls it changed once more.
    """
    files = value if isinstance(value, list) else [value]
    return [file for file in files if file is not None and not isinstance(file, DeletedFile)]


def _recorded_key(shelf: str) -> str:
    """Where in the session the recordings are named that Streamlit keeps for the recorder."""
    return f"duet.recorded.{shelf}"


def _discard(file_id: str) -> None:
    """Let Streamlit forget a file whose widget disappears; it would keep it for the session."""
    context = get_script_run_ctx()
    if context and isinstance(context.uploaded_file_mgr, MemoryUploadedFileManager):
        context.uploaded_file_mgr.remove_file(context.session_id, file_id)


def _numbered(series: str) -> str:
    """Key of a widget that is made afresh, and empty, whenever its series counts on."""
    return f"{series}_{st.session_state.get(f'duet.count.{series}', 0)}"


def _uploader(shelf: str, label: str, types: list[str], many: bool) -> None:
    key = _numbered(f"{shelf}_upload")
    st.file_uploader(
        label,
        type=types,
        accept_multiple_files=many,
        key=key,
        on_change=_take,
        args=(shelf, key, "upload", "", not many),
    )


def picture(shelf: str, *, many: bool) -> None:
    """Camera or upload."""
    way = _way(shelf, [CAMERA, UPLOAD])
    if way == UPLOAD:
        keep.set_camera(shelf, None)
        label = "Pictures with faces" if many else "A picture with a face"
        _uploader(shelf, label, PICTURE_TYPES, many)
    elif keep.camera_open(shelf):
        _camera(shelf, many)
    with st.container(horizontal=True, vertical_alignment="center", key=f"{shelf}_view"):
        if way == CAMERA:
            _camera_switch(shelf)
        looking = way == CAMERA and keep.camera_open(shelf)
        if looking or any(item.origin == "camera" for item in keep.shelf(shelf)):
            st.toggle(
                "Show me as in a mirror",
                value=True,
                key="mirror",
                persist_state="session",
                help="Turns only what you see; the picture is analysed as the camera took it.",
            )


def _camera_switch(shelf: str) -> None:
    """A button that closes the camera, or opens it."""
    if keep.camera_open(shelf):
        label, icon, key = "Close the camera", "videocam_off", f"{shelf}_close"
    elif keep.shelf(shelf):
        label, icon, key = "Take another picture", "photo_camera", f"{shelf}_again"
    else:
        label, icon, key = "Open the camera", "photo_camera", f"{shelf}_open"
    st.button(
        label,
        icon=f":material/{icon}:",
        key=key,
        on_click=keep.set_camera,
        args=(shelf, not keep.camera_open(shelf)),
    )


def _camera(shelf: str, many: bool) -> None:
    """The camera; it goes off as soon as a picture is taken."""
    key = f"{shelf}_camera"

    def taken() -> None:
        keep.set_camera(shelf, None)
        _take(shelf, key, "camera", "Camera picture", not many)

    with st.container(key=f"{shelf}_mirror_camera" if mirrored() else f"{shelf}_plain_camera"):
        st.camera_input(
            "Look into the camera and take a picture",
            key=key,
            resolution="720p",
            on_change=taken,
        )


def mirrored() -> bool:
    """Whether camera pictures are shown as in a mirror."""
    return bool(st.session_state.get("mirror", True))


def _recorder(shelf: str) -> str:
    """Series of the keys of the shelf's recorders."""
    return f"{shelf}_microphone"


def recording(shelf: str, *, many: bool) -> None:
    """Recorder (stopped by hand, or by itself at a pause) or upload."""
    way = _way(shelf, [RECORD, UPLOAD])
    if way == UPLOAD:
        label = "Recordings of speech" if many else "A recording of speech"
        _uploader(shelf, label, RECORDING_TYPES, many)
        return
    hands_free = st.session_state.get(f"{shelf}_hands_free", False)
    if hands_free:
        _hands_free(shelf, many)
    else:
        key = _numbered(_recorder(shelf))
        st.audio_input(
            "Say a sentence, three seconds or more",
            key=key,
            on_change=_take,
            args=(shelf, key, "microphone", "Recording", not many),
        )
    st.toggle(
        "Stop by itself when I pause",
        key=f"{shelf}_hands_free",
        persist_state="session",
        help=f"Press the microphone once and speak; {PAUSE_SECONDS:.1f} s of silence end it. "
        "Its microphone needs a mouse or touch; the keyboard does not reach it.",
    )


def _hands_free(shelf: str, many: bool) -> None:
    from audio_recorder_streamlit import audio_recorder

    with st.container(key=f"{shelf}_recorder"):
        st.markdown("Press the microphone and say a sentence; a pause ends the recording.")
        data = audio_recorder(
            text="",
            pause_threshold=PAUSE_SECONDS,
            neutral_color="#4d8494",
            recording_color="#c2410c",
            icon_size="2x",
            sample_rate=16_000,
            key=f"{_numbered(_recorder(shelf))}_pause",
        )
    if not data:
        return
    # The component gives the same bytes again at every run: only new ones are taken.
    mark, last = hashlib.sha256(data).hexdigest(), f"duet.last.{shelf}"
    if st.session_state.get(last) != mark:
        st.session_state[last] = mark
        name = f"Recording {keep.count(shelf)}"
        keep.take(shelf, Media(name, data, "microphone"), single=not many)


def take_samples(makers: dict[str, Callable[[], Media]], single: bool = False) -> None:
    """Callback: make a sample for each shelf and put it there."""
    for shelf, make in makers.items():
        keep.take(shelf, make(), single=single)


def sample(shelf: str, task: str) -> None:
    """A button that puts the sample on the shelf."""
    label, media, icon = (
        ("Try a drawn face", drawn_face, ":material/draw:")
        if task == "face"
        else ("Try a synthetic voice", synthetic_voice, ":material/graphic_eq:")
    )
    st.button(
        label,
        key=f"{shelf}_sample",
        icon=icon,
        on_click=take_samples,
        args=({shelf: media},),
    )


def _remove(shelf: str, media_id: str | None = None) -> None:
    """Callback: forget one item of the shelf, or all of them, and what its recorder holds."""
    keep.remove(shelf, media_id)
    for file_id in st.session_state.pop(_recorded_key(shelf), []):
        _discard(file_id)
    keep.count(_recorder(shelf))  # a fresh recorder


def forget(shelf: str, what: str) -> None:
    """Buttons that remove the item shown, or everything, from the shelf."""
    items = keep.shelf(shelf)
    if not items:
        return
    with st.container(horizontal=True, key=f"{shelf}_forget"):
        shown = st.session_state.get(keep.pick_key(shelf))
        st.button(
            f"Remove this {what}",
            icon=":material/delete:",
            type="tertiary",
            key=f"{shelf}_remove",
            on_click=_remove,
            args=(shelf, shown if len(items) > 1 else None),
        )
        if len(items) > 1:
            st.button(
                f"Remove all {len(items)}",
                icon=":material/delete_sweep:",
                type="tertiary",
                key=f"{shelf}_remove_all",
                on_click=_remove,
                args=(shelf,),
            )


def model(task: str) -> str | None:
    """The model to use: a choice where several are installed; None where none is."""
    infos = engine.offered("face" if task == "face" else "voice")
    if not infos:
        return None
    names = [info.name for info in infos]
    if len(names) == 1:
        return names[0]
    titles = cards.titles(infos)
    titles |= {info.name: f"{titles[info.name]}, your own" for info in infos if info.own}
    key = f"{task}_model"
    if st.session_state.get(key) not in names:
        st.session_state.pop(key, None)
    chosen: str = st.selectbox(
        f"Model for the {task}",
        names,
        format_func=lambda name: titles[name],
        key=key,
        persist_state="session",
    )
    return chosen


def full_notice(shelf: str) -> None:
    """Name the files that did not fit on the shelf, where there are some."""
    if names := keep.refused(shelf):
        count = "1 file was" if len(names) == 1 else f"{len(names)} files were"
        limit = keep.MAX_KEPT_BYTES // 2**20
        st.warning(
            engine.plain(
                f"{count} not taken: {', '.join(names)}. This page keeps at most "
                f"{keep.MAX_KEPT_ITEMS} files and {limit} MB; remove some first."
            ),
            icon=":material/info:",
        )


def pick(shelf: str) -> Media:
    """The item to show; a choice where there are several."""
    items = keep.shelf(shelf)
    ids = [item.id for item in items]
    key = keep.pick_key(shelf)
    if st.session_state.get(key) not in ids:
        st.session_state[key] = ids[0]
    if len(items) == 1:
        return items[0]
    by_id = {item.id: item for item in items}
    titles = {item.id: keep.title(shelf, item) for item in items}
    st.selectbox(
        f"Show one of {len(items)}",
        ids,
        format_func=lambda media_id: titles[media_id],
        key=key,
        persist_state="session",
    )
    return by_id[st.session_state[key]]


def analyse_all(
    shelf: str,
    key_of: Callable[[Media], tuple[Any, ...]],
    analyse: Callable[[Media], Any],
) -> None:
    """Analyse what is not analysed yet, with progress and a way to stop.

    Where only the item that is shown waits, the page analyses it by itself.
    """
    waiting = [item for item in keep.shelf(shelf) if not keep.known(key_of(item))]
    if [item.id for item in waiting] in ([], [st.session_state.get(keep.pick_key(shelf))]):
        return
    stopped = keep.stopped_key(shelf)
    if st.session_state.get(stopped):
        st.button(
            f"Analyse the remaining {len(waiting)}",
            on_click=lambda: st.session_state.pop(stopped, None),
            key=f"{shelf}_resume",
        )
        return
    place = st.empty()
    with place.container():
        bar = st.progress(0.0, "Analysing")
        st.button(
            "Stop",
            on_click=lambda: st.session_state.update({stopped: True}),
            key=f"{shelf}_stop",
        )
        for number, item in enumerate(waiting, 1):
            bar.progress((number - 1) / len(waiting), f"Analysing {number} of {len(waiting)}")
            analyse(item)
    place.empty()
