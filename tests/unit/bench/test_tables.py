"""Figures as tables of Markdown."""

from __future__ import annotations

from bench.figure import Figure
from bench.tables import grouped


def records(*figures: Figure) -> list[dict[str, object]]:
    return [figure.record() for figure in figures]


def test_figures_of_one_subject_are_a_line_and_a_shared_bound_is_in_the_header() -> None:
    found = records(
        Figure("10 tasks: rate", "tasks/s", (1_000.0,)),
        Figure("10 tasks: start", "s", (0.5,), at_most=2),
        Figure("100 tasks: rate", "tasks/s", (900.0,)),
        Figure("100 tasks: start", "s", (3.0,), at_most=2),
        Figure("tasks, rate: 100 / 10", "x", (0.9,), at_least=0.8),
    )
    assert grouped(found) == [
        "| | rate, tasks/s | start, s (<= 2.00) |",
        "|---|---|---|",
        "| 10 tasks | 1,000 | 0.50 |",
        "| 100 tasks | 900 | 3.00 (**not met**) |",
        "",
        "| figure | median | range | unit | bound | |",
        "|---|---|---|---|---|---|",
        "| tasks, rate: 100 / 10 | 0.90 |  | x | >= 0.80 | met |",
    ]


def test_a_bound_of_some_figures_is_beside_them() -> None:
    found = records(
        Figure("ours: p50", "ms", (1.0,), at_most=5),
        Figure("ours: p99", "ms", (9.0,), at_most=5),
        Figure("Huey: p50", "ms", (2.0,)),
        Figure("Huey: p99", "ms", (4.0,)),
    )
    assert grouped(found) == [
        "| | p50, ms | p99, ms |",
        "|---|---|---|",
        "| ours | 1.00 (<= 5.00, met) | 9.00 (<= 5.00, **not met**) |",
        "| Huey | 2.00 | 4.00 |",
    ]
