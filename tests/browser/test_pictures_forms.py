"""The pictures of docs/dashboard.md that show workers, schedules and a form, as a user has them.

`make pictures` copies them from .cache/screenshots to docs/pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.browser.test_pages import PATIENCE_MS, goes_to
from tests.browser.test_workers import TELLS_MS
from tests.integration.processes import Master
from tests.integration.web import Web

LARGEST_BYTES = 100_000

JOB = '''\
"""Makes small pictures of large ones."""
import time
from typing import Literal


def tasks(
    folder: str, width: int = 800, format: Literal["png", "webp"] = "webp", upscale: bool = False
):
    """The pictures of a folder.

    Args:
        folder: where the pictures are, such as /shared/pictures
        width: how wide they will be, in pixels
        upscale: make small ones larger, too
    """
    yield from range(40)


def work(n):
    pixels = b"." * ((40 + 30 * n) << 20)
    time.sleep(600)
'''


@pytest.fixture
def web(start_master: Callable[..., Master]) -> Web:
    """A master with a job, three schedules and two workers that are busy."""
    expect.set_options(timeout=PATIENCE_MS)
    master = start_master(MASTER_HTTP_PORT="0")
    (master.jobs / "resize.py").write_text(JOB)
    for words in (
        ("nightly", "0 3 * * *", "resize", "folder=/shared/new", "--zone", "Europe/Berlin"),
        ("half-hourly", "*/30 * * * *", "square", "count=20"),
        ("monthly", "@monthly", "resize", "folder=/shared/all", "width=1600"),
    ):
        assert master.command("schedule", "add", *words).code == 0
    assert master.command("schedule", "pause", "monthly").code == 0
    master.worker(WORKER_SLOTS="4", WORKER_NAME="berlin", WORKER_TAGS="gpu,bigmem")
    master.worker(WORKER_SLOTS="2", WORKER_NAME="tokyo")
    return Web(master)


def taken(page: Page, name: str, picture: Callable[[Page, str], Path]) -> None:
    """Take a picture that is small enough for the documents."""
    path = picture(page, f"{name}-light-1280")
    assert path.stat().st_size < LARGEST_BYTES


def test_the_pictures_of_the_documents(
    web: Web, visit: Visit, picture: Callable[[Page, str], Path]
) -> None:
    web.master.submit("resize", "folder=/shared/pictures")
    page = visit(web.link)
    goes_to(page, web, "/workers")
    expect(page.locator("#list .running li")).to_have_count(6)
    uses = page.locator('[data-label="Processors"]', has_text=" of ")
    expect(uses).to_have_count(2, timeout=TELLS_MS)
    expect(page.locator('[data-label="Memory"] a', has_text="task")).to_have_count(2)
    taken(page, "page-workers", picture)
    goes_to(page, web, "/schedules")
    expect(page.locator("#list tbody tr")).to_have_count(3)
    taken(page, "page-schedules", picture)
    goes_to(page, web, "/submit/resize?arg.folder=/shared/pictures&arg.width=640")
    expect(page.get_by_label("width")).to_have_value("640")
    taken(page, "page-submit", picture)
