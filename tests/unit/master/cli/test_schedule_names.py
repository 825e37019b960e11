"""`qm schedule` with texts that are too long for a message: they are refused before they travel."""

from __future__ import annotations

import asyncio

import pytest

from master.cli.scheduling.asking import add_schedule, change_schedule
from queue_manager.errors import RefusedError
from queue_manager.settings import load_settings
from queue_manager.wire.schedules import ScheduleSpec

SETTINGS = load_settings({})


def test_a_name_that_is_too_long_is_one_line() -> None:
    for acting in (
        add_schedule(SETTINGS, b"key", ScheduleSpec("n" * 5_000, "@daily", "job")),
        change_schedule(SETTINGS, b"key", "n" * 5_000, "paused"),
    ):
        with pytest.raises(RefusedError, match=r"^the name has 5,000 characters, and may have"):
            asyncio.run(acting)


@pytest.mark.parametrize("what", ["expression", "job", "zone"])
def test_another_text_that_is_too_long_is_one_line(what: str) -> None:
    spec = ScheduleSpec(**{"name": "n", "expression": "@daily", "job": "job", what: "x" * 300})
    with pytest.raises(RefusedError, match=f"^the {what} has 300 characters, and may have 256$"):
        asyncio.run(add_schedule(SETTINGS, b"key", spec))
