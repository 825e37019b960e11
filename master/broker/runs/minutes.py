"""The history of runs: what each has done in a minute is staged as a record.

Knows which run has something to tell, and no clock: the minute is an argument.
"""

from __future__ import annotations

from ...history import ALL_RUNS, Counted, HistoryRecord, Standing, begin_of
from ..journal import Journal
from .run import Run


class Minutes:
    """Stages records of runs. What a record tells is told, also after a restart."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def record(self, run: Run, at: int, standing: Standing | None) -> None:
        """Stage what a run has done since it was recorded last. at: when the minute began."""
        new = untold(run)
        self._journal.keep(run)
        run.told = run.counted
        self._journal.changes.history.append(
            HistoryRecord(
                run.id,
                at,
                done=new.done,
                dead=new.died,
                failed=new.failed,
                busy_s=new.busy_s,
                standing=standing,
            )
        )

    def record_end(self, run: Run, wall: float) -> None:
        """Stage it for a run that has just ended: nobody looks at it at the end of the minute."""
        self.record(run, begin_of(wall), Standing())

    def record_all(self, at: int, standing: Standing) -> None:
        """Stage how all runs stand together. What they have done follows from their records."""
        self._journal.mark += 1
        self._journal.changes.history.append(HistoryRecord(ALL_RUNS, at, standing=standing))


def untold(run: Run) -> Counted:
    """What a run has done since it was recorded last."""
    now, told = run.counted, run.told
    return Counted(
        now.done - told.done,
        now.died - told.died,
        now.failed - told.failed,
        now.busy_s - told.busy_s,
    )


def standing_of(run: Run) -> Standing:
    """How a run stands now."""
    sessions = {lease.session for block in run.leases.values() for lease in block.leases}
    slots = sum(session.slots for session in sessions)
    return Standing(run.waiting, run.leased, run.delayed, len(sessions), slots)
