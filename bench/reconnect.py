"""A master has started again, and one worker comes back with very many leases: how long that takes.

From the bytes of its hello to those of its welcome; the store is a file.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path
from typing import cast

from master.broker import Broker
from master.failures import FailureLog
from master.follow import FollowUps
from master.store.sqlite import SqliteStore
from master.turn import Turn
from master.workers import Workers
from queue_manager import codec
from queue_manager.messages import Hello, Welcome, decode_reply, decode_request, encode
from queue_manager.peer import Peer
from queue_manager.records import HeldLease, NewBlock, RunOptions

from . import processes
from .figure import Figure

ROUNDS = 3
LEASES = 20_000


def measure() -> list[Figure]:
    """Leases of one task: of large blocks, and of blocks that are one task each."""
    return [
        Figure(f"{LEASES:,} leases, blocks of {size:,}", "s", _rounds(size), most=0.5)
        for size in (1_000, 1)
    ]


def _rounds(size: int) -> tuple[float, ...]:
    with processes.scratch() as folder:
        return tuple(_round(folder / str(at), size) for at in range(ROUNDS))


def _round(folder: Path, size: int) -> float:
    store = SqliteStore(folder)
    turn = _master(store)
    run = turn.broker.start_run("job", [], None, RunOptions(), time.time())
    body = codec.encode_batch(list(range(size)))
    for _ in range(LEASES // size):
        turn.broker.submit(run, NewBlock(size, body), 0.0, 0.0, from_tasks=True)
    turn.broker.finish_runs(time.time())
    store.commit(turn.broker.changes)
    number = store.epoch << 32
    held = [
        HeldLease(number + at, run.id, 1 + at // size, [(at % size, at % size + 1)])
        for at in range(LEASES)
    ]
    store.close()
    store = SqliteStore(folder)
    try:
        return asyncio.run(_come_back(_master(store), held))
    finally:
        store.close()


def _master(store: SqliteStore) -> Turn:
    broker = Broker(store.epoch, "", random.Random(1))
    for loaded in store.load():
        broker.restore(loaded, time.monotonic(), time.time())
    broker.next_run, broker.next_block = store.next_run, store.next_block
    broker.next_seq = store.next_seq
    broker.committed()
    return Turn(broker, store)


async def _come_back(turn: Turn, held: list[HeldLease]) -> float:
    workers = Workers(turn, FollowUps(turn), FailureLog())
    turn.followers.append(workers)
    peer = _Peer()
    body = encode(Hello("worker", "host", 1, 4_096, "9.9", "w", held, []))
    began = time.perf_counter()
    hello = decode_request(body)
    assert isinstance(hello, Hello)
    workers.open(cast(Peer, peer), 1, hello)
    while not peer.sent:
        await asyncio.sleep(0)
    took_s = time.perf_counter() - began
    welcome = decode_reply(peer.sent[0])
    assert isinstance(welcome, Welcome)
    assert len(welcome.held) == len(held)
    return took_s


class _Peer:
    """A connection that keeps what is sent over it."""

    name = "worker"

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    def send_frame(self, body: bytes) -> None:
        self.sent.append(body)
