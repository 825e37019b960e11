"""What `status` prints: a line for each run and session, and why something does not move."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import msgspec

from queue_manager.job.tags import given_tags
from queue_manager.sizes import size_text
from queue_manager.terminal import harmless_line
from queue_manager.wire.masters import MasterStatus
from queue_manager.wire.messages import RunList, SessionList, Status
from queue_manager.wire.records import QuotaStatus, Running, RunStatus, SessionStatus
from queue_manager.wire.usage import Usage

from ...observe.run_line import errors_line

_COUNTS = ("tasks", "waiting", "leased", "delayed", "done", "dead")
_SHOWN = 4
"""How many of the tasks that a worker runs are named."""

_TENTHS_S = 60.0


def status_lines(status: Status, runs: RunList, sessions: SessionList) -> Iterator[str]:
    """The lines of a status. Runs and sessions behind the given ones are counted."""
    yield from head_lines(status)
    yield from run_table(runs.runs)
    if runs.more:
        yield f"       ... and {runs.more:,} more: qm status --all"
    if sessions.sessions:
        yield ""
        yield from session_lines(sessions.sessions)
    if sessions.more:
        yield f"... and {sessions.more:,} more: qm status --all"
    yield from foot_lines(status)


def status_json(status: Status, runs: RunList, sessions: SessionList) -> str:
    """The same as one object of JSON, with the fields of the records. Seconds, and Unix times."""
    masters = [{"role": m.role, **msgspec.structs.asdict(m)} for m in status.masters]
    told = {
        **msgspec.structs.asdict(status),
        "masters": masters,
        "runs": runs.runs,
        "more_runs": runs.more,
        "sessions": sessions.sessions,
        "more_sessions": sessions.more,
    }
    del told["seq"]
    return msgspec.json.encode(told).decode()


def head_lines(status: Status) -> Iterator[str]:
    """How the master itself is."""
    yield f"master {status.version} at {status.address}, up {duration(status.up_s)}"
    yield from master_lines(status.masters)
    yield from (f"  ! {trouble}" for trouble in [*status.why, *status.schedules])
    yield ""


def master_lines(masters: Sequence[MasterStatus]) -> Iterator[str]:
    """The masters that share a store. The times are those of the database's clock."""
    name = max((len(master.name) for master in masters), default=0)
    address = max((len(master.address) for master in masters), default=0)
    for master in masters:
        since = datetime.fromtimestamp(master.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        words = f"{harmless_line(master.name):<{name}}  {harmless_line(master.address):<{address}}"
        yield f"  {master.role:<7}  {words}  since {since}, seen {duration(master.lag_s)} ago"


def foot_lines(status: Status) -> Iterator[str]:
    """The last lines of a status."""
    if status.refused_outcomes:
        yield ""
        yield f"{status.refused_outcomes:,} outcomes of old leases were refused"


def run_table(runs: list[RunStatus]) -> Iterator[str]:
    """A title, and the lines of each run."""
    columns = count_columns(runs)
    yield run_title(columns)
    for run in runs:
        yield from run_lines(run, columns)


def count_columns(runs: Iterable[RunStatus], later_pages: bool = False) -> tuple[str, ...]:
    """The counts that a table of these runs shows. later_pages: the table has more runs."""
    has_cancelled = later_pages or any(run.cancelled for run in runs)
    return (*_COUNTS, "cancelled") if has_cancelled else _COUNTS


def run_title(columns: Sequence[str]) -> str:
    """The title of a table of runs."""
    return _row("run", "state", columns, "job")


def run_lines(run: RunStatus, columns: Sequence[str]) -> Iterator[str]:
    """The lines of one run in a table with these counts."""
    counts = [f"{getattr(run, column):,}" for column in columns]
    job = shlex.join([run.job, *run.args]) if run.run else f"(queue) {run.job}".rstrip()
    yield _row(run.run, run.state, counts, job)
    yield from (f"       ! {reason}" for reason in run.why)
    if run.key not in (None, " ".join([run.job, *run.args])):  # that is the key of a seed
        yield f"       key {shlex.quote(harmless_line(run.key or ''))}"
    if run.after and run.state != "pending":
        yield f"       after run{'s' * (len(run.after) > 1)} {', '.join(map(str, run.after))}"
    yield from (f"       {_quota(one)}" for one in run.quotas)
    if run.pruned:
        yield f"       {run.pruned:,} dead letters were pruned (QUEUE_KEEP_DAYS)"
    if errors := errors_line(run):
        yield f"       ! {errors}"


def _row(number: int | str, state: str, counts: Sequence[str], job: str) -> str:
    """The job is last: its arguments may be long, and are never cut."""
    cells = "".join(f" {count:>10}" for count in counts)
    return f"{number:>5}  {state:<9}{cells}  {job}"


def _quota(one: QuotaStatus) -> str:
    dropped = f", {one.dropped:,} more dropped" if one.dropped else ""
    return f"quota {one.name}: {one.accepted:,} accepted{dropped}"


def session_lines(sessions: list[SessionStatus]) -> Iterator[str]:
    """A title, and the lines of each session."""
    names, addresses, versions = (
        max([len(title), *(len(getattr(session, title)) for session in sessions)])
        for title in ("name", "address", "version")
    )
    row = f"{{:<7}} {{:<{names}}} {{:<{addresses}}} {{:<{versions}}}"
    row += " {:>9} {:>5} {:>8} {:>9}  {}"
    titles = ("connected", "slots", "holds", "oldest", "tags")
    shown = _shown_tags(sessions)
    tagged = any(shown)
    yield row.format("session", "name", "address", "version", *titles[: 4 + tagged], "").rstrip()
    for session, tags in zip(sessions, shown, strict=True):
        yield row.format(
            session.role,
            session.name,
            session.address,
            session.version,
            duration(session.connected_s),
            session.slots or "",
            f"{session.held:,}",
            f"{session.oldest_s:.1f} s" if session.held else "",
            ",".join(tags) or session.note,
        ).rstrip()
        if session.running:
            yield f"        runs {_running(session.running)}"
        if session.usage is not None:
            yield f"        uses {_uses(session.usage)}"


def _shown_tags(sessions: list[SessionStatus]) -> list[list[str]]:
    """The tags of each session. That of its Python only tells something where workers differ."""
    given = [given_tags(session.tags) for session in sessions]
    pythons = {tag for s, own in zip(sessions, given, strict=True) for tag in {*s.tags} - {*own}}
    return [session.tags for session in sessions] if len(pythons) > 1 else given


def _running(tasks: list[Running]) -> str:
    shown = [f"{one.run}/{one.task} for {_short(one.for_s)}" for one in tasks[:_SHOWN]]
    more = len(tasks) - _SHOWN
    return ", ".join([*shown, *([f"+{more:,} more"] if more > 0 else [])])


def _uses(usage: Usage) -> str:
    """Memory, processors, and the slot that takes most memory."""
    limit_bytes, processors = usage.memory_limit_bytes, usage.processors
    limit = f" of {size_text(limit_bytes)}" if limit_bytes is not None else ""
    parts = [f"{size_text(usage.memory_bytes)}{limit}"]
    if processors is not None:
        most = usage.processors_limit
        parts.append(f"{processors:.1f}{f' of {most:g}' if most is not None else ''} processors")
    if usage.largest is not None:
        runs = f" ({usage.largest.run}/{usage.largest.task})" * (usage.largest.task is not None)
        parts.append(f"largest slot {size_text(usage.largest.memory_bytes)}{runs}")
    return ", ".join(parts)


def _short(seconds: float) -> str:
    """Seconds with their tenths, or a longer time without them."""
    return f"{seconds:.1f} s" if seconds < _TENTHS_S else duration(seconds)


def duration(seconds: float) -> str:
    """A time span for people: `42 s`, `12 min`, `5 h`, `3 days`."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
