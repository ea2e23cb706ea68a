"""Can this browser be seen and heard? A check that names what fails and what to do.

The browser side is a few lines of JavaScript that talk to no host but the ICE servers in use; it
only reports, and `diagnose` turns the report into sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.ui.ice import Servers

CHECK = """
export default function (component) {
  const { data, setTriggerValue } = component;
  if (!data || !data.number || window.duetCheck === data.number) return;
  window.duetCheck = data.number;
  const report = { secure: window.isSecureContext, number: data.number, candidates: [] };
  const media = navigator.mediaDevices;
  report.api = Boolean(media && media.getUserMedia && window.RTCPeerConnection);
  const ask = async (kind) => {
    try {
      const stream = await media.getUserMedia({ [kind]: true });
      stream.getTracks().forEach((track) => track.stop());
      return "ok";
    } catch (error) { return error.name; }
  };
  const gather = () => new Promise((resolve) => {
    const peer = new RTCPeerConnection(data.configuration);
    const end = () => { peer.close(); resolve(); };
    setTimeout(end, 6000);
    peer.onicecandidate = (event) => {
      if (!event.candidate) return end();
      report.candidates.push(event.candidate.type);
    };
    peer.createDataChannel("check");
    peer.createOffer().then((offer) => peer.setLocalDescription(offer)).catch(end);
  });
  (async () => {
    if (report.api) {
      if (data.sees) report.video = await ask("video");
      if (data.hears) report.audio = await ask("audio");
      try { await gather(); } catch (error) { report.ice = error.name; }
    }
    setTriggerValue("report", report);
  })();
}
"""

_browser = st.components.v2.component("duet_connection_check", js=CHECK)

DEVICES = {"video": "camera", "audio": "microphone"}

REFUSALS = {
    "NotAllowedError": "The {device} is not allowed: press the lock or camera sign beside the "
    "address of this page, allow the {device}, and try again.",
    "NotFoundError": "No {device} was found: connect one, or choose a mode that does without.",
    "OverconstrainedError": "No {device} was found: connect one, or choose a mode that does "
    "without.",
    "NotReadableError": "The {device} is in use by another program: close that one and try again.",
    "AbortError": "The {device} did not start: unplug it and plug it in again, then try again.",
}


DID_NOT_START = "The {device} did not start: check that it is plugged in and allowed."

INSECURE = (
    "This page is open without HTTPS, and browsers then give it neither camera nor microphone: "
    "open it by https://, or at http://localhost on the machine itself."
)


def refusal(device: str, error: str) -> str:
    """What to do where the browser refused `camera` or `microphone` with an error of that name."""
    return REFUSALS.get(error, DID_NOT_START).format(device=device)


@dataclass(frozen=True)
class Finding:
    """One thing that was checked."""

    fine: bool
    text: str


def diagnose(report: Mapping[str, Any], servers: Servers, local: bool) -> list[Finding]:
    """What a browser's report means, in the order in which things have to work.

    Parameters
    ----------
    local : whether the page is open under this machine's own address.
    """
    if not report.get("secure"):
        return [Finding(False, INSECURE)]
    if not report.get("api"):
        return [
            Finding(
                False,
                "This browser offers no camera, microphone or WebRTC: use a current Chrome, "
                "Firefox or Safari, outside of private or lockdown modes.",
            )
        ]
    found = [
        _device(device, str(report[kind])) for kind, device in DEVICES.items() if kind in report
    ]
    found += [Finding(False, problem) for problem in servers.problems]
    return [*found, _network(set(report.get("candidates") or ()), servers, local)]


def _device(device: str, answer: str) -> Finding:
    if answer == "ok":
        return Finding(True, f"The {device} works.")
    return Finding(False, refusal(device, answer))


def _network(candidates: set[str], servers: Servers, local: bool) -> Finding:
    """Whether media find a way, as far as the browser alone can tell."""
    if not candidates:
        return Finding(
            False,
            "The browser finds no network address to send from: check that you are online and "
            "that no extension or policy blocks WebRTC.",
        )
    if local:
        return Finding(True, "App and browser are on this machine: no ICE server is needed.")
    if servers.relays and "relay" not in candidates:
        return Finding(
            False,
            "ICE is blocked: the TURN server cannot be reached from here. Check its address and "
            "credentials, or try a network whose firewall lets it through.",
        )
    if not servers.relays and "srflx" not in candidates:
        return Finding(
            False,
            "ICE is likely blocked: no TURN server is configured, and nothing answered from "
            "outside. Ask whoever runs this app to add one to its secrets (see the README).",
        )
    if not servers.relays:
        return Finding(
            True,
            "The network looks open. If the connection still fails, the app needs a TURN server "
            "(see the README).",
        )
    return Finding(True, "The network is open: a TURN server passes pictures and sound on.")


def check(key: str, servers: Servers, *, local: bool, sees: bool, hears: bool) -> None:
    """A button that checks, and what it found."""
    state = st.session_state.setdefault(f"duet.{key}", {"number": 0, "report": None})

    def start() -> None:
        state["number"] += 1
        state["report"] = None

    st.button(
        "Check the connection", icon=":material/network_check:", key=f"{key}_start", on_click=start
    )
    if not state["number"]:
        return
    result: Any = _browser(
        key=f"{key}_browser",
        data={
            "number": state["number"],
            "configuration": servers.configuration,
            "sees": sees,
            "hears": hears,
        },
        on_report_change=lambda: None,
    )
    report = getattr(result, "report", None)
    if isinstance(report, Mapping) and report.get("number") == state["number"]:
        state["report"] = report
    with st.container(key=f"{key}_findings"):
        if state["report"] is None:
            st.caption("Checking. The browser may ask for camera and microphone.")
            return
        for finding in diagnose(state["report"], servers, local):
            show = st.success if finding.fine else st.warning
            show(finding.text, icon=":material/check:" if finding.fine else ":material/info:")
