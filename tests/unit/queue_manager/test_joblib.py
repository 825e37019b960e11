"""What joblib's backend waits for when a call of `Parallel` is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest
from joblib import Parallel, delayed, parallel_config
from joblib.parallel import BatchedCalls

from queue_manager import joblib as joblib_module
from queue_manager.client.executor import QueueExecutor
from queue_manager.errors import TooLargeError
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


def test_an_end_waits_for_nothing_if_a_call_before_was_aborted(
    backend: QuartermasterBackend,
) -> None:
    executor = backend._executor
    backend.abort_everything(ensure_ready=True)
    backend.start_call()
    backend.terminate()
    assert executor.ends == [(False, True)]  # type: ignore[union-attr]
    backend._executor = cast(QueueExecutor, FakeExecutor())
    again = backend._executor
    backend.terminate()
    assert again.ends == [(True, True)]  # type: ignore[attr-defined]


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


# --- batches that are too large ---


class SmallTasks:
    """An executor whose tasks take two calls at most. It runs them in threads, as they come."""

    def __init__(self, *_: Any) -> None:
        self.sizes: list[int] = []
        self.threads: list[threading.Thread] = []

    def submit(self, _: Callable[..., Any], batch: Any) -> Future[Any]:
        self.sizes.append(len(batch))
        future: Future[Any] = Future()
        self.threads.append(threading.Thread(target=self._run, args=(future, batch)))
        self.threads[-1].start()
        return future

    def _run(self, future: Future[Any], batch: Any) -> None:
        try:
            if len(batch) > 2:
                raise TooLargeError("the result takes 1,228,831 bytes")
            future.set_result(batch())
        except Exception as error:
            future.set_exception(error)

    def shutdown(self, **_: Any) -> None:
        """Nothing is left."""


class FakeClient:
    def __init__(self) -> None:
        self.tasks = SmallTasks()

    def executor(self, _: Any) -> SmallTasks:
        return self.tasks


def refused(number: int) -> int:
    if number in (20, 21):
        raise ValueError(number)
    return number


def test_a_batch_that_is_too_large_is_split_into_its_calls() -> None:
    client = FakeClient()
    with parallel_config("quartermaster", client=client, n_jobs=2):
        numbers = Parallel(batch_size=7)(delayed(abs)(n) for n in range(30))
        assert numbers == list(range(30))
        assert set(client.tasks.sizes) == {7, 2, 1}
        with pytest.raises(ValueError, match="20"):
            Parallel(batch_size=7)(delayed(refused)(n) for n in range(30))
        one_call = Parallel(batch_size=1)(delayed(abs)(n) for n in range(3))
        assert one_call == [0, 1, 2]


def test_a_call_behind_one_that_was_aborted_in_the_same_block_is_like_any_other() -> None:
    client = FakeClient()
    with (
        parallel_config("quartermaster", client=client, n_jobs=2),
        Parallel(batch_size=7) as parallel,
    ):
        with pytest.raises(ValueError, match=r"2[01]"):
            parallel(delayed(refused)(n) for n in range(30))
        for thread in client.tasks.threads:  # else joblib may go on with the first call
            thread.join(20)
        assert parallel(delayed(abs)(n) for n in range(30)) == list(range(30))


def test_no_batch_of_an_aborted_call_is_left_for_the_next_one(
    backend: QuartermasterBackend,
) -> None:
    """Without a with block, joblib calls `configure` before each call."""
    backend._executor = None
    backend._given = backend._client = cast(Any, FakeClient())
    parallel = Parallel(n_jobs=2, backend="threading")
    backend.configure(2, parallel)
    backend.abort_everything(ensure_ready=False)
    parallel._ready_batches.put("left")
    backend.configure(2, parallel)
    backend.start_call()
    assert parallel._ready_batches.empty()


def test_a_batch_of_a_call_that_was_aborted_is_not_split_in_the_next_one(
    backend: QuartermasterBackend,
) -> None:
    told: list[Any] = []
    batch = BatchedCalls([(abs, (n,), {}) for n in range(3)], (backend, None))
    whole = backend.submit(batch, told.append)
    [sent] = backend._futures
    backend.abort_everything()
    backend.start_call()
    backend.submit(len, told.append)
    sent.set_exception(TooLargeError("the result takes 1,228,831 bytes"))
    assert isinstance(whole.exception(0), TooLargeError)
    [next_one] = backend._futures
    next_one.set_result(0)
    assert told == [next_one], "nor does joblib hear of it"


def test_a_call_that_is_too_large_by_itself_says_so() -> None:
    def too_large() -> None:
        raise TooLargeError("by itself")

    with (
        parallel_config("quartermaster", client=FakeClient(), n_jobs=2),
        pytest.raises(TooLargeError, match="by itself"),
    ):
        Parallel(batch_size=3)(delayed(too_large)() for _ in range(6))


def test_batches_grow_no_more_when_one_was_too_large(backend: QuartermasterBackend) -> None:
    backend.parallel = Parallel(n_jobs=2, backend="threading")
    backend._executor = cast(QueueExecutor, SmallTasks())
    calls = [(abs, (n,), {}) for n in range(8)]
    batch = BatchedCalls(calls, (backend, None))
    assert backend.submit(batch).result(20) == list(range(8))
    for _ in range(6):
        backend.batch_completed(backend.compute_batch_size(), 0.001)
    assert backend.compute_batch_size() == 4
    backend.reset_batch_stats()
    for _ in range(6):
        backend.batch_completed(backend.compute_batch_size(), 0.001)
    assert backend.compute_batch_size() > 8
    backend._aborted = True
    with pytest.raises(TooLargeError):
        backend.submit(batch).result(20)


def test_a_batch_that_is_cancelled_is_cancelled_as_a_whole(backend: QuartermasterBackend) -> None:
    whole = backend.submit(BatchedCalls([(abs, (n,), {}) for n in range(3)], (backend, None)))
    for future in list(backend._futures):
        future.cancel()
        future.set_running_or_notify_cancel()
    assert whole.cancelled()


class Threads(ThreadPoolExecutor):
    """Makes the calls in threads of this process."""

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        super().shutdown(wait=False, cancel_futures=cancel_futures)


class OwnClient:
    """Notes whether it is closed."""

    def __init__(self) -> None:
        self.closed = False

    def executor(self, options: Any) -> Threads:
        return Threads(2)

    def close(self) -> None:
        self.closed = True


def test_the_end_of_one_parallel_ends_no_call_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """joblib gives both of them the same backend."""
    clients: list[OwnClient] = []

    def connect() -> OwnClient:
        clients.append(OwnClient())
        return clients[-1]

    go_on = threading.Event()

    def late(number: int) -> int:
        assert number == 0 or go_on.wait(60.0)
        return number

    monkeypatch.setattr(joblib_module, "connect", connect)
    with parallel_config("quartermaster"):
        first = Parallel(n_jobs=2, return_as="generator")(delayed(late)(n) for n in range(12))
        assert next(first) == 0
        second = Parallel(n_jobs=2)(delayed(abs)(n) for n in range(3))
        assert [client.closed for client in clients] == [False, True]
        go_on.set()
        assert (list(first), second) == (list(range(1, 12)), [0, 1, 2])
    assert [client.closed for client in clients] == [True, True]
