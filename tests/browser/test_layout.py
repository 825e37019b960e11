"""No button and no short name breaks within a word, and nothing is cut without a sign."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import NARROW, Visit
from tests.browser.test_pages import PATIENCE_MS, goes_to
from tests.integration.processes import Master, eventually
from tests.integration.web import Web, pages_with

WIDE = 1400

JOB = '''\
"""Fails with a long text."""


def tasks():
    yield {"words": "many words " * 30}


def work(task):
    raise ValueError(task["words"] + "x" * 100)
'''

STUCK = '''\
"""Its runner is given up behind one task."""


def tasks():
    yield 1
    raise OSError("no disk here")


def work(n):
    return n
'''

LINES = """element => {
    const range = document.createRange(); range.selectNodeContents(element);
    let lines = 0, end = -Infinity;
    for (const one of range.getClientRects()) {
        if (one.top >= end - 1) { lines += 1; end = one.bottom; }
    }
    return lines
}"""
"""In how many lines the text of an element is."""


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with a failed run of a long text."""
    expect.set_options(timeout=PATIENCE_MS)
    return pages_with(start_master, trouble=JOB, stuck=STUCK)


def stand_in_one_line(found: Locator) -> None:
    expect(found.first).to_be_visible()
    for one in found.all():
        assert one.evaluate(LINES) == 1, one.inner_text()


def test_buttons_and_short_names_stand_in_one_line(
    web: Web, visit: Visit, picture: Callable[[Page, str], Path]
) -> None:
    web.master.worker()
    run = web.master.submit("trouble")
    eventually(lambda: web.master.run_line(run)["state"] == "failed", what="a failed run")
    page = visit(web.link, width=WIDE)
    for name, path in (
        ("failures", "/failures"), ("run", f"/runs/{run}"), ("letters", f"/runs/{run}/failures"),
    ):  # fmt: skip
        goes_to(page, web, path)
        picture(page, f"layout-{name}-{WIDE}")
        stand_in_one_line(page.locator("main .button"))
        stand_in_one_line(page.locator("td .whole"))
        assert page.evaluate("document.documentElement.scrollWidth") == WIDE
        expect(page.locator('[data-label="Workers"]').first).to_contain_text("\u00d7 1")
    boxes = [box for one in page.locator(".filter label").all() if (box := one.bounding_box())]
    assert len(boxes) == 4
    assert len({round(box["y"]) for box in boxes}) == 1, "the filters stand in one line"
    table = page.locator("#letters table").bounding_box()
    button = page.locator("#actions .button").bounding_box()
    assert table
    assert button
    assert table["y"] - (button["y"] + button["height"]) > 8, "a gap above the table"
    goes_to(page, web, "/failures")
    expect(page.locator('td[data-label="Run"] .whole')).to_have_text("trouble")


def test_a_small_phone_shows_values_whole(
    web: Web, visit: Visit, picture: Callable[[Page, str], Path]
) -> None:
    run = web.master.submit("trouble")
    page = visit(web.link, width=NARROW)
    eventually(lambda: web.master.run_line(run)["tasks"] == "1", what="a task")
    goes_to(page, web, f"/runs/{run}/tasks/1")
    expect(page.locator("pre").first).to_contain_text("many words")
    for one in page.locator("pre").all():
        assert one.evaluate("e => e.scrollWidth - e.clientWidth") == 0
    picture(page, f"layout-task-{NARROW}")


def test_a_stalled_run_goes_on_by_a_button(
    web: Web, visit: Visit, picture: Callable[[Page, str], Path]
) -> None:
    web.master.worker()
    run = web.master.submit("stuck")
    web.master.process.says(rf"run {run} \(stuck\) is stalled")
    eventually(lambda: web.master.run_line(run)["done"] == "1", what="its one task")
    page = visit(web.link)
    goes_to(page, web, f"/runs/{run}")
    expect(page.locator("#progress .bar-stalled")).to_be_visible()
    expect(page.locator("#progress")).not_to_contain_text("100 %")
    picture(page, "stalled")
    page.get_by_role("link", name="Go on", exact=True).click()
    picture(page, "stalled-asks")
    expect(page.locator("main")).not_to_contain_text("0 dead letters")
    expect(page.locator("main .field")).to_have_count(0)
    page.get_by_role("button", name="Go on", exact=True).click()
    expect(page).to_have_url(re.compile(rf"/runs/{run}$"))
    expect(page.locator(".said")).to_contain_text("its runner starts again")
    web.master.process.says(rf"run {run} \(stuck\): its runner starts again, asked by a browser")
    mended = STUCK.replace('raise OSError("no disk here")', "yield 2")
    (web.master.jobs / "stuck.py").write_text(mended)
    eventually(lambda: web.master.run_line(run)["state"] == "done", what="a run that went on")
    expect(page.locator("#head")).to_contain_text("done")  # pages share what was so a moment ago
    goes_to(page, web, f"/runs/{run}/retry")
    expect(page.locator("main button")).to_have_count(0)
    goes_to(page, web, f"/runs/{run}/cancel")
    expect(page.locator("main button")).to_have_count(0)
    picture(page, "nothing-to-cancel")
