"""The pages of a real master in a real browser: live, by keyboard, on a phone, in the dark."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Window
from tests.browser.watch import Watch
from tests.integration.processes import Master
from tests.integration.web import Web

PATIENCE_MS = 60_000
HOSTILE = '"><script>document.title="taken"</script><img src=x onerror=alert(1)>'


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages."""
    expect.set_options(timeout=PATIENCE_MS)
    return Web(start_master(MASTER_HTTP_PORT="0"))


def goes_to(page: Page, web: Web, path: str) -> None:
    page.goto(f"http://127.0.0.1:{web.port}{path}")


def is_live(page: Page) -> None:
    expect(page.locator(".live-state")).to_have_text("live")


def test_a_run_is_watched_from_its_start_to_its_end_without_a_reload(
    web: Web, visit: Visit, picture: Callable[[Page, str], Path]
) -> None:
    page = visit(web.link)
    expect(page.locator("#why")).to_contain_text("No worker is connected")
    picture(page, "overview-empty")
    run = web.master.submit("square", "count=3000")
    expect(page.locator("#active")).to_contain_text("square")
    page.get_by_role("link", name=str(run), exact=True).first.click()
    page.evaluate("window.loadedOnce = true")
    expect(page.locator("#progress")).to_contain_text("0 of 3,000 tasks have ended")
    expect(page.locator("#why")).to_contain_text("no worker")
    web.master.worker()
    expect(page.locator("#progress")).to_contain_text("3,000 of 3,000 tasks have ended")
    expect(page.locator("#head")).to_contain_text("done")
    expect(page.locator("#why")).to_be_empty()
    assert page.evaluate("window.loadedOnce") is True
    picture(page, "run-done")


def test_the_token_is_not_in_the_address_and_the_page_asks_for_one_without_a_cookie(
    web: Web, visit: Visit, watch: Watch, axe: Callable[[Page], None]
) -> None:
    page = visit(web.link)
    assert page.url == f"http://127.0.0.1:{web.port}/"
    assert page.evaluate("document.cookie") == ""
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_focused()
    axe(page)
    page.keyboard.type("not the token")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not one of this master's")
    watch.expect("401")


def test_a_log_in_leads_to_the_page_that_was_asked_for(web: Web, visit: Visit) -> None:
    page = visit(f"http://127.0.0.1:{web.port}/login")
    page.keyboard.type(web.read)
    page.keyboard.press("Enter")
    is_live(page)
    expect(page.get_by_text("for reading only")).to_be_visible()


def test_pages_can_be_read_everywhere(web: Web, window: Window) -> None:
    web.master.worker()
    run = web.master.submit("square", "count=200", "--key", "a key " + "that is long " * 20)
    failed = web.master.submit("fragile")
    web.master.ended_tasks(run, 200)
    page = window.visit(web.link)
    for name, path in (
        ("overview", "/"), ("runs", "/runs"), ("run", f"/runs/{run}"), ("run-2", f"/runs/{failed}"),
        ("minute", "/?span=minute"),
    ):  # fmt: skip
        goes_to(page, web, path)
        is_live(page)
        window.check(page, name)


def test_failures_stand_in_groups_with_a_way_to_try_them_again(web: Web, visit: Visit) -> None:
    web.master.worker()
    run = web.master.submit("fragile")
    page = visit(web.link)
    goes_to(page, web, f"/runs/{run}")
    table = page.locator("#failures")
    expect(table).to_contain_text("ValueError")
    expect(table).to_contain_text("2 is even")
    expect(table).to_contain_text("not four")
    row = table.locator("tr", has_text="2 is even")
    row.get_by_role("link", name="Try ValueError@fragile.py").click()
    expect(page.get_by_label("Failure")).to_have_value(re.compile(r"ValueError@fragile\.py:\d+"))


def test_pages_are_whole_without_javascript(web: Web, visit: Visit) -> None:
    web.master.worker()
    run = web.master.submit("square", "count=20")
    web.master.ended_tasks(run, 20)
    page = visit(web.link, scripts=False)
    expect(page.locator("#ended")).to_contain_text("20 / 20")
    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_label("State").select_option("failed")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#list")).to_contain_text("No such run")
    goes_to(page, web, f"/runs/{run}")
    expect(page.locator("#facts")).to_contain_text("UTC")


def test_the_keyboard_alone_leads_through_the_pages_and_keeps_its_place(
    web: Web, visit: Visit
) -> None:
    run = web.master.submit("square", "count=1000")
    page = visit(web.link)
    is_live(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    link = page.locator("#active a", has_text=str(run)).first
    link.focus()
    web.master.worker()  # the part with the link is put in anew
    expect(page.locator("#workers")).to_contain_text("127.0.0.1")
    expect(page.locator("#active tbody, #ended tbody").first).to_be_visible()
    page.get_by_role("link", name="Runs", exact=True).focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    page.get_by_label("State").focus()
    page.keyboard.press("Tab")
    expect(page.get_by_label("Job")).to_be_focused()


def test_the_place_of_the_keyboard_stays_when_its_part_changes(web: Web, visit: Visit) -> None:
    web.master.submit("square", "count=10")
    page = visit(web.link)
    link = page.locator("#active a").first
    expect(link).to_be_visible()
    link.focus()
    page.evaluate("document.querySelector('#active a').dataset.old = '1'")
    web.master.submit("square", "count=20")
    expect(page.locator("#active tbody tr")).to_have_count(2)
    expect(page.locator("#active a[data-old]")).to_have_count(0)
    assert page.evaluate("document.activeElement.closest('#active') !== null")


def test_a_master_that_is_away_says_so_and_the_page_goes_on_by_itself(
    web: Web, visit: Visit, picture: Callable[[Page, str], Path]
) -> None:
    page = visit(web.link)
    is_live(page)
    os.kill(web.master.process.popen.pid, signal.SIGSTOP)
    try:
        expect(page.locator("#banner")).to_contain_text("The master does not answer")
        picture(page, "master-away")
    finally:
        os.kill(web.master.process.popen.pid, signal.SIGCONT)
    expect(page.locator("#banner")).to_be_empty()
    expect(page.locator("#numbers")).to_contain_text("waiting")


def test_texts_of_others_run_nothing_and_stand_as_they_are(web: Web, visit: Visit) -> None:
    run = web.master.submit("square", "count=1", "--key", HOSTILE)
    page = visit(web.link)
    for path in ("/", "/runs", f"/runs/{run}"):
        goes_to(page, web, path)
        is_live(page)
        assert "taken" not in page.title()
        assert page.locator("img").count() == 0
        assert page.locator("main script").count() == 0
    expect(page.locator("#facts")).to_contain_text(HOSTILE)


def test_a_browser_that_reads_chinese_gets_chinese(
    web: Web, new_context: Callable[..., object]
) -> None:
    page = new_context(locale="zh-CN").new_page()  # type: ignore[attr-defined]
    page.goto(web.link)
    expect(page).to_have_title(re.compile("总览"))
    expect(page.locator("#why")).to_contain_text("没有工作端连接")
    assert page.locator("html").get_attribute("lang") == "zh"
