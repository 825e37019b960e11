"""What jobs have written, as a real browser shows it: pictures show, and nothing runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser import made
from tests.browser.conftest import Visit, Window
from tests.browser.test_pages import PATIENCE_MS, goes_to, is_live
from tests.browser.watch import Watch
from tests.integration.processes import Master
from tests.integration.web import Web

SCRIPT = "<svg xmlns='http://www.w3.org/2000/svg'><script>document.title='ran'</script></svg>"
PAGE = f"""<!doctype html><title>still</title><script>document.title='ran'</script>
<img src=x.svg onerror="document.title='ran'" onload="document.title='ran'">
<form action="/logout" method="post"><button>send</button></form>{SCRIPT}"""


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder with the pages of three jobs, and with what a stranger would put there."""
    folder = tmp_path / "shared"
    for name, make in (("images", made.images), ("mail", made.mail), ("logs", made.logs)):
        (folder / name).mkdir(parents=True)
        make(folder / name)
    (folder / "hostile").mkdir()
    (folder / "hostile" / "index.html").write_text(PAGE)
    (folder / "hostile" / "x.svg").write_text(SCRIPT)
    return folder


@pytest.fixture
def web(start_master: Callable[..., Master], shared: Path) -> Web:
    """A master whose runs may show them."""
    expect.set_options(timeout=PATIENCE_MS)
    return Web(start_master(MASTER_HTTP_PORT="0", HTTP_FILES=str(shared)))


def test_the_contact_sheet_is_reached_from_its_run_and_its_pictures_show(
    web: Web, visit: Visit, shared: Path, picture: Callable[[Page, str], Path]
) -> None:
    run = web.master.submit("given", f"out={shared}/images")
    page = visit(web.link)
    goes_to(page, web, f"/runs/{run}")
    is_live(page)
    expect(page.locator("#files")).to_contain_text("index.jsonl")
    picture(page, "run-files")
    page.get_by_role("link", name="Open its page").click()
    shown = page.locator("img").first
    expect(shown).to_be_visible()
    page.wait_for_function("[...document.images].slice(0, 6).every((one) => one.naturalWidth > 0)")
    picture(page, "contact-sheet")


@pytest.mark.parametrize("job", ["mail", "logs"])
def test_reports_look_as_their_jobs_have_made_them(web: Web, visit: Visit, job: str) -> None:
    page = visit(web.link)
    goes_to(page, web, f"/files/{job}/index.html")
    expect(page.locator("main")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.body).margin") != "8px"  # the style counts


def test_nothing_runs_in_what_a_stranger_has_written(web: Web, visit: Visit, watch: Watch) -> None:
    page = visit(web.link)
    goes_to(page, web, "/files/hostile/index.html")
    assert page.title() == "still"
    page.get_by_role("button", name="send").click()
    assert page.title() == "still"
    goes_to(page, web, "/files/hostile/x.svg")
    assert page.evaluate("document.documentElement.localName") == "svg"
    assert page.title() != "ran"
    goes_to(page, web, "/")
    is_live(page)  # nobody was logged out
    assert watch.faults
    assert all("Content Security Policy" in one or "sandbox" in one for one in watch.faults)
    watch.faults.clear()


def test_a_folder_can_be_read_everywhere(web: Web, window: Window, shared: Path) -> None:
    (shared / "images" / f"{made.HOSTILE.replace('/', '')}{'w' * 150}").write_text("x")
    page = window.visit(web.link)
    goes_to(page, web, "/folders/images")
    is_live(page)
    window.check(page, "folder")
