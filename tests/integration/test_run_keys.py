"""A job makes the key of its run of the arguments: the same arguments give the same run."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from queue_manager import connect
from tests.integration.processes import KEY, Master, Place

LETTERS = """
def tasks(day: str = "", count: int = 2):
    yield from range(count)


def run_key(day):
    return day


def work(n):
    return n
"""


@pytest.fixture
def master(start_master: Callable[..., Master]) -> Master:
    started = start_master()
    (started.jobs / "letters.py").write_text(LETTERS)
    return started


def test_a_second_submit_gives_the_run_and_says_so(master: Master) -> None:
    first = master.command("submit", "letters", "day=friday")
    assert (first.code, first.err) == (0, "")
    again = master.command("submit", "letters", "day=friday")
    assert (again.code, again.out) == (0, first.out)
    run = first.out.strip()
    said = f"run {run} was there: its arguments make the key 'letters:friday'"
    assert again.err.strip().endswith(f"{said}. For another run give --key, too")


def test_a_program_that_submits_twice_has_one_run(master: Master) -> None:
    with connect(f"127.0.0.1:{master.port}", authkey=KEY) as qm:
        first, again = (qm.submit("letters", day="friday", count=1) for _ in range(2))
        assert first.id == again.id != qm.submit("letters", day="monday").id


def test_other_arguments_are_refused_and_a_key_of_ones_own_helps(master: Master) -> None:
    run = master.submit("letters", "day=friday")
    refused = master.command("submit", "letters", "day=friday", "count=3").refusal
    assert refused.endswith(
        f"the key 'letters:friday' is that of run {run} (letters day=friday): take another one,"
        " with --key; this one is made of the arguments"
    )
    other = master.submit("letters", "day=friday", "count=3", "--key", "friday, longer")
    assert other != run
    assert master.submit("letters") != master.submit("letters")


def test_a_master_of_its_own_says_that_its_run_has_ended(place: Place) -> None:
    (place.jobs / "letters.py").write_text(LETTERS)
    assert place.command("run", "letters", "day=friday").code == 0
    again = place.command("run", "letters", "day=friday")
    assert again.code == 0
    assert "run 1 has the key 'letters:friday', and has ended before" in again.out + again.err


def test_the_log_offers_no_command_that_would_give_the_same_run_again(master: Master) -> None:
    master.worker()
    keyed, plain = master.submit("letters", "day=friday"), master.submit("letters")
    ends = [master.process.says(rf"run {run} \(letters\): 2 tasks done") for run in (keyed, plain)]
    assert ["Submit another" in end for end in ends] == [False, True]
