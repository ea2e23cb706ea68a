"""The Live page end to end: WebRTC between Chromium and the app, with files as devices."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect, sync_playwright
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from core.labels import EMOTIONS
from tests.browser import (
    ANSWER_MS,
    WIDTHS,
    App,
    browser_path,
    chromium,
    film,
    open_page,
    photo,
    running_app,
    screenshot,
    settle,
    sound,
    speech,
    switch_page,
    wait_until_it_fits,
    watched_page,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser_path() is None, reason="no Chromium or Chrome; see make browser"),
]

LEAVE_SECONDS = 60.0
"""Within which the server must have closed a connection; it notices a silent end by itself."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("live")
    camera = film(small(photo()), folder / "camera.y4m")
    microphone = sound(speech(), folder / "microphone.wav", pause=1.0)
    with sync_playwright() as running, chromium(running, camera, microphone) as opened:
        yield opened


def small(picture: bytes) -> bytes:
    """Half as wide: tests look at what happens, not at how fast."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return cv2.imencode(".png", cv2.resize(image, (320, 240)))[1].tobytes()


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with running_app() as started:
        yield started


@pytest.fixture
def page(browser: Browser, app: App) -> Iterator[Page]:
    """The Live page."""
    allowed = ["camera", "microphone"]
    with watched_page(browser, app, permissions=allowed, accept_downloads=True) as opened:
        open_page(opened, app, "live")
        yield opened


def start(page: Page) -> None:
    page.frame_locator("iframe[title*=webrtc]").get_by_role("button", name="Start").click()


def stop(page: Page) -> None:
    page.frame_locator("iframe[title*=webrtc]").get_by_role("button", name="Stop").click()


def label(page: Page, side: str) -> str:
    """What is shown of one side, once it is there."""
    headline = page.locator(f".st-key-live_{side} h2").first
    expect(headline).to_have_text(re.compile(r"^((Looks|Sounds|Seems) |Unsure: perhaps )\w+"))
    return headline.inner_text()


def noted(page: Page, side: str) -> None:
    """Wait until an emotion of one side stands in the timeline."""
    ribbon = page.get_by_role("img", name=f"{side} over time")
    expect(ribbon).to_have_accessible_name(re.compile("|".join(EMOTIONS)))


def until(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LEAVE_SECONDS
    while time.monotonic() < deadline:
        if true():
            return True
        time.sleep(0.2)
    return False


def assert_gone(app: App, sockets: int) -> None:
    """No connection of media is left: those have a socket each, on top of the page's."""
    assert until(lambda: app.sockets() < sockets), "a connection was left"


def test_face_voice_and_both_then_export_then_stop(page: Page, app: App):
    start(page)
    face, voice = label(page, "faces"), label(page, "voice")
    together = label(page, "together")
    agreement = page.locator(".st-key-live_agreement")
    expect(agreement).to_contain_text("Face and voice")
    assert face.startswith(("Looks", "Unsure"))
    assert voice.startswith(("Sounds", "Unsure"))
    assert together.startswith(("Seems", "Unsure"))
    expect(page.locator(".st-key-live_weights")).to_contain_text(re.compile(r"Face \d+%"))

    # The film is grey: every colour in what comes back was drawn by the app.
    shot = page.locator("iframe[title*=webrtc]").screenshot()
    seen = cv2.imdecode(np.frombuffer(shot, np.uint8), cv2.IMREAD_COLOR)
    assert seen is not None
    upper = seen[: seen.shape[0] // 2].astype(int)
    assert (upper.max(axis=2) - upper.min(axis=2) > 60).sum() > 200

    expect(page.locator(".st-key-live_timeline")).to_contain_text("Face 1 appeared.")
    page.get_by_role("button", name="Prepare a download").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download snapshot").click()
    picture = cv2.imdecode(np.frombuffer(read(download.value.path()), np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert min(picture.shape[:2]) >= 100

    sockets = app.sockets()
    stop(page)
    expect(page.locator(".st-key-live_summary")).to_contain_text("time per emotion")
    assert_gone(app, sockets)

    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    kept = json.loads(read(download.value.path()))
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(io.StringIO(read(download.value.path()).decode())))
    words = {tick["faces"][0]["label"] for tick in kept["timeline"] if tick["faces"]}
    assert words == {row["label"] for row in rows if row["side"] == "face 1"}
    assert any(tick["sentence"].startswith("Face and voice") for tick in kept["timeline"])
    assert {"voice", "together", "event"} <= {row["side"] for row in rows}
    screenshot(page, "live-summary")


def read(path: Path) -> bytes:
    return path.read_bytes()


def test_pause_and_page_switch_and_return(page: Page, app: App):
    start(page)
    label(page, "faces")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("Paused: pictures flow")).to_be_visible()
    page.get_by_role("button", name="Go on").click()
    label(page, "faces")
    noted(page, "Face")
    sockets = app.sockets()
    switch_page(page, "Home")
    assert_gone(app, sockets)
    switch_page(page, "Live")
    expect(page.locator(".st-key-live_summary")).to_contain_text("time per emotion")
    start(page)  # and it goes on
    label(page, "faces")


class Wire:
    """Between page and server."""

    def __init__(self, page: Page) -> None:
        page.route_web_socket(re.compile("/_stcore/stream"), self._connect)

    def _connect(self, page: WebSocketRoute) -> None:
        self.page, self.server = page, page.connect_to_server()
        self.page.on_message(self.to_server)
        self.server.on_message(lambda said: self.to_page(said, ForwardMsg.FromString(said)))

    def to_server(self, message: str | bytes) -> None:
        self.server.send(message)

    def to_page(self, message: str | bytes, said: ForwardMsg) -> None:
        self.page.send(message)


class Cut(Wire):
    """Loses the end of a drawing, as Streamlit does when a poll meets it.

    A poll that arrives just after a run of the script starts another one, and what the first one
    has said but the server has not sent on by then is dropped.
    """

    state = "whole"
    _poll: str | bytes = b""

    def to_server(self, message: str | bytes) -> None:
        if BackMsg.FromString(message).rerun_script.is_auto_rerun:
            self._poll = message
        super().to_server(message)

    def to_page(self, message: str | bytes, said: ForwardMsg) -> None:
        if self.state == "cut next":
            drawing = said.HasField("new_session") and not said.metadata.run.fragment_ids
            self.state = "cutting" if drawing else self.state
            self.page.send(message)
        elif self.state != "cutting":
            self.page.send(message)
        elif said.HasField("script_finished"):
            self.state = "cut"
            self.server.send(self._poll)


def test_the_page_mends_itself_after_a_drawing_was_cut_off(page: Page, app: App):
    wire = Cut(page)
    open_page(page, app, "live")
    start(page)
    label(page, "faces")
    page.get_by_text("It does not start?").click()
    wire.state = "cut next"
    page.get_by_role("button", name="Check the connection").click()  # draws all of the page anew
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".duet-events")).to_contain_text("Went on.")
    assert wire.state == "cut"
    before = page.locator(".duet-ribbon-ends").inner_text()
    expect(page.locator(".duet-ribbon-ends")).not_to_have_text(before)  # it is polled again


