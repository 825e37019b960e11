"""Workers of before a restart: a master waits for them, but not for ever."""

from __future__ import annotations

from master.broker.leases.sessions import KnownWorkers


def test_the_time_counts_from_the_first_session_on() -> None:
    known = KnownWorkers()
    known.wait_for({"a", "b"}, 5.0)
    assert known.give_up(100.0, somebody_there=False) == set()
    assert known.next_due(100.0) == 100.0
    assert known.give_up(200.0, somebody_there=True) == set()
    assert known.next_due(201.0) == 205.0
    assert known.give_up(204.9, somebody_there=True) == set()
    assert known.give_up(205.0, somebody_there=True) == {"a", "b"}
    assert not known.missing


def test_those_that_came_are_not_given_up() -> None:
    known = KnownWorkers()
    known.wait_for({"a", "b"}, 5.0)
    known.give_up(200.0, somebody_there=True)
    known.missing.discard("a")
    assert known.give_up(300.0, somebody_there=True) == {"b"}
    assert known.give_up(400.0, somebody_there=True) == set()
