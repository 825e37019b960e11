"""Has dead letters of a run tried again: all at once, or those that a filter chooses, in pages."""

from __future__ import annotations

import logging
import time
from functools import partial

from queue_manager.errors import QueueError, RefusedError
from queue_manager.log_lines import about_run
from queue_manager.terminal import harmless_line
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.messages import RetryRun

from ...broker.runs.run import Run
from ...changes import QUEUE_RUN
from ...processes.runners import Runners, uncollected
from ...reads import LetterPage, LettersSought, ReadRequest
from ...turn.run_lookup import check_run
from ...turn.turn import Turn
from ..choosing import checked, what_there_is

log = logging.getLogger("quartermaster.master")

PAGE_BYTES, MOST_BYTES = 128 * 1024, 512 * 1024
"""About how much of the dead letters a turn looks at: at first some 500 of them, and then by how
long the last turn took. A commit of fewer takes as long: most of it is the wait for the disk."""

SHORT_S, LONG_S = 0.01, 0.04
"""A turn that takes less looks at too few letters, one that takes longer holds others up."""

AT_ONCE = 1_000
"""More dead letters than these are tried again in pages, too: all of them in one turn would hold it
up for some 10 s for each million."""


class Retrying:
    """Has dead letters tried again, and the runner of their run begin again."""

    def __init__(self, turn: Turn, runners: Runners) -> None:
        self._turn = turn
        self._runners = runners

    async def retry(self, message: RetryRun, run: Run, by: str) -> int:
        """How many are tried again. by: the role and the name of the session that asks for it.

        Raises RefusedError when the run can't be retried, or the filter chooses none.
        """
        only = message.only
        if only is None and (run.dead <= AT_ONCE or run.state == "cancelled"):
            goes_on = run.active or uncollected(run)
            stopped = run.has_runner and not run.pending and not self._runners.lives(run)
            count = await self._turn.carry_out(partial(self._all, message, run, by))
            _tell(run, count, by, message.reason, bool(goes_on and stopped))
            return count
        only = FailureFilter() if only is None else checked(only)
        return await self._chosen(message, run, only, by)

    def _all(self, message: RetryRun, run: Run, by: str, now: float, wall: float) -> partial[int]:
        check_run(self._turn, run)  # it may have been forgotten meanwhile
        # Of a cancelled run, only `finish()` can be tried again.
        finishes = run.state == "cancelled" and uncollected(run)
        retry = partial(self._turn.broker.retry, by=by, reason=message.reason)
        count = 0 if finishes else retry(run, wall)
        return partial(self._begun, run, count)

    def _begun(self, run: Run, count: int) -> int:
        if (run.active or uncollected(run)) and run.id != QUEUE_RUN:
            self._runners.start(run)  # also a stalled one, with no dead letter
        return count

    async def _chosen(self, message: RetryRun, run: Run, only: FailureFilter, by: str) -> int:
        """Try those again that a filter chooses of the dead letters that there are now.

        Each page is a turn by itself, so that a million letters hold up nobody for long.
        """
        count, place, until, complete = 0, 0, run.last_dead, False
        page_bytes = PAGE_BYTES
        try:
            while not complete:
                began = time.monotonic()
                sought = LettersSought(run.id, only, place, until, page_bytes)
                stage = partial(self._some, message, run, sought, by)
                more, page = await self._turn.carry_out(stage, ReadRequest(letters={sought}))
                page_bytes = paced(page_bytes, time.monotonic() - began)
                count += more
                place, complete = page.place, page.complete
        except QueueError as error:  # the run was cancelled meanwhile, say, or the disk is full
            if not count:
                raise
            raise type(error)(f"{error}; before that, {_went_back(count)}") from None
        finally:
            _tell(run, count, by, message.reason)
        if not count:
            letters, _ = self._turn.store.read_letters(run.id, 0, PAGE_BYTES)
            there = what_there_is(letters, run.dead)
            raise RefusedError(f"run {run.id}: no dead letter is what you ask for; {there}")
        return count

    def _some(
        self, message: RetryRun, run: Run, sought: LettersSought, by: str, now: float, wall: float
    ) -> partial[tuple[int, LetterPage]]:
        check_run(self._turn, run)
        self._turn.broker.check_retry(run)
        page = self._turn.known.letters(sought)
        retry = partial(self._turn.broker.retry, by=by, reason=message.reason)
        count = retry(run, wall, page.letters) if page.letters else 0
        return partial(self._begun_some, run, count, page)

    def _begun_some(self, run: Run, count: int, page: LetterPage) -> tuple[int, LetterPage]:
        return self._begun(run, count) if count else 0, page


def paced(page_bytes: int, took_s: float) -> int:
    """How much the next turn looks at, if one that looked at so much took so long."""
    if took_s > LONG_S:
        return max(page_bytes // 2, PAGE_BYTES)
    return min(page_bytes * 2, MOST_BYTES) if took_s < SHORT_S else page_bytes


def _tell(run: Run, count: int, by: str, reason: str, starts: bool = False) -> None:
    """starts: its runner, which was given up, starts again, be it without a dead letter."""
    if not count and not starts:
        return
    why = f": {harmless_line(reason)}" * bool(reason)
    what = _went_back(count) if count else _starts(run)
    told = run.id, run.job or "queue", what, asked_by(by), why
    log.info("run %d (%s): %s%s%s", *told, extra=about_run(run))


def asked_by(by: str) -> str:
    """The end of a line of the log, about who has asked for what it says."""
    return f", asked by {harmless_line(by)}"


def _went_back(count: int) -> str:
    return f"{count:,} dead letter{'s are' if count != 1 else ' is'} tried again"


def _starts(run: Run) -> str:
    if run.active:
        return "its runner starts again"
    function = "finish()" if run.options.finish else "collect()"
    return f"its {function} is tried again"
