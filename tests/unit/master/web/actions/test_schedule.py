"""A form becomes a schedule that the master can read, or says which field is wrong."""

from __future__ import annotations

from typing import Any, cast

import pytest

from master.web.actions.action import FieldError, Fields
from master.web.actions.schedule import add, spec_of
from master.web.pages.page import Asked, Desk
from queue_manager.errors import RefusedError
from queue_manager.settings import load_settings
from queue_manager.wire.schedules import ScheduleSpec
from tests.unit.master.web.loops import in_loop

GOOD = {"name": "nightly", "expression": "0 3 * * *", "job": "square"}


def fields(**texts: str) -> Fields:
    return Fields({**GOOD, **texts}.items())


def test_what_was_typed_is_what_is_asked_for() -> None:
    assert spec_of(fields()) == ScheduleSpec("nightly", "0 3 * * *", "square")
    typed = fields(args="count=3\r\nat={slot}", zone="Asia/Tokyo", missed="all", overlap="queue")
    spec = ScheduleSpec(
        "nightly", "0 3 * * *", "square", ["count=3", "at={slot}"], "Asia/Tokyo", "all", "queue"
    )
    assert spec_of(typed) == spec


@pytest.mark.parametrize(
    ("field", "text", "line"),
    [
        ("name", " ", "it must be given, such as nightly"),
        ("name", "n" * 300, "it has 300 characters, and may have 256"),
        ("job", "\ud800", "no Unicode text"),
        ("missed", "some", "'some' is none of skip, last, all"),
        ("overlap", "some", "is none of"),
        ("args", "\n".join(f"a{n}=1" for n in range(1_100)), "1,100 arguments, and may be 1,024"),
    ],
)
def test_what_no_message_can_have_is_wrong_in_its_field(field: str, text: str, line: str) -> None:
    with pytest.raises(FieldError, match=line) as wrong:
        spec_of(fields(**{field: text}))
    assert wrong.value.field == field


@in_loop
@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("'0 3' is no cron expression: it has five fields", "expression"),
        ("'0 0 30 2 *' never comes: its months have no such day", "expression"),
        ("'Mars' is no time zone: take a name such as Europe/Berlin", "zone"),
        ("'a b' is no name of a schedule: it has up to 100 letters", "name"),
        ("there is another schedule nightly (its job): remove it first", "name"),
        ("no job 'squares': did you mean square?", "job"),
        ("argument 'count' is a whole number, not 'x'", "args"),
        ("there are 1,000 schedules, and may be no more", ""),
    ],
)
async def test_a_line_of_the_master_stands_beside_its_field(line: str, field: str) -> None:
    class Refuses:
        async def ask(self, *_: Any) -> Any:
            raise RefusedError(line)

    desk = Desk(cast(Any, Refuses()), cast(Any, None), cast(Any, None), load_settings({}))
    with pytest.raises((RefusedError, FieldError), match=r"^.") as raised:
        await add(Asked(desk, {}, {}), fields())
    assert getattr(raised.value, "field", "") == field
