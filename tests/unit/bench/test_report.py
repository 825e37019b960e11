"""The page of all figures."""

from __future__ import annotations

from bench.figure import Figure
from bench.report import page


def test_each_figure_is_a_row_with_its_bound_and_whether_it_is_met() -> None:
    figures = [
        Figure("rate", "tasks/s", (10_000.0, 12_000.0, 11_000.0), at_least=20_000),
        Figure("memory", "MB", (54.123,), at_most=60),
        Figure("free", "s", (0.5,)),
    ]
    record = {
        "at": 0.0,
        "machine": {"CPU": "one"},
        "benchmarks": {"idle": [figure.record() for figure in figures]},
    }
    written = page(record, "| queue |\n")
    assert "- measured on 1970-01-01\n- CPU: one\n" in written
    assert "## One idle task, submit to result (`idle`)" in written
    assert "| rate | 11,000 | 10,000 .. 12,000 | tasks/s | >= 20,000 | **not met** |" in written
    assert "| memory | 54.1 |  | MB | <= 60.0 | met |" in written
    assert "| free | 0.50 |  | s |  |  |" in written
    assert written.endswith("## Other queues (`make bench-peers`)\n\n| queue |\n")
