"""The pages on data in a real browser, at both widths, with and without the data sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, Position, expect, sync_playwright

from tests.browser import (
    App,
    chromium,
    fits_at_each_width,
    open_page,
    resize,
    running_app,
    settle,
    watched_page,
)

pytestmark = pytest.mark.browser

VIEWS = {
    "overview": "data",
    "means": "data_faces",
    "pictures": "data_faces?view=Pictures",
    "changes": "data_faces?view=Changes",
    "sounds": "data_voices",
    "clips": "data_voices?view=Clips",
    "voice-changes": "data_voices?view=Changes",
    "map": "data_map",
    "quality": "data_quality?list=Conflicting+labels",
}


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with chromium(playwright) as opened:
        yield opened


@pytest.fixture(scope="module")
def app() -> Iterator[App]:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("DUET_DATA", raising=False)
        with running_app() as started:
            yield started


@pytest.fixture(scope="module")
def app_with_data(shared: Path) -> Iterator[App]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DUET_DATA", str(shared / "data"))
        with running_app() as started:
            yield started


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with watched_page(browser) as opened:
        yield opened


def tiles(page: Page, wall: str) -> list[str]:
    """What the pictures of a wall are called."""
    buttons = page.locator(f".st-key-{wall} button")
    expect(buttons.first).to_be_visible()
    return [str(button.get_attribute("title")) for button in buttons.all()]


@pytest.mark.parametrize("name", VIEWS)
def test_views_fit_without_the_data(page: Page, app: App, name: str) -> None:
    resize(page, "phone")
    open_page(page, app, VIEWS[name])
    expect(page.locator(".duet-finding").first).to_be_visible()
    fits_at_each_width(page, f"data-{name}")


def test_a_picture_is_opened_with_the_keyboard_and_shared(page: Page, app_with_data: App) -> None:
    open_page(page, app_with_data, "data_faces?view=Pictures")
    first = tiles(page, "faces_wall")[0]
    page.locator(".st-key-faces_wall button").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".st-key-picture")).to_contain_text(first)
    expect(page.locator(".st-key-picture")).to_contain_text("Nearest test pictures")
    expect(page).to_have_url(re.compile("picture="))
    settle(page)
    page.goto(page.url)  # as somebody would who was sent the address
    expect(page.locator(".st-key-picture")).to_contain_text(first)
    near = tiles(page, "near_face-cnn")[0]
    page.locator(".st-key-near_face-cnn button").first.click()
    expect(page.locator(".st-key-picture")).to_contain_text(f"File: {near}")


def test_a_picture_opens_in_sight_on_a_phone(page: Page, app_with_data: App) -> None:
    resize(page, "phone")
    open_page(page, app_with_data, "data_faces?view=Pictures")
    expect(page.locator(".st-key-faces_wall button").first).to_be_visible()
    page.locator(".st-key-faces_wall button").last.click()
    picture = page.locator(".st-key-picture")
    expect(picture.locator("img").first).to_be_in_viewport()
    expect(picture).to_contain_text("Nearest test pictures")
    settle(page)


def test_a_face_stays_in_sight_while_it_is_changed(page: Page, app: App) -> None:
    resize(page, "phone")
    open_page(page, app, "data_faces?view=Changes")
    page.locator(".st-key-blanked").get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_text("which only training does")).to_be_visible()
    expect(page.locator(".st-key-changes_shown img").first).to_be_in_viewport()
    settle(page)


def test_choices_go_into_the_address_and_back(page: Page, app: App) -> None:
    open_page(page, app, "data_map")
    page.get_by_role("radio", name="right or wrong").click()
    finding = page.locator(".duet-finding", has_text="are wrong")
    expect(finding).to_be_visible()
    expect(page).to_have_url(re.compile(r"\?"))
    settle(page)
    address = page.url
    page.goto(address)
    expect(finding).to_be_visible()


def test_a_folder_named_in_the_sidebar_opens_the_clips(page: Page, app: App, shared: Path) -> None:
    open_page(page, app, "data_voices?view=Clips&clip=ravdess/Actor_16/03-01-05-02-01-01-16.ogg")
    expect(page.locator(".st-key-clip")).to_contain_text("The data sets are not here")
    field = page.get_by_role("textbox", name="Folder of the data sets")
    field.fill(str(shared / "data"))
    field.press("Enter")
    clip = page.locator(".st-key-clip")
    expect(clip.locator("audio")).to_be_visible()
    expect(clip).to_contain_text("Log-mel spectrogram")
    expect(clip).to_contain_text("MFCC")
    settle(page)


def test_the_same_row_of_the_next_page_opens_too(page: Page, app: App) -> None:
    open_page(page, app, "data_voices?view=Clips")
    table = page.locator("[class*=st-key-clips_table] .dvn-scroller").first
    opened = page.locator(".st-key-clip")
    first_row: Position = {"x": 16, "y": 52}
    table.click(position=first_row)
    expect(opened).to_contain_text("1001_DFA_ANG_XX")
    settle(page)
    row = page.locator("[class*=st-key-clips_table] tr[aria-rowindex='2']").first
    before = row.text_content() or ""
    page.get_by_role("spinbutton", name="Page").fill("2")
    page.keyboard.press("Enter")
    page.wait_for_url("**page=2**")
    expect(row).not_to_have_text(before)  # else the click may meet the old page's row
    settle(page)
    table.click(position=first_row)
    expect(opened).not_to_contain_text("1001_DFA_ANG_XX")
    settle(page)


def test_a_point_of_the_map_opens_with_the_keyboard(page: Page, app: App) -> None:
    open_page(page, app, "data_map")
    points = page.locator(".st-key-data_map_list input")
    points.focus()
    page.keyboard.type("happy, read as sad")
    expect(page.get_by_role("option").first).to_contain_text("happy, read as sad")
    page.keyboard.press("Enter")
    example = page.locator(".st-key-example")
    expect(example).to_contain_text("labelled happy, read as sad")
    expect(page).to_have_url(re.compile("example="))
    settle(page)
    page.keyboard.press("Escape")
    expect(example).to_have_count(0)
    expect(page).not_to_have_url(re.compile("example="))
    settle(page)


def test_a_point_of_the_map_opens(page: Page, app_with_data: App) -> None:
    open_page(page, app_with_data, "data_map")
    chart = page.locator(".st-key-data_map_points .js-plotly-plot")
    expect(chart).to_be_visible()
    where = chart.evaluate(
        """plot => {
            const trace = plot._fullData[3], axes = plot._fullLayout;
            const box = plot.getBoundingClientRect();
            return [box.x + axes.xaxis._offset + axes.xaxis.d2p(trace.x[40]),
                    box.y + axes.yaxis._offset + axes.yaxis.d2p(trace.y[40])];
        }"""
    )
    page.mouse.move(*where)
    page.mouse.click(*where)
    expect(page.locator(".st-key-example")).to_contain_text("labelled happy")
    settle(page)
