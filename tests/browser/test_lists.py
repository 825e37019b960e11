"""Lists of a run's tasks in a real browser: live, by keys alone, without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit, Window
from tests.browser.test_pages import PATIENCE_MS, goes_to, is_live
from tests.browser.watch import Watch
from tests.integration.processes import Master
from tests.integration.test_web_actions import LINES
from tests.integration.test_web_again import KINDS, failed_twice
from tests.integration.test_web_lists import JOB, standing
from tests.integration.web import Web


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with pages, and jobs with tasks in each state."""
    expect.set_options(timeout=PATIENCE_MS)
    master = start_master(MASTER_HTTP_PORT="0")
    for name, text in (("stands", JOB), ("lines", LINES), ("kinds", KINDS)):
        (master.jobs / f"{name}.py").write_text(text)
    return Web(master)


def test_a_list_of_tasks_changes_while_one_looks(web: Web, visit: Visit) -> None:
    run = web.master.submit("square", "count=5")
    page = visit(web.link)
    goes_to(page, web, f"/runs/{run}")
    page.locator("#progress").get_by_role("link", name="5").click()
    expect(page.locator("#list tbody tr")).to_have_count(5)
    is_live(page)
    web.master.worker()
    expect(page.locator("#list")).to_contain_text("No such task")
    page.get_by_role("link", name="done 5").click()
    expect(page.locator("#list tbody tr")).to_have_count(5)


def test_lists_can_be_read_everywhere(web: Web, window: Window) -> None:
    run = standing(web)
    page = window.visit(web.link)
    for state in ("waiting", "leased", "delayed", "done", "dead", "cancelled"):
        goes_to(page, web, f"/runs/{run}/tasks?state={state}")
        is_live(page)
        window.check(page, f"tasks-{state}")
    goes_to(page, web, f"/runs/{run}")
    is_live(page)
    window.check(page, "run-counts")


def test_a_task_is_found_by_its_number_with_keys_alone(
    web: Web, visit: Visit, watch: Watch, axe: Callable[[Page], None]
) -> None:
    run = web.master.submit("square", "count=5")
    page = visit(web.link)
    goes_to(page, web, f"/runs/{run}")
    expect(page.locator("#progress")).to_contain_text("0 of 5")
    field = page.get_by_label("Task number")
    for _ in range(40):
        page.keyboard.press("Tab")
        if field.evaluate("one => one === document.activeElement"):
            break
    page.keyboard.type("4")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(rf"/runs/{run}/tasks/4$"))
    goes_to(page, web, f"/runs/{run}")
    page.get_by_label("Task number").fill("four")
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_contain_text("'four' is no number of a task, such as 1")
    watch.expect("404")
    axe(page)


def test_without_javascript_each_state_and_each_task_is_reached(web: Web, visit: Visit) -> None:
    run = standing(web)
    page = visit(web.link, scripts=False)
    goes_to(page, web, f"/runs/{run}")
    page.get_by_label("Task number").fill("3")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("heading", name=re.compile("Task 3"))).to_be_visible()
    goes_to(page, web, f"/runs/{run}/tasks")
    page.get_by_role("link", name="running 1").click()
    expect(page.locator("#list tbody tr")).to_contain_text(["5"])


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_a_run_is_submitted_again_with_its_arguments(web: Web, visit: Visit, scripts: bool) -> None:
    run = web.master.submit("kinds", "text=a=b&c\n  <b>", "deep=yes", "note=x y")
    page = visit(web.link, scripts=scripts)
    goes_to(page, web, f"/runs/{run}")
    page.get_by_role("link", name="Submit again").press("Enter")
    expect(page).to_have_url(re.compile(rf"/submit/kinds\?run={run}$"))
    expect(page.locator("main")).to_contain_text(f"The arguments are those of run {run}.")
    expect(page.get_by_label("text")).to_have_value("a=b&c\n  <b>")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator(".said")).to_have_text(f"Run {run + 1} was submitted.")
    ours, theirs = (web.json(f"/api/runs/{one}")["run"]["args"] for one in (run, run + 1))
    assert sorted(ours) == sorted(theirs)


def test_one_failure_of_several_runs_is_tried_again(web: Web, window: Window) -> None:
    one, two = failed_twice(web)
    page = window.visit(web.link)
    goes_to(page, web, "/failures")
    is_live(page)
    window.check(page, "failures-of-runs")
    page.get_by_role("link", name="Try ValueError@lines.py:11 of job lines again").click()
    expect(page.get_by_label("Reason")).to_be_visible()
    window.check(page, "retry-runs")
    page.get_by_label(f"run {one}").uncheck()
    page.get_by_label("Reason").fill("mended")
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".said")).to_contain_text(f"run {two}: 2")
    expect(page.locator(".said")).not_to_contain_text(f"run {one}:")


def test_an_open_page_of_who_has_logged_out_asks_for_the_token(
    web: Web, visit: Visit, watch: Watch
) -> None:
    page = visit(web.link)
    is_live(page)
    other = page.context.new_page()
    goes_to(other, web, "/runs")
    other.get_by_role("button", name="Log out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    watch.expect("401")
