"""A backend of joblib: `with joblib.parallel_config("quartermaster"):` runs calls on the workers.

To import this module registers it. scikit-learn and others that use joblib then run there as well,
where the workers have them installed. joblib is not among our own dependencies: whoever uses this
has it.
"""

from __future__ import annotations

import contextlib
import operator
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from joblib import register_parallel_backend
from joblib.parallel import (
    AutoBatchingMixin,
    BatchedCalls,
    FallbackToBackend,
    ParallelBackendBase,
    SequentialBackend,
)

from .client.connecting import connect
from .client.executor import QueueExecutor
from .client.executor.future import cancel_all
from .client.synchronous import Client
from .errors import QueueError, TooLargeError
from .job.contract import Options
from .wire.messages import AskSessions, SessionList

LEAST_JOBS = 2
"""With one, joblib would run the calls in this program."""


class QuartermasterBackend(AutoBatchingMixin, ParallelBackendBase):  # type: ignore[misc]
    """Runs the calls of `joblib.Parallel` in the workers of a master.

    `parallel_config("quartermaster", client=qm, options=Options(...))` passes the arguments.

    Args:
        client: as `connect` makes it. None: one of its own, which it finds as the commands do.
        options: how its tasks are run, as of `Client.executor`.
    """

    supports_retrieve_callback = True
    default_n_jobs = -1

    def __init__(
        self,
        nesting_level: int | None = None,
        inner_max_num_threads: int | None = None,
        client: Client | None = None,
        options: Options | None = None,
    ) -> None:
        super().__init__(nesting_level=nesting_level, inner_max_num_threads=inner_max_num_threads)
        self.parallel: Any = None
        self._given, self._options = client, options
        self._client: Client | None = client
        self._executor: QueueExecutor | None = None
        self._futures: set[Future[Any]] = set()
        self._aborted, self._aborts = False, 0
        self._has_left = False  # calls that may still run, and nobody waits for them
        self._most_calls = sys.maxsize
        self._lock = threading.Lock()

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once: what was asked for; all slots if that is negative."""
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is not None and n_jobs > 0:
            return max(LEAST_JOBS, n_jobs)
        return max(LEAST_JOBS, _slots(self._connected()))

    def start_call(self) -> None:
        """Another call of `Parallel` begins. The one before may have been aborted.

        joblib keeps batches that it had not sent by then, and would run them in this call. It may
        have called `configure` since, so `_aborted` does not tell.
        """
        left = getattr(self.parallel, "_ready_batches", None)
        while left is not None and not left.empty():
            left.get_nowait()
        self._aborted = False

    def configure(self, n_jobs: int = 1, parallel: Any = None, **ignored: Any) -> int:
        """Get ready for calls of `parallel`. Returns how many run at once.

        Raises FallbackToBackend while this backend has calls of another `Parallel`. joblib goes on
        with the backend that the exception has.
        """
        with self._lock:
            if self._executor is not None and parallel is not self.parallel:
                raise FallbackToBackend(self._twin())
            self.parallel, self._aborted = parallel, False
            jobs = self.effective_n_jobs(n_jobs)
            if self._executor is None:
                self._executor = self._connected().executor(self._options)
            return jobs

    def _twin(self) -> QuartermasterBackend:
        """Another backend with the same arguments.

        joblib hands one object to every `Parallel` in a `parallel_config`. The end of one of them
        must not end the calls of another.
        """
        return QuartermasterBackend(
            self.nesting_level, self.inner_max_num_threads, self._given, self._options
        )

    def compute_batch_size(self) -> int:
        """How many calls the next batch has: as many as are quick together, and fit in one task."""
        size = int(super().compute_batch_size())
        if size > self._most_calls:
            size = self._effective_batch_size = self._most_calls
        return size

    def reset_batch_stats(self) -> None:
        """The next calls are others: nothing is known of how quick or large they are."""
        super().reset_batch_stats()
        self._most_calls = sys.maxsize

    def submit(self, func: Any, callback: Any = None) -> Future[Any]:
        """Run a batch of calls in a worker. callback: is called with the future when it is done.

        It is not called behind an abort: joblib would take the batch for one of its next call.

        joblib sizes batches by time alone. If one is too large for a task, or its results are, each
        of its calls becomes a task of its own. Those that have run then run a second time.
        """
        aborts = self._aborts
        future = self._sent(func)
        if isinstance(func, BatchedCalls) and len(func) > 1:
            future = _Splittable(func, future, partial(self._split, aborts)).whole
        if callback is not None:
            future.add_done_callback(partial(self._told, callback, aborts))
        return future

    apply_async = submit  # its name in joblib 1.4 and before

    def retrieve_result_callback(self, out: Future[Any]) -> Any:
        """The results of a batch that is done, or its exception."""
        return out.result()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancel what no worker has. What runs goes on, and nobody waits for it."""
        self._aborted, self._aborts = True, self._aborts + 1
        self._has_left = True
        cancel_all(list(self._futures), wait=False)
        if not ensure_ready:
            self.terminate()

    def terminate(self) -> None:
        """There are no more calls."""
        self.reset_batch_stats()
        executor, self._executor = self._executor, None
        if executor is not None:
            wait = self._given is None and not self._has_left
            executor.shutdown(wait=wait, cancel_futures=True)
        client, self._client = self._client, self._given
        if client is not None and client is not self._given:
            client.close()
        self._has_left = False

    def get_nested_backend(self) -> tuple[Any, None]:
        """Calls within a call run in its slot, one after the other."""
        return SequentialBackend(nesting_level=(self.nesting_level or 0) + 1), None

    def __reduce__(self) -> tuple[Any, ...]:
        return QuartermasterBackend, (self.nesting_level, self.inner_max_num_threads)

    def _sent(self, func: Any) -> Future[Any]:
        """One task."""
        executor = self._executor
        if executor is None:
            raise RuntimeError("there are no more calls")
        future = executor.submit(operator.call, func)
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        return future

    def _told(self, callback: Any, aborts: int, future: Future[Any]) -> None:
        if aborts == self._aborts:
            callback(future)

    def _split(self, aborts: int, batch: BatchedCalls) -> list[Future[Any]]:
        """A task for each call of a batch that was too large. Later batches are smaller.

        aborts: how many there had been when the batch was made.
        """
        if self._aborted or aborts != self._aborts:
            raise RuntimeError("nobody waits for these calls")
        self._most_calls = min(self._most_calls, max(1, len(batch) // 2))
        how = (batch._backend, batch._n_jobs), batch._reducer_callback, batch._pickle_cache
        return [self._sent(BatchedCalls([call], *how)) for call in batch.items]

    def _connected(self) -> Client:
        if self._client is None:
            self._client = connect()
        return self._client


class _Splittable:
    """A batch of several calls, first as one task, then as one task a call if it is too large.

    whole: has the results of all its calls, or what the first one in their order has raised.
    """

    def __init__(
        self,
        batch: BatchedCalls,
        future: Future[Any],
        split: Callable[[BatchedCalls], list[Future[Any]]],
    ) -> None:
        self._batch, self._split = batch, split
        self.whole: Future[Any] = Future()
        self._left = 0
        self._lock = threading.Lock()
        future.add_done_callback(self._tried)

    def _tried(self, future: Future[Any]) -> None:
        if not future.cancelled() and isinstance(future.exception(), TooLargeError):
            with contextlib.suppress(RuntimeError, QueueError):  # no more calls are taken
                self._parts = self._split(self._batch)
                self._left = len(self._parts)
                for part in self._parts:
                    part.add_done_callback(self._ended)
                return
        self._end([future])

    def _ended(self, _: Future[Any]) -> None:
        with self._lock:
            self._left -= 1
            left = self._left
        if not left:
            self._end(self._parts)

    def _end(self, parts: list[Future[Any]]) -> None:
        if any(part.cancelled() for part in parts):
            self.whole.cancel()
            self.whole.set_running_or_notify_cancel()
            return
        error = next((error for part in parts if (error := part.exception())), None)
        if error is not None:
            self.whole.set_exception(error)
        else:
            self.whole.set_result([value for part in parts for value in part.result()])


def _slots(client: Client) -> int:
    """How many slots the workers of a master have."""
    slots = after = 0
    while True:
        make = partial(AskSessions, after=after)
        page: SessionList = client._call(
            lambda one: one.session.call_idempotent(make, SessionList)  # noqa: B023 - called here
        )
        slots += sum(session.slots for session in page.sessions)
        if page.complete:
            return slots
        after = page.last


register_parallel_backend("quartermaster", QuartermasterBackend)
