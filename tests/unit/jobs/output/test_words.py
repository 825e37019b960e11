"""Numbers, times and foreign texts for people."""

from __future__ import annotations

import pytest

from jobs.output import words

AT = 1_780_300_968.0  # 2026-06-01T08:02:48Z


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (12_345_678, "12.3 MB"), (5e9, "5.0 GB"),
     (5e12, "5.0 TB"), (5e16, "50,000.0 TB")],
)  # fmt: skip
def test_bytes_for_people(count: float, text: str) -> None:
    assert words.size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s"), (99.0, "99 s"), (100.0, "2 min"), (5999.0, "100 min"), (6000.0, "1.7 h")],
)
def test_a_time_for_people(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 files"), (1, "1 file"), (2, "2 files"), (12_000, "12,000 files")]
)
def test_one_of_something_has_no_s(number: int, text: str) -> None:
    assert words.counted(number, "file") == text
    assert words.counted(2, "entry", "entries") == "2 entries"


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 9, "0.0 %"), (1, 3, "33.3 %"), (1, 100_000, "< 0.1 %"), (9, 9, "100.0 %"), (0, 0, "–")],  # noqa: RUF001
)
def test_a_share_that_is_there_is_more_than_nothing(part: int, whole: int, text: str) -> None:
    assert words.share(part, whole).replace("\xa0", " ") == text


def test_a_span_names_a_day_once() -> None:
    assert words.span(AT, AT + 30) == "1 June 2026, 08:02 to 08:03"
    assert words.span(AT, AT + 1) == "1 June 2026, 08:02"
    assert words.span(AT, AT + 86_400) == "1 June 2026, 08:02 to 2 June 2026, 08:02"
    assert words.span(AT, AT + 10 * 86_400) == "1 June 2026, 08:02 to 11 June 2026, 08:02"
    assert words.span(AT, AT + 3600, "Asia/Kolkata") == "1 June 2026, 13:32 to 14:32"


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "  =1", "＝1"])  # noqa: RUF001
def test_a_cell_is_no_formula(text: str) -> None:
    assert words.cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "-", "a=1", "ann@example.org", "/-"])
def test_a_cell_that_is_no_formula_stays_as_it_is(text: str) -> None:
    assert words.cell(text) == text
