"""Who makes room among those who have not shown the key."""

from __future__ import annotations

from queue_manager.server.arriving.door import GRACE_S, MOST_OF_AN_ADDRESS, Door, Visitor


class Watched:
    """A door, and who was sent away."""

    def __init__(self, limit: int) -> None:
        self.door = Door(limit)
        self.gone: list[Visitor] = []

    def enter(self, address: str, now: float) -> Visitor:
        visitor = self.door.enter(address, now)
        visitor.send_away = lambda: self.gone.append(visitor)
        return visitor


def test_the_slowest_of_all_makes_room_once_it_has_had_its_time() -> None:
    watched = Watched(limit=3)
    first, *_ = [watched.enter("127.0.0.1", n / 100) for n in range(3)]
    assert watched.door.wait_s(0.1) == first.since + GRACE_S - 0.1
    assert watched.door.wait_s(GRACE_S) == 0
    watched.enter("10.0.0.1", GRACE_S)
    assert watched.gone == [first]
    assert len(watched.door) == 3


def test_whoever_shows_the_key_or_leaves_takes_no_room() -> None:
    watched = Watched(limit=2)
    one, two = watched.enter("10.0.0.1", 0), watched.enter("127.0.0.1", 0)
    for visitor in (one, one, two):
        watched.door.leave(visitor)
    assert len(watched.door) == 0
    assert watched.door.wait_s(0) == 0
    assert watched.gone == []


def test_one_address_crowds_out_itself_and_nobody_else() -> None:
    watched = Watched(limit=1_000)
    good = watched.enter("10.0.0.1", 0)
    bad = [watched.enter("10.0.0.2", 0) for _ in range(MOST_OF_AN_ADDRESS)]
    for n in range(100):
        watched.enter("10.0.0.2", GRACE_S + n)
    assert watched.gone[: len(bad)] == bad
    assert good not in watched.gone
    assert len(watched.door) == 1 + MOST_OF_AN_ADDRESS


def test_a_burst_of_one_address_loses_nobody() -> None:
    """A hundred workers behind one address translation, when the master is back."""
    watched = Watched(limit=1_000)
    for n in range(200):
        watched.enter("10.0.0.2", n / 1_000)
    assert watched.gone == []


def test_loopback_has_no_limit_of_its_own_and_an_ipv6_network_has_one() -> None:
    watched = Watched(limit=1_000)
    for n in range(2 * MOST_OF_AN_ADDRESS):
        watched.enter(("127.0.0.1", "::1", "::ffff:127.0.0.1")[n % 3], n)
    assert watched.gone == []
    for n in range(2 * MOST_OF_AN_ADDRESS):
        watched.enter(f"2001:db8::{n:x}", n)
    assert len(watched.gone) == MOST_OF_AN_ADDRESS
