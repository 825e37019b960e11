"""Numbers, durations, sizes and times as people read them."""

from __future__ import annotations

import pytest

from master.web.text.words import NOTHING, duration, moment, number
from queue_manager.sizes import size_text


def same(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0"), (1234567, "1,234,567"), (3.0, "3"), (0.25, "0.25"), (0.012, "0.012"), (0.5, "0.5"),
     (2.56, "2.6"), (12.6, "13"), (12345.6, "12,346"), (float("nan"), NOTHING),
     (float("inf"), NOTHING), (1 / 300, "0.0033"), (-0.00025, "-0.00025"), (0.00001, "0.00001"),
     (0.1, "0.1"), (0.999, "1"), (5e-324, "0")],
)  # fmt: skip
def test_numbers(value: float, said: str) -> None:
    assert number(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, NOTHING), (float("inf"), NOTHING), (-5, "0.0 s"), (0.44, "0.4 s"), (42.9, "42 s"),
     (60, "1 min"), (200, "3 min"), (3600, "1 h"), (7500, "2 h 5 min"), (86_400, "1 d"),
     (3 * 86_400 + 7200, "3 d 2 h"), (1e9, "11,574 d 1 h")],
)  # fmt: skip
def test_durations(seconds: float | None, said: str) -> None:
    assert duration(seconds, same) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(512, "512 B"), (3_500, "3.4 KiB"), (2**30, "1.0 GiB"), (2**60, "1048576.0 TiB")],
)
def test_sizes(count: int, said: str) -> None:
    assert size_text(count) == said


def test_a_moment_is_utc_and_a_browser_can_read_it() -> None:
    assert moment(1_000_000_000.0) == (
        '<time datetime="2001-09-09T01:46:40Z" title="2001-09-09 01:46:40 UTC">'
        "2001-09-09 01:46:40 UTC</time>"
    )


@pytest.mark.parametrize("at", [None, float("nan"), 1e20, -1e20])
def test_a_moment_that_is_none_breaks_no_page(at: float | None) -> None:
    assert moment(at) == NOTHING
