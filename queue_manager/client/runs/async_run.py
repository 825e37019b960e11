"""One run as a program with a loop has it in its hands: how it is, its results, what to do with it.

The synchronous `Run` stands on it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from functools import partial
from typing import Any

from ...errors import TimedOutError
from ...job.contract import Options
from ...wire.messages import Accepted, CancelRun, ForgetRun, RetryRun
from ...wire.records import RunStatus
from ..calls import Start, Work, then_of
from ..checking import seconds_of
from ..connection.session import Session, run_status
from .choosing import Error, Moment, filter_of, reason_of
from .mapping import start_run
from .reading import Failure, ended, failures, opened, results


class AsyncRun:
    """One run. `id` is its number."""

    def __init__(self, session: Session, number: int) -> None:
        self._session = session
        self.id = number

    def __repr__(self) -> str:
        return f"<run {self.id}>"

    async def status(self) -> RunStatus:
        """How it is now."""
        return await run_status(self._session, self.id)

    async def wait(self, timeout: float | None = None) -> RunStatus:
        """Wait until it has ended. Returns how it has. Raises as `Run.wait`."""
        try:
            async with asyncio.timeout(seconds_of(timeout)):
                return await ended(self._session, self.id)
        except TimeoutError:
            raise TimedOutError(f"run {self.id} has not ended within {timeout} s") from None

    async def results(self, *, return_exceptions: bool = False) -> AsyncGenerator[Any, None]:
        """As `Run.results`."""
        async with contextlib.aclosing(results(self._session, self.id)) as pages:
            async for values in pages:
                for value in opened(values, return_exceptions):
                    yield value

    async def failed(
        self,
        *,
        tasks: Iterable[int] | None = None,
        error: Error = "",
        worker: str = "",
        since: Moment = None,
        until: Moment = None,
    ) -> AsyncGenerator[Failure, None]:
        """As `Run.failed`."""
        only = filter_of(tasks, error, worker, since, until)
        async with contextlib.aclosing(failures(self._session, self.id, only)) as pages:
            async for page in pages:
                for failure in page:
                    yield failure

    async def then(
        self, function: Work, /, *, key: str | None = None, options: Options | None = None
    ) -> AsyncRun:
        """As `Run.then`."""
        return await self.followed(then_of(function, options, [self.id]), key)

    async def followed(self, start: Start, key: str | None) -> AsyncRun:
        """Begin the run that `then_of` asks for."""
        return AsyncRun(self._session, await start_run(self._session, start, key))

    async def retry(
        self,
        *,
        tasks: Iterable[int] | None = None,
        error: Error = "",
        worker: str = "",
        since: Moment = None,
        until: Moment = None,
        reason: str = "",
    ) -> int:
        """As `Run.retry`."""
        only = filter_of(tasks, error, worker, since, until)
        make = partial(RetryRun, run=self.id, only=only, reason=reason_of(reason))
        return await self._change(make, "retried")

    async def cancel(self) -> int:
        """As `Run.cancel`."""
        return await self._change(partial(CancelRun, run=self.id), "cancelled")

    async def forget(self) -> int:
        """As `Run.forget`."""
        return await self._change(partial(ForgetRun, run=self.id), "forgotten")

    async def _change(self, make: Callable[[int], Any], done: str) -> int:
        what = f"whether the run was {done}"
        return (await self._session.call(make, Accepted, what)).tasks
