"""Which jobs run at times, when they come next, and what has become of the last time."""

from __future__ import annotations

from queue_manager.wire.messages import AskSchedules, ScheduleList

from .page import Asked, Page, View


async def load(asked: Asked) -> View:
    """All schedules, by their names."""
    told = await asked.desk.recent.get("schedules", AskSchedules, ScheduleList)
    return {"schedules": told.schedules, "why": told.why}


SCHEDULES = Page("/schedules", "schedules", ("list",), load, "Schedules")
