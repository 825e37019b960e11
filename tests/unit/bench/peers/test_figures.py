"""Percentiles, and what stands in the two tables."""

from __future__ import annotations

import pytest

from bench.peers.figures import Fate, Faults, Speed, fault_table, percentile, short, speed_table


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.01, 1), (0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_a_percentile_is_a_value_that_was_seen(share: float, expected: float) -> None:
    assert percentile(range(100, 0, -1), share) == expected


def test_a_percentile_of_few_values_is_the_greatest() -> None:
    assert percentile([3.0, 1.0], 0.99) == 3.0


def test_nothing_has_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_row_has_the_medians_of_its_rounds() -> None:
    row = Speed("Huey", "3.5", "no", single=[100, 300, 200], trips_s=[0.001, 0.002, 0.003])
    _, _, line = speed_table([row])
    found = cells(line)
    assert found[:3] == ["Huey", "200", "-"]
    assert found[5:7] == ["2.00", "3.00"]
    assert found[-2:] == ["no", "3.5"]


def test_a_row_that_could_not_be_measured_says_why() -> None:
    header, _, line = speed_table([Speed("Ray", missing="not installed: no wheel", single=[1])])
    assert cells(line)[:3] == ["Ray", "not installed: no wheel", ""]
    assert line.count("|") == header.count("|")


def test_a_fate_says_never_where_no_task_started_again() -> None:
    row = Faults("RQ", Fate(199, 1, None), Fate(200, 0, 1.25))
    assert cells(fault_table([row])[2]) == ["RQ", "199", "1", "never", "200", "0", "1.25"]


def test_nothing_to_run_again_is_no_never() -> None:
    row = Faults("RQ", Fate(200, 0, None, interrupted=False))
    assert cells(fault_table([row])[2])[1:4] == ["200", "0", "-"]


def test_a_fault_that_cannot_be_says_why() -> None:
    header, _, line = fault_table([Faults("Pool", Fate(0, 0, None), "the program itself")])
    assert cells(line)[4:] == ["the program itself", "", ""]
    assert line.count("|") == header.count("|")


def test_numbers_have_the_figures_that_count() -> None:
    assert [short(value) for value in (12345.6, 12.34, 0.123)] == ["12,346", "12.3", "0.12"]
    assert [short(value) for value in (0.00234, 0.0)] == ["0.0023", "0"]
