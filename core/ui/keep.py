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
    items: list[Media] = _state(f"shelf.{name}", list)
    return items


def put(name: str, media: Media, *, single: bool = False) -> bool:
    """Put `media` on the shelf and pick it; False when the shelf is full.

    With `single` it takes the place of what was there.
    """
    items = shelf(name)
    if single:
        items.clear()
    others = [item for item in items if item.id != media.id]
    size = len(media.data) + sum(len(item.data) for item in others)
    if len(others) + 1 > MAX_KEPT_ITEMS or (others and size > MAX_KEPT_BYTES):
        st.session_state[f"duet.full.{name}"] = media.name
        return False
    items[:] = [*others, media]
    numbers = _numbers(name)
    numbers.setdefault(media.id, len(numbers) + 1)
    st.session_state.pop(f"duet.full.{name}", None)
    st.session_state[pick_key(name)] = media.id
    return True


def _numbers(name: str) -> dict[str, int]:
    """Media id -> when it came, counted from 1."""
    numbers: dict[str, int] = _state(f"numbers.{name}", dict)
    return numbers


def title(name: str, media: Media) -> str:
    """The item's number and name; stays the same as others come and go."""
    return f"{_numbers(name)[media.id]} · {media.name}"


def refused(name: str) -> str | None:
    """Name of the last file that did not fit on the shelf."""
    return st.session_state.get(f"duet.full.{name}")


def pick_key(name: str) -> str:
    """Key of the widget that picks one item of the shelf."""
    return f"{name}_pick"


def remove(name: str, media_id: str | None = None) -> None:
    """Forget one item of the shelf, or all of them, and what was remembered about them."""
    items = shelf(name)
    gone = {item.id for item in items if media_id in (None, item.id)}
    items[:] = [item for item in items if item.id not in gone]
    memory: dict[tuple[Any, ...], Any] = _state("memory", dict)
    for key in [key for key in memory if key[1] in gone]:
        del memory[key]
    st.session_state.pop(f"duet.full.{name}", None)


def remembered(key: tuple[Any, ...], make: Callable[[], T], keep: Callable[[T], bool]) -> T:
    """The value under `key` (kind, media id, ...); made at the first call, kept if worth it."""
    memory: dict[tuple[Any, ...], Any] = _state("memory", dict)
    if key not in memory:
        value = make()
        if not keep(value):
            return value
        memory[key] = value
    return memory[key]


def known(key: tuple[Any, ...]) -> bool:
    """Whether a value is remembered under `key`."""
    return key in _state("memory", dict)


def count(name: str) -> int:
    """1, 2, 3, ...: the next number in this session's series `name`."""
    number: int = st.session_state.get(f"duet.count.{name}", 0) + 1
    st.session_state[f"duet.count.{name}"] = number
    return number
