"""One run as a plain program has it in its hands: how it is, its results, what to do with it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from ...job.contract import Options
from ...wire.records import RunStatus
from ..calls import Work, then_of
from .async_run import AsyncRun
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

    def failed(self) -> Iterator[Failure]:
        """The tasks that have failed and will not be tried again, in the order of their numbers."""
        number = self.id
        for page in self._client._iterate(lambda client: failures(client.session, number)):
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

    def retry(self) -> int:
        """Have failed tasks tried again, as if for the first time. Returns how many these are."""
        return self._call(lambda run: run.retry())

    def cancel(self) -> int:
        """End the run now, its running tasks too. Returns how many tasks were cancelled."""
        return self._call(lambda run: run.cancel())

    def forget(self) -> int:
        """Delete the ended run with its results. Returns how many tasks it had."""
        return self._call(lambda run: run.forget())

    def _call(self, verb: Callable[[AsyncRun], Coroutine[Any, Any, R]]) -> R:
        return self._client._call(lambda client: verb(AsyncRun(client.session, self.id)))
