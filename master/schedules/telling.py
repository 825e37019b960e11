"""What is told of schedules: how each is, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from queue_manager.errors import QueueError
from queue_manager.wire.schedules import ScheduleStatus

from ..released import RELEASED_AT
from ..scheduled import ScheduleRecord
from .expression import slots_of
from .foresight import Foresight
from .keeper import Keeper
from .naming import slot_text
from .roster import Roster, spec_of
from .watch import FileWatch

AHEAD_S = 86_400.0
"""A cursor that is farther ahead was left by a clock that was wrong."""


class Telling:
    """Tells of the schedules. clock: the machine's clock, UTC epoch in seconds."""

    def __init__(
        self,
        roster: Roster,
        keeper: Keeper,
        watch: FileWatch,
        foresight: Foresight,
        clock: Callable[[], float],
    ) -> None:
        self._roster, self._keeper, self._watch = roster, keeper, watch
        self._foresight = foresight
        self._clock = clock

    def of(self, record: ScheduleRecord) -> ScheduleStatus:
        """How one schedule is."""
        next_at: float | None = None
        if not record.paused and self._is_right:
            try:
                slots = slots_of(record.expression, record.zone)
                at = slots.after(max(record.cursor, self._clock()))
                next_at = at if math.isfinite(at) else None
            except QueueError:  # `why` says so
                next_at = None
        return ScheduleStatus(
            spec_of(record),
            record.paused,
            record.from_file,
            next_at,
            len(record.waiting),
            record.last_slot,
            record.last_run,
            record.skipped,
            record.note,
            list(self._why(record)),
        )

    @property
    def _is_right(self) -> bool:
        """Whether the clock can be right: by one that can't, nothing comes next."""
        return self._clock() >= RELEASED_AT

    def all(self) -> list[ScheduleStatus]:
        """All of them, by name."""
        return [self.of(record) for _, record in sorted(self._roster.all.items())]

    def why(self) -> list[str]:
        """What is wrong with all of them."""
        lines = list(self._watch.why)
        if self._roster.all and not self._is_right:
            lines.append("no schedule runs: the clock of the master's machine is wrong")
        return lines

    def troubles(self) -> list[str]:
        """A line for each trouble: of all schedules, and of each."""
        each = (
            f"schedule {name}: {line}"
            for name, record in sorted(self._roster.all.items())
            for line in self._why(record)
        )
        return [*self.why(), *each]

    def _why(self, record: ScheduleRecord) -> Iterator[str]:
        if record.trouble:
            yield record.trouble
        if record.name in self._keeper.trouble:
            yield self._keeper.trouble[record.name]
        elif record.name in self._foresight.trouble and not record.trouble:
            yield self._foresight.trouble[record.name]
        ahead_s = record.cursor - self._clock()
        if not record.paused and self._is_right and ahead_s > AHEAD_S:
            yield (
                f"no slot runs before {slot_text(record.cursor)}, for the clock was ahead: to begin"
                f" again from now, qm schedule resume {record.name}"
            )
