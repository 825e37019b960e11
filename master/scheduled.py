"""A schedule as the store keeps it. No rows, no SQL, no logic."""

from __future__ import annotations

from dataclasses import dataclass, field

from queue_manager.wire.schedules import Missed, Overlap


@dataclass(frozen=True, slots=True)
class ScheduleRecord:
    """A job that runs at the times of an expression.

    expression: five fields as of cron, in local time of `zone`. args: may have `{slot}` in them.
    missed, overlap: as in `ScheduleSpec`. from_file: schedules.toml has it. cursor: the slots up to
    this one are decided (UTC epoch in seconds, as all times here); 0: its slots count from the time
    at which the clock can be right. waiting: slots that are decided to run, and wait for the run
    before, the oldest first. last_slot, last_run: the newest slot that has a run, and its number; 0
    if there is none. skipped: how many slots were left out, as far as they were counted. note: one
    line on slots that were left out since the newest run. trouble: why the newest slot could not
    run, though it was to.
    """

    name: str
    expression: str
    job: str
    args: list[str] = field(default_factory=list)
    zone: str = "UTC"
    missed: Missed = "last"
    overlap: Overlap = "skip"
    from_file: bool = False
    paused: bool = False
    cursor: float = 0.0
    waiting: list[float] = field(default_factory=list)
    last_slot: float = 0.0
    last_run: int = 0
    skipped: int = 0
    note: str = ""
    trouble: str = ""
