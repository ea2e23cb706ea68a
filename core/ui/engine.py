"""Analyses for the pages: models loaded once per server, failures turned into one sentence."""

from __future__ import annotations

import html
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast, get_args

import streamlit as st

from core import models
from core.errors import DuetError
from core.models import BrokenModel, ModelInfo, Task
from core.reports import of_another_file
from core.results import HybridResult, ImageResult, VoiceResult
from core.ui import keep
from core.ui.keep import Media

log = logging.getLogger("duet")

T = TypeVar("T")

INSTALLATION = ("unknown_model", "damaged_model", "no_detector", "internal")
"""Codes of failures that are not the input's: worth another try at the next run."""


@dataclass(frozen=True)
class Trouble:
    """Why there is no answer: a stable code and a sentence."""

    code: str
    message: str


_at_once = threading.BoundedSemaphore(2)
"""Analyses that run at the same time on the whole server; the others wait their turn. Decoded
media are large: ten minutes of sound take up to hundreds of megabytes while they are read."""


def attempt(job: Callable[[], T]) -> T | Trouble:
    """The value of `job`, or what went wrong; anything unexpected is logged in full."""
    try:
        with _at_once:
            return job()
    except DuetError as error:
        return Trouble(error.code, error.message)
    except Exception:
        log.exception("An analysis failed")
        return Trouble(
            "internal",
            "Something went wrong on our side; the details are in the server's log. "
            "Try again, or try another file.",
        )


def told(job: Callable[[], T]) -> T | Trouble:
    """The value of a job that reads a few small files, or what is wrong with them."""
    try:
        return job()
    except DuetError as error:
        return Trouble(error.code, error.message)


def offered(task: Task) -> list[ModelInfo]:
    """Installed models for `task`, the default one first."""
    return [info for info in models.installed()[0] if info.task == task]


def no_model(task: Task) -> str:
    """What to do where no model for `task` is installed."""
    return (
        f"No {task} model is installed yet; put a model folder below models/ or train one with "
        f"python -m training train {task}-cnn --data PATH."
    )


def broken() -> list[BrokenModel]:
    """Model folders that cannot be used, each with the sentence that says why."""
    return models.installed()[1]


@st.cache_resource(show_spinner=False)
def _loaded(task: Task, name: str, sha256: str) -> models.Model:
    """The one place where pages load a model: once per model file and server."""
    return models.load(models.find(task, name))


def _ready(task: Task, name: str | None) -> str:
    """Name of the model to use, loaded.

    Raises
    ------
    DuetError
        `unknown_model` when none is installed, `damaged_model` when it does not load.
    """
    if not offered(task):
        raise DuetError("unknown_model", no_model(task))
    info = models.find(task, name)
    _loaded(task, info.name, info.sha256)
    return info.name


@st.cache_resource(show_spinner=False)
def warm() -> Future[str]:
    """Open the detector and the default models while the first page is being read.

    Returns
    -------
    The sentence that says which detector is in use; fetching its file can take seconds, so it
    comes as a future.
    """
    future: Future[str] = Future()

    def work() -> None:
        from core.face.detect import detector_status

        status = attempt(detector_status)
        future.set_result(status.message if isinstance(status, Trouble) else status[1])
        for task in get_args(Task):
            if info := next(iter(offered(task)), None):
                attempt(partial(_loaded, task, info.name, info.sha256))

    threading.Thread(target=work, name="duet-warm", daemon=True).start()
    return future


def detector_sentence() -> str:
    """Which face detector is in use, in a sentence."""
    try:
        return warm().result(timeout=0.4)
    except TimeoutError:
        return "The face detector is getting ready."


def worth_keeping(value: Any) -> bool:
    """Results and faults of the input are remembered; faults of the installation are not."""
    return not (isinstance(value, Trouble) and value.code in INSTALLATION)


Version = tuple[str, str]
"""Name of a model and SHA-256 of its file: another model may get the name of one that is gone."""

Key = tuple[str, str, str, str]
"""Under what a result is remembered: kind, media id, version of the model."""


def version(task: Task, name: str | None) -> Version:
    """Which model is meant by `name`, the default one without; no SHA-256 where there is none."""
    for info in offered(task):
        if name in (None, info.name):
            return (info.name, info.sha256)
    return (name or "", "")


def face_key(media: Media, model: Version) -> Key:
    """Under what the faces of a picture are remembered."""
    return ("face", media.id, *model)


def voice_key(media: Media, model: Version) -> Key:
    """Under what the speech of a recording is remembered."""
    return ("voice", media.id, *model)


def face(media: Media, model: Version) -> ImageResult | Trouble:
    """All faces of a picture; remembered for the session."""

    def job() -> ImageResult:
        from core import analyze
        from core.media import sniff

        if sniff(media.data, media.name, "image") != "image":
            raise DuetError(
                "unsupported",
                f"{media.name} is a recording; give a picture here, or open it on the Voice page.",
            )
        chosen = _ready("face", model[0] or None)
        return cast(ImageResult, analyze(media.data, name=media.name, face_model=chosen))

    return keep.remembered(face_key(media, model), lambda: attempt(job), worth_keeping)


def voice(media: Media, model: Version) -> VoiceResult | Trouble:
    """The speech of a recording; remembered for the session."""

    def job() -> VoiceResult:
        from core import analyze
        from core.media import sniff

        if sniff(media.data, media.name, "audio") != "audio":
            raise DuetError(
                "unsupported",
                f"{media.name} is a picture; give a recording here, or open it on the Face page.",
            )
        chosen = _ready("voice", model[0] or None)
        return cast(VoiceResult, analyze(media.data, name=media.name, voice_model=chosen))

    return keep.remembered(voice_key(media, model), lambda: attempt(job), worth_keeping)


def together(picture: ImageResult, recording: VoiceResult, which: int) -> HybridResult | Trouble:
    """Face number `which` of the picture and the voice, fused."""

    def job() -> HybridResult:
        from core import fuse

        return fuse(picture, recording, which)

    return attempt(job)


def show_trouble(trouble: Trouble, key: str) -> None:
    """One calm box: the sentence, and the code in small print."""
    with st.container(key=key):
        message = trouble.message.replace(f"{models.MODELS_FOLDER.parent}{os.sep}", "")
        st.warning(plain(message), icon=":material/info:")
        st.html(
            f'<div class="duet-error"><small>error code: {html.escape(trouble.code)}</small></div>'
        )


def told_trouble(found: object, key: str) -> bool:
    """Whether `found` is a trouble; it is then shown."""
    if isinstance(found, Trouble):
        show_trouble(found, key)
    return isinstance(found, Trouble)


def mark(info: ModelInfo, judged: str) -> None:
    """Say so where what is shown is of another file than the one that lies in the model's folder.

    Parameters
    ----------
    judged : SHA-256 of the file that it is of; "" where nobody noted it.
    """
    if sentence := of_another_file(info, judged):
        st.warning(plain(sentence), icon=":material/info:")


def plain(text: str) -> str:
    """`text` with Markdown's signs made harmless, so that file names show as they are."""
    return "".join("\\" + sign if sign in r"\`*_{}[]()#+!|<>$~:" else sign for sign in text)
