"""Calls `collect()` with the results of a run: one at a time, in the order of completion."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

from queue_manager import codec
from queue_manager.wire.messages import Collect, Collected, Page
from queue_manager.wire.records import UNTIL_END, Ended

from .job_errors import JOB_ERRORS, JobErrors
from .reporting import Reporter
from .session import RunnerSession

TELL_S = 0.04
"""How often the collector tells the master how far it is. The master saves that within another
0.04 s, so after a crash at most the last 0.1 s of calls repeat."""

MANY, GATHER_S = 16, 0.01
"""A page of fewer than `MANY` outcomes costs master and runner more than the outcomes do. After
such a page the collector asks for the next one `GATHER_S` later. A result that comes after a pause
finds the request waiting, and is collected at once."""


def ask_page(session: RunnerSession, run: int, after: int) -> Future[Page]:
    """Ask for the outcomes of a run behind a sequence number."""
    return session.request(lambda seq: Collect(seq, run, after), Page)


def pairs(ended: Ended, body: bytes, skip: int = 0) -> Iterator[tuple[Any, Any]]:
    """(payload, result) of each task of an outcome, without the first `skip`.

    Either may be a `codec.Undecodable`.
    """
    payloads = codec.decode_each(body, ended.start + skip, ended.stop)
    results = codec.decode_each(ended.results, skip, ended.stop - ended.start)
    return zip(payloads, results, strict=True)


def check_pair(payload: Any, result: Any) -> None:
    """Raise ProtocolError if one of them could not be decoded."""
    for value in (payload, result):
        if type(value) is codec.Undecodable:
            raise value.error


class Collector:
    """Gives every outcome to `collect()`, one at a time, in order of completion.

    Args:
        collect: the job's function; None if it has none, and the collector only waits for the end.
        after: the sequence number up to which everything was collected before.
        into: how many results of the next outcome were collected, too.
        reporter: reports in the same thread, so `collect()` never runs meanwhile.
    """

    def __init__(
        self,
        session: RunnerSession,
        run: int,
        collect: Callable[[Any, Any], Any] | None,
        after: int,
        into: int,
        errors: JobErrors,
        reporter: Reporter,
    ) -> None:
        self._session = session
        self._run = run
        self._collect = collect
        self._after, self._into = after, into
        self._told = (after, into)
        self._due = 0.0
        self._errors = errors
        self._reporter = reporter

    def collect_all(self) -> Page:
        """Collect until the run has ended and everything was collected. Returns the last page."""
        wait = self._reporter.wait
        page = wait(self._ask(self._after if self._collect is not None else UNTIL_END))
        while True:
            # The next page comes while this one is collected.
            many = len(page.outcomes) >= MANY
            following = self._ask(page.last) if many and not page.complete else None
            for ended in page.outcomes:
                self._collect_range(ended, page.bodies[ended.first])
            self.tell()
            if page.complete:
                return page
            if following is None:
                time.sleep(GATHER_S)
                following = self._ask(page.last)
            page = wait(following)

    def _ask(self, after: int) -> Future[Page]:
        return ask_page(self._session, self._run, min(after, UNTIL_END))

    def _collect_range(self, ended: Ended, body: bytes) -> None:
        collect, clock = self._collect, time.monotonic
        assert collect is not None  # without it the master is asked for no outcomes
        for payload, result in pairs(ended, body, self._into):
            try:
                check_pair(payload, result)
                collect(payload, result)
            except JOB_ERRORS as error:
                self._errors.note("collect", error)
            self._into += 1
            if clock() >= self._due:
                self.tell()
                self._reporter.look()
        self._after, self._into = ended.seq, 0

    def tell(self) -> None:
        """Tell the master how far it is. After a crash the rest is collected again."""
        self._due = time.monotonic() + TELL_S
        reached, errors = (self._after, self._into), self._errors.take()
        if reached != self._told or errors:
            self._session.send(Collected(self._run, *reached, errors))
            self._told = reached
