"""The tries of a task in a real browser: the newest in view, those before it folded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit, Window
from tests.browser.test_pages import PATIENCE_MS, goes_to, is_live
from tests.integration.processes import Master, eventually
from tests.integration.web import Web

JOB = '''\
"""Waits for a file before each try, and fails in long words."""
import pathlib
import time

from queue_manager import Options, Retry, current_task

OPTIONS = Options(attempts=40)


def tasks(gates: str):
    yield gates


def work(gates):
    at = current_task().attempt
    while not pathlib.Path(f"{gates}{at}").exists():
        time.sleep(0.02)
    print("printed by try", at, "w" * 300)
    if at < 14:
        raise Retry(0.0, reason="busy") from ValueError("w" * 300)
'''


class Gates:
    """Lets the task have one try after the other."""

    def __init__(self, web: Web, folder: Path) -> None:
        self.web, self._stem, self._open = web, folder / "gate", 0
        self.run = web.master.submit("gated", f"gates={self._stem}")
        self.path = f"/runs/{self.run}/tasks/1"

    def open(self, tries: int = 1) -> None:
        """Have it tried so often, to the end."""
        for _ in range(tries):
            self._open += 1
            Path(f"{self._stem}{self._open}").touch()
        number = self._open
        eventually(lambda: self._newest() == number, what=f"try {number}")

    def _newest(self) -> int:
        answer = self.web.get(f"/api{self.path}")
        tries = self.web.json(f"/api{self.path}")["tries"] if answer.code == 200 else []
        return int(tries[0]["number"]) if tries else 0


@pytest.fixture
def gates(start_master: Callable[..., Master], tmp_path: Path) -> Gates:
    """A run of one task, which waits for its first try."""
    expect.set_options(timeout=PATIENCE_MS)
    web = Web(start_master(MASTER_HTTP_PORT="0"))
    (web.master.jobs / "gated.py").write_text(JOB)
    web.master.worker()
    return Gates(web, tmp_path)


def test_a_new_try_comes_into_view_and_the_one_before_it_is_folded(
    gates: Gates, visit: Visit
) -> None:
    gates.open()
    page = visit(gates.web.link)
    goes_to(page, gates.web, gates.path)
    is_live(page)
    tries = page.locator("#tries")
    expect(tries.get_by_text("printed by try 1")).to_be_visible()
    gates.open()
    expect(tries.get_by_text("printed by try 2")).to_be_visible()
    expect(tries.get_by_text("printed by try 1")).to_be_hidden()
    page.locator("#try-1 summary").focus()
    page.keyboard.press("Enter")
    expect(tries.get_by_text("printed by try 1")).to_be_visible()
    gates.open()
    expect(tries.get_by_text("printed by try 3")).to_be_visible()
    expect(tries.get_by_text("printed by try 2")).to_be_hidden()
    expect(tries.get_by_text("printed by try 1")).to_be_visible()


def test_tries_can_be_read_without_javascript(gates: Gates, visit: Visit) -> None:
    gates.open(2)
    page = visit(gates.web.link, scripts=False)
    goes_to(page, gates.web, gates.path)
    tries = page.locator("#tries")
    expect(tries.get_by_text("printed by try 2")).to_be_visible()
    expect(tries.get_by_text("printed by try 1")).to_be_hidden()
    page.locator("#try-1 summary").click()
    expect(tries.get_by_text("printed by try 1")).to_be_visible()


def test_the_page_of_a_task_with_many_tries_can_be_read_everywhere(
    gates: Gates, window: Window
) -> None:
    gates.open(14)
    page = window.visit(gates.web.link)
    goes_to(page, gates.web, gates.path)
    is_live(page)
    tries = page.locator("#tries")
    expect(tries).to_contain_text("The newest 10 of 14 tries are kept.")
    expect(tries.locator("h3").first).to_contain_text("done")
    expect(tries.locator("details")).to_have_count(9)
    page.locator("#try-13 summary").click()
    expect(tries.get_by_text("printed by try 13")).to_be_visible()
    window.check(page, "task-tries")
