"""What the commands below `qm schedule` ask of the master."""

from __future__ import annotations

from functools import partial
from typing import Literal

from queue_manager.client.connection.session import connected
from queue_manager.errors import RefusedError
from queue_manager.settings import Settings
from queue_manager.wire.limits import NAME_CHARS
from queue_manager.wire.messages import (
    AddSchedule,
    AskSchedules,
    ChangeSchedule,
    ScheduleList,
    ScheduleShown,
)
from queue_manager.wire.schedules import ScheduleSpec

from ..text.printing import exactly, say, tell, tell_trouble, write
from .table import changed_line, json_line, schedule_lines

To = Literal["paused", "resumed", "removed"]


async def add_schedule(settings: Settings, authkey: bytes, spec: ScheduleSpec) -> int:
    """Add a schedule. Returns the exit code.

    Raises RefusedError if the master does not take it, or no message can have it.
    """
    _check_sizes(name=spec.name, expression=spec.expression, job=spec.job, zone=spec.zone)
    async with connected(settings, authkey, tell_trouble) as client:
        shown = await client.call_idempotent(partial(AddSchedule, spec=spec), ScheduleShown)
    say(changed_line(shown.schedule, "added" if shown.new else "is there already"))
    return 0


async def list_schedules(settings: Settings, authkey: bytes, form: str) -> int:
    """Print all schedules. form: text, or jsonl for programs. Returns the exit code."""
    async with connected(settings, authkey, tell_trouble) as client:
        told = await client.call_idempotent(AskSchedules, ScheduleList)
    if form == "jsonl":
        exactly()
        for line in told.why:
            tell(f"qm: {line}")
        write(json_line(one) for one in told.schedules)
    else:
        write(schedule_lines(told))
    return 0


async def change_schedule(settings: Settings, authkey: bytes, name: str, to: To) -> int:
    """Pause, resume or remove a schedule. Returns the exit code."""
    _check_sizes(name=name)
    async with connected(settings, authkey, tell_trouble) as client:
        ask = partial(ChangeSchedule, name=name, to=to)
        shown = await client.call(ask, ScheduleShown, f"whether {name} was {to}")
    say(changed_line(shown.schedule, to))
    return 0


def _check_sizes(**texts: str) -> None:
    """Raise RefusedError with one line for a text that no message can have."""
    for what, text in texts.items():
        if len(text) > NAME_CHARS:
            raise RefusedError(
                f"the {what} has {len(text):,} characters, and may have {NAME_CHARS}"
            )
