"""Tasks that come one by one: submits, follow-ups of a tree, standard-library clients."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from master.changes import QUEUE_RUN

from ..brief import sized
from ..figure import Figure
from ..rig import processes, run
from ..rig.session import run_status
from ..rig.stored import Stored

ROUNDS = sized(3, 1)
SUBMITTED = sized(1_000_000, 20_000)
TREE, EACH = sized(200_000, 5_000), 3
CLIENTS, CALLS = 8, sized(2_000, 100)
LEAST_DRAINED, LEAST_OF_TREE, MOST_CALLS_US = 60_000, 20_000, 100.0


def measure() -> list[Figure]:
    """The three kinds, each in stores of its own."""
    return [*_submitted(), *_tree(), *_clients()]


def _submitted() -> list[Figure]:
    """A run waits whose tasks came one in a block. The rate is that of two slots."""
    where = f"{SUBMITTED:,} submitted one by one, two slots"
    with ExitStack() as stack:
        stored = Stored(stack, block=1)
        stored.backlog.fill(SUBMITTED)
        rate = _drain(stored.folder, stored.port, stored.backlog.run, SUBMITTED)
    return [Figure(where, "tasks/s", (rate,), at_least=LEAST_DRAINED)]


def _drain(folder: Path, port: int, number: int, count: int) -> float:
    """Have a worker do all tasks of a run. Tasks per second, from the worker's hello on."""
    with processes.worker(folder, port):
        began = time.monotonic()
        processes.wait_until(
            lambda: asyncio.run(run_status(port, number)).done == count, "the tasks"
        )
        return count / (time.monotonic() - began)


def _tree() -> list[Figure]:
    name = f"a tree of {TREE:,}, each followed by {EACH}, two slots"
    rates = []
    for _ in range(ROUNDS):
        with (
            processes.scratch() as folder,
            processes.master(folder) as (_, port),
            processes.worker(folder, port),
        ):
            rates.append(run.measure(port, TREE, folder, "tree", f"each={EACH}").rate)
    return [Figure(name, "tasks/s", tuple(rates), at_least=LEAST_OF_TREE)]


# --- standard-library clients ----------------------------------------------------------------


def _clients() -> list[Figure]:
    """All put one by one, then a worker does the tasks and leaves, then all get one by one."""
    rounds = [_round() for _ in range(ROUNDS)]
    puts, put_us, drained, gets, get_us = zip(*rounds, strict=True)
    who = f"{CLIENTS} standard-library clients"
    both = tuple(map(sum, zip(put_us, get_us, strict=True)))
    return [
        Figure(f"{who}: put one by one", "puts/s", puts),
        Figure(f"{who}: get one by one", "gets/s", gets),
        Figure("what they had put, two slots", "tasks/s", drained, at_least=LEAST_DRAINED),
        Figure(f"{who}: CPU of the master, a put", "µs", put_us),
        Figure(f"{who}: CPU of the master, a get", "µs", get_us),
        Figure(f"{who}: both together", "µs", both, at_most=MOST_CALLS_US),
    ]


def _round() -> tuple[float, float, float, float, float]:
    with (
        processes.scratch() as folder,
        processes.master(folder, job="squares") as (master, port),
        _connected(port) as clients,
    ):
        puts, put_us = _do(clients, "put", master.pid)
        drained = _drain(folder, port, QUEUE_RUN, CLIENTS * CALLS)
        gets, get_us = _do(clients, "get", master.pid)
    return puts, put_us, drained, gets, get_us


@contextlib.contextmanager
def _connected(port: int) -> Iterator[list[subprocess.Popen[str]]]:
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "bench.rig.stock_client", str(port), str(CALLS)]
    clients = [
        subprocess.Popen(command, cwd=processes.ROOT, stdin=pipe, stdout=pipe, text=True)
        for _ in range(CLIENTS)
    ]
    try:
        _expect(clients, "ready")
        yield clients
    finally:
        for client in clients:
            client.communicate(timeout=30)


def _do(clients: list[subprocess.Popen[str]], what: str, master: int) -> tuple[float, float]:
    """All make their calls. Calls per second, and CPU microseconds of the master for a call."""
    count = CLIENTS * CALLS
    before_s, began = processes.cpu_s(master), time.monotonic()
    for client in clients:
        assert client.stdin is not None
        client.stdin.write(f"{what}\n")
        client.stdin.flush()
    _expect(clients, "done")
    took_s, cpu_s = time.monotonic() - began, processes.cpu_s(master) - before_s
    return count / took_s, 1e6 * cpu_s / count


def _expect(clients: list[subprocess.Popen[str]], word: str) -> None:
    for client in clients:
        assert client.stdout is not None
        line = client.stdout.readline().strip()
        if line != word:
            raise RuntimeError(f"a client said {line!r} instead of {word!r}")
