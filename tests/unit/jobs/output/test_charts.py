"""Columns over time: all that was counted is in them, and their marks are at round times."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from jobs.output import charts
from jobs.output.charts import Chart

HOUR, DAY = 3600, 86_400
BEGIN = 1_780_272_000  # 2026-06-01T00:00:00Z, a Monday


def chart(counts: dict[int, int], step_s: int = HOUR, zone: str = "UTC") -> Chart:
    return charts.over_time(counts, step_s, zone, "request", "requests")


@pytest.mark.parametrize("hours", [1, 23, 24, 240, 241, 5000, 200_000])
@pytest.mark.parametrize("begin", [BEGIN, BEGIN + 13 * HOUR])
def test_the_columns_have_all_that_was_counted(hours: int, begin: int) -> None:
    step = max(1, hours // 1000)
    counts = {begin + number * HOUR: 3 for number in range(0, hours, step)}
    drawn = chart(counts)
    assert sum(column.amount for column in drawn.columns) == 3 * len(counts)
    assert 1 <= len(drawn.columns) <= charts.MOST_COLUMNS
    assert max(column.height for column in drawn.columns) <= 100
    assert sum(column.width for column in drawn.columns) == pytest.approx(100)
    assert len(drawn.times) <= 8
    assert all(0 <= mark.at <= 88 for mark in drawn.times)


def test_marks_of_a_week_are_its_days() -> None:
    week = chart({BEGIN + number * HOUR: number for number in range(8, 7 * 24)})
    assert [mark.text for mark in week.times] == [
        "2 Jun",
        "3 Jun",
        "4 Jun",
        "5 Jun",
        "6 Jun",
        "7 Jun",
    ]
    assert week.times[0].at == pytest.approx(100 * 16 / 160)
    assert week.each == "hour"


def test_marks_of_a_day_are_hours_and_its_begin_has_its_date() -> None:
    day = chart({BEGIN + number * HOUR: 1 for number in range(24)})
    assert [mark.text for mark in day.times] == [
        "1 Jun", "03:00", "06:00", "09:00", "12:00", "15:00", "18:00", "21:00"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("days", "each", "marked"),
    [
        (1, "hour", "06:00"),
        (20, "3 hours", "8 Jun"),
        (300, "2 days", "8 Jun"),
        (900, "7 days", "Oct 2026"),
    ],
)
def test_many_hours_have_wider_columns(days: int, each: str, marked: str) -> None:
    drawn = chart({BEGIN: 1, BEGIN + days * DAY - HOUR: 1})
    assert drawn.each == each
    assert 3 <= len(drawn.times) <= 8
    assert marked in [mark.text for mark in drawn.times]


def test_columns_begin_at_full_hours_of_their_zone() -> None:
    drawn = chart({BEGIN + 10 * 60: 1, BEGIN + 5 * DAY: 1}, 60, "Asia/Kolkata")
    assert drawn.columns[0].title == "2026-06-01 05:00+05:30: 1 request"
    assert all(mark.text != "18:30" for mark in drawn.times)


def test_a_day_begins_where_it_does_in_the_zone_also_when_the_clocks_go_back() -> None:
    begin = int(datetime(2025, 10, 24, 22, tzinfo=UTC).timestamp())
    drawn = chart({begin + number * HOUR: 1 for number in range(73)}, zone="Europe/Berlin")
    places = {mark.text: mark.at for mark in drawn.times if "Oct" in mark.text}
    begins = {"25 Oct": 0, "26 Oct": 24, "27 Oct": 49}
    assert places == {day: pytest.approx(100 * hour / 73) for day, hour in begins.items()}


def test_a_moment_has_a_column() -> None:
    drawn = chart({BEGIN: 1, BEGIN + 900 * DAY: 5})
    assert drawn.place(BEGIN) == 0
    assert drawn.columns[drawn.place(BEGIN + 900 * DAY)].amount == 5


def test_when_the_clocks_go_back_two_hours_of_one_name_are_two_columns() -> None:
    begin = int(datetime(2025, 10, 26, 0, tzinfo=UTC).timestamp())
    drawn = chart({begin + number * HOUR: 1 for number in range(3)}, zone="Europe/Berlin")
    assert [column.name for column in drawn.columns] == [
        "2025-10-26 02:00+02:00", "2025-10-26 02:00+01:00", "2025-10-26 03:00+01:00"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("most", "marks"),
    [(1, ["0", "1"]), (2, ["0", "1", "2"]), (7, ["0", "4", "8"]), (10, ["0", "5", "10"]),
     (11, ["0", "6", "12"]), (221, ["0", "125", "250"]), (81_000, ["0", "50,000", "100,000"])],
)  # fmt: skip
def test_heights_are_round_numbers(most: int, marks: list[str]) -> None:
    drawn = chart({BEGIN: most, BEGIN + HOUR: 1})
    assert [mark.text for mark in drawn.heights] == marks
    assert drawn.highest.amount == most
    assert drawn.columns[0].height == pytest.approx(100 * most / int(marks[-1].replace(",", "")))
