"""Starts the app and a browser and watches what they use; for measuring and for tests."""

from __future__ import annotations

import os
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Playwright

ROOT = Path(__file__).resolve().parent.parent

NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser", "chrome")
MAC_NAMES = ("Google Chrome", "Chromium")

START_SECONDS = 60.0

SWITCHES = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)


def browser_path() -> str | None:
    """A Chromium or Chrome of this system (or the one named by `DUET_BROWSER`)."""
    if named := os.environ.get("DUET_BROWSER"):
        return shutil.which(named)
    for name in NAMES:
        if path := shutil.which(name):
            return path
    for name in MAC_NAMES:
        path = f"/Applications/{name}.app/Contents/MacOS/{name}"
        if os.path.exists(path):
            return path
    return None


@contextmanager
def chromium(
    playwright: Playwright, camera: Path | None = None, microphone: Path | None = None
) -> Iterator[Browser]:
    """Chromium that sees the film `camera` (Y4M) and hears `microphone` (WAV), both in a loop."""
    switches = list(SWITCHES)
    if camera:
        switches.append(f"--use-file-for-fake-video-capture={camera}")
    if microphone:
        switches.append(f"--use-file-for-fake-audio-capture={microphone}")
    browser = playwright.chromium.launch(executable_path=browser_path(), args=switches)
    try:
        yield browser
    finally:
        browser.close()


class App:
    """The app as `streamlit run` serves it."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process
        self._lines: list[str] = []
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line.decode(errors="replace"))

    def log(self) -> str:
        """All that the server has said so far."""
        return "".join(self._lines)

    def resident_bytes(self) -> int:
        """Memory that the server holds."""
        command = ["ps", "-o", "rss=", "-p", str(self.process.pid)]
        return 1024 * int(subprocess.run(command, capture_output=True, check=True).stdout)

    def processor_seconds(self) -> float:
        """Time on any core that the server has used (on Linux; 0 elsewhere)."""
        path = Path(f"/proc/{self.process.pid}/stat")
        if not path.exists():
            return 0.0
        fields = path.read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self) -> int:
        """How many the server has (on Linux; 0 elsewhere)."""
        folder = Path(f"/proc/{self.process.pid}/task")
        return len(list(folder.iterdir())) if folder.is_dir() else 0

    def sockets(self) -> int:
        """How many the server has open (on Linux; 0 elsewhere)."""
        folder = Path(f"/proc/{self.process.pid}/fd")
        if not folder.is_dir():
            return 0
        return sum(_is_socket(entry) for entry in folder.iterdir())


def _is_socket(entry: Path) -> bool:
    try:
        return os.readlink(entry).startswith("socket:")
    except OSError:  # closed meanwhile
        return False


@contextmanager
def running_app(environment: Mapping[str, str], writing: bool = False) -> Iterator[App]:
    """Start the app on a free port, wait until it answers, stop it in the end.

    Unless `writing`, the server can write no file at all: what should stay in memory but does
    not makes the test fail that caused it.
    """
    port = _free_port()
    command = [sys.executable, "-m", "streamlit", "run", "Home.py", "--server.headless", "true"]
    command += ["--server.address", "localhost", "--server.port", str(port)]
    command += ["--server.fileWatcherType", "none"]  # nobody edits the app that is measured
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=None if writing else _forbid_writing,
    )
    app = App(f"http://localhost:{port}", process)
    try:
        _wait_until_healthy(app)
        yield app
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _forbid_writing() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_healthy(app: App) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if app.process.poll() is not None:
            raise RuntimeError(f"the app ended at once:\n{app.log()}")
        try:
            with urllib.request.urlopen(f"{app.url}/_stcore/health", timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the app did not answer:\n{app.log()}")
