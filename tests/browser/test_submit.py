"""A run is submitted in a real browser: with a wrong argument, and then with a right one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Window
from tests.browser.test_pages import HOSTILE, PATIENCE_MS, goes_to
from tests.browser.watch import Watch
from tests.integration.processes import Master
from tests.integration.web import Web, pages_with

JOB = f'''\
"""Resizes pictures, {HOSTILE.replace('"', "'")}."""
from typing import Literal


def tasks(
    folder: str, width: int = 800, format: Literal["png", "webp"] = "webp", keep: bool = True,
    hosts: list[str] = [], {"l" * 60}: str = {HOSTILE * 3!r},
):
    """What it takes.

    Args:
        folder: where the pictures are, such as /shared/pictures
        width: how wide they will be, in pixels
        hosts: {HOSTILE.replace('"', "'")}
    """
    yield from range(3)


def work(n):
    return n
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job of many arguments."""
    expect.set_options(timeout=PATIENCE_MS)
    return pages_with(start_master, resize=JOB)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_wrong_argument_is_mended_by_the_keyboard_alone(
    web: Web,
    visit: Visit,
    watch: Watch,
    axe: Callable[[Page], None],
    picture: Callable[[Page, str], Path],
    scripts: bool,
) -> None:
    page = visit(web.link, scripts=scripts)
    page.get_by_role("link", name="Submit", exact=True).press("Enter")
    page.get_by_role("link", name="resize").press("Enter")
    page.get_by_label("folder").focus()
    page.keyboard.type("/shared/a b")
    page.keyboard.press("Tab")
    expect(page.get_by_label("width")).to_be_focused()
    page.keyboard.type("wide")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("is a whole number, not 'wide'")
    expect(page.get_by_label("width")).to_be_focused()
    expect(page.get_by_label("folder")).to_have_value("/shared/a b")
    watch.expect("400")
    if scripts:
        axe(page)
        picture(page, "submit-wrong")
    page.keyboard.press("Control+a")
    page.keyboard.type("640")
    page.get_by_label("format").select_option("png")
    page.get_by_label("width").press("Enter")
    expect(page).to_have_url(re.compile(r"/runs/1$"))
    expect(page.get_by_text("Run 1 was submitted.")).to_be_visible()
    expect(page.locator("#facts")).to_contain_text("width=640")
    assert "taken" not in page.title()


def test_the_forms_can_be_read_everywhere(web: Web, window: Window) -> None:
    page = window.visit(web.link)
    for name, path in (("submit", "/submit"), ("submit-job", "/submit/resize")):
        goes_to(page, web, path)
        expect(page.get_by_role("heading", level=1)).to_contain_text("Submit")
        window.check(page, name)
    assert "taken" not in page.title()
    assert page.locator("img").count() == 0