class Pile(Wire):
    """Loses what a poll drew, but not what a fragment inside it did.

    So does Streamlit where the next poll starts before the drawing was sent.
    """

    dropping = False
    """Whether polls that begin from now on are lost, each as a whole."""
    dropped = 0
    _polled, _lost = "", False

    def to_page(self, message: str | bytes, said: ForwardMsg) -> None:
        if said.HasField("auto_rerun") and said.auto_rerun.interval < 2:
            self._polled = said.auto_rerun.fragment_id
        if said.HasField("new_session"):
            self._lost = self.dropping and self._polled in said.metadata.run.fragment_ids
        if self._lost and said.delta.fragment_id == self._polled:
            self.dropped += 1
        else:
            self.page.send(message)


def test_polls_that_pile_up_do_not_end_the_page(page: Page, app: App):
    pile = Pile(page)
    open_page(page, app, "live")
    pile.dropping = True  # from before the first part of the timeline is there
    start(page)
    page.wait_for_timeout(6_000)
    pile.dropping = False
    label(page, "faces")
    expect(page.locator(".st-key-live_timeline")).to_contain_text("Face 1 appeared.")
    assert pile.dropped > 10


def test_a_closed_tab_leaves_nothing(browser: Browser, app: App, page: Page):
    other = browser.new_context(permissions=["camera", "microphone"])
    other.set_default_timeout(ANSWER_MS)
    second = other.new_page()
    open_page(second, app, "live")
    start(second)
    label(second, "faces")
    threads, sockets = app.threads(), app.sockets()
    other.close()
    assert_gone(app, sockets)
    assert until(lambda: app.threads() < threads)


def test_voice_alone(page: Page):
    page.locator(".st-key-live_mode").get_by_text("Voice").click()
    settle(page)
    start(page)
    label(page, "voice")
    assert page.locator(".st-key-live_faces").count() == 0
    expect(page.locator(".duet-ribbons")).to_contain_text("Voice")


def test_the_check_finds_nothing_wrong_here(page: Page):
    page.get_by_text("It does not start?").click()
    page.get_by_role("button", name="Check the connection").click()
    findings = page.locator(".st-key-live_check_findings")
    expect(findings).to_contain_text("The camera works.")
    expect(findings).to_contain_text("The microphone works.")
    expect(findings).to_contain_text("no ICE server is needed")


def test_without_a_connection_pictures_come_in_turns(page: Page):
    page.get_by_text("It does not start?").click()
    page.get_by_text("Do without a connection").click()
    label(page, "faces")
    screenshot(page, "live-turns")
    page.get_by_role("button", name="Prepare a download").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(io.StringIO(read(download.value.path()).decode())))
    assert {row["seconds"] for row in rows if row["side"] == "face 1"} == {"1.0"}

    video = page.locator("video").first
    assert not video.evaluate("video => video.paused")
    assert not video.evaluate("video => video.autoplay")
    page.get_by_text("Show me as in a mirror").click()  # the component is told, and goes on
    page.wait_for_timeout(2_000)
    label(page, "faces")
    video.evaluate("video => { window.duetTracks = video.srcObject.getTracks(); }")
    page.get_by_text("Do without a connection").click()
    page.wait_for_function("window.duetTracks.every((track) => track.readyState === 'ended')")

    page.get_by_text("Do without a connection").click()
    label(page, "faces")
    video.evaluate("video => video.srcObject.getTracks().forEach((track) => track.stop())")
    expect(page.locator(".st-key-live_now")).to_contain_text("No more pictures arrive")
    expect(page.locator(".st-key-live_faces h2")).to_have_count(0)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_running_page_fits(page: Page, width: str):
    size = WIDTHS[width]
    page.set_viewport_size({"width": size[0], "height": size[1]})
    start(page)
    label(page, "faces")
    wait_until_it_fits(page)
    screenshot(page, f"live-running-{width}")
