"""The real app in a real browser, looking through a camera and a microphone that are files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from core.ui.samples import wav
from tests.browser import (
    ROOT,
    App,
    browser_path,
    choose_upload,
    chromium,
    film,
    fits_at_each_width,
    open_page,
    photo,
    resize,
    running_app,
    screenshot,
    settle,
    sound,
    speech,
    switch_page,
    take_picture,
    upload,
    watched_page,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser_path() is None, reason="no Chromium or Chrome; see make browser"),
]

PAGES = {"home": "", "face": "face", "voice": "voice", "hybrid": "hybrid", "live": "live"}

ANSWER = re.compile(r"^((Looks|Sounds|Seems) .+ · (over )?\d+% sure|Unsure: perhaps .+ · \d+%)$")

README_PICTURE = ROOT / "docs" / "screenshot.png"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def picture() -> bytes:
    return photo()


@pytest.fixture(scope="module")
def recording() -> bytes:
    return speech()


@pytest.fixture(scope="module")
def browser(
    playwright: Playwright,
    picture: bytes,
    recording: bytes,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("media")
    camera = film(picture, folder / "camera.y4m")
    microphone = sound(recording, folder / "microphone.wav")
    with chromium(playwright, camera, microphone) as opened:
        yield opened


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with running_app() as started:
        yield started


@pytest.fixture
def page(browser: Browser, app: App) -> Iterator[Page]:
    """A page that may use camera and microphone, and that asks no other server for anything."""
    asked: list[str] = []
    with watched_page(browser, app, permissions=["camera", "microphone"]) as opened:
        opened.on("request", lambda request: asked.append(request.url))
        yield opened
    assert [url for url in asked if url.startswith("http") and not url.startswith(app.url)] == []


def answer(page: Page, key: str) -> str:
    """The headline of an answer, once it is there."""
    headline = page.locator(f".st-key-{key} h2")
    expect(headline).to_have_text(ANSWER)
    settle(page)
    return headline.inner_text()


def trouble(page: Page, key: str) -> tuple[str, str]:
    """(sentence, code) of a failure, once it is there."""
    box = page.locator(f".st-key-{key}")
    code = box.locator(".duet-error").inner_text()
    return box.locator("[data-testid=stAlert]").inner_text(), code.removeprefix("error code: ")


# --- each way in -------------------------------------------------------------------------------


def test_camera(page: Page, app: App):
    open_page(page, app, "face")
    take_picture(page)
    answer(page, "face_answer")
    expect(page.locator(".st-key-face_picture img")).to_be_visible()
    expect(page.locator(".st-key-face_attention img")).to_be_visible()
    assert page.locator(".st-key-face_bars .duet-track").count() == 7
    screenshot(page, "face-camera")


def test_upload_of_pictures(page: Page, app: App, picture: bytes):
    open_page(page, app, "face")
    rotten = ("rotten.jpg", picture[:600])
    upload(page, "face", [("one.jpg", picture), rotten])
    answer(page, "face_answer")
    pick = page.locator(".st-key-face_pick")
    pick.get_by_role("combobox").click()
    page.get_by_role("option", name="rotten.jpg").click()
    sentence, code = trouble(page, "face_trouble")
    assert code == "damaged"
    assert "rotten.jpg" in sentence
    with page.expect_download() as download:
        page.get_by_role("button", name="Download JSON").click()
    assert b'"probabilities"' in Path(download.value.path()).read_bytes()


def test_recorder(page: Page, app: App):
    open_page(page, app, "voice")
    button = page.locator("[data-testid=stAudioInputActionButton]").first
    button.click()
    clock = page.get_by_test_id("stAudioInputWaveformTimeCode")
    expect(clock).to_have_text(re.compile(r"^00:(0[4-9]|[1-5]\d)$"))  # four seconds or more
    button.click()
    answer(page, "voice_answer")
    assert page.locator(".st-key-voice_bars .duet-track").count() == 7
    screenshot(page, "voice-recorder")
    page.get_by_role("button", name="Remove this recording").click()
    expect(page.locator(".st-key-voice_empty")).to_be_visible()
    expect(clock).to_have_text("00:00")  # nothing is left to be played


def test_recorder_that_stops_at_a_pause(page: Page, app: App):
    open_page(page, app, "voice")
    page.get_by_text("Stop by itself when I pause").click()
    recorder = page.frame_locator("iframe[title*=audio_recorder]")
    recorder.locator("svg").first.click()
    answer(page, "voice_answer")


def test_upload_of_a_recording(page: Page, app: App, recording: bytes):
    open_page(page, app, "voice")
    upload(page, "voice", [("speech.ogg", recording)])
    answer(page, "voice_answer")
    page.get_by_text("The sound in pictures").click()
    expect(page.locator(".st-key-voice_sound [data-testid=stPlotlyChart]").first).to_be_visible()
    assert page.locator("audio").first.evaluate("audio => audio.duration") > 1
    screenshot(page, "voice-upload")


def test_both_together(page: Page, app: App, picture: bytes, recording: bytes):
    open_page(page, app, "hybrid")
    upload(page, "hybrid_picture", [("photo.jpg", picture)])
    upload(page, "hybrid_recording", [("speech.ogg", recording)])  # without waiting for the face
    face = answer(page, "hybrid_face_answer")
    voice = answer(page, "hybrid_voice_answer")
    fused = answer(page, "hybrid_answer")
    assert face.startswith(("Looks", "Unsure"))
    assert voice.startswith(("Sounds", "Unsure"))
    assert fused.startswith(("Seems", "Unsure"))
    assert len(page.locator(".st-key-hybrid_agreement").inner_text()) > 20
    screenshot(page, "hybrid")


def test_sample_without_camera_or_microphone(page: Page, app: App):
    open_page(page, app)
    page.get_by_role("button", name="Both together").click()
    answer(page, "hybrid_answer")


# --- what stays --------------------------------------------------------------------------------


def test_results_stay_when_pages_are_switched(
    page: Page, app: App, picture: bytes, recording: bytes
):
    open_page(page, app, "face")
    upload(page, "face", [("photo.jpg", picture)])
    face = answer(page, "face_answer")
    switch_page(page, "Voice")
    upload(page, "voice", [("speech.ogg", recording)])
    voice = answer(page, "voice_answer")
    switch_page(page, "Home")
    switch_page(page, "Face")
    assert answer(page, "face_answer") == face
    switch_page(page, "Voice")
    assert answer(page, "voice_answer") == voice


def test_a_camera_picture_stays_when_an_option_changes(page: Page, app: App):
    open_page(page, app, "face")
    take_picture(page)
    face = answer(page, "face_answer")
    caption = page.locator(".st-key-face_picture [data-testid=stImageCaption]")
    expect(caption).to_have_text("1 face found, as in a mirror")
    page.get_by_text("Show me as in a mirror").click()
    expect(caption).to_have_text("1 face found")
    settle(page)
    assert answer(page, "face_answer") == face
    choose_upload(page, "face")
    assert answer(page, "face_answer") == face


def test_people_do_not_see_each_other(page: Page, app: App, browser: Browser, picture: bytes):
    open_page(page, app, "face")
    upload(page, "face", [("photo.jpg", picture)])
    answer(page, "face_answer")
    with watched_page(browser, app) as other:
        open_page(other, app, "face")
        expect(other.locator(".st-key-face_empty")).to_be_visible()
        assert other.locator(".st-key-face_answer").count() == 0


def test_a_large_picture_is_kept_in_memory_only(page: Page, app: App, picture: bytes):
    """The server of these tests can write no file, and large uploads would be the first to."""
    open_page(page, app, "face")
    small = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert small is not None
    large = cv2.imencode(".bmp", cv2.resize(small, (1920, 1440)))[1].tobytes()
    assert len(large) > 5_000_000
    upload(page, "face", [("large.bmp", large)])
    answer(page, "face_answer")


def test_any_page_may_be_the_first_one_opened(browser: Browser):
    """Streamlit knows of the navigation only once Home.py has run; a link may lead past it."""
    with running_app() as fresh, watched_page(browser, fresh) as page:
        open_page(page, fresh, "voice")
        expect(page.locator("[data-testid=stTopNavLink]")).to_have_text(
            [re.compile(name) for name in ("Home", "Face", "Voice", "Hybrid", "Live")]
        )
        expect(page.locator("h1")).to_have_text("Voice")


# --- bad input ---------------------------------------------------------------------------------


def test_pictures_that_are_none(page: Page, app: App):
    open_page(page, app, "face")
    for name, content, code in (
        ("text.png", b"This is no picture.\n" * 100, "unsupported"),
        ("empty.png", b"", "empty"),
        ("wall.png", cv2.imencode(".png", np.full((300, 400, 3), 128, np.uint8))[1].tobytes(),
         "no_face"),
    ):  # fmt: skip
        upload(page, "face", [(name, content)])
        expect(page.locator(".st-key-face_trouble .duet-error")).to_have_text(f"error code: {code}")
        settle(page)
        sentence, _ = trouble(page, "face_trouble")
        assert sentence.strip().endswith(".")


def test_recordings_without_speech(page: Page, app: App):
    open_page(page, app, "voice")
    rng = np.random.default_rng(7)
    for name, samples, code in (
        ("silence.wav", np.zeros(32_000), "silent"),
        ("noise.wav", 0.2 * rng.standard_normal(32_000), "no_speech"),
    ):
        upload(page, "voice", [(name, wav(samples))])
        expect(page.locator(".st-key-voice_trouble .duet-error")).to_have_text(
            f"error code: {code}"
        )
        settle(page)
        sentence, _ = trouble(page, "voice_trouble")
        assert sentence.strip().endswith(".")


# --- every page at every width -----------------------------------------------------------------


@pytest.mark.parametrize("name", PAGES)
def test_empty_pages_fit(page: Page, app: App, name: str):
    resize(page, "phone")
    open_page(page, app, PAGES[name])
    expect(page).to_have_title("Duet" if name == "home" else f"{name.capitalize()} · Duet")
    fits_at_each_width(page, f"{name}-empty")


@pytest.mark.parametrize("sample", ["A drawn face", "A synthetic voice", "Both together"])
def test_pages_with_a_result_fit(page: Page, app: App, sample: str):
    resize(page, "phone")
    open_page(page, app)
    page.get_by_role("button", name=sample).click()
    key = {"A drawn face": "face", "A synthetic voice": "voice", "Both together": "hybrid"}[sample]
    answer(page, f"{key}_answer")
    for closed in page.locator("[data-testid=stExpander] summary").all():
        closed.click()
    if key == "voice":
        charts = page.locator(".st-key-voice_sound [data-testid=stPlotlyChart]")
        expect(charts.first).to_be_visible()
    elif key == "face":
        expect(page.locator(".st-key-face_details")).to_contain_text("48 x 48 grey pixels")
    settle(page)
    fits_at_each_width(page, f"{key}-result")


@pytest.mark.skipif("DUET_SCREENSHOT" not in os.environ, reason="only make screenshot asks for it")
def test_screenshot_for_the_readme(page: Page, app: App):
    """Shows the drawn face: no real person."""
    page.set_viewport_size({"width": 1280, "height": 860})
    open_page(page, app)
    page.get_by_role("button", name="A drawn face").click()
    answer(page, "face_answer")
    headline = page.locator(".st-key-face_answer h2")
    expect(page.locator(".st-key-face_picture img")).to_be_visible()
    expect(headline).to_be_in_viewport()
    page.mouse.move(1, 1)  # over nothing that shows a button then
    README_PICTURE.parent.mkdir(exist_ok=True)
    page.screenshot(path=README_PICTURE)
