"""The line that says how far a crawl is."""

from __future__ import annotations

import pytest

from jobs.crawl.keep.totals import Totals
from queue_manager import Counts

GOING = Counts(tasks=9, done=5, dead=1, waiting=2, leased=1, delayed=0, left_s=42.0, per_s=2.0)
OVER = Counts(tasks=9, done=9, dead=0, waiting=0, leased=0, delayed=0)
RESULTS = [
    {"page": 3, "bytes": 1000},
    {"page": 0, "bytes": 500, "unchanged": True},
    {"file": "ab/c.png", "type": "png", "bytes": 2_000_000},
    {"file": "ab/d.png", "type": "png", "bytes": 7, "unchanged": True},
    {"skip": "status 404"},
    {"robots": "site.test"},
    {"redirect": "http://site.test/"},
    {"links": 5},
    {"is": "a page"},
]


def test_the_line_adds_up_what_came() -> None:
    totals = Totals()
    for result in RESULTS:
        totals.add(result)
    assert totals.line(GOING) == (
        "images: 2 pages, 2 images, 2.0 MB, 2.0 addresses a second, 2 unchanged, 1 skipped,"
        " 1 failed, about 42 s left"
    )


def test_what_is_not_there_is_not_said() -> None:
    totals = Totals()
    totals.add({"css": 2, "bytes": 10})
    assert totals.line(OVER) == "images: 0 pages, 0 images, 0 B, 0.0 addresses a second, 0 failed"


def test_links_that_were_left_out_are_skips() -> None:
    totals = Totals()
    totals.add({"page": 3, "bytes": 1000, "left_out": 70})
    assert (totals.pages, totals.skipped) == (1, 70)


@pytest.mark.parametrize("left", ["dead", "waiting", "leased", "delayed"])
def test_a_run_is_whole_when_nothing_failed_or_is_left(left: str) -> None:
    totals = Totals()
    totals.line(OVER)
    assert totals.whole
    counts = {"dead": 0, "waiting": 0, "leased": 0, "delayed": 0, left: 1}
    totals.line(Counts(tasks=9, done=8, **counts))
    assert not totals.whole
