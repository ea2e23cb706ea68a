"""Which of camera and microphone this browser has and allows, before it is asked for them.

The browser side reports what it says without asking anybody: kinds of devices and permissions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from core.ui.connection import REFUSALS, refusal

WATCH = """
export default function (component) {
  const { setStateValue } = component;
  if (window.duetDevices) window.duetDevices.stop();
  const media = navigator.mediaDevices, stops = [];
  let last = "", over = false;
  const permission = async (name) => {
    try { return await navigator.permissions.query({ name }); } catch (error) { return null; }
  };
  const look = async () => {
    const kinds = new Set((await media.enumerateDevices()).map((device) => device.kind));
    const found = { camera: kinds.has("videoinput") ? "" : "NotFoundError",
                    microphone: kinds.has("audioinput") ? "" : "NotFoundError" };
    for (const name of ["camera", "microphone"]) {
      const state = await permission(name);
      if (state && state.state === "denied") found[name] = "NotAllowedError";
    }
    if (over || JSON.stringify(found) === last) return;
    const first = last === "";
    last = JSON.stringify(found);
    if (!first || found.camera || found.microphone) setStateValue("devices", found);
  };
  const listen = (target, name) => {
    target.addEventListener(name, look);
    stops.push(() => target.removeEventListener(name, look));
  };
  window.duetDevices = { stop: () => { over = true; stops.forEach((stop) => stop()); } };
  if (!media || !media.enumerateDevices) return;
  listen(media, "devicechange");
  for (const name of ["camera", "microphone"])
    permission(name).then((state) => { if (state && !over) listen(state, "change"); });
  look().catch(() => {});
  return window.duetDevices.stop;
}
"""

_browser = st.components.v2.component("duet_devices", js=WATCH)


@dataclass(frozen=True)
class Devices:
    """What stands in the way of each device, as the name of the browser's error; nothing else."""

    errors: Mapping[str, str] = field(default_factory=dict)

    def refused(self, device: str) -> bool:
        """Whether `camera` or `microphone` would be refused."""
        return device in self.errors

    def sentences(self, *asked: str) -> list[str]:
        """What to do about those of `asked` that would be refused."""
        return [refusal(device, self.errors[device]) for device in asked if device in self.errors]


def devices(key: str) -> Devices:
    """Watch the browser's devices from here on; the page runs anew when they change."""
    result: Any = _browser(key=key, on_devices_change=lambda: None)
    return reported(getattr(result, "devices", None))


def reported(given: Any) -> Devices:
    """What the browser sent; rubbish counts as no news."""
    if not isinstance(given, Mapping):
        return Devices()
    known = list(REFUSALS)  # a list: what was sent need not be hashable
    named = {device: given.get(device) for device in ("camera", "microphone")}
    return Devices({device: name for device, name in named.items() if name in known})
