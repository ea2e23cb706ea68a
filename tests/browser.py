"""The real app and a real browser for tests, and a camera and a microphone that are files.

`python -m tests.browser` sees to it that a browser is there; `make test` calls it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import cv2
import numpy as np

from core import driving
from core.driving import ROOT, App, browser_path, chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, FilePayload, Page

__all__ = ["ROOT", "App", "browser_path", "chromium"]

SHARED = Path(os.environ.get("DUET_TEST_DATA", ROOT.parent / "shared"))
"""Data sets and YuNet for tests; what is not there is made up."""

ANSWER_MS = 60_000
"""How long a test waits for the app before it fails; no measure of how fast the app should be."""


# --- the browser -------------------------------------------------------------------------------


def main() -> int:
    """Install Chromium where that is a matter of apt-get; else say what to do."""
    if not _works(browser_path()) and shutil.which("apt-get"):
        _apt_get_chromium()
    if not _works(browser_path()):
        print(
            "The browser tests need Chromium or Google Chrome: install one, or set DUET_BROWSER "
            "to the path of one, and run make test again.",
            file=sys.stderr,
        )
        return 1
    return 0


def _works(path: str | None) -> bool:
    """Whether it starts; on Ubuntu /usr/bin/chromium-browser may only be a hint to get a snap."""
    if path is None:
        return False
    return subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0


def _apt_get_chromium() -> None:
    root = [] if os.geteuid() == 0 else ["sudo"]
    if root and not shutil.which("sudo"):
        return
    quiet = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    install = [*quiet, "install", "--yes", "--no-install-recommends", "chromium"]
    subprocess.run([*quiet, "update"], check=False)
    subprocess.run(install, check=False, stdout=subprocess.DEVNULL)


# --- the app -----------------------------------------------------------------------------------


@contextmanager
def running_app(writing: bool = False) -> Iterator[App]:
    """The app on a free port; unless `writing`, it can write no file at all."""
    with driving.running_app(environment(), writing) as app:
        yield app


def environment() -> dict[str, str]:
    """That of this process, with YuNet for tests where it is at hand."""
    yunet = SHARED / "models" / "face_detection_yunet_2023mar.onnx"
    given = {"DUET_YUNET": str(yunet)} if yunet.is_file() else {}
    return given | dict(os.environ)


def settle(page: Page) -> None:
    """Wait until the page's script has run to its end.

    Just after a click it may not have begun: wait for something that the click changes first.
    """
    page.wait_for_selector(
        "[data-testid=stApp][data-test-script-state=notRunning]", timeout=ANSWER_MS
    )


LAPTOP = (1280, 800)
WIDTHS = {"phone": (390, 844), "laptop": LAPTOP}
SCREENSHOTS = ROOT / "tests" / "screenshots"


@contextmanager
def watched_page(browser: Browser, app: App | None = None, **options: Any) -> Iterator[Page]:
    """A page of a session of its own; whatever happens, nothing may go wrong behind it.

    `app` : whose log must stay free of faults. `options` : of the browser's context.
    """
    from playwright.sync_api import expect

    expect.set_options(timeout=ANSWER_MS)
    opened = _context(browser, options).new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    before = len(app.log()) if app else 0
    try:
        yield opened
        exceptions = opened.locator("[data-testid=stException]").count()
    finally:
        opened.close()  # a session left open would go on filming
    said = app.log()[before:] if app else ""
    assert not errors, errors
    assert exceptions == 0
    assert "Uncaught app execution" not in said
    assert "Traceback" not in said, said[said.find("Traceback") :][:9000]


_contexts: WeakKeyDictionary[Browser, dict[str, BrowserContext]] = WeakKeyDictionary()


def _context(browser: Browser, options: Mapping[str, Any]) -> BrowserContext:
    """A context with these options; pages share it, and with it the scripts it has loaded.

    A session of the app belongs to a page, not to the context: they see nothing of each other.
    """
    width, height = LAPTOP
    known = _contexts.setdefault(browser, {})
    key = repr(sorted(options.items()))
    if key not in known:
        known[key] = browser.new_context(viewport={"width": width, "height": height}, **options)
        known[key].set_default_timeout(ANSWER_MS)
    return known[key]


def open_page(page: Page, app: App, path: str = "") -> None:
    """Go to a page by its address; a new session."""
    page.goto(f"{app.url}/{path}", timeout=ANSWER_MS)
    page.locator("h1").wait_for(timeout=ANSWER_MS)
    settle(page)


def switch_page(page: Page, name: str) -> None:
    """Go to a page by the navigation at the top; the session goes on."""
    page.locator("[data-testid=stTopNavLink]", has_text=name).click()
    page.locator("h1", has_text="Duet" if name == "Home" else name).wait_for(timeout=ANSWER_MS)
    settle(page)


def choose_upload(page: Page, shelf: str) -> None:
    """Choose to upload instead of using the camera or the recorder."""
    page.locator(f".st-key-{shelf}_way").get_by_text("Upload", exact=True).click()
    page.locator(f"[class*=st-key-{shelf}_upload_]").wait_for()
    settle(page)


def upload(page: Page, shelf: str, files: Sequence[tuple[str, bytes]]) -> None:
    """Upload (name, content) of each file."""
    choose_upload(page, shelf)
    field = page.locator(f"[class*=st-key-{shelf}_upload_] input[type=file]")
    payloads: list[FilePayload] = [
        {"name": name, "mimeType": "application/octet-stream", "buffer": content}
        for name, content in files
    ]
    field.set_input_files(payloads)


def take_picture(page: Page) -> None:
    """Press the camera's button, once the camera shows something."""
    page.wait_for_function(
        """() => {
            const video = document.querySelector('[data-testid=stCameraInput] video');
            return video && video.readyState >= 2 && video.videoWidth > 0;
        }""",
        timeout=ANSWER_MS,
    )
    page.get_by_role("button", name="Take Photo").click()


