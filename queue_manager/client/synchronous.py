"""The client for plain programs: a thin face over the asynchronous one.

The inputs of a map are read, and its results decoded, in the thread that asks for the next result.
Only the network is in the thread of the loop.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import queue
import sys
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ..job.contract import Options, Task
from ..settings import Settings
from ..wire.messages import History, Status
from ..wire.records import RunStatus
from .asynchronous import GOODBYE_S, AsyncClient, Exiting
from .calls import Start, Work, start_of
from .checking import buffer_of, check_options
from .loop_thread import LoopThread
from .own_session import OwnSession
from .progress import bar_of
from .runs.async_run import AsyncRun
from .runs.feeding import add_input, is_keyed
from .runs.flow import Delivery
from .runs.inputs import inputs_of, length_of
from .runs.run import Run

if TYPE_CHECKING:
    from .executor import QueueExecutor
    from .executor.executor import Core

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
R = TypeVar("R")

SLICE_S = 0.005
"""How long a map reads inputs while results are there already."""

_EXIT_S = 2.0
"""How long a program that ends without `close` waits for the master."""


class Client:
    """A session with the master. `connect` makes it.

    Use it as `with connect() as qm`, or `close` it. Many threads may use one client. The child of a
    fork gets a session of its own at its first use; maps that the parent has begun stay with the
    parent.
    """

    def __init__(
        self, settings: Settings, authkey: bytes, timeout_s: float, given: bool = False
    ) -> None:
        self._own = OwnSession(settings, authkey, timeout_s, given)
        self._calling: weakref.WeakSet[Core] = weakref.WeakSet()
        _clients.add(self)
        self._own.open()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the session. Maps that are still open are cancelled; lasting runs go on."""
        self._close(2 * GOODBYE_S)

    def _close(self, timeout_s: float) -> None:
        if self._own.shut():
            for calls in list(self._calling):
                calls.leave()
            self._own.end(timeout_s)

    # --- the verbs ---

    @overload
    def map(
        self,
        function: Callable[[A], R],
        inputs: Iterable[A | Task],
        /,
        *,
        ordered: bool = ...,
        return_exceptions: Literal[False] = ...,
        buffer: int | None = ...,
        key: str | None = ...,
        options: Options | None = ...,
        progress: bool = ...,
    ) -> Iterator[R]: ...

    @overload
    def map(
        self,
        function: Callable[[A, B], R],
        first: Iterable[A],
        second: Iterable[B],
        /,
        *,
        ordered: bool = ...,
        return_exceptions: Literal[False] = ...,
        buffer: int | None = ...,
        key: str | None = ...,
        options: Options | None = ...,
        progress: bool = ...,
    ) -> Iterator[R]: ...

    @overload
    def map(
        self,
        function: str,
        /,
        *iterables: Iterable[Any],
        ordered: bool = ...,
        return_exceptions: bool = ...,
        buffer: int | None = ...,
        key: str | None = ...,
        progress: bool = ...,
    ) -> Iterator[Any]: ...

    @overload
    def map(
        self,
        function: Callable[..., R],
        /,
        *iterables: Iterable[Any],
        ordered: bool = ...,
        return_exceptions: Literal[False] = ...,
        buffer: int | None = ...,
        key: str | None = ...,
        options: Options | None = ...,
        progress: bool = ...,
    ) -> Iterator[R]: ...

    @overload
    def map(
        self,
        function: Callable[..., R],
        /,
        *iterables: Iterable[Any],
        ordered: bool = ...,
        return_exceptions: bool,
        buffer: int | None = ...,
        key: str | None = ...,
        options: Options | None = ...,
        progress: bool = ...,
    ) -> Iterator[R | BaseException]: ...

    def map(
        self,
        function: Work,
        /,
        *iterables: Iterable[Any],
        ordered: bool = True,
        return_exceptions: bool = False,
        buffer: int | None = None,
        key: str | None = None,
        options: Options | None = None,
        progress: bool = False,
    ) -> Iterator[Any]:
        """Call a function with each input, in the workers.

        The inputs are read in this thread, whenever it asks for a result, and only as far ahead as
        `buffer` says. Closing the iterator early cancels what has not started.

        Args:
            function: takes one value of each iterable. It may be a lambda. A text names a job that
                the master has: its `work` is called.
            iterables: the inputs, plain data or `Task`s without a key. The shortest one counts.
            ordered: results come in the order of their inputs. False: as they are done.
            return_exceptions: a failure comes in the place of its result. False: it is raised, and
                the map ends.
            buffer: how many inputs are read ahead of the results; by default 65,536, and fewer
                where results are large.
            key: makes the run a lasting one. The same call with the same key goes on where it was.
            options: how tasks are run. By default those of the function's module, or one attempt.
            progress: show a bar, on a terminal or in a notebook.

        Returns an iterator of the results. It raises what the function has raised, and what the
        inputs raise, behind the results of those before.

        Raises:
            CannotTravelError: the function can't be sent to workers.
            RefusedError: the master does not take it; its own line.
        """
        start = start_of(function, iterables, options, lasting=key is not None, once=True)
        inputs = inputs_of(iterables)
        buffer = buffer_of(buffer)
        how = {"ordered": ordered, "return_exceptions": return_exceptions, "buffer": buffer}
        bar = bar_of(function, length_of(iterables)) if progress else contextlib.nullcontext()
        given = self._map(start, key, inputs, how, bar)
        next(given)  # from here on its end cancels the run
        return given

    def _map(
        self,
        start: Start,
        key: str | None,
        inputs: Iterator[Any],
        how: dict[str, Any],
        bar: Any,
    ) -> Iterator[Any]:
        mailbox: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        thread, client = self._here()
        mapping, flow = thread.call(
            client.begin_map(start, key, mailbox.put, how),
            lambda begun: client.later(begun[0].abandon()),
        )
        told = False
        try:
            with bar as shown:
                yield None
                while not flow.done:
                    thread.check_ours("the iterator of this map")
                    if not flow.over:
                        flow.fill(inputs, lambda: not mailbox.empty(), SLICE_S)
                    if flow.whole and not told:
                        thread.soon(mapping.end_inputs)
                        told = True
                    values = flow.take()
                    if values is not None:
                        if shown is not None:
                            shown.show(flow.given, flow.fed, flow.failed)
                        yield from values
                    elif not flow.done:
                        thread.soon(mapping.took, flow.receive(mailbox.get()))
        finally:
            _leave(thread, client, mapping.finish() if flow.done else mapping.abandon(), flow.done)

    def start(
        self,
        function: Work,
        /,
        *iterables: Iterable[Any],
        key: str | None = None,
        options: Options | None = None,
    ) -> Run:
        """Begin a lasting run of a function, which goes on when this program has ended.

        Returns when all inputs are on disk. While very many of them wait for workers, that waits,
        too. A program that ends before leaves an open run; the same call with the same key goes on
        where it was, by count. Inputs that are `Task`s with a key are known by that.

        Args:
            function, iterables, options: as for `map`. A task is tried three times by default.
            key: the same key gives the same run.

        Raises as `map`, and what the inputs raise. What was given before stays. An interrupt comes
        out at once, SystemExit after some seconds; what is on disk by then stays.
        """
        start = start_of(function, iterables, options, lasting=True)
        thread, client = self._here()
        feeding = client.feeding(start, key)
        run, feed, skip = thread.call(
            feeding.__aenter__(),
            lambda _: client.later(_exited(feeding, KeyboardInterrupt())),
        )
        try:
            if skip is not None:
                for number, item in enumerate(inputs_of(iterables), 1):
                    if skip and not is_keyed(item):
                        skip -= 1
                        continue
                    add_input(feed, item, number)
                    if not feed.room:
                        thread.call(feed.wait_room())
        except BaseException as error:
            thread.call(_exited(feeding, error))
            raise
        thread.call(feeding.__aexit__(None, None, None))
        return Run(self, run.id)

    def submit(
        self,
        job: str,
        /,
        *,
        key: str | None = None,
        after: Run | int | Sequence[Run | int] = (),
        traceparent: str | None = None,
        **arguments: Any,
    ) -> Run:
        """Begin a run of a job that the master has, as `qm submit` does.

        Args:
            job: its name.
            key: the same key gives the same run, never a second.
            after: it begins when these runs have ended without dead letters. Its `tasks()` gets
                their results as `previous`.
            traceparent: of W3C's trace context; None: the variable TRACEPARENT of this process,
                if it has one. The run's tasks have it as TRACEPARENT.
            arguments: of its `tasks()`.

        Raises RefusedError with the master's own line.
        """

        async def begun(client: AsyncClient) -> AsyncRun:
            how: dict[str, Any] = {"key": key, "after": after, "traceparent": traceparent}
            return await client.submit(job, **how, **arguments)

        return Run(self, self._call(begun).id)

    def run(self, which: int | str, /) -> Run:
        """A run by its number or by its key. Raises RefusedError if there is none."""
        return Run(self, self._call(lambda client: client.run(which)).id)

    def runs(self, state: str = "", job: str = "", search: str = "") -> Iterator[RunStatus]:
        """How all runs are: active ones in their order, then ended ones, the newest first.

        state, job: only runs in that state (as `qm status` names it), or of that job. search: only
        runs with this text in their job, key or arguments, or with this number.
        """
        return self._iterate(lambda client: client.runs(state, job, search))

    def executor(self, options: Options | None = None) -> QueueExecutor:
        """An executor as those of `concurrent.futures`, whose calls run in the workers.

        options: how its calls are run. By default those of the function's module, with one attempt.
        """
        from .executor import QueueExecutor

        check_options(options)
        return QueueExecutor(self, options)

    def history(
        self,
        which: int | str | None = None,
        /,
        *,
        since_at: float = 0.0,
        until_at: float = 0.0,
        step_s: float = 60.0,
    ) -> History:
        """What a run has done over a time, in steps; None: all runs together.

        Args:
            which: its number or its key.
            since_at: UTC epoch in seconds; 0 is an hour before `until_at`.
            until_at: the same; 0 is now.
            step_s: how long a step is at least. The answer says how long it is: never less than a
                minute, nor than ten minutes where the time began more than a day ago, and so long
                that there are at most 1,500 steps.

        Raises RefusedError if there is no such run, or the times are none.
        """
        return self._call(
            lambda client: client.history(
                which, since_at=since_at, until_at=until_at, step_s=step_s
            )
        )

    def status(self) -> Status:
        """How the master is."""
        return self._call(lambda client: client.status())

    # --- the thread of the loop ---

    def _here(self) -> tuple[LoopThread, AsyncClient]:
        """The loop and the session of this process.

        Raises as `OwnSession.here`.
        """
        return self._own.here()

    def _call(self, verb: Callable[[AsyncClient], Coroutine[Any, Any, R]]) -> R:
        thread, client = self._here()
        return thread.call(verb(client))

    def _iterate(self, verb: Callable[[AsyncClient], Any]) -> Iterator[Any]:
        """What an asynchronous iterator gives."""
        thread, client = self._here()
        items = _Items(verb(client))
        try:
            while True:
                thread.check_ours("this iterator")
                item = thread.call(items.next())
                if item is _END:
                    return
                yield item
        finally:
            _leave(thread, client, items.close(), True)

    def _forked(self) -> None:
        """This is the child of a fork now."""
        self._calling = weakref.WeakSet()  # they belong to the parent
        self._own.forked()


