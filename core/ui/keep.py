"""What a person gave and what Duet answered, kept in memory for the length of their session.

A widget's value is lost when its page is left, so everything worth keeping is copied into
`st.session_state` under keys of our own. Nothing is written to disk.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

import streamlit as st

T = TypeVar("T")
Origin = Literal["camera", "microphone", "upload", "sample"]

MAX_KEPT_ITEMS = 40
"""Files one person can have on one page."""
MAX_KEPT_BYTES = 100 * 1024 * 1024
"""Their size together; a shared server has to remember them."""


@dataclass(frozen=True)
class Media:
    """A picture or a recording as it came in."""

    name: str
    data: bytes
    origin: Origin

    @cached_property
    def id(self) -> str:
        """The same for the same content under the same name."""
        return hashlib.sha256(self.name.encode() + b"\0" + self.data).hexdigest()[:20]


def _state(name: str, empty: Callable[[], T]) -> T:
    return st.session_state.setdefault(f"duet.{name}", empty())


def shelf(name: str) -> list[Media]:
    """What lies on a page's shelf, in the order in which it came."""
    shelves: dict[str, list[Media]] = _state("shelves", dict)
    return shelves.setdefault(name, [])


def take(name: str, *came: Media, single: bool = False) -> None:
    """Put what just came in on the shelf and pick the first of it.

    What does not fit is left out and told by `refused`. With `single` it takes the place of what
    was there. An earlier wish to stop analysing does not hold for new files.
    """
    st.session_state.pop(_refused_key(name), None)
    st.session_state.pop(stopped_key(name), None)
    taken = [media for media in came if _put(name, media, single)]
    if taken:
        st.session_state[pick_key(name)] = taken[0].id
    _tidy()


def _put(name: str, media: Media, single: bool) -> bool:
    """Put `media` on the shelf; False when the shelf is full."""
    items = shelf(name)
    others = [item for item in items if item.id != media.id and not single]
    size = len(media.data) + sum(len(item.data) for item in others)
    if len(others) + 1 > MAX_KEPT_ITEMS or (others and size > MAX_KEPT_BYTES):
        st.session_state.setdefault(_refused_key(name), []).append(media.name)
        return False
    items[:] = [*others, media]
    numbers = _numbers(name)
    numbers.setdefault(media.id, len(numbers) + 1)
    return True


def look_at(media: Media) -> None:
    """Of media that lie on no shelf, remember only what is known of this one."""
    _tidy(media.id)


def _tidy(*also: str) -> None:
    """Drop what is remembered about media that lie on no shelf any more, but for ids in `also`."""
    shelves: dict[str, list[Media]] = _state("shelves", dict)
    lying = {item.id for items in shelves.values() for item in items} | set(also)
    memory: dict[tuple[Any, ...], Any] = _state("memory", dict)
    for key in [key for key in memory if key[1] not in lying]:
        del memory[key]


def _numbers(name: str) -> dict[str, int]:
    """Media id -> when it came, counted from 1."""
    numbers: dict[str, int] = _state(f"numbers.{name}", dict)
    return numbers


def title(name: str, media: Media) -> str:
    """The item's number and name; stays the same as others come and go."""
    return f"{_numbers(name)[media.id]} · {media.name}"


def refused(name: str) -> list[str]:
    """Names of the files that last came in but did not fit on the shelf."""
    names: list[str] = st.session_state.get(_refused_key(name), [])
    return names


def _refused_key(name: str) -> str:
    return f"duet.refused.{name}"


def stopped_key(name: str) -> str:
    """Where in the session it says that analysing the shelf was stopped."""
    return f"duet.stopped.{name}"


def pick_key(name: str) -> str:
    """Key of the widget that picks one item of the shelf."""
    return f"{name}_pick"


def remove(name: str, media_id: str | None = None) -> None:
    """Forget one item of the shelf, or all of them, and what was remembered about them."""
    items = shelf(name)
    items[:] = [item for item in items if media_id not in (None, item.id)]
    st.session_state.pop(_refused_key(name), None)
    _tidy()


def remembered(
    key: tuple[Any, ...],
    make: Callable[[], T],
    keep: Callable[[T], bool],
    most: int | None = None,
) -> T:
    """The value under `key` (kind, media id, ...); made at the first call, kept if worth it.

    With `most`, only the values of this kind that were used last are kept, that many.
    """
    memory: dict[tuple[Any, ...], Any] = _state("memory", dict)
    value: T = memory.pop(key) if key in memory else make()
    if keep(value):
        memory[key] = value  # now the last one
    if most is not None:
        for old in [other for other in memory if other[0] == key[0]][:-most]:
            del memory[old]
    return value


def known(key: tuple[Any, ...]) -> bool:
    """Whether a value is remembered under `key`."""
    return key in _state("memory", dict)


def turned_to(page: str) -> None:
    """Note which page is shown; a camera opened on another one does not stay open."""
    if st.session_state.get("duet.page") != page:
        st.session_state["duet.page"] = page
        st.session_state.pop("duet.camera", None)


def camera_open(name: str) -> bool:
    """Whether the shelf's camera is on: at first where the shelf is empty, else when asked for."""
    chosen: dict[str, bool] = st.session_state.get("duet.camera", {})
    return chosen.get(name, not shelf(name))


def set_camera(name: str, on: bool | None) -> None:
    """Open or close the shelf's camera until the page is left; None forgets the choice."""
    st.session_state["duet.camera"] = {} if on is None else {name: on}


def count(name: str) -> int:
    """1, 2, 3, ...: the next number in this session's series `name`."""
    number: int = st.session_state.get(f"duet.count.{name}", 0) + 1
    st.session_state[f"duet.count.{name}"] = number
    return number
