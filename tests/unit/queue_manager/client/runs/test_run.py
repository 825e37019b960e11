"""A run as a plain program has it in its hands."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any, cast

from queue_manager.client.loop_thread import LoopThread
from queue_manager.client.runs.run import Run
from queue_manager.client.synchronous import Client
from queue_manager.wire.messages import RunStarted


class Step:
    """What a function refers to. It notes in which thread it is pickled, and becomes an int."""

    def __init__(self, seen: list[threading.Thread]) -> None:
        self.seen = seen

    def __reduce__(self) -> tuple[type[int], tuple[()]]:
        self.seen.append(threading.current_thread())
        return int, ()


class FakeClient:
    """Its master starts run 8, whatever it is asked for."""

    def __init__(self) -> None:
        self.thread = LoopThread()

    def _call(self, verb: Any) -> Any:
        return self.thread.call(verb(SimpleNamespace(session=self)))

    async def call(self, make: Any, answer: Any, what: str) -> RunStarted:
        make(1)
        return RunStarted(1, 8, True)

    async def call_once(self, make: Any, answer: Any) -> RunStarted:
        return await self.call(make, answer, "")


def test_a_run_behind_another_packs_its_function_in_the_thread_of_the_program() -> None:
    seen: list[threading.Thread] = []
    step, client = Step(seen), FakeClient()
    after = Run(cast(Client, client), 7).then(lambda n: (n, step))
    assert after.id == 8
    assert set(seen) == {threading.current_thread()}
    client.thread.soon(client.thread.loop.stop)
