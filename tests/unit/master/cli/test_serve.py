"""`serve`: whom its master waits for."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from master.broker.leases.sessions import KnownWorkers
from master.cli import serve as module
from queue_manager.settings import load_settings


@pytest.mark.parametrize(("gone", "wait_s"), [(False, 5.0), (True, 0.0)])
def test_nobody_waits_for_workers_that_are_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: bool, wait_s: float
) -> None:
    waits: list[float] = []

    def noted(_: KnownWorkers, workers: set[str], wait_s: float) -> None:
        waits.append(wait_s)

    async def served() -> None:
        stop = asyncio.Event()
        stop.set()
        monkeypatch.setattr(module, "stop_event", lambda: stop)
        await module.serve(settings, b"k" * 32, None, gone)

    monkeypatch.setattr(KnownWorkers, "wait_for", noted)
    monkeypatch.setenv("MASTER_DATA", str(tmp_path))
    monkeypatch.setenv("QUEUE_BIND", "127.0.0.1")
    monkeypatch.setenv("QUEUE_PORT", "0")
    settings = load_settings()
    asyncio.run(served())
    assert waits[-1] == wait_s
