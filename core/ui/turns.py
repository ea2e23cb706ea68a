"""Where live pictures cannot flow: a picture every second, taken by a few lines of JavaScript."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import streamlit as st

from core.ui import connection

# No `autoplay`: browsers pause a film that plays by itself whenever it is out of sight.
CAMERA_HTML = '<video playsinline muted></video><p role="status"></p>'

CAMERA_CSS = """
video { width: 100%; border-radius: .6rem; background: #0003; min-height: 6rem; }
video.mirrored { transform: scaleX(-1); }
p { margin: .3rem 0 0; font: inherit; color: var(--st-text-color); }
"""

CAMERA = """
export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  const video = parentElement.querySelector("video");
  const status = parentElement.querySelector("p");
  video.className = data.mirrored ? "mirrored" : "";
  if (video.duetStop) return video.duetStop;  // called anew for other data; it goes on
  if (!navigator.mediaDevices) { status.textContent = data.refusals.insecure; return; }
  const canvas = document.createElement("canvas");
  let stream = null, gone = false, number = 0, shown = 0;
  const play = () => { video.play().catch(() => {}); };  // the next second tries again
  const timer = setInterval(() => {
    if (!video.isConnected) return video.duetStop && video.duetStop();
    const live = stream && stream.getVideoTracks().some(
      (track) => track.readyState === "live" && !track.muted);
    if (!live) return;
    if (video.paused) return play();
    if (!video.videoWidth || video.currentTime === shown) return;  // nothing new for a second
    shown = video.currentTime;
    canvas.width = 640;
    canvas.height = Math.round(640 * video.videoHeight / video.videoWidth);
    canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
    number += 1;
    setTriggerValue("picture", { number, jpeg: canvas.toDataURL("image/jpeg", 0.8) });
  }, 1000);
  video.duetStop = () => {
    gone = true;
    clearInterval(timer);
    video.duetStop = null;
    if (stream) stream.getTracks().forEach((track) => track.stop());
  };
  navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } } }).then((given) => {
    stream = given;
    if (gone) return stream.getTracks().forEach((track) => track.stop());
    stream.getVideoTracks()[0].addEventListener("ended",
      () => { status.textContent = data.refusals.ended; });
    video.srcObject = stream;
    play();
  }).catch((error) => { status.textContent = data.refusals[error.name] || data.refusals.other; });
  return video.duetStop;
}
"""

_camera = st.components.v2.component(
    "duet_turns_camera", html=CAMERA_HTML, css=CAMERA_CSS, js=CAMERA
)

REFUSED = {name: connection.refusal("camera", name) for name in connection.REFUSALS} | {
    "other": connection.refusal("camera", "other"),
    "insecure": connection.INSECURE,
    "ended": "The camera stopped: connect it again, then switch this way off and on.",
}

MOST_CHARACTERS = 2_000_000
"""Of a picture as text; a JPEG of 640 pixels has some 60,000."""


def picture(key: str, mirrored: bool) -> bytes | None:
    """The camera, and the picture that just came from it as a JPEG; None between pictures."""
    result: Any = _camera(
        key=key, data={"mirrored": mirrored, "refusals": REFUSED}, on_picture_change=lambda: None
    )
    return decoded(getattr(result, "picture", None))


def decoded(given: Any) -> bytes | None:
    """The JPEG in what the browser sent; None when it sent something else."""
    text = given.get("jpeg") if isinstance(given, dict) else None
    if not isinstance(text, str) or len(text) > MOST_CHARACTERS or "," not in text:
        return None
    try:
        return base64.b64decode(text.split(",", 1)[1], validate=True)
    except (binascii.Error, ValueError):
        return None
