"""Who comes from a page of another site, such as a mail or a chat in the browser, is in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.watch import Watch
from tests.integration.processes import Master
from tests.integration.web import Web


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    expect.set_options(timeout=60_000)
    return Web(start_master(MASTER_HTTP_PORT="0"))


def follow(page: Page, folder: Path, elsewhere: str, link: str) -> None:
    """Click on a link on a page of another site."""
    (folder / "mail.html").write_text(f'<!doctype html><title>mail</title><a href="{link}">it</a>')
    page.goto(f"{elsewhere}mail.html")
    page.get_by_role("link", name="it").click()


@pytest.fixture
def elsewhere(serve: Callable[[Path], str], tmp_path: Path) -> str:
    """Another site: a browser knows sites by their names alone."""
    (tmp_path / "favicon.ico").touch()
    return serve(tmp_path).replace("127.0.0.1", "localhost")


def test_the_link_with_the_token_works_on_another_site(
    web: Web, visit: Visit, elsewhere: str, tmp_path: Path
) -> None:
    page = visit(elsewhere)
    follow(page, tmp_path, elsewhere, f"{web.address}/runs?token={web.act}&state=failed")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert page.url == f"{web.address}/runs?state=failed"


def test_a_link_to_a_page_works_on_another_site_for_whoever_is_in(
    web: Web, visit: Visit, elsewhere: str, tmp_path: Path, watch: Watch
) -> None:
    page = visit(web.link)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    follow(page, tmp_path, elsewhere, f"{web.address}/runs?state=failed")
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert page.url == f"{web.address}/runs?state=failed"
    watch.expect("401")


def test_who_is_not_in_is_asked_for_a_token_once(
    web: Web, visit: Visit, elsewhere: str, tmp_path: Path, watch: Watch
) -> None:
    page = visit(elsewhere)
    follow(page, tmp_path, elsewhere, f"{web.address}/runs?state=failed")
    page.wait_for_url("**/login?*")
    page.get_by_label("Token").fill(web.act)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="Log out")).to_be_visible()
    assert page.url == f"{web.address}/runs?state=failed"
    assert len([one for one in watch.requests if "/login" in one]) == 2
    watch.expect("401")
