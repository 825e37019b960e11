"""Sends what `tasks()` of a run gives to the master, in blocks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

from queue_manager.job.batching import Batching
from queue_manager.job.contract import Task
from queue_manager.wire.limits import PART_BYTES
from queue_manager.wire.messages import Accepted, SubmitTasks, TasksEnded
from queue_manager.wire.records import NewBlock, encoded_bytes

from .crash import exit_on_error
from .session import RunnerSession

FLUSH_S = 0.02
SUBMITS_ON_THE_WAY = 4
BLOCKS_A_SUBMIT = 4


class Feeder:
    """Takes the inputs from `tasks()` and submits them, a few submits ahead of their answers."""

    def __init__(self, session: RunnerSession, run: int, max_bytes: int) -> None:
        self._session = session
        self._run = run
        self._batching = Batching(max_bytes)
        self._blocks: list[NewBlock] = []
        self._lock = threading.Lock()
        self._on_the_way: deque[Future[Accepted]] = deque()
        self._over = threading.Event()

    def feed(self, inputs: Iterator[Any], skip: int) -> None:
        """Submit all inputs. The first `skip` inputs without a key were accepted before."""
        threading.Thread(target=exit_on_error, args=(self._flush_often,), daemon=True).start()
        try:
            self._take(inputs, skip)
        finally:
            self._finish()  # inputs before an error of `tasks()` are submitted, too
        self._session.request(lambda seq: TasksEnded(seq, self._run), Accepted).result()

    def _take(self, inputs: Iterator[Any], skip: int) -> None:
        add, lock, blocks = self._batching.add, self._lock, self._blocks
        for item in inputs:
            if skip and not (type(item) is Task and item.key is not None):
                skip -= 1
                continue
            with lock:
                ended = add(item)
                if ended is not None:
                    blocks.append(ended)
                    if len(blocks) >= BLOCKS_A_SUBMIT:
                        self._submit()

    def _finish(self) -> None:
        self._over.set()
        with self._lock:
            self._flush()
        while self._on_the_way:
            self._on_the_way.popleft().result()

    def _flush_often(self) -> None:
        """A slow generator must not hold back what it has yielded."""
        while not self._over.wait(FLUSH_S):
            with self._lock:
                self._flush()

    def _flush(self) -> None:
        ended = self._batching.flush()
        if ended is not None:
            self._blocks.append(ended)
        if self._blocks:
            self._submit()

    def _submit(self) -> None:
        blocks = list(self._blocks)
        self._blocks.clear()
        for portion in _portions(blocks):
            self._send(portion)

    def _send(self, blocks: list[NewBlock]) -> None:
        answer = self._session.request(lambda seq: SubmitTasks(seq, self._run, blocks), Accepted)
        self._on_the_way.append(answer)
        while self._on_the_way and (
            self._on_the_way[0].done() or len(self._on_the_way) > SUBMITS_ON_THE_WAY
        ):
            self._on_the_way.popleft().result()


def _portions(blocks: list[NewBlock]) -> list[list[NewBlock]]:
    """Blocks, cut so that each submit fits in a frame."""
    portions: list[list[NewBlock]] = []
    room_bytes = 0
    for block in blocks:
        size_bytes = encoded_bytes(block)
        if not portions or size_bytes > room_bytes:
            portions.append([])
            room_bytes = PART_BYTES
        portions[-1].append(block)
        room_bytes -= size_bytes
    return portions
