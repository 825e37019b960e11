"""Add a schedule, pause it, have it go on, remove it."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, Literal, get_args

from queue_manager.client.checking import text_of
from queue_manager.errors import ArgumentError, RefusedError
from queue_manager.wire.limits import ARGS, NAME_CHARS
from queue_manager.wire.messages import (
    AddSchedule,
    AskSchedules,
    ChangeSchedule,
    ScheduleList,
    ScheduleShown,
)
from queue_manager.wire.schedules import Missed, Overlap, ScheduleSpec, ScheduleStatus

from ..pages.page import Asked, NothingThereError, View
from .action import Action, FieldError, Fields, Outcome
from .ending import LONG_S
from .inputs import LINES, lines_of

To = Literal["paused", "resumed", "removed"]

_TEXTS = ("name", "expression", "job", "zone")
_CHOICES: dict[str, tuple[str, ...]] = {"missed": get_args(Missed), "overlap": get_args(Overlap)}
_FIELDS = (*_TEXTS, *_CHOICES, LINES)
_ABOUT = {
    "expression": re.compile(r"is no cron expression|never comes|has a tab or a line end"),
    "zone": re.compile(r"is no time zone"),
    "name": re.compile(r"is no name of a schedule|there is another schedule"),
    "job": re.compile(r"^no job "),
    LINES: re.compile(r"\barguments?\b"),
}
"""Which field the master's line is about: the first whose words are in it."""


# --- add ---


async def show_adding(asked: Asked, fields: Fields) -> View:
    """The jobs that there are, and what may be chosen."""
    jobs = await asked.desk.jobs.all()
    return {"jobs": [one.name for one in jobs.jobs], "choices": _CHOICES}


async def add(asked: Asked, fields: Fields) -> Outcome:
    """Add the schedule."""
    spec = spec_of(fields)
    try:
        ask = partial(AddSchedule, spec=spec)
        shown = await asked.desk.master.ask(ask, ScheduleShown, LONG_S)
    except RefusedError as error:
        found = next((name for name, words in _ABOUT.items() if words.search(str(error))), "")
        raise FieldError(found, str(error)) if found else error from None
    return _outcome(shown.schedule, "added" if shown.new else "there")


def spec_of(fields: Fields) -> ScheduleSpec:
    """What the fields ask for. Raises FieldError for what no message can have."""
    texts: dict[str, Any] = {name: _text(name, fields.text(name).strip()) for name in _TEXTS}
    texts["zone"] = texts["zone"] or "UTC"
    for name, what in (("name", "nightly"), ("expression", "0 3 * * *"), ("job", "square")):
        if not texts[name]:
            raise FieldError(name, f"it must be given, such as {what}")
    args = [_text(LINES, arg, 0) for arg in lines_of(fields)]
    if len(args) > ARGS:
        raise FieldError(LINES, f"there are {len(args):,} arguments, and may be {ARGS:,}")
    chosen: dict[str, Any] = {name: _chosen(name, fields.text(name)) for name in _CHOICES}
    return ScheduleSpec(args=args, **texts, **{name: word for name, word in chosen.items() if word})


def _text(field: str, text: str, most: int = NAME_CHARS) -> str:
    if most and len(text) > most:
        raise FieldError(field, f"it has {len(text):,} characters, and may have {most}")
    try:
        return text_of(field, text)
    except ArgumentError as error:
        raise FieldError(field, str(error)) from None


def _chosen(name: str, text: str) -> str:
    if text and text not in _CHOICES[name]:
        raise FieldError(name, f"{text[:40]!r} is none of {', '.join(_CHOICES[name])}")
    return text


# --- change ---


def _changing(verb: str, to: To) -> Action:
    async def show(asked: Asked, fields: Fields) -> View:
        return {"schedule": await _one(asked), "to": to}

    async def carry_out(asked: Asked, fields: Fields) -> Outcome:
        name = (await _one(asked)).spec.name
        ask = partial(ChangeSchedule, name=name, to=to)
        shown = await asked.desk.master.ask(ask, ScheduleShown)
        return _outcome(shown.schedule, to)

    return Action(f"/schedules/{{name}}/{verb}", "reschedule", show, carry_out)


async def _one(asked: Asked) -> ScheduleStatus:
    """The schedule of this name. Raises NothingThereError if there is none."""
    name: str = asked.words["name"]
    told = await asked.desk.recent.get("schedules", AskSchedules, ScheduleList)
    for one in told.schedules:
        if one.spec.name == name:
            return one
    raise NothingThereError(f"there is no schedule {name[:100]!r}")


def _outcome(one: ScheduleStatus, did: str) -> Outcome:
    name = one.spec.name
    said = "is there already, just so" if did == "there" else f"was {did}"
    of = {"schedule": name, "did": did}
    return Outcome("/schedules", f"schedule {name} {said}", of)


ADD = Action("/schedules/add", "schedule", show_adding, add, _FIELDS)
PAUSE = _changing("pause", "paused")
RESUME = _changing("resume", "resumed")
REMOVE = _changing("remove", "removed")
