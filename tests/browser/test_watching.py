"""The fixtures themselves: a page that does something wrong fails its test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser import chromium
from tests.browser.checked import grave_faults
from tests.browser.conftest import NARROW, Visit
from tests.browser.watch import Watch, is_here, reached_by_keys, too_wide

HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><title>page</title>'
ELSEWHERE = "http://192.0.2.1/elsewhere.png"


@pytest.fixture
def shown(tmp_path: Path, visit: Visit) -> Callable[..., Page]:
    """Opens a page with this body, and these tags in its head."""

    def made(body: str, head: str = "", **options: bool | int) -> Page:
        path = tmp_path / "page.html"
        path.write_text(f"{HEAD}{head}<body>{body}</body></html>")
        return visit(path, **options)

    return made


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("<script>console.error('no')</script>", "console error: no"),
        ("<script>console.warn('hm')</script>", "console warning: hm"),
        ("<script>nobody()</script>", "exception: nobody is not defined"),
        ("<script>alert('hi')</script>", "alert: hi"),
        (f"<img alt='' src='{ELSEWHERE}'>", f"request to {ELSEWHERE}"),
        ("<script src='https://cdn.test/a.js'></script>", "request to https://cdn.test/a.js"),
        ("<img alt='' src='missing.png'>", "console error: Failed to load resource"),
    ],
)
def test_what_a_page_may_not_do_is_a_fault(
    shown: Callable[..., Page], watch: Watch, body: str, fault: str
) -> None:
    shown(body)
    watch.expect(fault)
    watch.faults = [one for one in watch.faults if "ERR_FAILED" not in one]  # of what was stopped


def test_a_plain_page_has_no_fault(shown: Callable[..., Page], watch: Watch) -> None:
    assert shown("<h1>fine</h1>").title() == "page"
    assert watch.faults == []
    assert all(is_here(url) for url in watch.requests)


def test_a_window_that_a_page_opens_is_watched(shown: Callable[..., Page], watch: Watch) -> None:
    page = shown("<a href='about:blank' target='_blank'>more</a>")
    with page.expect_popup() as opened:
        page.get_by_text("more").click()
    opened.value.evaluate("console.error('from the second window')")
    watch.expect("from the second window")


def test_without_scripts_none_runs(shown: Callable[..., Page], watch: Watch) -> None:
    page = shown("<p>text</p><script>console.error('ran')</script>", scripts=False)
    assert page.inner_text("body") == "text"
    assert watch.faults == []


def test_a_pages_policy_can_be_switched_off_to_see_what_it_hides(
    shown: Callable[..., Page], watch: Watch
) -> None:
    meta = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    shown("<script>alert('ran')</script>", meta)
    watch.expect("Content Security Policy")
    assert watch.faults == []
    shown("<script>alert('ran')</script>", meta, unprotected=True)
    watch.expect("alert: ran")


def test_axe_finds_what_some_people_cannot_read(shown: Callable[..., Page]) -> None:
    pale = shown("<main><h1>page</h1><p style='color:#bbb;background:#fff'>pale</p></main>")
    (fault,) = grave_faults(pale)
    assert fault.startswith("serious: color-contrast, ")
    assert "#bbbbbb" in fault
    assert grave_faults(shown("<main><h1>page</h1><p>black</p></main>")) == []


def test_a_page_that_is_too_wide_says_what_sticks_out(shown: Callable[..., Page]) -> None:
    page = shown("<p>text</p><div id='wide' style='width:500px'>wide</div>", width=NARROW)
    assert any('id="wide"' in place for place in too_wide(page))
    assert too_wide(shown("<p>text</p>", width=NARROW)) == []


def test_keys_reach_what_can_be_reached_and_the_focus_shows(shown: Callable[..., Page]) -> None:
    page = shown("<a href='#a'>first</a><p>text</p><button aria-label='second'>x</button>")
    assert reached_by_keys(page) == ["first", "second"]
    hidden = shown("<a href='#a' style='outline:none'>first</a>")
    with pytest.raises(AssertionError, match="has the focus"):
        reached_by_keys(hidden)


def test_a_missing_browser_is_one_line_that_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CHROMIUM", "/nowhere/chromium")
    with pytest.raises(FileNotFoundError, match=r"no /nowhere/chromium: `make test-browser`"):
        chromium.find()