async def _exited(context: Any, error: BaseException) -> None:
    """Leave a context because of an error. The caller raises it.

    An interrupt waits for nothing more. SystemExit does, for a while; it would end the loop, so an
    ordinary error stands for it there.
    """
    if isinstance(error, SystemExit):
        error = Exiting()
    elif isinstance(error, GeneratorExit):
        error = Exception(type(error).__name__)
    elif not isinstance(error, Exception):
        error = asyncio.CancelledError()
    with contextlib.suppress(type(error)):
        await context.__aexit__(type(error), error, None)


_END = object()


class _Items:
    """An asynchronous iterator, which is closed when an interrupted `next` has ended."""

    def __init__(self, items: Any) -> None:
        self._items, self._lock = aiter(items), asyncio.Lock()

    async def next(self) -> Any:
        async with self._lock:
            return await anext(self._items, _END)

    async def close(self) -> None:
        async with self._lock:
            await self._items.aclose()


def _leave(
    thread: LoopThread, client: AsyncClient, coroutine: Coroutine[Any, Any, None], soon: bool
) -> None:
    """Have something done behind an iterator. soon: nobody waits for it."""
    if not thread.is_ours or sys.is_finalizing():
        coroutine.close()
        return

    async def done() -> None:
        task = client.later(coroutine)
        if not soon:
            await task

    if soon or not thread.may_wait:
        thread.begin(done())
    else:
        thread.finish(done(), GOODBYE_S)


_clients: weakref.WeakSet[Client] = weakref.WeakSet()


def _forked() -> None:
    for client in list(_clients):
        client._forked()


@atexit.register
def _close_all() -> None:
    for client in list(_clients):
        with contextlib.suppress(Exception):
            client._close(_EXIT_S)


os.register_at_fork(after_in_child=_forked)
