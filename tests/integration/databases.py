"""A master whose store is a database, with work that goes on while that database is broken."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from queue_manager.wire.replies import Status
from queue_manager.wire.requests import AskStatus
from tests.integration.processes import Master, eventually

NOTED = """
import os, time

def tasks():
    return iter(())

def work(task):
    number, seconds = task
    with open(os.environ["NOTES"], "a") as notes:
        notes.write(f"{number}\\n")
    time.sleep(seconds)
    return number * number
"""
"""The job of the tasks that a client puts. It notes each start of one."""

AWAY = "nothing is acknowledged until it is there again"
BACK = "the database is there again"
WAITS = "nothing is lost: all wait until it is there again"

ANSWERS_S = 4.0
"""How long a status may take at most: a connection that says nothing is waited for 1.5 s."""


class Stored(Master):
    """A master with a worker. A client puts one task after the other, from `begin` to `check`.

    acknowledged: the numbers of those whose put has returned. puts: how many were tried.
    """

    def __init__(self, folder: Path, started: list[Any], url: str) -> None:
        self.notes = folder / "notes"
        self.notes.touch()
        self.acknowledged: list[int] = []
        self.refused: list[str] = []
        self.puts = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._put, daemon=True)
        super().__init__(folder, started, MASTER_STORE=url, JOB="noted", NOTES=str(self.notes))

    def serve(self) -> None:
        (self.jobs / "noted.py").write_text(NOTED)
        super().serve()

    def begin(self) -> None:
        """Put tasks from now on, and wait until some have been done."""
        self.worker()
        self._thread.start()
        self.goes_on()

    def goes_on(self, within_s: float = 60.0) -> float:
        """Wait for tasks that are put, done and recorded from now on. Returns how long it took."""
        began = time.monotonic()
        puts, done = len(self.acknowledged), self._done()
        try:
            eventually(lambda: len(self.acknowledged) > puts + 3, within_s, "a put")
            eventually(lambda: self._done() > done + 3, within_s, "a result")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.refused[-3:]}\n{self.process.log}") from None
        return time.monotonic() - began

    def troubles(self) -> list[str]:
        """What the status says is wrong. It must come at once."""
        began = time.monotonic()
        found = self.asked(AskStatus(1), Status).why
        assert time.monotonic() - began < ANSWERS_S
        return found

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """The database is away inside: the status says so, and nothing is acknowledged."""
        eventually(lambda: any(WAITS in line for line in self.troubles()), 10.0)
        ended = self.command("status")
        assert ended.code == 0, repr(ended)
        assert WAITS in ended.out, ended.out
        before = len(self.acknowledged)
        yield
        assert len(self.acknowledged) == before, "acknowledged without a database"

    def check(self) -> None:
        """Every task was done once, none is lost, and each that was acknowledged is there."""
        self._over.set()
        self._thread.join(30.0)
        assert not self._thread.is_alive()
        eventually(lambda: not self._waits(), 60.0, "the queue is empty")
        rows = self.results(0)
        done = Counter(row["payload"][0] for row in rows if row["state"] == "done")
        assert not [row for row in rows if row["state"] != "done"]
        assert all(row["result"] == row["payload"][0] ** 2 for row in rows)
        lost = set(self.acknowledged) - set(done)
        assert not lost, f"acknowledged, and lost: {sorted(lost)}"
        assert max(done.values()) == 1
        assert max(row["attempts"] for row in rows) == 1
        again = [n for n, times in self._starts().items() if times > 1]
        assert not again, f"begun twice: {again}\n{self.process.log}"

    def told(self, pattern: str) -> int:
        """How many lines of the log have this in them."""
        return len(self.process.lines(pattern))

    def _done(self) -> int:
        return int(self.run_line(0)["done"])

    def _waits(self) -> bool:
        line = self.run_line(0)
        return int(line["done"]) + int(line["dead"]) < int(line["tasks"])

    def _starts(self) -> Counter[int]:
        return Counter(map(int, self.notes.read_text().split()))

    def _put(self) -> None:
        client = self.client()
        while not self._over.is_set():
            self.puts += 1
            try:
                client.begin("tasks.put([n, 0.01])", n=self.puts)
                client.answer(60.0)
            except Exception as error:  # a RemoteError of the standard library's managers, too
                self.refused.append(repr(error))
                time.sleep(0.1)
                continue
            self.acknowledged.append(self.puts)
            time.sleep(0.005)
