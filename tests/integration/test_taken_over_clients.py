"""Programs in the middle of something while one of two masters takes over, on PostgreSQL."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queue_manager import connect
from tests.integration.processes import KEY, PATIENCE_S, eventually
from tests.integration.two_masters import Peer, Scene
from tests.postgres_server import PostgresServer

pytestmark = [pytest.mark.waits, pytest.mark.timeout(240)]

LOSSES = [
    pytest.param(signal.SIGKILL, 1.0, id="killed"),
    pytest.param(signal.SIGTERM, 0.5, id="stopped"),
    pytest.param(signal.SIGSTOP, 5.0, id="frozen"),
]
"""What happens to the active master, and how soon the other one is it."""

WORK_S = 5.0
"""A new master hands nothing out until the workers that it knows are there, and so long at most."""

BUSY_S = 1.5


@pytest.fixture
def scene(tmp_path: Path, own_postgres: PostgresServer, started: list[Any]) -> Iterator[Scene]:
    made = Scene(tmp_path, own_postgres, started)
    yield made
    made.clean()


@pytest.fixture
def masters(scene: Scene) -> tuple[Peer, Peer]:
    """The active one and its standby, with a worker."""
    active, standby = scene.start("a", "b")
    scene.worker(0, slots=4)
    active.process.says("worker .* connected")
    return active, standby


def address(masters: tuple[Peer, Peer]) -> str:
    return ",".join(f"127.0.0.1:{peer.port}" for peer in masters)


@pytest.mark.parametrize(("loss", "limit_s"), LOSSES)
def test_a_map_loses_nothing_and_doubles_nothing(
    loss: signal.Signals, limit_s: float, masters: tuple[Peer, Peer]
) -> None:
    results: list[int] = []
    longest_s = came_at = 0.0
    lost = False
    with connect(address(masters), authkey=KEY) as qm:
        for result in qm.map(abs, (-n for n in range(60_000)), buffer=2_000):
            now = time.monotonic()
            if lost:
                longest_s = max(longest_s, now - came_at)
            came_at = now
            results.append(result)
            if len(results) == 10_000:
                masters[0].process.popen.send_signal(loss)
                lost = True
    print(f"{loss.name}: no result for {longest_s:.2f} s")
    assert results == list(range(60_000))
    assert longest_s < max(limit_s, WORK_S) + BUSY_S
    assert masters[1].is_active


@pytest.mark.parametrize(("loss", "limit_s"), LOSSES)
def test_inputs_on_their_way_and_whoever_waits_go_on(
    loss: signal.Signals, limit_s: float, masters: tuple[Peer, Peer]
) -> None:
    middle = threading.Event()

    def inputs() -> Iterator[int]:
        for n in range(30_000):
            if n == 15_000:
                middle.set()
            yield -n

    def lose() -> None:
        assert middle.wait(PATIENCE_S)
        masters[0].process.popen.send_signal(loss)

    losing = threading.Thread(target=lose)
    losing.start()
    with connect(address(masters), authkey=KEY) as qm:
        run = qm.start(abs, inputs(), key="held")
        losing.join()
        assert run.wait(PATIENCE_S).done == 30_000
        assert sorted(run.results()) == list(range(30_000))
        assert run.status().tasks == 30_000
    eventually(lambda: masters[1].is_active)


def test_an_idle_program_is_with_the_new_master_soon_after_a_freeze(
    masters: tuple[Peer, Peer],
) -> None:
    """It asks nothing meanwhile. Its next question is answered at once."""
    with connect(address(masters), authkey=KEY) as qm:
        assert qm.status().version
        masters[0].process.popen.send_signal(signal.SIGSTOP)
        time.sleep(5.0)  # by then everybody has to be with the new master
        began = time.monotonic()
        assert qm.status().version
        assert time.monotonic() - began < BUSY_S
