"""What `qm schedule` prints: a line for each schedule, and why it does not run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from queue_manager.terminal import harmless_line
from queue_manager.wire.messages import ScheduleList
from queue_manager.wire.schedules import ScheduleStatus

_TITLES = ("name", "times", "zone", "next", "last run", "job")


def schedule_lines(told: ScheduleList) -> Iterator[str]:
    """The lines of all schedules."""
    yield from (f"! {line}" for line in told.why)
    if not told.schedules:
        yield "no schedules: qm schedule add --help"
        return
    rows = [_TITLES, *map(_cells, told.schedules)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(_TITLES) - 1)]
    form = "  ".join(f"{{:<{width}}}" for width in [*widths, 0])
    yield form.format(*_TITLES)
    for one, row in zip(told.schedules, rows[1:], strict=True):
        yield form.format(*row)
        yield from (f"    ! {harmless_line(line)}" for line in one.why)
        if one.note:
            yield f"    {harmless_line(one.note)}"
        if one.waiting:
            yield f"    {one.waiting:,} slot{'s wait' if one.waiting > 1 else ' waits'}"


def changed_line(one: ScheduleStatus, what: str) -> str:
    """What has become of one schedule. what: such as `added`."""
    comes = f", next {_moment(one, one.next_at)}" if one.next_at and what != "removed" else ""
    return f"schedule {harmless_line(one.spec.name)} {what}{comes}"


def json_line(one: ScheduleStatus) -> str:
    """One schedule as JSON. Times are UTC, as texts."""
    spec: dict[str, Any] = msgspec.to_builtins(one.spec)
    fields = {
        **spec,
        "paused": one.paused,
        "from_file": one.from_file,
        "next": None if one.next_at is None else _utc(one.next_at),
        "last": _utc(one.last_at) if one.last_run else None,
        "last_run": one.last_run or None,
        "waiting": one.waiting,
        "skipped": one.skipped,
        "note": one.note or None,
        "why": one.why,
    }
    return json.dumps(fields, ensure_ascii=False)


def _cells(one: ScheduleStatus) -> tuple[str, ...]:
    spec = one.spec
    comes = "paused" if one.paused else _moment(one, one.next_at) if one.next_at else "-"
    ran = f"{one.last_run} of {_moment(one, one.last_at)}" if one.last_run else "-"
    words = (spec.name, spec.expression, spec.zone, comes, ran, shlex.join([spec.job, *spec.args]))
    return tuple(map(harmless_line, words))


def _moment(one: ScheduleStatus, at: float) -> str:
    """A time in the schedule's zone, with its offset."""
    try:
        zone = ZoneInfo(one.spec.zone)
    except (OSError, ValueError, KeyError):  # this machine may not know it
        return _utc(at)
    return datetime.fromtimestamp(at, zone).strftime("%Y-%m-%d %H:%M %z")


def _utc(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
