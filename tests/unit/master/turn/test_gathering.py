"""How a turn waits a moment for as many senders as came together before."""

from __future__ import annotations

from typing import Any

from master.changes import QUEUE_RUN
from master.turn.driver import PAUSE, RECENT_S, WAIT_S, Gathering
from master.turn.steps import Step
from tests.unit.master.conftest import World, block


def turn(gathering: Gathering, count: int, now: float = 100.0) -> list[bool]:
    """A turn for so many senders: at which of them it would have begun."""
    began = [gathering.came(sender, now) for sender in range(count)]
    gathering.begin(now)
    return began


def test_a_sender_alone_is_never_waited_with() -> None:
    gathering = Gathering()
    assert [turn(gathering, 1) for _ in range(9)] == [[True]] * 9


def test_a_turn_waits_for_as_many_as_came_together_and_for_one_more() -> None:
    gathering = Gathering()
    turn(gathering, 2)
    assert turn(gathering, 3) == [False, False, True]
    assert turn(gathering, 4) == [False, False, False, True]


def test_after_a_wait_in_vain_one_more_is_not_waited_for_for_a_while() -> None:
    gathering = Gathering()
    turn(gathering, 2)
    assert turn(gathering, 2) == [False, False]
    assert [turn(gathering, 2) for _ in range(PAUSE - 1)] == [[False, True]] * (PAUSE - 1)
    assert turn(gathering, 2) == [False, False]


def test_who_has_not_come_lately_is_not_waited_for() -> None:
    gathering = Gathering()
    turn(gathering, 4)
    assert turn(gathering, 2, 100.0 + 2 * RECENT_S) == [True, True]


def test_senders_that_come_one_behind_the_other_share_a_commit(play: Any) -> None:
    async def scene(world: World) -> None:
        run, senders = world.broker.runs[QUEUE_RUN], [object() for _ in range(3)]

        def post(sender: object) -> None:
            def stage(now: float, wall: float) -> None:
                world.broker.submit(run, block(1), now, wall, False)

            world.turn.post(Step(stage, of=sender, gathers=True))

        for sender in senders[:2]:
            post(sender)
        await world.turns()
        before = world.store.commits
        for sender in senders:
            assert world.store.commits == before
            post(sender)
            await world.turns(1)
        await world.turns()
        assert world.store.commits == before + 1
        post(senders[0])  # alone, and the others do not come any more
        await world.later(WAIT_S)
        assert world.store.commits == before + 2

    play(scene)
