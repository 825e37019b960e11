"""A benchmark that cannot run is told as such, and the others run all the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import __main__ as bench
from bench import results
from bench.figure import Figure


def broken() -> list[Figure]:
    raise AttributeError("no such verb")


@pytest.fixture
def benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """One that cannot run before one that can."""
    monkeypatch.setattr(bench, "CACHE", tmp_path)
    monkeypatch.setattr(bench.machine, "describe", dict)
    fine = [Figure("a rate", "tasks/s", (1.0,), at_least=2)]
    found = {"broken": ("Broken", broken), "fine": ("Fine", lambda: fine)}
    monkeypatch.setattr(bench, "BENCHMARKS", found)
    return tmp_path


def test_a_benchmark_that_cannot_run_is_exit_code_1(
    benchmarks: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert bench.main([]) == 1
    said = capfd.readouterr()
    assert "AttributeError: no such verb" in said.err
    assert said.err.endswith("could not run: broken\n")
    assert "a rate" in said.out


def test_the_figures_of_the_others_are_kept(benchmarks: Path) -> None:
    bench.main([])
    found = json.loads((benchmarks / bench.RESULTS).read_text())
    assert list(found["benchmarks"]) == ["fine"]


def test_a_named_benchmark_leaves_the_figures_of_the_others(benchmarks: Path) -> None:
    other = results.measured({}, [])
    results.keep(benchmarks / bench.RESULTS, {"other": other, "fine": other})
    bench.main(["fine"])
    kept = results.load(benchmarks / bench.RESULTS)
    assert kept["other"] == other
    assert [figure["name"] for figure in kept["fine"]["figures"]] == ["a rate"]


def test_a_missed_bound_is_no_failure(benchmarks: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["fine"]) == 0
    assert "1 bound(s) not met" in capfd.readouterr().out


def test_a_brief_look_judges_no_bound(
    benchmarks: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "BRIEF", True)
    assert bench.main(["fine"]) == 0
    assert "NOT MET" not in capfd.readouterr().out
