"""The clock of a store of plain dicts: what moves in it when the wall clock is set."""

from __future__ import annotations

from dataclasses import replace

from master.changes import QUEUE_RUN
from master.store.relational.upkeep.clock import LEAST_SET_S, SLACK_S
from tests import memory_history
from tests.memory_kept import Kept


def set_clock(kept: Kept, boot: int, behind_s: float, wall: float | None) -> None:
    """As `Store.set_clock`."""
    before, was_s = kept.clock
    same = bool(boot) and boot == before
    set_s = behind_s - was_s if same else kept.clock_off
    if same and abs(set_s) < LEAST_SET_S:
        return
    if same:
        _move_delays(kept, set_s)
    since = wall
    if wall is not None and abs(set_s) >= LEAST_SET_S and kept.clock_since is not None:
        _move_ends(kept, set_s, wall - set_s if same else kept.clock_seen + SLACK_S)
        since = kept.clock_since + set_s
    kept.clock, kept.clock_off = (boot, behind_s), 0.0
    if wall is not None:
        kept.clock_since, kept.clock_seen = since, wall


def note_clock(kept: Kept, wall: float, off_s: float) -> None:
    """As `Store.note_clock`."""
    kept.clock_seen, kept.clock_off = wall, off_s


def _move_delays(kept: Kept, set_s: float) -> None:
    for key, record in kept.tracked.items():
        if record.state == "waiting":
            kept.tracked[key] = replace(record, due_at=record.due_at + set_s)
    for (run, group), own in kept.own.items():
        due_at = own.due_at + set_s * (own.delay_s > 0)
        kept.own[run, group] = replace(own, due_at=due_at)
    kept.accepted = [(block, at + set_s) for block, at in kept.accepted]


def _move_ends(kept: Kept, set_s: float, until: float) -> None:
    since = kept.clock_since
    if since is None:
        return

    def moved(at: float | None) -> float | None:
        return at + set_s if at is not None and since <= at <= until else at

    memory_history.move_history(kept, set_s, since, until)
    for number, run in kept.runs.items():
        if number != QUEUE_RUN:
            started_at = moved(run.started_at) or 0.0
            kept.runs[number] = replace(run, started_at=started_at, ended_at=moved(run.ended_at))
    for key, record in kept.tracked.items():
        if record.run == QUEUE_RUN and record.state == "dead":
            kept.tracked[key] = replace(record, due_at=moved(record.due_at) or 0.0)


def cap_delays(kept: Kept, wall: float) -> None:
    """As `Store.cap_delays`."""
    for key, record in kept.tracked.items():
        if record.state == "waiting":
            due_at = min(record.due_at, max(wall, wall + record.delay_s))
            kept.tracked[key] = replace(record, due_at=due_at)
    for (run, group), own in list(kept.own.items()):
        due_at = min(own.due_at, wall + own.delay_s)
        kept.own[run, group] = replace(own, due_at=due_at)
        if own.limit is None and own.due_at <= wall:
            del kept.own[run, group]
