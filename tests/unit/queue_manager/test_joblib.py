"""What joblib's backend waits for when a call of `Parallel` is over."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import pytest
from joblib import Parallel

from queue_manager.client.executor import QueueExecutor
from queue_manager.joblib import QuartermasterBackend


class FakeExecutor:
    """Notes how it is shut down."""

    def __init__(self) -> None:
        self.ends: list[tuple[bool, bool]] = []

    def submit(self, *_: Any) -> Future[Any]:
        return Future()

    def shutdown(self, wait: bool, cancel_futures: bool) -> None:
        self.ends.append((wait, cancel_futures))


@pytest.fixture
def backend() -> QuartermasterBackend:
    made = QuartermasterBackend()
    made._executor = cast(QueueExecutor, FakeExecutor())
    return made


def test_an_end_waits_for_the_calls(backend: QuartermasterBackend) -> None:
    executor = backend._executor
    backend.terminate()
    assert executor.ends == [(True, True)]  # type: ignore[union-attr]


def test_an_abort_waits_for_nothing(backend: QuartermasterBackend) -> None:
    executor = backend._executor
    backend.submit(len)
    backend.abort_everything(ensure_ready=True)
    assert executor.ends == []  # type: ignore[union-attr]
    backend.terminate()
    assert executor.ends == [(False, True)]  # type: ignore[union-attr]


def test_an_abort_leaves_nothing_if_no_more_calls_come(backend: QuartermasterBackend) -> None:
    executor = backend._executor
    backend.abort_everything(ensure_ready=False)
    assert executor.ends == [(False, True)]  # type: ignore[union-attr]


def test_the_statistics_of_batches_begin_anew(backend: QuartermasterBackend) -> None:
    backend.parallel = Parallel(n_jobs=2, backend="threading")
    for _ in range(4):
        backend.batch_completed(backend.compute_batch_size(), 0.001)
    assert backend.compute_batch_size() > 1
    backend.terminate()
    assert backend.compute_batch_size() == 1
