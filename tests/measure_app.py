"""How fast the app starts and switches pages, and what memory its server takes.

Run with `python -m tests.measure_app [--json]`, with nothing else running.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime

from playwright.sync_api import Page, sync_playwright

from core import bench
from tests.browser import (
    ANSWER_MS,
    App,
    chromium,
    open_page,
    photo,
    running_app,
    speech,
    switch_page,
    upload,
)

STARTS = 5
ROUNDS = 5
"""Of visits to every page."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.measure_app", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    machine = bench.machine()
    starts: list[float] = []
    with sync_playwright() as playwright, chromium(playwright) as browser:
        for _ in range(STARTS):
            begun = time.perf_counter()
            with running_app(writing=True) as app:
                page = browser.new_page()
                open_page(page, app)
                starts.append(1e3 * (time.perf_counter() - begun))
                page.close()
        with running_app(writing=True) as app:
            page = browser.new_page()
            page.set_default_timeout(ANSWER_MS)
            switches, memory = _use(page, app)
    report = {
        "kind": "app",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine,
        "milliseconds": {
            "start to usable page": bench.spread(starts),
            "page switch": bench.spread(switches),
        },
        "server_memory_mb": round(memory / 1e6, 1),
    }
    if options.json:
        print(json.dumps(report))
        return 0
    print(f"{report['date']}  {machine['processor']}, {machine['cores']} cores")
    print(f"load average when started: {machine['load_average']}")
    for name, times in (("start to usable page", starts), ("page switch", switches)):
        spread = bench.spread(times)
        print(f"{name:24}  median {spread['median']:8.0f} ms  95% {spread['p95']:8.0f} ms")
    print(f"{'server memory':24}  {memory / 1e6:.0f} MB after both models answered")
    return 0


def _use(page: Page, app: App) -> tuple[list[float], int]:
    """Times of page switches, with results on the pages, and the server's memory."""
    open_page(page, app, "face")
    upload(page, "face", [("photo.jpg", photo())])
    page.locator(".st-key-face_answer h2").wait_for()
    switch_page(page, "Voice")
    upload(page, "voice", [("speech.ogg", speech())])
    page.locator(".st-key-voice_answer h2").wait_for()
    memory = app.resident_bytes()
    times = []
    for _ in range(ROUNDS):
        for name in ("Home", "Face", "Voice", "Hybrid"):
            begun = time.perf_counter()
            switch_page(page, name)
            times.append(1e3 * (time.perf_counter() - begun))
    return times, memory


if __name__ == "__main__":
    sys.exit(main())
