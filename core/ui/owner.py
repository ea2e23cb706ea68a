"""Whether the viewer may do what belongs to whoever runs the app: name folders, train, delete.

Anybody may look at pictures and recordings of their own. Naming a folder of the server, starting
a training and deleting its models is for the person at the machine, unless the one who runs the
app says otherwise in `DUET_OWNER`: `everyone` or `nobody`.
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

import streamlit as st

VARIABLE = "DUET_OWNER"
LOCAL = {"localhost", "127.0.0.1", "::1"}
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-Ip", "Via")
"""What a proxy adds to a request; without one between, none of them is there."""

NOT_YOURS = (
    "Training is for the person at the machine that runs Duet: run the app yourself, or let the "
    f"one who runs it set {VARIABLE}=everyone."
)


def here() -> bool:
    """Whether the viewer may; both the connection and the address have to be this machine's."""
    said = os.environ.get(VARIABLE, "").lower()
    if said in ("everyone", "nobody"):
        return said == "everyone"
    # Behind a proxy on the same machine the connection is local, but the address is not. The
    # address is what the browser says; what a proxy adds cannot be left out by a viewer.
    if any(st.context.headers.get(name) for name in FORWARDED):
        return False
    address = urlsplit(st.context.url).hostname if st.context.url else None
    return st.context.ip_address is None and (address is None or address in LOCAL)
