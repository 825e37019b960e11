"""The gate: a few at a time, the urgent ones first, and nobody's place is lost."""

from __future__ import annotations

import asyncio

from master.processes.gate import Gate, Ticket


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


def test_a_few_are_let_in_at_a_time_and_the_urgent_ones_first() -> None:
    async def scene() -> None:
        gate, came = Gate(2), list[str]()
        tickets: dict[str, Ticket] = {}

        async def come(name: str, urgent: bool) -> None:
            tickets[name] = await gate.enter(urgent=urgent)
            came.append(name)

        names = [("a", False), ("b", False), ("c", False), ("d", False), ("e", True)]
        waiting = [asyncio.ensure_future(come(*one)) for one in names]
        await settle()
        assert came == ["a", "b"]
        waiting[2].cancel()
        for name in ("a", "a", "b", "e", "d"):  # a ticket counts once
            tickets[name].leave()
            await settle()
        assert came == ["a", "b", "e", "d"]
        assert [isinstance(await gate.enter(), Ticket) for _ in range(2)] == [True, True]

    asyncio.run(scene())


def test_a_place_that_was_given_to_somebody_who_left_goes_to_the_next() -> None:
    async def scene() -> None:
        gate = Gate(1)
        ticket = await gate.enter()
        second, third = (asyncio.ensure_future(gate.enter()) for _ in range(2))
        await settle()
        ticket.leave()
        second.cancel()
        await settle()
        assert third.done()

    asyncio.run(scene())
