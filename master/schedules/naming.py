"""What a schedule and its slots are called: by people, in keys of runs and in arguments."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from queue_manager.errors import RefusedError
from queue_manager.wire.limits import SCHEDULE_ARGS_BYTES, printable
from queue_manager.wire.messages import StartRun
from queue_manager.wire.schedules import ScheduleSpec

from ..scheduled import ScheduleRecord
from .expression import slots_of

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SLOT = re.compile(r"\{slot(?::([^{}]+))?\}")

_PLACE = re.compile(r"\{slot(?![A-Za-z0-9_])")
_FORMAT = re.compile(
    r"[^%]*(?:%(?:%|[-_0^#]*\d*[EO]?[aAbBcCdDeFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ])[^%]*)+"
)
"""At least one directive, and none that the C library would write as it is."""


def slot_text(slot: float) -> str:
    """A slot in UTC: `2026-03-29T01:00:00Z`."""
    return datetime.fromtimestamp(slot, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def key_of(name: str, slot: float) -> str:
    """The key of the run of a slot. No slot has two runs, since no key has."""
    return f"schedule {name} {slot_text(slot)}"


def ask_for(spec: ScheduleSpec | ScheduleRecord, slot: float) -> StartRun:
    """The request for the run of a slot.

    `{slot}` in an argument becomes the slot in UTC, and `{slot:FORMAT}` its local time, as strftime
    writes it.
    """
    local = slots_of(spec.expression, spec.zone).local(slot)

    def text(found: re.Match[str]) -> str:
        return local.strftime(found[1]) if found[1] else slot_text(slot)

    args = [_SLOT.sub(text, arg) for arg in spec.args]
    return StartRun(0, spec.job, args, key_of(spec.name, slot))


def check_name(name: str) -> None:
    """Raise RefusedError with one line if no schedule can have this name."""
    if not _NAME.fullmatch(name):
        raise RefusedError(
            f"{printable(name)!r} is no name of a schedule: it has up to 100 letters, digits,"
            " '.', '_' and '-'"
        )


def _check_places(arg: str) -> None:
    """Raise RefusedError if an argument has a slot in it that would stay as it is."""
    for found in _PLACE.finditer(arg):
        form = _SLOT.match(arg, found.start())
        if form is None or (form[1] is not None and not _FORMAT.fullmatch(form[1])):
            raise RefusedError(
                f"the argument {printable(arg)!r} has a time of no form that strftime knows: write"
                " {slot} or such as {slot:%Y-%m-%d}"
            )


def check(spec: ScheduleSpec) -> None:
    """Raise RefusedError with one line if there can be no such schedule."""
    check_name(spec.name)
    if not spec.expression.isprintable():  # it is shown on one line, in a column
        raise RefusedError(
            f"'{printable(spec.expression)}' has a tab or a line end: put spaces between its fields"
        )
    slots_of(spec.expression, spec.zone)
    for arg in spec.args:
        _check_places(arg)
    size = sum(len(arg.encode()) for arg in spec.args)
    if size > SCHEDULE_ARGS_BYTES:
        raise RefusedError(
            f"the arguments of the schedule {spec.name} take {size:,} bytes, and may take"
            f" {SCHEDULE_ARGS_BYTES:,}: put them in a file and pass its path"
        )
