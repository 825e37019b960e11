"""How long a client waits before it looks for a master again."""

from __future__ import annotations

from queue_manager.client.connection.pauses import (
    FIRST_PAUSE_S,
    LASTED_S,
    LONGEST_PAUSE_S,
    STANDBY_PAUSE_S,
    Pauses,
)
from queue_manager.errors import StandbyError


def test_while_a_take_over_is_under_way_a_client_looks_again_soon_and_not_all_at_once() -> None:
    pauses = [Pauses().next_s(0.0, [OSError(), StandbyError("it stands by")]) for _ in range(200)]
    least_s, most_s = STANDBY_PAUSE_S
    assert least_s <= min(pauses) < max(pauses) <= most_s
    assert max(pauses) - min(pauses) > (most_s - least_s) / 2
    one = Pauses()
    for _ in range(20):  # however long it takes
        assert one.next_s(0.0, [StandbyError("it stands by")]) <= most_s


def test_else_the_pauses_grow_until_a_session_has_lasted() -> None:
    pauses = Pauses()
    taken = [pauses.next_s(0.0, [TimeoutError()]) for _ in range(12)]
    assert taken[0] <= FIRST_PAUSE_S
    assert LONGEST_PAUSE_S / 2 <= taken[-1] <= LONGEST_PAUSE_S
    assert pauses.next_s(LASTED_S, []) <= FIRST_PAUSE_S
