"""The browser's clock is set while a page is open: the page goes on, and its times stay."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.test_live import PATIENCE_MS, is_replaced
from tests.integration.processes import Master
from tests.integration.test_web_clock import SLOWLY
from tests.integration.web import Web


@pytest.mark.parametrize("days", [1, -1], ids=["ahead", "back"])
def test_a_page_goes_on_when_the_clock_of_its_browser_is_set(
    start_master: Callable[..., Master], visit: Visit, days: int
) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    web = Web(start_master(MASTER_HTTP_PORT="0"))
    (web.master.jobs / "slowly.py").write_text(SLOWLY)
    web.master.submit("slowly")
    web.master.worker()
    page = visit(web.link)
    page.goto(f"{web.address}/runs/1?span=minute")
    expect(page.locator(".live-state")).to_have_text("live")
    started = page.locator("#facts time").first
    at = started.get_attribute("datetime")
    page.clock.set_fixed_time(datetime.datetime.now() + datetime.timedelta(days=days))
    is_replaced(page, "rate")
    is_replaced(page, "progress", 1)
    expect(started).to_have_attribute("datetime", at or "")
    expect(started).to_have_text(re.compile(r"\d{4}.*\d{2}:\d{2}:\d{2}"))  # that is another day
    assert not re.search(r"NaN|Invalid|>\s*-\d", page.content())
    page.goto(web.address)
    expect(page.locator(".live-state")).to_have_text("live")
