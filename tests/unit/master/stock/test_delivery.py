"""Results of the queue run reach stock clients: oldest first, each to one, none lost."""

from __future__ import annotations

import queue
from typing import Any

import pytest

from master.changes import BlockRecord, Changes, OutcomeRecord, RunCounts
from master.turn.steps import RETRY_S
from queue_manager import codec
from queue_manager.errors import StoreError
from tests.unit.master.conftest import World

from .test_stock import Client


def test_each_result_goes_to_one_client_oldest_first(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, readers = Client(world), [Client(world) for _ in range(3)]
        for n in range(6):
            await writer.put_result(n)
        assert [await readers[n % 3].read() for n in range(6)] == list(range(6))
        with pytest.raises(queue.Empty):
            await readers[0].read()

    play(scene)


def test_a_client_that_waits_gets_the_next_result(play: Any) -> None:
    async def scene(world: World) -> None:
        first, second, writer = Client(world), Client(world), Client(world)
        first.send(world.results, "get")
        second.send(world.results, "get")
        await writer.put_result("a")
        assert (first.peer.answers, second.peer.answers) == (["a"], [])
        await writer.put_result("b")
        assert second.peer.answers == ["b"]

    play(scene)


def test_readers_that_come_one_behind_the_other_share_a_commit(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, readers = Client(world), [Client(world) for _ in range(3)]
        for n in range(5):
            await writer.put_result(n)
        for reader in readers[:2]:  # they come together, so one more is waited for
            reader.send(world.results, "get")
        await world.turns()
        before = world.store.commits
        for reader in readers:
            assert world.store.commits == before
            reader.send(world.results, "get")
            await world.turns(1)
        await world.turns()
        assert world.store.commits == before + 1
        assert [reader.peer.answers[-1] for reader in readers] == [2, 3, 4]

    play(scene)


def test_a_get_that_does_not_wait_waits_for_no_other_reader(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, readers = Client(world), [Client(world) for _ in range(2)]
        for n in range(3):
            await writer.put_result(n)
        for reader in readers:
            reader.send(world.results, "get")
        await world.turns()
        assert await readers[0].read() == 2

    play(scene)


def test_a_result_whose_reader_was_reset_goes_to_the_next(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, killed, other = Client(world), Client(world), Client(world)
        await writer.put_result(1)
        await writer.put_result(2)
        assert await killed.read() == 1
        await killed.end(reset=True)
        assert world.delivery.available == 2
        assert [await other.read(), await other.read()] == [1, 2]

    play(scene)


def test_one_who_waits_gets_what_a_reset_reader_did_not(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, killed, waits = Client(world), Client(world), Client(world)
        await writer.put_result(1)
        await killed.read()
        waits.send(world.results, "get")
        await world.turns()
        await killed.end(reset=True)
        assert waits.peer.answers == [1]

    play(scene)


def test_a_result_whose_reader_left_in_good_order_is_delivered(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, left = Client(world), Client(world)
        await writer.put_result(1)
        await left.read()
        await left.end()
        assert world.delivery.available == 0

    async def after_a_crash(world: World) -> None:
        with pytest.raises(queue.Empty):
            await Client(world).read()

    play(scene, after_a_crash)


def test_after_a_crash_one_result_may_come_again_and_no_more(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, reader = Client(world), Client(world)
        for n in range(10):
            await writer.put_result(n)
        for n in range(5):
            assert await reader.read() == n

    async def after_a_crash(world: World) -> None:
        reader = Client(world)
        assert world.delivery.available == 6
        assert [await reader.read() for _ in range(6)] == [4, 5, 6, 7, 8, 9]

    play(scene, after_a_crash)


def test_results_that_only_a_reset_reader_had_come_after_a_crash_too(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, killed, reader = Client(world), Client(world), Client(world)
        for n in range(3):
            await writer.put_result(n)
        assert await killed.read() == 0
        assert await reader.read() == 1
        await reader.end()
        await killed.end(reset=True)

    async def after_a_crash(world: World) -> None:
        assert await Client(world).read() == 0

    play(scene, after_a_crash)


def test_delivery_goes_on_in_the_middle_of_a_batch(play: Any) -> None:
    async def before(world: World) -> None:
        batch = codec.encode_batch(list(range(100, 110)))
        world.store.commit(
            Changes(
                blocks=[BlockRecord(1, 0, 1, 10, batch), BlockRecord(2, 0, 11, 10, batch)],
                outcomes=[
                    OutcomeRecord(1, 0, 1, 1, 0, 10, batch),
                    OutcomeRecord(2, 0, 2, 11, 0, 10, batch),
                ],
                counts={0: RunCounts(20, 0, 20, last_seq=2)},
            )
        )

    async def scene(world: World) -> None:
        reader = Client(world)
        assert [await reader.read() for _ in range(4)] == [100, 101, 102, 103]
        await reader.end()

    async def after(world: World) -> None:
        assert world.delivery.available == 16
        reader = Client(world)
        found = [await reader.read() for _ in range(16)]
        assert found == [*range(104, 110), *range(100, 110)]

    play(before, scene, after)


def test_more_results_than_are_read_ahead_all_come(play: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("master.stock.delivery._PAGE_BYTES", 600)

    async def scene(world: World) -> None:
        writer, reader = Client(world), Client(world)
        for n in range(20):
            await writer.put_result(n)
        assert [await reader.read() for _ in range(20)] == list(range(20))

    play(scene)


@pytest.mark.parametrize(
    ("batch", "good"),
    [
        (codec.encode_items([codec.encode("a"), b"\x80", codec.encode("c")]), {0: "a", 2: "c"}),
        (b"L\x93\xa1a\x90\xa1c", {0: "a", 2: "c"}),
        (b"L\x93\xa1a", {}),
    ],
    ids=["a pickle", "no atom", "cut off"],
)
def test_a_result_that_cannot_be_read_is_told_to_its_reader_alone(
    play: Any, batch: bytes, good: dict[int, str]
) -> None:
    async def before(world: World) -> None:
        world.store.commit(
            Changes(
                blocks=[BlockRecord(1, 0, 1, 3, codec.encode_batch([1, 2, 3]))],
                outcomes=[OutcomeRecord(1, 0, 1, 1, 0, 3, batch)],
                counts={0: RunCounts(3, 0, 3, last_seq=1)},
            )
        )

    async def scene(world: World) -> None:
        writer, reader = Client(world), Client(world)
        await writer.put_result("behind")
        for index in range(3):
            if index in good:
                assert await reader.read() == good[index]
            else:
                with pytest.raises(ValueError, match="this result can't be read"):
                    await reader.read()
        assert await reader.read() == "behind"
        assert world.delivery.available == 0

    play(before, scene)


def test_reading_does_not_stop_for_ever_when_the_store_refuses_for_a_while(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, reader = Client(world), Client(world)
        await writer.put_result(1)
        await writer.put_result(2)
        await reader.read()
        world.store.full = True
        reader.send(world.results, "get")
        await world.later(2.0)
        assert reader.peer.answers == [1]
        world.store.full = False
        await world.later(1.0)
        assert reader.peer.answers == [1, 2]

    play(scene)


def test_available_agrees_with_the_store_after_a_restart(play: Any) -> None:
    async def scene(world: World) -> None:
        writer = Client(world)
        for n in range(5):
            await writer.put_result(n)
        await Client(world).read()
        assert world.delivery.available == 4

    async def after_a_crash(world: World) -> None:
        assert world.delivery.available == 5

    play(scene, after_a_crash)


def test_after_a_crash_only_what_was_on_its_way_comes_again(play: Any) -> None:
    """One reader holds a result while another reads on, far past it."""

    async def scene(world: World) -> None:
        writer, slow, reader = Client(world), Client(world), Client(world)
        for n in range(202):
            await writer.put_result(n)
        assert await slow.read() == 0
        for n in range(1, 201):
            assert await reader.read() == n
        assert await reader.call(world.results, "qsize") == 1  # its last one is confirmed

    async def after_a_crash(world: World) -> None:
        assert world.delivery.available == 2
        reader = Client(world)
        assert [await reader.read(), await reader.read()] == [0, 201]
        with pytest.raises(queue.Empty):
            await reader.read()

    async def after_another(world: World) -> None:
        assert world.delivery.available == 0

    play(scene, after_a_crash, after_another)


def test_what_came_back_and_was_not_read_comes_after_a_crash_too(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, one, other, reader = (Client(world) for _ in range(4))
        for n in range(6):
            await writer.put_result(n)
        assert [await c.read() for c in (one, other, reader)] == [0, 1, 2]
        await one.end(reset=True)
        await other.end(reset=True)
        assert await reader.read() == 0
        await reader.end()

    async def after_a_crash(world: World) -> None:
        reader = Client(world)
        assert [await reader.read() for _ in range(4)] == [1, 3, 4, 5]
        assert await reader.call(world.results, "empty") is True

    play(scene, after_a_crash)


def test_what_is_on_its_way_is_bounded_by_those_who_read(play: Any) -> None:
    async def scene(world: World) -> None:
        writer, readers = Client(world), [Client(world) for _ in range(5)]
        for n in range(100):
            await writer.put_result(n)
        for n in range(100):
            await readers[n % 5].read()
            assert len(world.store.reopen().delivered.behind) <= 5
        for reader in readers:
            await reader.end()
        assert world.store.reopen().delivered.behind == ()

    play(scene)


def test_results_that_went_while_they_were_on_their_way_are_passed_over(play: Any) -> None:
    """As when the queue run's old results are deleted."""

    async def before(world: World) -> None:
        writer, slow, reader = (Client(world) for _ in range(3))
        for n in range(3):
            await writer.put_result(n)
        assert [await slow.read(), await reader.read()] == [0, 1]
        await reader.end()

    async def after(world: World) -> None:
        del world.store._kept.outcomes[1]
        reader = Client(world)
        assert await reader.read() == 2
        await reader.call(world.results, "qsize")
        assert world.delivery.available == 0

    play(before, after)


@pytest.mark.parametrize("waits", [True, False])
def test_a_get_goes_on_when_the_store_can_be_read_again(
    play: Any, monkeypatch: pytest.MonkeyPatch, waits: bool
) -> None:
    async def scene(world: World) -> None:
        writer, reader = Client(world), Client(world)
        if waits:
            reader.send(world.results, "get")
            await world.turns()
        with monkeypatch.context() as patched:
            patched.setattr(world.turn, "read_outcomes", _unreadable)
            await writer.put_result("kept")
            if not waits:
                reader.send(world.results, "get")
            await world.later(3 * RETRY_S)
            assert not reader.peer.answers
        await world.later(RETRY_S)
        assert reader.peer.answers == ["kept"]

    play(scene)


def test_a_get_with_a_timeout_ends_while_the_store_cannot_be_read(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scene(world: World) -> None:
        writer, reader = Client(world), Client(world)
        await writer.put_result("kept")
        with monkeypatch.context() as patched:
            patched.setattr(world.turn, "read_outcomes", _unreadable)
            reader.send(world.results, "get", True, 2.0)
            await world.later(2.1)
            assert [type(error) for error in reader.peer.errors] == [queue.Empty]
        assert await reader.read() == "kept"

    play(scene)


def _unreadable(run: Any, after: int, most_bytes: int) -> Any:
    raise StoreError("can't read queue.sqlite3: disk I/O error")
