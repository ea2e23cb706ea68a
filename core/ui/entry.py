"""The one way in: every page is drawn inside what `Home.py` sets up."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime.pages_manager import PagesManager


def through_home() -> None:
    """Run `Home.py` first where Streamlit has started this page by itself.

    Until `st.navigation` has been called once, a server takes every file in a folder called
    `pages` for a page of its own, so whoever follows a link to /face first would get it without
    style and navigation. Called at the top of every page; costs nothing afterwards.
    """
    if PagesManager.uses_pages_directory:
        PagesManager.uses_pages_directory = False
        st.rerun()
