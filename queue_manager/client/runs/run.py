"""One run as a plain program has it in its hands: how it is, its results, what to do with it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ...job.contract import Options
from ...wire.records import RunStatus
from ..calls import Work, then_of
from .async_run import AsyncRun
from .choosing import Error, Moment, filter_of
from .reading import Failure, failures, opened, results

if TYPE_CHECKING:
    from ..synchronous import Client

R = TypeVar("R")


class Run:
    """One run. `id` is its number."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self.id = number

    def __repr__(self) -> str:
        return f"<run {self.id}>"

    def status(self) -> RunStatus:
        """How it is now. Raises RefusedError if it was forgotten."""
        return self._call(lambda run: run.status())

    def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait until the run has ended. Returns how it has.

        Raises TimedOutError, a TimeoutError, when it has not within `timeout` seconds.
        """
        return self._call(lambda run: run.wait(timeout))

    def results(self, *, return_exceptions: bool = False) -> Iterator[Any]:
        """The results of all tasks, in the order of their numbers.

        Waits for tasks that have not ended. A failure is raised in its turn; with
        `return_exceptions` it comes in the place of its result.
        """
        number = self.id
        pages = self._client._iterate(lambda client: results(client.session, number))
        for values in pages:
            yield from opened(values, return_exceptions)

    def failed(
        self,
        *,
        tasks: Iterable[int] | None = None,
        error: Error = "",
        worker: str = "",
        since: Moment = None,
        until: Moment = None,
    ) -> Iterator[Failure]:
        """The tasks that have failed and will not be tried again, in the order of their numbers.

        The arguments choose some of them, as those of `retry`.
        """
        number, only = self.id, filter_of(tasks, error, worker, since, until)
        for page in self._client._iterate(lambda client: failures(client.session, number, only)):
            yield from page

    def then(
        self, function: Work, /, *, key: str | None = None, options: Options | None = None
    ) -> Run:
        """Begin a run that calls a function with each result of this one.

        It begins when this run has ended without dead letters, also when this program has ended.

        Args:
            function: takes one result. A text names a job that the master has.
            key: the same key gives the same run.
            options: how its tasks are run.

        Raises as `Client.start`.
        """
        start = then_of(function, options, [self.id])  # not in the loop: it runs code of the user
        return Run(self._client, self._call(lambda run: run.followed(start, key)).id)

    def retry(
        self,
        *,
        tasks: Iterable[int] | None = None,
        error: Error = "",
        worker: str = "",
        since: Moment = None,
        until: Moment = None,
        reason: str = "",
    ) -> int:
        """Have failed tasks tried again, as if for the first time. Returns how many these are.

        Without arguments all of them; with several arguments those for which all of these hold.

        Args:
            tasks: their numbers.
            error: the exception that the last try raised, and perhaps where, as
                `"ValueError@lines.py:12"`; or a class.
            worker: who ran the last try, as `"HOST/PID"` or `"HOST"`.
            since: they failed for good at this time or later: a datetime, or UTC epoch in seconds.
                A datetime without a zone is local time.
            until: they failed for good before this time.
            reason: why, at most 1,000 characters. It is kept with each task, and the job sees it as
                `current_task().retry_reason`.

        Raises RefusedError when no failed task is what the arguments say; the line says which
        there are.
        """
        return self._call(
            lambda run: run.retry(
                tasks=tasks, error=error, worker=worker, since=since, until=until, reason=reason
            )
        )

    def cancel(self) -> int:
        """End the run now, its running tasks too. Returns how many tasks were cancelled."""
        return self._call(lambda run: run.cancel())

    def forget(self) -> int:
        """Delete the ended run with its results. Returns how many tasks it had."""
        return self._call(lambda run: run.forget())

    def _call(self, verb: Callable[[AsyncRun], Coroutine[Any, Any, R]]) -> R:
        return self._client._call(lambda client: verb(AsyncRun(client.session, self.id)))