def wait_until_it_fits(page: Page) -> None:
    """Wait until nothing has to be scrolled sideways and no legend lies on an axis below its plot.

    Charts take a while to shrink and to grow; before, they are as they were.
    """
    page.wait_for_function(
        """() => [document.documentElement, document.querySelector('[data-testid=stMain]')]
            .every(part => part.scrollWidth <= part.clientWidth)""",
        timeout=ANSWER_MS,
    )
    page.wait_for_function(
        """() => [...document.querySelectorAll('[data-testid=stPlotlyChart]')].every(place => {
            const box = part => part.getBoundingClientRect();
            const drawing = place.querySelector('.main-svg');
            if (!drawing || Math.abs(box(drawing).width - box(place).width) > 2) return false;
            const legend = place.querySelector('.legend');
            return !legend || [...place.querySelectorAll('.xtitle, .xtick text')].every(
                text => box(text).bottom <= box(legend).top + 1);
        })""",
        timeout=ANSWER_MS,
    )


def resize(page: Page, width: str) -> None:
    """Make the window as wide as a phone or a laptop."""
    wide, high = WIDTHS[width]
    page.set_viewport_size({"width": wide, "height": high})


def fits_at_each_width(page: Page, name: str) -> None:
    """Nothing is cut off, whichever way the device is held; `name` : of the screenshots."""
    for width in WIDTHS:
        resize(page, width)
        wait_until_it_fits(page)
        screenshot(page, f"{name}-{width}")


def screenshot(page: Page, name: str) -> None:
    """The whole page, for somebody to look at; only where `DUET_SCREENSHOT` asks for it.

    It scrolls inside the window, so the window is made as high as the page.
    """
    if "DUET_SCREENSHOT" not in os.environ:
        return
    size = page.viewport_size
    assert size is not None
    page.wait_for_timeout(500)  # charts take their size after they appear
    height = page.locator("[data-testid=stMain]").evaluate("main => main.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": max(size["height"], height)})
    page.wait_for_timeout(500)
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")
    page.set_viewport_size(size)


# --- what the camera sees and the microphone hears ---------------------------------------------


def photo() -> bytes:
    """A JPEG of 640 x 480 with one face: from FER2013 where it is at hand, drawn otherwise."""
    from core import bench

    data = SHARED / "data" / "fer2013.zip"
    faces = bench.faces_of(data, 32) if data.is_file() else None
    return bench.photo_with_face(faces)


def speech() -> bytes:
    """A recording of somebody speaking: from RAVDESS where it is at hand, made up otherwise."""
    from core.ui.samples import synthetic_voice

    data = SHARED / "data" / "ravdess.zip"
    if not data.is_file():
        return synthetic_voice().data
    with zipfile.ZipFile(data) as archive:
        # Actor 2, angry, strong: a test speaker whom no model heard in training.
        (name,) = (n for n in archive.namelist() if n.endswith("03-01-05-02-01-01-02.ogg"))
        return archive.read(name)


def film(picture: bytes, path: Path) -> Path:
    """Write a picture as a film for Chromium's camera: raw Y4M, ten frames."""
    image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    height, width = (side - side % 2 for side in image.shape[:2])
    frame = cv2.cvtColor(image[:height, :width], cv2.COLOR_BGR2YUV_I420).tobytes()
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F10:1 Ip A1:1 C420jpeg\n".encode())
        for _ in range(10):
            file.write(b"FRAME\n" + frame)
    return path


def sound(recording: bytes, path: Path, pause: float = 3.0) -> Path:
    """Write a recording for Chromium's microphone: WAV, followed by a pause in seconds.

    A faint hiss lies under it: no microphone gives bare zeros, and the hands-free recorder takes
    them for a broken one.
    """
    from core import media
    from core.ui.samples import wav

    samples = media.decode_audio(recording, "speech").samples
    samples = 0.7 * samples / np.abs(samples).max()
    silence = np.zeros(int(pause * media.SAMPLE_RATE), np.float32)
    whole = np.concatenate([samples, silence])
    hiss = np.random.default_rng(7).normal(0, 0.001, len(whole))
    path.write_bytes(wav(whole + hiss))
    return path


if __name__ == "__main__":
    sys.exit(main())
