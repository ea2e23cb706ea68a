"""The pages on models in a real browser: they fit, cells can be clicked, views can be shared."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser import (
    SHARED,
    App,
    browser_path,
    chromium,
    fits_at_each_width,
    open_page,
    running_app,
    settle,
    watched_page,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser_path() is None, reason="no Chromium or Chrome; see make browser"),
]

CELL = "models?view=One+model&section=Confusion&true=fear&answer=sad"
VIEWS = {
    "all": "models",
    "training": "models?view=One+model",
    "confusion": CELL,
    "trust": "models?view=One+model&section=Trust&unsure=80",
    "card": "models?view=One+model&section=Card",
    "train": "train",
}


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with pytest.MonkeyPatch.context() as patch:
        if (SHARED / "data").is_dir():
            patch.setenv("DUET_DATA", str(SHARED / "data"))
        with running_app() as started:
            yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, chromium(playwright) as opened:
        yield opened


@pytest.fixture
def page(browser: Browser, app: App) -> Iterator[Page]:
    with watched_page(browser, app) as opened:
        yield opened


@pytest.mark.parametrize("name", VIEWS)
def test_views_fit_at_every_width(page: Page, app: App, name: str) -> None:
    open_page(page, app, VIEWS[name])
    fits_at_each_width(page, f"models-{name}")


def test_a_cell_is_clicked_and_its_view_shared(page: Page, app: App) -> None:
    open_page(page, app, "models?view=One+model&section=Confusion")
    chart = page.locator(".st-key-confusion .nsewdrag")
    chart.wait_for()
    box = chart.bounding_box()
    assert box is not None
    # Row 3 of 7 is fear, column 6 sad.
    chart.click(position={"x": box["width"] * 5.5 / 7, "y": box["height"] * 2.5 / 7}, force=True)
    heading = page.get_by_role("heading", name="True fear, answered sad")
    heading.wait_for()
    expect(page).to_have_url(re.compile("true=fear.*answer=sad|answer=sad.*true=fear"))
    settle(page)
    if (SHARED / "data").is_dir():
        expect(page.locator("[class*=st-key-cell_] img").first).to_be_visible()
    address = page.url.rsplit("/", 1)[1]
    open_page(page, app, address)
    heading.wait_for()


def test_sections_are_reached_by_keyboard(page: Page, app: App) -> None:
    open_page(page, app, "models?view=One+model")
    page.get_by_role("radio", name="Trust").or_(page.get_by_role("button", name="Trust")).focus()
    page.keyboard.press("Enter")
    page.get_by_text("When to say “unsure”").wait_for()
    slider = page.get_by_role("slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.get_by_text("Unsure below 51%").wait_for()


def test_a_row_of_the_leaderboard_opens_its_model_and_can_be_shared(page: Page, app: App) -> None:
    open_page(page, app, "models?reads=voice")
    table = page.locator(".st-key-leaderboard_table canvas").first
    table.scroll_into_view_if_needed()
    expect(table).to_be_in_viewport()
    table.click(position={"x": 18, "y": 52}, force=True)  # where the first row is ticked
    command = page.locator("[data-testid=stCode]", has_text="train voice-cnn")
    expect(command).to_be_visible()
    settle(page)
    page.wait_for_url("**model=voice-cnn**")
    page.goto(page.url)  # as somebody would who was sent the address
    expect(command).to_be_visible()
