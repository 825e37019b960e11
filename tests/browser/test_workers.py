"""The page of workers in a real browser: what they do now, live."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Window
from tests.browser.test_pages import PATIENCE_MS, goes_to
from tests.integration.processes import Master
from tests.integration.web import Web


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages."""
    expect.set_options(timeout=PATIENCE_MS)
    return Web(start_master(MASTER_HTTP_PORT="0"))


def submit_held(web: Web) -> int:
    """A run whose tasks wait for a file that never comes."""
    folder = web.master.settings["MASTER_DATA"]
    return web.master.submit("held", f"gate={folder}/gate", f"log={folder}/log")


def test_a_worker_comes_and_shows_what_it_runs(
    web: Web, visit: Visit, axe: Callable[[Page], None]
) -> None:
    page = visit(web.link)
    page.get_by_role("link", name="Workers", exact=True).click()
    expect(page.locator("#list")).to_contain_text("docker compose up --scale worker=2")
    axe(page)
    web.master.worker(WORKER_SLOTS="2", WORKER_TAGS="gpu,big")
    expect(page.locator("#numbers")).to_contain_text("2")
    expect(page.locator("#list")).to_contain_text("gpu")
    run = submit_held(web)
    expect(page.locator("#list")).to_contain_text("of 2 busy")
    expect(page.locator("#list .running a", has_text=f"run {run}").first).to_be_visible()
    expect(page.locator("#others")).to_contain_text("Other programs that are connected")


def test_the_page_of_workers_can_be_read_everywhere(web: Web, window: Window) -> None:
    web.master.worker(WORKER_SLOTS="4", WORKER_NAME="w" * 60, WORKER_TAGS="gpu,eu-west")
    web.master.worker(WORKER_NAME="builder-2")
    submit_held(web)
    page = window.visit(web.link)
    goes_to(page, web, "/workers")
    expect(page.locator("#list")).to_contain_text("builder-2")
    expect(page.locator("#list .running a").first).to_be_visible()
    page.locator("#other-sessions summary").click()
    window.check(page, "workers")
