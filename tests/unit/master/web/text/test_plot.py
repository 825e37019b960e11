"""Charts: places of lines, gaps, and scales that people can read."""

from __future__ import annotations

import pytest

from master.web.text.plot import Chart, Series, nice, plot


@pytest.mark.parametrize(
    ("value", "top"),
    [(0, 1.0), (float("nan"), 1.0), (1, 1.0), (1.2, 2.0), (3, 4.0), (7, 8.0), (99, 100.0),
     (0.03, 0.04), (123_456, 200_000.0)],
)  # fmt: skip
def test_a_scale_ends_at_a_number_with_one_digit(value: float, top: float) -> None:
    assert nice(value) == pytest.approx(top)


def test_a_line_is_inside_the_picture_and_has_its_gaps() -> None:
    values = [1.0, 2.0, None, 4.0, None, 3.0, 3.0, 3.0]
    picture = plot(Chart(range(8), [Series("rate", values)], 0.0, 7.0))
    (line,) = picture.lines
    assert line.path.count("M") == 2
    assert line.path.count("L") == 3
    assert line.dots == "M42.86 0h0"
    assert [tick.value for tick in picture.ys] == [4.0, 3.0, 2.0, 1.0, 0.0]
    assert not picture.is_empty


def test_nothing_is_an_empty_picture() -> None:
    picture = plot(Chart([], [Series("rate", [])], -60.0, 0.0))
    assert picture.is_empty
    assert [tick.value for tick in picture.xs] == [-60.0, -45.0, -30.0, -15.0, 0.0]


def test_what_is_outside_of_the_time_is_not_drawn() -> None:
    picture = plot(Chart([-100.0, -30.0, -10.0], [Series("rate", [5.0, 1.0, 2.0])], -60.0, 0.0))
    assert picture.lines[0].path.count("L") == 1


def test_a_table_has_the_newest_numbers_first_and_is_no_longer_than_people_read() -> None:
    chart = Chart(range(100), [Series("rate", [float(n) for n in range(100)])], 0.0, 100.0)
    assert chart.rows[0] == (99, [99.0])
    assert len(chart.rows) == 60


@pytest.mark.parametrize("top", [1.0, 2.0, 4.0, 5.0, 8.0, 1000.0, 0.04])
def test_the_marks_of_a_scale_are_short_numbers(top: float) -> None:
    picture = plot(Chart([0.0], [Series("rate", [top])], 0.0, 1.0))
    assert all(len(f"{tick.value:.6g}".replace(".", "")) <= 4 for tick in picture.ys)
