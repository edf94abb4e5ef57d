"""What holds on every page: contrast and labels, phones, dark colours, a keyboard alone."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.dashboard.conftest import PHONE, Visitor, is_wider_than_screen, serious_faults

PAGES = {
    "start": "Start from a table",
    "start?dataset={dataset}": "Start from a table",
    "jobs": "Jobs",
    "jobs/{job}": "shown",
    "compare?jobs={job},{other}": "Compare jobs",
    "models": "Models",
    "models/shown": "shown",
    "predict?model=shown": "Predict",
}


def open_whole(visitor: Visitor, path: str, title: str, **options: Any) -> Page:
    """Open a page and wait until its parts and charts are there."""
    page = visitor.open(path, **options)
    expect(page.get_by_role("heading", level=1)).to_contain_text(title)
    expect(page.locator(".loading")).to_have_count(0)
    expect(page.locator(".chart:not([data-drawn='true'])")).to_have_count(0)
    return page


@pytest.mark.parametrize("place", PAGES)
def test_a_page_has_no_serious_fault(
    visitor: Visitor, jobs: list[dict[str, Any]], dataset: str, place: str
) -> None:
    path = place.format(dataset=dataset, job=jobs[0]["id"], other=jobs[1]["id"])
    page = open_whole(visitor, path, PAGES[place], color_scheme="light")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert serious_faults(page) == []
    page.emulate_media(color_scheme="dark", reduced_motion="reduce")
    expect(page.locator("body")).not_to_have_css("background-color", light)
    assert serious_faults(page) == []
    page.set_viewport_size(PHONE)
    assert not is_wider_than_screen(page)


def test_the_theme_is_kept(visitor: Visitor) -> None:
    page = visitor.open("models", color_scheme="light")
    theme = page.get_by_role("button", name=re.compile("^Theme"))
    theme.click()
    theme.click()
    expect(theme).to_have_accessible_name(re.compile("dark"))
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.reload()
    expect(page.locator("body")).to_have_css("background-color", dark)


def test_an_unknown_address_says_so(visitor: Visitor) -> None:
    page = visitor.open("nothing")
    expect(page.get_by_role("heading", name="Nothing is here")).to_be_visible()


def test_an_address_that_was_cut_says_so(visitor: Visitor) -> None:
    visitor.watch.refusals = {404, 422}
    page = visitor.open("models/%E0%A4")
    expect(page.get_by_role("alert")).to_be_visible()


def tab_to(page: Page, name: str) -> None:
    """Press Tab until the control with this accessible name has the focus."""
    script = """() => {
      const found = document.activeElement;
      const label = found.labels?.[0]?.innerText;
      return found.getAttribute("aria-label") ?? label ?? found.innerText ?? "";
    }"""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(script).strip() == name:
            return
    raise AssertionError(f"Tab never reaches {name!r}.")


def test_a_keyboard_is_enough(visitor: Visitor, jobs: list[dict[str, Any]], dataset: str) -> None:
    page = visitor.open("start")
    expect(page.get_by_label("A stored dataset")).to_be_visible()
    tab_to(page, "Choose a file")
    tab_to(page, "A built-in dataset")
    page.keyboard.type("diabetes")
    tab_to(page, "Use this")
    page.keyboard.press("Enter")
    tab_to(page, "Trials")
    page.keyboard.press("Control+A")
    page.keyboard.type("3")
    expect(page.get_by_role("region", name="4. Start")).to_contain_text("regression")
    tab_to(page, "Start tuning")

    page.keyboard.press("Home")
    page.goto(f"{visitor.url}/#/predict?model=shown")
    expect(page.get_by_label("bill_length_mm")).to_be_visible()
    tab_to(page, "bill_length_mm")
    page.keyboard.press("Enter")  # sends the form
    expect(page.locator("[data-answer]")).to_be_visible()

    page.goto(f"{visitor.url}/#/models/shown")
    expect(page.get_by_role("button", name="Roll back")).to_be_visible()
    tab_to(page, "Roll back")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.get_by_role("button", name="Roll back")).to_be_focused()
