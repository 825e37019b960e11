"""The page of the job `logs`: room for values, texts of clients, and the chart."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from jobs.weblog.show import page as pages
from jobs.weblog.show.report import as_data
from tests.browser.conftest import NARROW, WIDE, Visit
from tests.unit.jobs.weblog.logs_made import line, many, run

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with long values, with what a page could take for its own, and of two files."""
    folder = tmp_path_factory.mktemp("report")
    long = line(
        request=f"GET /{'x' * 250} HTTP/1.1", client="2001:db8:1111:2222:3333:4444:5555:6666"
    )
    evil = line(request=f"GET /{EVIL} HTTP/1.1", rest=f' "-" "{EVIL}"', status="404")
    (folder / "a.log").write_text("".join(f"{each}\n" for each in [*many(3000), long, evil, EVIL]))
    (folder / "b.log").write_text(f"{line(time='04/Oct/2025:13:00:07 +0000')}\n" * 7)
    found = run([folder / "*.log"])
    (folder / "index.html").write_text(pages.html_of(found, as_data(found)))
    return folder / "index.html"


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_each_value_has_room(report: Path, visit: Visit, width: int) -> None:
    page = visit(report, width=width)
    first = page.locator("tbody tr:first-child > th")
    widths = [place.bounding_box() for place in first.all() if place.is_visible()]
    assert widths
    assert all(box and box["width"] > 90 for box in widths), "a value has no room"


def test_what_a_client_sent_is_text_also_where_nothing_protects_the_page(
    report: Path, visit: Visit
) -> None:
    page = visit(report, unprotected=True)  # a script that ran would be a fault: it opens a dialog
    expect(page.get_by_text(f"/{EVIL}").first).to_be_visible()


def test_the_labels_of_the_chart_are_beside_it_and_its_numbers_open_without_a_script(
    report: Path, visit: Visit
) -> None:
    page = visit(report, width=NARROW, scripts=False)
    chart = page.locator(".chart svg").bounding_box()
    assert chart
    for place in page.locator(".heights i").all():
        box = place.bounding_box()
        assert box
        assert 0 <= box["x"] < box["x"] + box["width"] <= chart["x"]
    day = page.locator(".times span", has_text="4 Oct").bounding_box()
    assert day
    hours = 3 * 24 + 14  # from the first day's midnight to the end of the last hour
    assert abs(day["x"] - chart["x"] - chart["width"] * 72 / hours) < 2
    numbers = page.locator("details th", has_text="2025-10-04 13:00")
    expect(numbers).to_be_hidden()
    page.get_by_text("The same as numbers").click()
    expect(numbers).to_be_visible()
