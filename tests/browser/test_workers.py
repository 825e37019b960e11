"""The page of workers in a real browser: what they do now, live."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Window
from tests.browser.test_pages import PATIENCE_MS, goes_to
from tests.integration.processes import Master, eventually
from tests.integration.web import Web

LIMITED = re.compile(r"\d.* of \d")
TELLS_MS = 30_000
"""A worker looks at itself, and tells, every 5 s."""


def eventually_told(web: Web) -> int:
    """Wait until all workers have told what they take. Returns how many there are."""

    def told() -> int:
        uses = [one["usage"] for one in web.json("/api/workers")["workers"]]
        return len(uses) * all(use and use["processors"] is not None for use in uses)

    return eventually(told, TELLS_MS / 1_000)


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


def test_what_a_worker_takes_comes_live_and_sorts_the_workers(web: Web, visit: Visit) -> None:
    web.master.worker(WORKER_NAME="a-small", WORKER_SLOTS="1")
    web.master.worker(WORKER_NAME="b-large", WORKER_SLOTS="8")
    page = visit(web.link)
    page.get_by_role("link", name="Workers", exact=True).click()
    for cell in page.locator('[data-label="Memory"]').all():
        expect(cell).to_have_text(LIMITED, timeout=TELLS_MS)
    for cell in page.locator('[data-label="Processors"]').all():
        expect(cell).to_have_text(LIMITED, timeout=TELLS_MS)
    expect(page.locator("#numbers")).to_contain_text("memory in use")
    names = page.locator('tbody [data-label="Worker"]')
    expect(names.first).to_contain_text("a-small")
    page.get_by_role("link", name="by memory").click()
    expect(names.first).to_contain_text("b-large")
    assert page.url.endswith("/workers?sort=memory")
    page.get_by_role("link", name="by name").click()
    expect(names.first).to_contain_text("a-small")


def test_without_scripts_memory_is_there_and_can_be_sorted_by(web: Web, visit: Visit) -> None:
    web.master.worker(WORKER_NAME="a-small", WORKER_SLOTS="1")
    web.master.worker(WORKER_NAME="b-large", WORKER_SLOTS="8")
    told = eventually_told(web)
    page = visit(web.link, scripts=False)
    page.get_by_role("link", name="Workers", exact=True).click()
    expect(page.locator('[data-label="Memory"]').first).to_have_text(LIMITED)
    page.get_by_role("link", name="by memory").click()
    expect(page.locator('tbody [data-label="Worker"]').first).to_contain_text("b-large")
    assert told == 2


def test_the_page_of_workers_can_be_read_everywhere(web: Web, window: Window) -> None:
    web.master.worker(WORKER_SLOTS="4", WORKER_NAME="w" * 60, WORKER_TAGS="gpu,eu-west")
    web.master.worker(WORKER_NAME="builder-2")
    submit_held(web)
    eventually_told(web)
    page = window.visit(web.link)
    goes_to(page, web, "/workers")
    expect(page.locator("#list")).to_contain_text("builder-2")
    expect(page.locator("#list .running a").first).to_be_visible()
    expect(page.locator('[data-label="Memory"]').first).to_be_visible()
    expect(page.locator('[data-label="Memory"] a').first).to_be_visible(timeout=TELLS_MS)
    page.locator("#other-sessions summary").click()
    window.check(page, "workers")
