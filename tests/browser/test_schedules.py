"""Schedules in a real browser: added by the keyboard, paused, on a phone and in the dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Window
from tests.browser.test_pages import HOSTILE, PATIENCE_MS, goes_to, is_live
from tests.browser.watch import Watch
from tests.integration.processes import Master
from tests.integration.web import Web


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages."""
    expect.set_options(timeout=PATIENCE_MS)
    return Web(start_master(MASTER_HTTP_PORT="0"))


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_schedule_is_added_with_a_wrong_time_and_then_a_right_one(
    web: Web, visit: Visit, watch: Watch, axe: Callable[[Page], None], scripts: bool
) -> None:
    page = visit(web.link, scripts=scripts)
    page.get_by_role("link", name="Schedules", exact=True).press("Enter")
    page.get_by_role("link", name="Add a schedule").press("Enter")
    page.get_by_label("Name", exact=True).fill("nightly")
    page.get_by_label("Times", exact=True).fill("at three")
    page.get_by_label("Job", exact=True).fill("square")
    page.get_by_label("Job", exact=True).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("is no cron expression")
    watch.expect("400")
    expect(page.get_by_label("Name", exact=True)).to_have_value("nightly")
    if scripts:
        axe(page)
    page.get_by_label("Times", exact=True).fill("0 3 * * *")
    page.get_by_label("Times", exact=True).press("Enter")
    expect(page.get_by_text("The schedule nightly was added.")).to_be_visible()
    page.get_by_role("link", name="Pause").press("Enter")
    page.get_by_role("button", name="Pause").press("Enter")
    expect(page.get_by_text("The schedule nightly was paused.")).to_be_visible()
    expect(page.locator("#list .state")).to_have_text("paused")


def test_schedules_can_be_read_everywhere(web: Web, window: Window) -> None:
    master, hostile = web.master, f"note={HOSTILE * 3}"
    for words in (
        ("nightly", "0 3 * * *", "square", "count=20", "--zone", "Europe/Berlin"),
        ("half-hourly", "*/30 * * * *", "given", "at={slot}", hostile),
        ("n" * 80, "@monthly", "square"),
    ):
        assert master.command("schedule", "add", *words).code == 0
    assert master.command("schedule", "pause", "half-hourly").code == 0
    page = window.visit(web.link)
    for name, path in (("schedules", "/schedules"), ("schedule-add", "/schedules/add")):
        goes_to(page, web, path)
        if name == "schedules":
            is_live(page)
            expect(page.locator("#list")).to_contain_text("nightly")
        window.check(page, name)
    goes_to(page, web, "/schedules/nightly/remove")
    window.check(page)
    assert "taken" not in page.title()
