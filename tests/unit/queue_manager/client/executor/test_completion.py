"""The program that hears of results more slowly than they come."""

from __future__ import annotations

import threading
from concurrent.futures import wait
from typing import Any

import pytest

from queue_manager.client.executor import completion
from queue_manager.client.runs import outcomes
from queue_manager.wire.messages import OpenRun
from tests.unit.queue_manager.client.executor.conftest import PATIENCE_S, Scene, eventually

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two results are too much to hold."""
    monkeypatch.setattr(completion, "HELD_BYTES", 1_500)
    monkeypatch.setattr(outcomes, "STAY_S", 0.002)


@pytest.mark.usefixtures("narrow")
def test_no_page_is_asked_for_while_callbacks_are_behind(scene: Scene) -> None:
    futures = scene.accepted(6)
    told, going = threading.Event(), threading.Event()

    def slow(_: Any) -> None:
        told.set()
        going.wait(PATIENCE_S)

    futures[0].add_done_callback(slow)
    for number in range(1, 7):
        scene.master.done(number, "x" * 1_000)
    assert told.wait(PATIENCE_S)
    eventually(lambda: scene.master.pages.qsize() == 4, "two pages have come")
    scene.master.losses += 1  # the master was away, and may be about to remove the run
    eventually(lambda: isinstance(scene.master.asked[-1], OpenRun), "the run is opened again")
    assert scene.master.pages.qsize() == 4
    going.set()
    assert not wait(futures, PATIENCE_S).not_done
    eventually(lambda: not scene.completion._held, "nothing is held back any more")
