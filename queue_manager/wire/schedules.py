"""The records of schedules in messages: what is asked for, and how each one is.

A slot is a moment at which a schedule is to run. Times are UTC epochs in seconds.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .limits import ARGS
from .records import Name, Text

Missed = Literal["skip", "last", "all"]
"""Which slots run that came while no master was there: none, the newest, or all."""

Overlap = Literal["skip", "queue", "allow"]
"""What becomes of a slot that comes while the run before goes on: left out, waits or runs."""


class ScheduleSpec(msgspec.Struct, frozen=True):
    """A job that is to run at the times of an expression.

    expression: five fields as of cron, or a word such as `@daily`, in local time of `zone`. args:
    as in `StartRun`; `{slot}` in them is the time of the slot.
    """

    name: Name
    expression: Name
    job: Name
    args: Annotated[list[Text], Meta(max_length=ARGS)] = []
    zone: Name = "UTC"
    missed: Missed = "last"
    overlap: Overlap = "skip"


class ScheduleStatus(msgspec.Struct, frozen=True):
    """A schedule as it is now.

    from_file: schedules.toml has it. next_at: when its next slot comes; None if it is paused.
    waiting: how many slots wait for the run before. last_at, last_run: the newest slot that has a
    run, and its number; 0 if there is none. skipped: how many slots were left out. note: which,
    since the newest run. why: what is wrong.
    """

    spec: ScheduleSpec
    paused: bool
    from_file: bool
    next_at: float | None
    waiting: int = 0
    last_at: float = 0.0
    last_run: int = 0
    skipped: int = 0
    note: str = ""
    why: list[str] = []
