"""The page of all figures."""

from __future__ import annotations

from bench.figure import Figure
from bench.machine import LOOP
from bench.peers.summary import rows
from bench.report import (
    _MARK,
    PERFORMANCE,
    SECTIONS,
    mark_of,
    page,
    with_rows,
    with_sections,
    with_tables,
)


def test_each_figure_is_a_row_with_its_bound_and_whether_it_is_met() -> None:
    figures = [
        Figure("rate", "tasks/s", (10_000.0, 12_000.0, 11_000.0), at_least=20_000),
        Figure("memory", "MB", (54.123,), at_most=60),
        Figure("free", "s", (0.5,)),
    ]
    machine = {"CPU": "one"}
    found = {
        "idle": {"at": 0.0, "machine": machine, "figures": [each.record() for each in figures]}
    }
    written = page(found, "| queue |\n")
    assert "- measured on 1970-01-01\n- CPU: one\n" in written
    assert "## One idle task, submit to result (`idle`)" in written
    assert "| rate | 11,000 | 10,000 .. 12,000 | tasks/s | >= 20,000 | **not met** |" in written
    assert "| memory | 54.1 |  | MB | <= 60.0 | met |" in written
    assert "| free | 0.50 |  | s |  |  |" in written
    assert written.endswith("## Other queues (`make bench-peers`)\n\n| queue |\n")


def test_figures_of_another_day_or_machine_say_so() -> None:
    rate = [Figure("rate", "tasks/s", (7.0,)).record()]
    found = {
        "keys": {"at": 100_000.0, "machine": {"CPU": "one", "busy": "1%"}, "figures": rate},
        "idle": {"at": 0.0, "machine": {"CPU": "one", "busy": "2%"}, "figures": rate},
    }
    written = page(found, "")
    head, idle, keys = written.split("\n## ")
    assert head.endswith("- measured on 1970-01-02\n- CPU: one\n- busy: 1%\n")
    assert "(`idle`)\n\n- measured on 1970-01-01\n- busy: 2%\n\n| figure" in idle
    assert "(`keys`)\n\n| figure" in keys


def test_the_rows_of_a_marked_table_are_replaced_and_its_header_stays() -> None:
    text = f"above\n{_MARK}\n| queue |\n|---|\n| old |\n| older |\n\nbelow\n"
    written = with_rows(text, ["| new |"])
    assert written == f"above\n{_MARK}\n| queue |\n|---|\n| new |\n\nbelow\n"
    assert with_rows(written, ["| new |"]) == written


def test_all_up_to_the_next_heading_is_replaced_by_the_tables() -> None:
    text = f"above\n{_MARK}\n\n- old\n\n| old |\n\n## Next\n"
    written = with_tables(text, "| new |")
    assert written == f"above\n{_MARK}\n\n| new |\n\n## Next\n"
    assert with_tables(written, "| new |") == written


def test_each_marked_section_has_the_figures_of_its_benchmark() -> None:
    """A benchmark that was not measured leaves its section as it was."""
    text = "".join(f"## {name}\n\n{mark_of(name)}\n\nold\n\n" for name in SECTIONS) + "## Next\n"
    figures = [Figure("a rate", "tasks/s", (7.0,)).record()]
    machine = {"CPU": "one", "Python": "3", LOOP: "9 ms"}
    found = {"client": {"at": 0.0, "machine": machine, "figures": figures}}
    written = with_sections(text, found)
    assert (
        "1970-01-01: one, Python 3, a loop of a million additions takes 9 ms.\n\n| figure |"
        in written
    )
    assert "| a rate | 7.00 |" in written
    assert written.count("\nold\n") == len(SECTIONS) - 1
    assert with_sections(written, found) == written


def test_the_page_about_performance_has_all_marks() -> None:
    lines = PERFORMANCE.read_text().splitlines()
    assert [lines.count(mark) for mark in (_MARK, *map(mark_of, SECTIONS))] == [1] * (
        1 + len(SECTIONS)
    )


def test_a_row_of_the_readme_has_both_tables_of_a_queue() -> None:
    speed = {
        "name": "Huey",
        "version": "3.5",
        "durable": "no: memory",
        "single": [1_000.0, 3_000.0],
        "bulk": [],
        "trips_s": [0.001, 0.002, 0.003],
        "missing": "",
    }
    fates = {
        "name": "Huey",
        "worker": {"results": 199, "twice": 2, "again_s": None},
        "broker": {"results": 200, "twice": 0, "again_s": 1.25},
    }
    other = {**speed, "name": "awa"}
    assert list(rows({"speed": [speed, other], "faults": [fates]})) == [
        "| Huey 3.5 | no: memory | 2,000 | - | 2.00 / 3.00 | 199, 2 twice | 200 in 1.25 s |"
    ]
