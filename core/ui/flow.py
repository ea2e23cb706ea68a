"""What the pages share in their course: files in, one of them read, all answers at the end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import streamlit as st

from core.models import Task
from core.results import ImageResult, Prediction, VoiceResult
from core.ui import cards, engine, exports, inputs, keep
from core.ui.engine import Key, Trouble, Version
from core.ui.keep import Media

R = TypeVar("R", ImageResult, VoiceResult)


@dataclass(frozen=True)
class Course(Generic[R]):
    """What sets a page that takes several files of one kind apart from another."""

    task: Task
    """Also the name of the page's shelf."""
    thing: str
    """What lies on the shelf, in the singular."""
    icon: str
    empty: str
    """What to do when there is nothing yet."""
    waiting: str
    """What is being done while a file is analysed."""
    sample: str
    """What a sample is."""
    key: Callable[[Media, Version], Key]
    """(media, model) -> under what the result is remembered."""
    analyse: Callable[[Media, Version], R | Trouble]
    show: Callable[[Media, R], None]
    """Draws one result."""
    emotions: Callable[[R], Sequence[Prediction]]
    """What one result found."""
    table: Callable[[Sequence[R]], str]
    """The results as CSV."""


def follow(course: Course[R]) -> None:
    """Draw a page below its way in: the picked file's answer, then all answers at a glance."""
    shelf = course.task
    inputs.full_notice(shelf)
    model = engine.version(course.task, inputs.model(course.task))
    if not keep.shelf(shelf):
        cards.empty(course.icon, course.empty, f"{shelf}_empty")
        inputs.sample(shelf, course.task)
        return

    def key_of(media: Media) -> Key:
        return course.key(media, model)

    def analyse(media: Media) -> R | Trouble:
        return course.analyse(media, model)

    inputs.analyse_all(shelf, key_of, analyse)
    with st.container(key=f"{shelf}_result"):
        st.divider()
        media = inputs.pick(shelf)
        if result := read(course.waiting, media, analyse, f"{shelf}_trouble"):
            if media.origin == "sample":
                st.caption(f"A sample: {course.sample} and belongs to nobody.")
            course.show(media, result)
    answers = [(item, analyse(item)) for item in keep.shelf(shelf) if keep.known(key_of(item))]
    _ending(course, answers)


def read(
    waiting: str, media: Media, analyse: Callable[[Media], R | Trouble], trouble_key: str
) -> R | None:
    """The result for `media`; where there is none, the reason is drawn."""
    with st.spinner(waiting, show_time=False):
        result = analyse(media)
    if isinstance(result, Trouble):
        engine.show_trouble(result, trouble_key)
        return None
    return result


def choose_face(result: ImageResult, question: str, key: str) -> int:
    """Number of the face that a page is about, the largest one at first."""
    if len(result.faces) == 1:
        return 0
    chosen: int = st.pills(
        question,
        range(len(result.faces)),
        default=0,
        required=True,
        format_func=lambda index: f"Face {index + 1}",
        key=key,
        persist_state="session",
    )
    return chosen or 0


def _ending(course: Course[R], answers: Sequence[tuple[Media, R | Trouble]]) -> None:
    """All answers at a glance, downloads, forgetting."""
    shelf = course.task
    if len(answers) > 1:
        rows = [
            (
                keep.title(shelf, media),
                # A code is enough here: the sentence stands where the file is picked.
                result.code.replace("_", " ")
                if isinstance(result, Trouble)
                else course.emotions(result),
            )
            for media, result in answers
        ]
        cards.overview(rows, f"{shelf}_overview")
    results = [result for _, result in answers if not isinstance(result, Trouble)]
    if results:
        source = results[0].source if len(results) == 1 else f"{shelf}s"
        cards.downloads(
            exports.as_json(results),
            course.table(results),
            (exports.file_name(source, "json"), exports.file_name(source, "csv")),
            shelf,
        )
    inputs.forget(shelf, course.thing)
