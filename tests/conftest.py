"""Fixtures of all tests: factories of processes that are gone when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.processes import Master, Place


@pytest.fixture
def started() -> Iterator[list[Any]]:
    """What a test has started; each is ended by its process id."""
    processes: list[Any] = []
    yield processes
    for process in reversed(processes):
        process.end()


@pytest.fixture
def place(tmp_path: Path, started: list[Any]) -> Place:
    """A folder with jobs and settings, and no master."""
    return Place(tmp_path, started)


@pytest.fixture
def start_master(tmp_path: Path, started: list[Any]) -> Callable[..., Master]:
    """Starts a master: `start_master(JOB="square")`; in a folder of its own with `name=`."""

    def start(name: str = "", **settings: str) -> Master:
        folder = tmp_path / name if name else tmp_path
        folder.mkdir(exist_ok=True)
        return Master(folder, started, **settings)

    return start


@pytest.fixture
def master(start_master: Callable[..., Master]) -> Master:
    """A serving master without a JOB."""
    return start_master()
