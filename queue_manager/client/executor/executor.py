"""The executor: what a program that knows `concurrent.futures` sees.

It owns the runs of its calls. `calls` has one run, `functions` says which, `completion` ends the
futures.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from ...errors import QueueError
from ...job.contract import Options
from ..code import Packed, call_payload, name_of
from ..loop_thread import loop_lock
from . import at_exit
from .broken import BrokenQueueError
from .calls import Calls
from .completion import Completion
from .functions import Functions
from .future import QueueFuture, cancel_all

if TYPE_CHECKING:
    from ..synchronous import Client

T = TypeVar("T")


class QueueExecutor(Executor):
    """Calls functions in the workers of a master. `Client.executor` makes it.

    A call is one task with one attempt, unless `options` say otherwise. Calls that come close
    together travel together. All of them are on the master's disk, until `shutdown` removes them.
    The child of a fork begins anew: the futures of its parent stay with the parent.
    """

    def __init__(self, client: Client, options: Options | None = None) -> None:
        self._client, self._options = client, options
        self._left: list[Core] = []
        self._begin()
        at_exit.executors.add(self)

    def _begin(self) -> None:
        self._core = Core(self._client, self._options)
        # A program that drops its executor gets the results of what it has submitted.
        self._finalizer = weakref.finalize(self, Core.end, self._core, False)
        self._finalizer.atexit = False

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Call `fn(*args, **kwargs)` in a worker.

        `fn` and the arguments are packed now. What can't travel is the exception of the future.

        Raises:
            RuntimeError: the executor was shut down, or the program ends.
            BrokenQueueError: the master takes no more calls.
        """
        return self._core.submit(fn, args, kwargs or None)

    def map(  # buffersize is of Python 3.14
        self,
        fn: Callable[..., T],
        /,
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        buffersize: int | None = None,
    ) -> Iterator[T]:
        """Call a function with each input, as `concurrent.futures` does.

        Args:
            fn: takes one value of each iterable.
            iterables: the inputs. All of them are read at once, unless there is a `buffersize`.
            timeout: how many seconds after this call the last result may come.
            chunksize: how many inputs one task has.
            buffersize: how many tasks are ahead of the results. None: all.

        Returns an iterator of the results, in the order of the inputs. It raises TimeoutError, and
        what the function has raised. Whatever has not begun by then is cancelled.
        """
        _check_map(chunksize, buffersize)
        until = None if timeout is None else time.monotonic() + timeout
        inputs: Iterator[Any] = zip(*iterables, strict=False)
        if chunksize > 1:
            inputs = _chunks(inputs, chunksize)
        futures = _submitted(self._core, fn, inputs, chunksize > 1)
        ahead = deque(islice(futures, buffersize))
        return _results(
            ahead, futures if buffersize is not None else iter(()), until, chunksize > 1
        )

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls.

        wait: until all futures are done. cancel_futures: calls that no worker has are cancelled.
        """
        self._core.end(cancel_futures)
        if wait:
            self._core.join()

    def _forked(self) -> None:
        """This is the child of a fork now."""
        self._finalizer.detach()
        self._left.append(self._core)  # deleting it would touch the parent's loop
        self._begin()


class Core:
    """What an executor has to finish, also when the program has dropped the executor itself."""

    def __init__(self, client: Client, options: Options | None) -> None:
        self._client, self._pid = client, os.getpid()
        self._functions = Functions(options)
        self._lock = loop_lock()  # a finalizer may run in any moment
        self._completion: Completion | None = None
        self._runs: dict[str, Calls] = {}
        self._ended: QueueError | None = None
        self._over = False
        client._calling.add(self)

    def submit(
        self, fn: Callable[..., Any], args: Any, kwargs: dict[str, Any] | None, chunks: bool = False
    ) -> QueueFuture:
        """Make a call. chunks: `args` are those of many calls."""
        self._check()
        try:  # without the lock: what is pickled may wait for the loop, which waits for the lock
            packed, function = self._functions.place(fn, chunks)
            payload = call_payload(function, (args,) if chunks else args, kwargs, name_of(fn))
        except Exception as error:
            future = QueueFuture(None)  # type: ignore[arg-type]  # it ends here
            future.set_exception(error)
            return future
        self._reach()
        with self._lock:
            self._check()
            try:
                calls = self._runs.get(packed.version) or self._start(packed)
                future = QueueFuture(calls)
                calls.submit(future, payload)
            except QueueError as error:
                raise BrokenQueueError(str(error)) from None
            return future

    def _reach(self) -> None:
        """Have a session, which the child of a fork opens, before the lock would be in its way."""
        try:
            self._client._here()
        except QueueError as error:
            raise BrokenQueueError(str(error)) from None

    def end(self, cancel: bool) -> None:
        """Take no more calls. cancel: those that no worker has are cancelled."""
        with self._lock:
            self._over = True
            runs = list(self._runs.values())
            if not runs:
                self._all_ended()
        for calls in runs:
            calls.end(cancel)

    def join(self) -> None:
        """Wait until all futures are done."""
        if self._completion is not None:
            self._completion.join()

    def leave(self) -> None:
        """The client is closed: take no more calls, and give all futures an error."""
        self._abandon(QueueError("the client of this executor was closed"))
        self.join()

    def _abandon(self, error: QueueError) -> None:
        with self._lock:
            self._over, self._ended = True, self._ended or error
            runs = list(self._runs.values())
            if not runs:
                self._all_ended()
        for calls in runs:
            calls.abandon(error)

    def _check(self) -> None:
        if self._pid != os.getpid():  # an iterator of `map` has it
            raise BrokenQueueError(
                "the calls are of the process that this one was forked from: submit them again here"
            )
        if self._ended is not None:
            raise BrokenQueueError(str(self._ended))
        if self._over:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if at_exit.is_over():
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")

    def _start(self, packed: Packed) -> Calls:
        thread, client = self._client._here()
        completion = self._completion or self._started()
        calls = Calls(thread, client.session, packed, completion, self._run_ended)
        self._runs[packed.version] = calls
        try:
            calls.begin()
        except BaseException:  # an interrupt: it may have begun, or not
            del self._runs[packed.version]
            calls.abandon(QueueError("the run was interrupted while it began"))
            raise
        return calls

    def _started(self) -> Completion:
        """The thread that ends futures. The end of the program waits for it."""
        completion = Completion()
        at_exit.cores.add(self)
        try:
            completion.start()
            self._completion = completion
        except BaseException:  # an interrupt, or there are too many threads
            self._completion = None
            completion.end()
            raise
        return completion

    def _run_ended(self, calls: Calls, error: QueueError | None) -> None:
        """Is called in the loop."""
        with self._lock:
            known = calls in self._runs.values()
            self._runs = {version: one for version, one in self._runs.items() if one is not calls}
            if not known:  # an interrupt came while it began: no call was made
                error = None
            if error is not None:
                self._ended = self._ended or error
            rest = list(self._runs.values())
            if not rest and self._over:
                self._all_ended()
        if error is not None:
            for other in rest:
                other.abandon(error)

    def _all_ended(self) -> None:
        if self._completion is not None:
            self._completion.end()


def _check_map(chunksize: int, buffersize: int | None) -> None:
    """The errors are those of `concurrent.futures`."""
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")


def _chunks(inputs: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while chunk := list(islice(inputs, size)):
        yield chunk


def _submitted(
    core: Core, fn: Callable[..., Any], inputs: Iterator[Any], chunks: bool
) -> Iterator[QueueFuture]:
    for args in inputs:
        yield core.submit(fn, args, None, chunks)


def _results(
    ahead: deque[QueueFuture], more: Iterator[QueueFuture], until: float | None, chunks: bool
) -> Iterator[Any]:
    try:
        while ahead:
            following = next(more, None)
            if following is not None:
                ahead.append(following)
            value = _result(ahead, until)
            if chunks:
                value.reverse()
                while value:
                    yield value.pop()  # nothing here keeps what was given out
            else:
                held = [value]
                del value
                yield held.pop()
    finally:
        cancel_all(ahead, wait=False)  # the time is over, and nobody asks which were cancelled


def _result(ahead: deque[QueueFuture], until: float | None) -> Any:
    """The next result. A call that has given none stays among those that are ahead."""
    value = ahead[0].result(None if until is None else until - time.monotonic())
    ahead.popleft()
    return value
