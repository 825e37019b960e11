"""Failed attempts in the master's log: the first of each run in full, then one in many."""

from __future__ import annotations

import logging

from queue_manager.job.failures import place_of
from queue_manager.log_lines import about_run
from queue_manager.terminal import harmless_line

from ..broker.leases.lease import Lease
from ..changes import Changes

log = logging.getLogger("quartermaster.master")

_FIRST = 20
_THEN_EACH = 1_000
_LINE_CHARS = 500


def cannot(job: str, why: str) -> str:
    """Why a worker can't run a job, in words that follow its name."""
    return why if why.startswith("lacks ") else f"can't run {job}: {why}"


class FailureLog:
    """Says what failed without filling the log when everything does."""

    def __init__(self) -> None:
        self._seen: dict[int, int] = {}

    def note(
        self, lease: Lease, position: int, error: str, attempts: int, evidence: str = ""
    ) -> None:
        """One attempt of one task has failed and was charged: its `attempts`-th."""
        run = lease.run
        seen = self._seen[run.id] = self._seen.get(run.id, 0) + 1
        if seen <= _FIRST or seen % _THEN_EACH == 0:
            what = f"run {run.id} ({run.job or 'queue'}), task {lease.first + position}"
            count = f"attempt {attempts} of {run.options.attempts}"
            told = what, _line(error), _place(evidence), count
            of = about_run(run, lease.first + position, lease.session.name)
            log.warning("%s failed: %s (%s%s)", *told, extra=of)

    def after_commit(self, changes: Changes, now: float) -> None:
        """Forget how often tasks of the runs failed that this turn has ended or removed."""
        for run in changes.ended | changes.forgotten:
            self._seen.pop(run, None)


def _line(error: str) -> str:
    """One line of a log, which must not steer the terminal of whoever reads it."""
    return harmless_line(error[:_LINE_CHARS])


def _place(evidence: str) -> str:
    """Where it was raised, if the evidence is a traceback."""
    place = place_of(evidence)
    return "{} line {}, ".format(*place.rsplit(":", 1)) if place else ""
