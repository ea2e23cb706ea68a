"""Ways in: camera, recorders, uploads, samples. Whatever comes in is put on the page's shelf."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import streamlit as st

from core.ui import engine, keep
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
    value: Any = st.session_state.get(key)
    if value is None:  # cleared: the result stays
        return
    st.session_state.pop(f"duet.stopped.{shelf}", None)
    if isinstance(value, list):
        files = [Media(file.name, file.getvalue(), origin) for file in value]
        taken = [media for media in files if keep.put(shelf, media, single=single)]
        if taken:
            st.session_state[keep.pick_key(shelf)] = taken[0].id
    elif origin == "upload":
        keep.put(shelf, Media(value.name, value.getvalue(), origin), single=single)
    else:
        numbered = f"{name} {keep.count(shelf)}"
        keep.put(shelf, Media(numbered, value.getvalue(), origin), single=single)
    if origin == "upload":
        keep.count(f"{key.rsplit('_', 1)[0]}")  # a fresh uploader, ready for the next files


def _uploader(shelf: str, label: str, types: list[str], many: bool) -> None:
    series = f"{shelf}_upload"
    key = f"{series}_{st.session_state.get(f'duet.count.{series}', 0)}"
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
        label = "Pictures with faces" if many else "A picture with a face"
        _uploader(shelf, label, PICTURE_TYPES, many)
    elif not keep.shelf(shelf) or st.session_state.get(_open_key(shelf)):
        _camera(shelf, many)
    with st.container(horizontal=True, vertical_alignment="center", key=f"{shelf}_view"):
        if way == CAMERA and keep.shelf(shelf) and not st.session_state.get(_open_key(shelf)):
            st.button(
                "Take another picture",
                icon=":material/photo_camera:",
                key=f"{shelf}_again",
                on_click=lambda: st.session_state.update({_open_key(shelf): True}),
            )
        if way == CAMERA or any(item.origin == "camera" for item in keep.shelf(shelf)):
            st.toggle(
                "Show me as in a mirror",
                value=True,
                key="mirror",
                persist_state="session",
                help="Turns only what you see; the picture is analysed as the camera took it.",
            )


def _open_key(shelf: str) -> str:
    return f"duet.camera.{shelf}"


def _camera(shelf: str, many: bool) -> None:
    """The camera; it goes off as soon as a picture is taken."""
    key = f"{shelf}_camera"

    def taken() -> None:
        st.session_state.pop(_open_key(shelf), None)
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
        key = f"{shelf}_microphone"
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
        help=f"Press the microphone once and speak; {PAUSE_SECONDS:.1f} s of silence end it.",
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
            key=f"{shelf}_pause",
        )
    if not data:
        return
    # The component gives the same bytes again at every run: only new ones are taken.
    mark, last = hashlib.sha256(data).hexdigest(), f"duet.last.{shelf}"
    if st.session_state.get(last) != mark:
        st.session_state[last] = mark
        name = f"Recording {keep.count(shelf)}"
        keep.put(shelf, Media(name, data, "microphone"), single=not many)


def _take_sample(shelf: str, make: Callable[[], Media], single: bool) -> None:
    keep.put(shelf, make(), single=single)


def sample(shelf: str, task: str, *, single: bool) -> None:
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
        on_click=_take_sample,
        args=(shelf, media, single),
    )


def sample_pair(picture_shelf: str, recording_shelf: str) -> None:
    """Put both samples where the hybrid page looks for them."""
    keep.put(picture_shelf, drawn_face(), single=True)
    keep.put(recording_shelf, synthetic_voice(), single=True)


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
            on_click=keep.remove,
            args=(shelf, shown if len(items) > 1 else None),
        )
        if len(items) > 1:
            st.button(
                f"Remove all {len(items)}",
                icon=":material/delete_sweep:",
                type="tertiary",
                key=f"{shelf}_remove_all",
                on_click=keep.remove,
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
    titles = {info.name: info.title for info in infos}
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
    """Say that the shelf is full, where it is."""
    if name := keep.refused(shelf):
        limit = keep.MAX_KEPT_BYTES // 2**20
        engine.show_trouble(
            engine.Trouble(
                "too_many",
                f"{name} was not taken: this page keeps at most {keep.MAX_KEPT_ITEMS} files "
                f"and {limit} MB; remove some first.",
            ),
            f"{shelf}_full",
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


def analyse_all(shelf: str, key_of: Any, analyse: Any) -> None:
    """Analyse what is not analysed yet, with progress and a way to stop."""
    waiting = [item for item in keep.shelf(shelf) if not keep.known(key_of(item))]
    if len(waiting) < 2:
        return
    stopped = f"duet.stopped.{shelf}"
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
