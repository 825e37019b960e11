"""What the notes of tasks say of a fault."""

from __future__ import annotations

from pathlib import Path

from bench.peers import faults
from bench.peers.faults import Note, judge
from bench.peers.figures import Fate

KILLED_AT = 10.0


def tried(task: int, pid: int, start: float, end: float | None = None) -> list[Note]:
    found = [Note(task, "start", "0", pid, start)]
    return found if end is None else [*found, Note(task, "end", "0", pid, end)]


def test_a_rerun_is_the_next_start_of_an_interrupted_task() -> None:
    notes = tried(1, 7, 9.9) + tried(2, 8, 10.1, 10.3) + tried(1, 8, 12.5, 12.7)
    assert judge(notes, 2, KILLED_AT) == Fate(2, 0, 2.5)


def test_a_task_that_began_later_is_no_rerun() -> None:
    assert judge(tried(1, 7, 9.9) + tried(2, 8, 10.1, 10.3), 1, KILLED_AT) == Fate(1, 0, None)


def test_a_task_that_ended_after_the_fault_in_its_first_try_was_not_interrupted() -> None:
    notes = tried(1, 7, 9.9, 10.1) + tried(1, 8, 11.0, 11.2)
    assert judge(notes, 1, KILLED_AT) == Fate(1, 1, None, interrupted=False)


def test_run_twice_is_ended_twice() -> None:
    notes = tried(1, 7, 1.0, 1.2) + tried(1, 8, 11.0, 11.2) + tried(2, 7, 1.2, 1.4)
    assert judge(notes, 2, KILLED_AT).twice == 1


def test_behind_a_broker_work_goes_on_with_the_first_start_since_it_is_back() -> None:
    notes = tried(1, 7, 9.9, 10.1) + tried(2, 7, 10.1, 10.3) + tried(3, 7, 12.0, 12.2)
    assert judge(notes, 3, KILLED_AT, back_at=11.0) == Fate(3, 0, 2.0)


def test_behind_a_broker_without_a_start_it_never_goes_on() -> None:
    assert judge(tried(1, 7, 9.9, 10.1), 1, KILLED_AT, back_at=11.0).again_s is None


def test_a_line_that_a_kill_has_cut_is_left_out(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.write_text("3 start 0 7 9.5\n3 end 0")
    assert faults.read(notes) == [Note(3, "start", "0", 7, 9.5)]


def test_results_are_the_lines_behind_the_first(tmp_path: Path) -> None:
    got = tmp_path / "got"
    got.write_text("submitted\n0\n1\n")
    assert faults.results(got) == 2
