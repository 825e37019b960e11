"""Lists count each request once, whichever columns a log has and however many values it has."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from jobs.weblog import work
from jobs.weblog.count import counted
from jobs.weblog.count.summary import Summary
from jobs.weblog.count.tops import Entries, Entry, Top
from jobs.weblog.show.report import Report, as_data
from tests.unit.jobs.weblog.logs_made import asked, counts, line, run

START = '{"time": "2025-10-01T13:00:07Z", "client": "192.0.2.1", '
ONE_OF_TWO = {
    "path only": (START + '"path": "/p"}', {"-": 1}, {"/p": 1}),
    "method only": (START + '"method": "PUT"}', {"PUT": 1}, {"-": 1}),
    "path and request": (
        START + '"path": "/p", "request": "GET /q HTTP/1.1"}',
        {"GET": 1},
        {"/p": 1},
    ),
    "method and request": (
        START + '"method": "PUT", "request": "GET /q HTTP/1.1"}',
        {"PUT": 1},
        {"/q": 1},
    ),
    "request only": (START + '"request": "GET /q HTTP/1.1"}', {"GET": 1}, {"/q": 1}),
    "none": (START + '"status": 200}', {"-": 1}, {"-": 1}),
}


def written(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{each}\n" for each in lines))
    return path


@pytest.fixture
def few_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counted, "MOST_VALUES", 20)


@pytest.mark.parametrize(("text", "methods", "paths"), ONE_OF_TWO.values(), ids=ONE_OF_TWO)
def test_a_method_and_a_path_count_once_whichever_of_them_is_a_column(
    tmp_path: Path, text: str, methods: dict[str, int], paths: dict[str, int]
) -> None:
    report = run([written(tmp_path / "a.log", [text])])
    assert (counts(report, "method"), counts(report, "path")) == (methods, paths)


@pytest.mark.usefixtures("few_values")
@pytest.mark.parametrize("form", ["combined", "json"])
def test_many_lines_of_few_methods_and_paths_lose_nothing(tmp_path: Path, form: str) -> None:
    lines = [line(request=f"GET /{n % 3}?{n} HTTP/1.1") for n in range(300)]
    if form == "json":
        lines = [f'{START}"method": "GET", "path": "/{n % 3}?{n}"}}' for n in range(300)]
    report = run([written(tmp_path / "a.log", lines)], query=False)
    assert counts(report, "method") == {"GET": 300}
    assert counts(report, "path") == {"/0": 100, "/1": 100, "/2": 100}
    assert report.summary.tops["path"].lost == report.summary.tops["method"].lost == 0


def test_all_hours_are_kept_whatever_keep_says(tmp_path: Path) -> None:
    lines = [line(time=f"01/Oct/2025:{n:02}:00:00 +0000", status=f"2{n:02}") for n in range(24)]
    report = run([written(tmp_path / "a.log", lines)], keep=3)
    assert len(counts(report, "hour")) == len(counts(report, "status")) == 24


def test_a_result_stays_small_however_long_its_values_are(tmp_path: Path) -> None:
    long = [random.Random(n).randbytes(60_000).hex() for n in range(40)]
    big = [f'{START}"status": "{text}"}}' for text in long[:20]]
    big += [f'{{"time": 1759323607, "client": "{text}"}}' for text in long[20:]]
    path = written(tmp_path / "a.log", big)
    plan = work.plan_run({"patterns": [str(path)], "asked": asked().packed()})
    (task,) = plan.follow
    assert len(work.count_range(task.payload)["packed"]) < 100_000


def test_values_that_are_the_same_text_are_added_up() -> None:
    top = Top()
    top.merge(Entries.of([Entry("a", 3, 2, 30), Entry("a", 4, 2, 40)]), lost=2)
    assert top.first() == [Entry("a", 7, 4, 70)]


def test_a_value_that_is_not_shown_came_no_more_often_than_the_report_says() -> None:
    summary = Summary(["path"])
    summary.tops["path"].merge(Entries.of([Entry("/a", 9, 0, 0), Entry("/b", 5, 4, 0)]), lost=1)
    report = Report(summary, files=1, planned=1, read=1, top=1, zone="UTC")
    assert as_data(report)["lists"]["path"]["others_at_most_each"] == 9
    summary.tops["path"].merge(Entries.of([Entry("/c", 6, 7, 0)]), lost=1)
    assert as_data(report)["lists"]["path"]["others_at_most_each"] == 14
