"""What one can have done from the pages, in a real browser: by mouse, by keyboard, on a phone."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Window
from tests.browser.test_pages import goes_to
from tests.browser.watch import Watch
from tests.integration.processes import Master
from tests.integration.web import Web, pages_with

PATIENCE_MS = 60_000
LINES = '''\
"""Reads lines. Half of them has no number, the other half no name."""
from collections.abc import Iterator

NAMES: dict[int, str] = {}


def tasks(count: int = 20) -> Iterator[dict[str, int]]:
    yield from ({"line": line} for line in range(count))


def work(task: dict[str, int]) -> str:
    print("reads line", task["line"])
    if task["line"] % 2:
        return str(int("seven"))
    return NAMES[task["line"]]
'''
MENDED = LINES.replace('int("seven")', 'int("7")')


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and a job that fails in two ways."""
    expect.set_options(timeout=PATIENCE_MS)
    return pages_with(start_master, lines=LINES)


def failed(web: Web) -> int:
    run = web.master.submit("lines")
    web.master.ended_tasks(run, 20)
    return run


def test_one_kind_of_failure_is_tried_again_once_its_file_was_mended(
    web: Web, visit: Visit, axe: Callable[[Page], None], picture: Callable[[Page, str], Path]
) -> None:
    web.master.worker()
    run = failed(web)
    page = visit(web.link)
    page.get_by_role("link", name="Failures", exact=True).click()
    expect(page.locator("#groups tbody tr")).to_have_count(2)
    axe(page)
    picture(page, "failures")
    page.get_by_role("link", name="ValueError@lines.py:14", exact=True).click()
    expect(page.locator("#letters tbody tr")).to_have_count(10)
    axe(page)
    picture(page, "run-failures")
    (web.master.jobs / "lines.py").write_text(MENDED)
    page.get_by_role("link", name="Try these again").click()
    expect(page.get_by_label("Failure")).to_have_value("ValueError@lines.py:14")
    page.get_by_label("Reason").fill("seven is written as 7 now")
    axe(page)
    picture(page, "retry")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".said")).to_have_text(f"Run {run}: 10 dead letters are tried again.")
    expect(page.locator("#progress")).to_contain_text("20 of 20 tasks have ended")
    page.get_by_role("link", name="Failures").last.click()
    expect(page.locator("#groups")).to_contain_text("KeyError@lines.py:15")
    expect(page.locator("#groups")).not_to_contain_text("ValueError")
    goes_to(page, web, f"/runs/{run}/tasks/2")
    expect(page.locator("#facts")).to_contain_text("seven is written as 7 now")
    axe(page)


def test_a_run_is_cancelled_by_keys_alone(web: Web, visit: Visit) -> None:
    run = web.master.submit("square", "count=500")
    page = visit(web.link)
    goes_to(page, web, f"/runs/{run}")
    expect(page.locator("#progress")).to_contain_text("0 of 500")
    cancel = page.get_by_role("link", name="Cancel", exact=True)
    for _ in range(30):
        page.keyboard.press("Tab")
        if cancel.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading")).to_have_text(f"Cancel run {run}?")
    sure = page.get_by_role("button", name="Cancel the run")
    for _ in range(30):
        page.keyboard.press("Tab")
        if sure.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".said")).to_have_text(f"Run {run} was cancelled: 500 tasks are not done.")
    expect(page.locator("#head")).to_contain_text("cancelled")


def test_pages_of_failures_and_tasks_can_be_read_everywhere(web: Web, window: Window) -> None:
    web.master.worker()
    run = failed(web)
    page = window.visit(web.link)
    for name, path in (
        ("failures", "/failures"), ("run-failures", f"/runs/{run}/failures?error=KeyError"),
        ("task", f"/runs/{run}/tasks/2"), ("retry", f"/runs/{run}/retry?error=KeyError"),
        ("forget", f"/runs/{run}/forget"), ("run-failed", f"/runs/{run}"),
    ):  # fmt: skip
        goes_to(page, web, path)
        expect(page.locator("h1").first).to_be_visible()
        window.check(page, name)


def test_without_javascript_a_wrong_field_is_told_and_what_was_typed_stays(
    web: Web, visit: Visit, watch: Watch
) -> None:
    web.master.worker()
    run = failed(web)
    page = visit(web.link, scripts=False)
    goes_to(page, web, f"/runs/{run}/retry")
    page.get_by_label("Worker").fill("<b>nobody</b>")
    page.get_by_label("Died since").fill("noon")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#wrong-since")).to_contain_text("'noon' is no time")
    watch.expect("400")
    expect(page.get_by_label("Worker")).to_have_value("<b>nobody</b>")
    page.get_by_label("Died since").fill("")
    page.get_by_label("Worker").fill("")
    page.get_by_label("Failure").fill("KeyError")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".said")).to_have_text(re.compile("10 dead letters are tried again"))
