"""What `status` prints: a line for each run and session, and why something does not move."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from queue_manager.messages import Status
from queue_manager.records import RunStatus, SessionStatus

_COUNTS = ("tasks", "waiting", "leased", "delayed", "done", "dead")


def status_lines(status: Status) -> Iterator[str]:
    """The lines of a status."""
    yield f"master {status.version} at {status.address}, up {duration(status.up_s)}"
    yield from (f"  ! {trouble}" for trouble in status.why)
    yield ""
    yield from _runs(status.runs)
    yield ""
    yield from _sessions(status.sessions)
    if status.refused_outcomes:
        yield ""
        yield f"{status.refused_outcomes:,} outcomes of old leases were refused"


def _runs(runs: Iterable[RunStatus]) -> Iterator[str]:
    # The job is last: its arguments may be long, and are never cut.
    columns = (*_COUNTS, *(["cancelled"] if any(run.cancelled for run in runs) else []))
    row = "{:>5}  {:<9}" + " {:>10}" * len(columns) + "  {}"
    yield row.format("run", "state", *columns, "job")
    for run in runs:
        counts = (f"{getattr(run, column):,}" for column in columns)
        job = shlex.join([run.job, *run.words]) if run.run else f"(queue) {run.job}".rstrip()
        yield row.format(run.run, run.state, *counts, job)
        yield from (f"       ! {reason}" for reason in run.why)
        if run.collect_errors:
            yield f"       ! collect() raised {run.collect_errors:,} times: see the master's log"


def _sessions(sessions: Iterable[SessionStatus]) -> Iterator[str]:
    row = "{:<7} {:<36} {:>9} {:>5} {:>8} {:>9}  {}"
    yield row.format("session", "name", "connected", "slots", "holds", "oldest", "").rstrip()
    for session in sessions:
        yield row.format(
            session.role,
            session.name,
            duration(session.connected_s),
            session.slots or "",
            f"{session.held:,}",
            f"{session.oldest_s:.1f} s" if session.held else "",
            session.note,
        ).rstrip()


def duration(seconds: float) -> str:
    """A time span for people: `42 s`, `12 min`, `5 h`, `3 days`."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
