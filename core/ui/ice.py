"""Servers that help browser and app to find each other (ICE), from the app's secrets.

On this machine's own address none is needed and none is used. Elsewhere `.streamlit/secrets.toml`
names them; see `.streamlit/secrets.toml.example`.
"""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

import streamlit as st
from streamlit.errors import StreamlitSecretNotFoundError

log = logging.getLogger("duet")

TWILIO = "https://api.twilio.com"
CLOUDFLARE = "https://rtc.live.cloudflare.com"

UNUSABLE = (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError)
"""What a service raises that is not reached or answers something else."""

FETCH_SECONDS = 5.0
"""A service that does not answer must not hold up the page for longer."""

TOKEN_SECONDS = 4 * 3600
"""Lifetime that is asked for; tokens are used for half of it."""

RETRY_SECONDS = 60.0
"""After a failure the service is not asked again for this long."""

MOST_BYTES = 100_000

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1", "")
SCHEMES = ("stun:", "stuns:", "turn:", "turns:")

Server = dict[str, Any]


@dataclass(frozen=True)
class Servers:
    """What to give to the browser and to the app, and what went wrong on the way."""

    servers: tuple[Server, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def configuration(self) -> dict[str, Any]:
        """As `RTCPeerConnection` takes it; an empty list asks no server at all."""
        return {"iceServers": [dict(server) for server in self.servers]}

    @property
    def relays(self) -> bool:
        """Whether one of them passes media on (TURN)."""
        return any(url.startswith("turn") for server in self.servers for url in _urls(server))


def is_local() -> bool:
    """Whether the page is open under this machine's own address."""
    host = urllib.parse.urlsplit(f"//{st.context.headers.get('host') or ''}").hostname or ""
    return host in LOCAL_NAMES


def servers() -> Servers:
    """Those of the secrets; none on this machine's own address."""
    return Servers() if is_local() else configured(_secrets())


def configured(secrets: Mapping[str, Any]) -> Servers:
    """The servers that `secrets` (the section `ice`) name; services are asked for tokens."""
    found: list[Server] = []
    problems: list[str] = []
    for given in secrets.get("servers", ()):
        if server := _clean(given):
            found.append(server)
        else:
            problems.append("A server in the section ice of the secrets is not usable.")
    for name, fetch in (("twilio", _twilio), ("cloudflare", _cloudflare)):
        if account := secrets.get(name):
            try:
                found += _remembered(name, dict(account), fetch)
            except UNUSABLE as error:
                log.warning("No ICE servers from %s: %s", name, type(error).__name__)
                problems.append(f"{name.title()} gave no TURN server; check its secrets.")
    return Servers(tuple(found), tuple(problems))


def _secrets() -> Mapping[str, Any]:
    try:
        section: Mapping[str, Any] = st.secrets.get("ice", {})
        return section
    except StreamlitSecretNotFoundError:
        return {}


def _urls(server: Mapping[str, Any]) -> list[str]:
    urls = server.get("urls", ())
    return [urls] if isinstance(urls, str) else list(urls)


def _clean(given: Any) -> Server | None:
    """A server with the fields that browsers know; None when it is none."""
    if not isinstance(given, Mapping):
        return None
    urls = [url for url in _urls(given) if isinstance(url, str) and url.startswith(SCHEMES)]
    if not urls:
        return None
    fields = {key: given[key] for key in ("username", "credential") if given.get(key)}
    return {"urls": urls, **fields}


_lock = threading.Lock()
_memory: dict[str, tuple[float, list[Server] | None]] = {}


def _remembered(
    name: str, account: dict[str, str], fetch: Callable[[dict[str, str]], list[Server]]
) -> list[Server]:
    """What `fetch` gave, for half the life of its tokens; a failure for `RETRY_SECONDS`.

    Raises
    ------
    UNUSABLE
        When the service was not reached or answered something else.
    """
    key = name + json.dumps(account, sort_keys=True)
    with _lock:
        until, known = _memory.get(key, (0.0, None))
        if time.monotonic() < until:
            if known is None:
                raise OSError("failed a moment ago")
            return known
        _memory[key] = time.monotonic() + RETRY_SECONDS, None
        fresh = fetch(account)
        _memory[key] = time.monotonic() + TOKEN_SECONDS / 2, fresh
        return fresh


def _twilio(account: dict[str, str]) -> list[Server]:
    sid, secret = account["account_sid"], account["auth_token"]
    token = base64.b64encode(f"{sid}:{secret}".encode()).decode()
    return _fetch(
        f"{TWILIO}/2010-04-01/Accounts/{urllib.parse.quote(sid, safe='')}/Tokens.json",
        urllib.parse.urlencode({"Ttl": TOKEN_SECONDS}).encode(),
        {"Authorization": f"Basic {token}"},
        "ice_servers",
    )


def _cloudflare(account: dict[str, str]) -> list[Server]:
    key = urllib.parse.quote(account["key_id"], safe="")
    return _fetch(
        f"{CLOUDFLARE}/v1/turn/keys/{key}/credentials/generate-ice-servers",
        json.dumps({"ttl": TOKEN_SECONDS}).encode(),
        {"Authorization": f"Bearer {account['api_token']}", "Content-Type": "application/json"},
        "iceServers",
    )


def _fetch(url: str, data: bytes, headers: dict[str, str], field: str) -> list[Server]:
    request = urllib.request.Request(url, data, {"User-Agent": "duet", **headers}, method="POST")
    with urllib.request.urlopen(request, timeout=FETCH_SECONDS) as response:
        given = json.loads(response.read(MOST_BYTES))[field]
    cleaned = [_clean(server) for server in (given if isinstance(given, list) else [given])]
    usable = [server for server in cleaned if server]
    if not usable:
        raise ValueError("no usable server")
    return usable
