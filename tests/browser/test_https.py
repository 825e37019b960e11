"""Encrypted pages in a real browser: from the link to a run that ends while one looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from playwright.sync_api import BrowserContext, expect

from tests.integration.processes import Master
from tests.integration.web import Web, certificate

PATIENCE_MS = 60_000


def test_a_run_is_submitted_and_ends_while_one_looks(
    start_master: Callable[..., Master],
    tmp_path: Path,
    new_context: Callable[..., BrowserContext],
) -> None:
    expect.set_options(timeout=PATIENCE_MS)
    web = Web(start_master(MASTER_HTTP_PORT="0", **certificate(tmp_path)))
    context = new_context(ignore_https_errors=True)  # nobody has signed the certificate
    page = context.new_page()
    page.goto(web.link)
    expect(page).to_have_url(f"{web.address}/")
    (cookie,) = context.cookies()
    assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
    expect(page.locator(".live-state")).to_have_text("live")
    page.get_by_role("link", name="Submit", exact=True).click()
    page.get_by_role("link", name="square").click()
    page.get_by_label("count").fill("20")
    page.get_by_role("button", name="Submit").click()
    expect(page).to_have_url(re.compile(r"/runs/1$"))
    expect(page.get_by_text("Run 1 was submitted.")).to_be_visible()
    expect(page.locator(".live-state")).to_have_text("live")
    web.master.worker()
    expect(page.locator("#head")).to_contain_text("done")
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_url(f"{web.address}/login")
    assert context.cookies() == []
