"""The pages that jobs leave: readable for everybody, whole by themselves, and without a script."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser import made
from tests.browser.conftest import NARROW, WIDE, Visit
from tests.browser.watch import Watch, reached_by_keys

JOBS = ("mail", "logs", "images")
EMPTY = ("mail_without_trouble", "logs_without_requests", "images_without_pictures")
EVIL = ("mail_hostile", "logs_hostile", "images_hostile")
LOOKS = {"light": (WIDE, False), "dark": (WIDE, True), "phone": (NARROW, False)}
Check = Callable[[Page], None]


@pytest.fixture(scope="session")
def page_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The page that a function of `made` writes, once for all tests."""
    pages: dict[str, Path] = {}

    def path(name: str) -> Path:
        if name not in pages:
            pages[name] = getattr(made, name)(tmp_path_factory.mktemp(name))
        return pages[name]

    return path


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("name", [*JOBS, *EMPTY, *EVIL])
def test_everybody_can_read_it(
    visit: Visit,
    page_of: Callable[[str], Path],
    axe: Check,
    fits: Check,
    picture: Callable[[Page, str], Path],
    name: str,
    look: str,
) -> None:
    width, dark = LOOKS[look]
    page = visit(page_of(name), width=width, dark=dark)
    picture(page, f"{name.replace('_', '-')}-{look}")
    axe(page)
    fits(page)
    assert page.locator("h1").count() == 1


@pytest.mark.parametrize("name", JOBS)
def test_it_asks_for_nothing_but_its_own_files(
    visit: Visit,
    page_of: Callable[[str], Path],
    serve: Callable[[Path], str],
    watch: Watch,
    name: str,
) -> None:
    path = page_of(name)
    address = serve(path.parent)
    visit(path)
    page = visit(address)
    ours = (address, f"{path.parent.as_uri()}/", "data:")
    assert [url for url in watch.requests if not url.startswith(ours)] == []
    assert {url.partition(":")[0] for url in watch.requests} >= {"file", "http"}
    for link in page.locator("header a").all():
        assert page.request.get(f"{address}{link.get_attribute('href')}").ok


@pytest.mark.parametrize("name", [*JOBS, *EMPTY])
def test_it_says_the_same_without_scripts(
    visit: Visit, page_of: Callable[[str], Path], name: str
) -> None:
    without = visit(page_of(name), scripts=False).inner_text("body")
    assert without == visit(page_of(name)).inner_text("body")
    assert len(without) > 40


@pytest.mark.parametrize("name", EVIL)
def test_what_others_wrote_runs_nothing_even_without_the_policy(
    visit: Visit, page_of: Callable[[str], Path], watch: Watch, name: str
) -> None:
    page = visit(page_of(name), unprotected=True)
    assert page.locator("script, [onerror]").count() == 0
    assert "<script>alert('ran')</script>" in (page.text_content("main") or "")
    assert not any(url.endswith("/x") for url in watch.requests)


@pytest.mark.parametrize("name", JOBS)
def test_a_script_that_got_in_all_the_same_would_be_stopped(
    visit: Visit, page_of: Callable[[str], Path], watch: Watch, name: str
) -> None:
    bitten = page_of(name).with_name("bitten.html")
    evil = "<script>alert('ran')</script><img src='http://192.0.2.1/'>"
    bitten.write_text(page_of(name).read_text("utf-8").replace("<main>", f"<main>{evil}"), "utf-8")
    visit(bitten)
    watch.expect("Content Security Policy")
    watch.faults = [one for one in watch.faults if "Failed to load resource" not in one]
    assert not [one for one in watch.faults if "ran" in one.split(": ")[-1]]


@pytest.mark.parametrize("name", JOBS)
def test_keys_reach_every_link_and_every_table_that_scrolls(
    visit: Visit, page_of: Callable[[str], Path], name: str
) -> None:
    page = visit(page_of(name), width=NARROW)
    wanted = page.locator("a[href], summary, [tabindex='0']").filter(visible=True).count()
    assert wanted >= 3
    assert len(reached_by_keys(page)) == wanted


@pytest.mark.parametrize("name", ["mail", "logs"])
def test_a_chart_has_axes_and_words_for_those_who_do_not_see_it(
    visit: Visit, page_of: Callable[[str], Path], name: str
) -> None:
    page = visit(page_of(name), width=NARROW)
    chart = page.get_by_role("img").first
    said = r" by (hour|minute), the numbers are below\. The most: 2026-06-0\d \d\d:\d\d: "
    assert re.search(said, chart.aria_snapshot())
    heights = page.locator(".heights i")
    assert heights.count() >= 2
    assert page.locator(".times span:visible").count() >= 3
    box = heights.last.bounding_box()
    assert box is not None
    assert box["height"] >= 10  # px: the texts are no part of the drawing, which shrinks


def test_a_contact_sheet_shows_its_pictures(visit: Visit, page_of: Callable[[str], Path]) -> None:
    page = visit(page_of("images"))
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()
    page.wait_for_function("[...document.images].every((one) => one.complete)")
    drawn = page.evaluate("[...document.images].filter((one) => one.naturalWidth > 0).length")
    assert drawn == page.locator("img").count() == 40
    assert page.locator("h1").inner_text() == "40 images of gallery.example"
