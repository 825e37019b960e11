"""The worker of `qm run` ends with the tasks of the run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from master.cli.run_local import _let_go


class Worker:
    def __init__(self) -> None:
        self.left = False

    def leave(self) -> None:
        self.left = True


@pytest.fixture
def service() -> Any:
    return SimpleNamespace(runs=SimpleNamespace(on_ended=[]))


def run(*, active: bool = True, dead: int = 0) -> Any:
    return SimpleNamespace(active=active, dead=dead)


def test_the_worker_ends_while_finish_is_called(service: Any) -> None:
    worker, ours, other = Worker(), run(), run(active=False)
    _let_go(service, ours, worker)  # type: ignore[arg-type]
    service.runs.on_ended[0](other)
    assert not worker.left
    ours.active = False
    service.runs.on_ended[0](ours)
    assert worker.left


@pytest.mark.parametrize(("dead", "leaves"), [(0, True), (1, False)])
def test_a_run_that_may_be_retried_keeps_its_worker(service: Any, dead: int, leaves: bool) -> None:
    worker = Worker()
    _let_go(service, run(active=False, dead=dead), worker)  # type: ignore[arg-type]
    assert worker.left is leaves
