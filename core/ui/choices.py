"""Choices that are kept in the address of the page, so that a view can be shared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

ANY = "any"


def one_of_few(
    label: str,
    options: Sequence[str],
    key: str,
    words: Callable[[str], str] = str,
    *,
    hidden: bool = False,
    explained: str | None = None,
) -> str:
    """One of a few options, side by side; the first one at first.

    `hidden` hides the label from sight, not from screen readers; `explained` is its tooltip.
    """
    _forget_unknown(options, key)
    chosen: str = st.segmented_control(
        label,
        options,
        default=options[0],
        required=True,
        format_func=words,
        key=key,
        bind="query-params",
        help=explained,
        label_visibility="collapsed" if hidden else "visible",
    )
    return chosen or options[0]


def one_of_many(
    label: str, options: Sequence[str], key: str, words: Callable[[str], str] = str
) -> str:
    """One of many options, in a list to open; the first one at first."""
    _forget_unknown(options, key)
    chosen: str = st.selectbox(label, options, format_func=words, key=key, bind="query-params")
    return chosen or options[0]


def number_up_to(label: str, most: int, key: str) -> int:
    """A number from 1 to `most`, 1 at first; nothing is asked where there is no choice."""
    if not 1 <= st.session_state.get(key, 1) <= most:
        del st.session_state[key]
    if most <= 1:
        return 1
    return int(st.number_input(label, 1, most, 1, key=key, bind="query-params", width=180))


def _forget_unknown(options: Sequence[str], key: str) -> None:
    """What the page's state holds is no option any more, for example of another data set."""
    if st.session_state.get(key, options[0]) not in options:
        del st.session_state[key]
