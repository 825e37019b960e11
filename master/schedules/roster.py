"""All schedules, in memory and on disk: added, changed, paused, resumed, removed.

Owns what is staged of them in a turn. Knows nothing of runs.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from queue_manager.errors import RefusedError
from queue_manager.wire.limits import SCHEDULES, printable
from queue_manager.wire.schedules import ScheduleSpec

from ..scheduled import ScheduleRecord
from ..turn.turn import Turn
from .due import begin_at, has_begun
from .naming import check

FILE = "schedules.toml"


class Roster:
    """The schedules. clock: the machine's clock, UTC epoch in seconds.

    skipped: how many slots were left out since the start, also of schedules that are gone.
    """

    def __init__(self, turn: Turn, clock: Callable[[], float]) -> None:
        self._turn = turn
        self._clock = clock
        self.all = {record.name: record for record in turn.store.schedules()}
        self.skipped = 0

    # --- inside a step ---

    def staged(self, name: str) -> ScheduleRecord | None:
        """A schedule as the turn has it so far."""
        changes = self._turn.broker.changes.schedules
        return changes[name] if name in changes else self.all.get(name)

    def stage(self, name: str, record: ScheduleRecord | None) -> None:
        """Write a schedule with this turn. None: remove it."""
        self._turn.broker.changes.schedules[name] = record
        self._turn.undo.when_committed(partial(self._take, name, record))

    def _take(self, name: str, record: ScheduleRecord | None) -> None:
        before = self.all.get(name)
        if before is not None and record is not None:
            self.skipped += max(0, record.skipped - before.skipped)
        if record is None:
            self.all.pop(name, None)
        else:
            self.all[name] = record

    def check_same(self, record: ScheduleRecord) -> None:
        """Raise RefusedError if a schedule was changed since this record of it was looked at."""
        if self.staged(record.name) != record:
            raise RefusedError(f"the schedule {record.name} has just been changed")

    # --- steps ---

    async def replace(self, before: ScheduleRecord, after: ScheduleRecord) -> None:
        """Write what has become of a schedule. Raises RefusedError as `check_same`, or the disk."""

        def stage(now: float, wall: float) -> Callable[[], None]:
            self.check_same(before)
            self.stage(after.name, after)
            return _nothing

        await self._turn.carry_out(stage)

    async def add(self, spec: ScheduleSpec) -> tuple[ScheduleRecord, bool]:
        """Add a schedule; its slots count from now. Returns it, and whether it is new.

        Raises RefusedError if there is another one of that name, or there are too many.
        """
        check(spec)

        def stage(now: float, wall: float) -> Callable[[], tuple[ScheduleRecord, bool]]:
            known = self.staged(spec.name)
            if known is not None:
                if spec_of(known) != spec:
                    raise RefusedError(
                        f"there is another schedule {spec.name} ({_others(spec_of(known), spec)}):"
                        " remove it first, or take another name"
                    )
                return lambda: (known, False)
            if len(self.all) >= SCHEDULES:
                raise RefusedError(f"there are {SCHEDULES:,} schedules, and may be no more")
            record = self._new(spec)
            self.stage(spec.name, record)
            return lambda: (record, True)

        return await self._turn.carry_out(stage)

    async def change(self, name: str, to: str) -> ScheduleRecord:
        """Pause, resume or remove a schedule. Returns it, as it was before a removal.

        Raises RefusedError when there is none, or it is to be removed from its file.
        """

        def stage(now: float, wall: float) -> Callable[[], ScheduleRecord]:
            known = self.staged(name)
            if known is None:
                raise RefusedError(
                    f"there is no schedule {printable(name)!r}: see `qm schedule list`"
                )
            if to == "removed":
                if known.from_file:
                    raise RefusedError(
                        f"the schedule {name} is in jobs/{FILE}: remove it there, or pause it"
                    )
                self.stage(name, None)
                return lambda: known
            record = replace(known, paused=True, waiting=[])
            if to == "resumed":  # its slots count from now, also where the clock was ahead
                cursor = begin_at(self._clock())
                fresh = replace(known, paused=False, cursor=cursor, note="", trouble="")
                ahead = has_begun(fresh) and known.cursor > cursor
                record = fresh if known.paused or ahead else known
            self.stage(name, record)
            return lambda: record

        return await self._turn.carry_out(stage)

    async def take_file(self, specs: Iterable[ScheduleSpec]) -> list[str]:
        """Have the schedules of the file, and no others of it. Returns lines on what was not taken.

        A schedule goes on where it is: paused, and with its slots decided. Where its times change,
        its slots count from now.
        """
        wanted = {spec.name: spec for spec in specs}
        for spec in wanted.values():
            check(spec)

        def stage(now: float, wall: float) -> Callable[[], list[str]]:
            lines = []
            for name, record in list(self.all.items()):
                if record.from_file and name not in wanted:
                    self.stage(name, None)
            for name, spec in wanted.items():
                known = self.staged(name)
                if known is not None and not known.from_file:
                    lines.append(
                        f"the schedule {name} of {FILE} is not taken: a command has added"
                        f" another one (qm schedule remove {name})"
                    )
                elif known is None or spec_of(known) != spec:
                    self.stage(name, self._of_file(known, spec))
            return lambda: lines

        return await self._turn.carry_out(stage)

    def _new(self, spec: ScheduleSpec) -> ScheduleRecord:
        fields = {name: getattr(spec, name) for name in spec.__struct_fields__}
        return ScheduleRecord(**fields, cursor=begin_at(self._clock()))

    def _of_file(self, known: ScheduleRecord | None, spec: ScheduleSpec) -> ScheduleRecord:
        new = replace(self._new(spec), from_file=True)
        if known is None:
            return new
        cursor = known.cursor
        if (known.expression, known.zone) != (spec.expression, spec.zone):
            cursor = max(cursor, new.cursor) if has_begun(new) else new.cursor
        return replace(
            new,
            paused=known.paused,
            cursor=cursor,
            waiting=known.waiting,
            last_slot=known.last_slot,
            last_run=known.last_run,
            skipped=known.skipped,
        )


def spec_of(record: ScheduleRecord) -> ScheduleSpec:
    """What was asked for with a schedule."""
    fields = {name: getattr(record, name) for name in ScheduleSpec.__struct_fields__}
    return ScheduleSpec(**fields)


def _others(known: ScheduleSpec, asked: ScheduleSpec) -> str:
    """What one schedule has that another one has not, for people."""
    labels = {"expression": "times", "args": "arguments"}
    parts = []
    for name in ScheduleSpec.__struct_fields__:
        value = getattr(known, name)
        if value != getattr(asked, name):
            text = shlex.join(value) if isinstance(value, list) else value
            parts.append(f"its {labels.get(name, name)}: {printable(text or 'none', 100)}")
    return "; ".join(parts)


def _nothing() -> None:
    pass
