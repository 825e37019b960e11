"""Charts: columns that have all requests, and labels at their places."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.weblog.show import charts


def hours(begin: str, count: int, requests: int = 3) -> list[dict[str, Any]]:
    """Rows of the list `hour`."""
    first = datetime.fromisoformat(begin)
    return [
        {
            "value": (first + timedelta(hours=n)).astimezone(UTC).strftime("%Y-%m-%dT%H:00Z"),
            "requests": requests,
            "bytes": 10,
        }
        for n in range(count)
    ]


@pytest.mark.parametrize("count", [1, 24, 5000])
def test_the_columns_have_all_requests(count: int) -> None:
    chart = charts.over_time(hours("2025-01-01T00:00Z", count), "UTC")
    assert len(chart.bars) <= 240
    assert sum(bar.requests for bar in chart.bars) == 3 * count
    assert sum(bar.size for bar in chart.bars) == 10 * count
    assert max(bar.height for bar in chart.bars) == charts.HEIGHT
    assert chart.bars[0].title == f"2025-01-01 00:00+00:00: {chart.bars[0].requests} requests"


@pytest.mark.parametrize(
    ("most", "texts"),
    [
        (1, ["1"]),
        (4, ["1", "2", "3", "4"]),
        (5, ["2", "4"]),
        (60, ["20", "40", "60"]),
        (1274, ["500", "1,000"]),
        (123_456_789, ["50,000,000", "100,000,000"]),
    ],
)
def test_the_labels_of_the_height_are_round(most: int, texts: list[str]) -> None:
    up = charts.over_time(hours("2025-01-01T00:00Z", 3, most), "UTC").up
    assert [label.text for label in up] == texts
    assert [label.place for label in up] == [
        100 * int(text.replace(",", "")) / most for text in texts
    ]


@pytest.mark.parametrize(
    ("count", "texts"),
    [
        (1, ["13:00"]),
        (8, ["13:00", "14:00", "15:00", "16:00", "17:00", "18:00", "19:00", "20:00"]),
        (40, ["18:00", "02 Oct", "06:00", "12:00", "18:00", "03 Oct"]),
        (7 * 24, ["02 Oct", "03 Oct", "04 Oct", "05 Oct", "06 Oct", "07 Oct", "08 Oct"]),
        (1500, ["13 Oct", "27 Oct", "10 Nov", "24 Nov"]),
        (4000, ["13 Oct 2025", "10 Nov 2025", "08 Dec 2025", "05 Jan 2026", "02 Feb 2026",
                "02 Mar 2026"]),
    ],
)  # fmt: skip
def test_the_labels_of_the_width_are_hours_or_days(count: int, texts: list[str]) -> None:
    chart = charts.over_time(hours("2025-10-01T13:00Z", count), "UTC")
    assert [label.text for label in chart.along] == texts
    assert all(label.place < 100 for label in chart.along)


def test_a_day_begins_where_it_does_in_the_zone_also_when_the_clocks_go_back() -> None:
    along = charts.over_time(hours("2025-10-24T22:00Z", 73), "Europe/Berlin").along
    places = {label.text: label.place for label in along if "Oct" in label.text}
    begins = {"25 Oct": 0, "26 Oct": 24, "27 Oct": 49}
    assert places == {day: pytest.approx(100 * hour / 73) for day, hour in begins.items()}


def test_without_a_request_there_is_no_chart() -> None:
    assert charts.over_time([], "UTC") == charts.Chart([], [], [], 1)
