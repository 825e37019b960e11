"""How soon a first result is there: of `qm run square`, of a slot, of `connect`, and of `make up`.

Our modules are compiled first.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from queue_manager import codec
from queue_manager.wire.records import Lease
from worker.ipc.pipe import Report
from worker.supervisor.slots.lease import OpenLease
from worker.supervisor.slots.output import Relays
from worker.supervisor.slots.slot_process import SlotProcess

from ..brief import sized
from ..figure import Figure
from ..rig import processes

RUNS, SLOTS, CONNECTS, UPS = sized((7, 15, 15, 3), (1, 2, 2, 1))
RUN_MS, SLOT_MS, CONNECT_MS, UP_S = 450.0, 60.0, 100.0, 8.0
_LIMIT_S = 60.0
_UP_LIMIT_S = 600.0
_PROJECT = "quartermaster-bench-start"

_PROGRAM = """
import time
began = time.perf_counter()
from queue_manager import connect
with connect():
    print(time.perf_counter() - began)
"""


def measure() -> list[Figure]:
    """One after the other, each in several rounds. `make up` only where an engine is running."""
    processes.compile_modules()
    with processes.scratch() as folder:
        figures = [
            _milliseconds(
                "qm run square to the first result", RUNS, RUN_MS, lambda: _run_s(folder)
            ),
            _milliseconds("a slot, from fork to ready", SLOTS, SLOT_MS, lambda: _slot_s(folder)),
            _connect(folder),
        ]
    if _has_engine():
        figures.append(_make_up())
    return figures


def _milliseconds(name: str, rounds: int, at_most: float, sample: Callable[[], float]) -> Figure:
    """Samples in seconds, told in the table's unit."""
    return Figure(name, "ms", tuple(1000 * sample() for _ in range(rounds)), at_most=at_most)


def _run_s(folder: Path) -> float:
    """The command, with a store of its own, until its first result is printed."""
    data = folder / "data"
    environment = {"MASTER_DATA": str(data), "HEALTH_FILE": str(folder / "health")}
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "master", "run", "square"],
        cwd=processes.ROOT,
        env=processes.environment_of(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as command:
        assert command.stdout is not None  # a pipe was asked for
        line = command.stdout.readline()
        took_s = time.perf_counter() - began
        command.communicate(timeout=_LIMIT_S)
    shutil.rmtree(data)
    if b" = " not in line or command.returncode:
        raise RuntimeError(f"qm run square: {line!r}, exit code {command.returncode}")
    return took_s


def _connect(folder: Path) -> Figure:
    """A program, from its import of the client until the master has answered."""
    with processes.master(folder) as (_, port):
        environment = processes.environment_of({"QUEUE_PORT": str(port)})

        def sample() -> float:
            words = [sys.executable, "-c", _PROGRAM]
            return float(
                subprocess.run(
                    words,
                    cwd=processes.ROOT,
                    env=environment,
                    check=True,
                    stdout=subprocess.PIPE,
                    timeout=_LIMIT_S,
                ).stdout
            )

        return _milliseconds("import of the client, and connect", CONNECTS, CONNECT_MS, sample)


def _slot_s(folder: Path) -> float:
    """A slot, until it answers its first lease, whose job there is none of: that takes no time."""
    return asyncio.run(_slot(folder))


async def _slot(folder: Path) -> float:
    answered: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    ended = asyncio.Event()

    def note(slot: SlotProcess, report: Report) -> None:
        if not answered.done():
            answered.set_result(time.perf_counter())

    began = time.perf_counter()
    slot = SlotProcess(folder, Relays.standard(), note, lambda _: ended.set())
    try:
        lease = Lease(1, 1, "none", 1, 0, 1, codec.encode_batch([1]))
        slot.give(OpenLease(lease, time.monotonic()), 1024)
        return await asyncio.wait_for(answered, _LIMIT_S) - began
    finally:
        slot.kill()
        await asyncio.wait_for(ended.wait(), _LIMIT_S)


def _has_engine() -> bool:
    if shutil.which("docker") is None:
        return False
    asked = ["docker", "compose", "version"], ["docker", "info"]
    return all(subprocess.run(one, capture_output=True).returncode == 0 for one in asked)


def _make_up() -> Figure:
    """With the images there. The project is a benchmark's own; its volumes go each time."""
    images = {"IMAGES": _PROJECT, "COMPOSE_PROJECT_NAME": _PROJECT}
    environment = {**processes.environment_of(images), "QUEUE_AUTHKEY": "", "QUEUE_TLS": ""}

    def call(*words: str) -> float:
        began = time.perf_counter()
        subprocess.run(
            words,
            cwd=processes.ROOT,
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=_UP_LIMIT_S,
        )
        return time.perf_counter() - began

    def up() -> float:
        try:
            return call("make", "up")
        finally:
            call("docker", "compose", "down", "--volumes", "--timeout", "1")

    up()  # builds the images
    took = tuple(up() for _ in range(UPS))
    return Figure("make up, with the images there", "s", took, at_most=UP_S)
