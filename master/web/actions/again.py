"""A form of a job that is filled in with the arguments of a run, so that it is submitted again.

The address has the number of the run alone. What arguments hold may be long, and may be secret.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from queue_manager.wire.job_records import ArgumentInfo, JobInfo
from queue_manager.wire.records import RunStatus

from .action import Fields
from .inputs import ARG, LINES, line_of


class Filled(NamedTuple):
    """arguments: those of the job, and more of the run that need a field each. lost: the names of
    those that no field of a form can have as they were."""

    fields: Fields
    arguments: list[ArgumentInfo]
    lost: list[str]


def filled(run: RunStatus, job: JobInfo) -> Filled:
    """The fields of a form for a job, with the arguments of a run of it."""
    known = {one.name: one for one in job.arguments}
    pairs: list[tuple[str, str]] = []
    more: list[ArgumentInfo] = []
    lost: list[str] = []
    for name, text in _texts(run, known):
        if text is None or not _fits(text):
            lost.append(name)
        elif name in known and text:
            pairs.append((ARG + name, text))
        elif name in known and known[name].default in ("''", '""'):
            pass  # an empty field says the same
        elif len(f"{text}.".splitlines()) == 1:
            if (line := line_of(f"{name}={text}")) is None:
                lost.append(name)
            else:
                pairs.append((LINES, line))
        else:
            pairs.append((ARG + name, text))
            more.append(ArgumentInfo(name, "", "''"))
    return Filled(Fields(pairs), [*job.arguments, *more], lost)


def _texts(run: RunStatus, known: dict[str, ArgumentInfo]) -> Iterator[tuple[str, str | None]]:
    """Each argument of a run as one would type it. None: nobody knows how it was."""
    count = len(run.args) - run.values
    for at, arg in enumerate(run.args):
        name, _, text = arg.partition("=")
        yield name, text if at < count else _typed(text, known.get(name))


def _typed(shown: str, argument: ArgumentInfo | None) -> str | None:
    """A value as one would type it. shown: as Python writes it, with its white space joined."""
    try:
        value = ast.literal_eval(shown)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # it was cut, for one
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return None if " " in value else value
    if isinstance(value, int | float):
        return repr(value)
    if value is None:
        return "" if argument is not None and argument.default == "None" else None
    if argument is None or "as JSON text" not in argument.kind or _has_spaces(value):
        return None
    return _as_json(value)


def _has_spaces(value: Any) -> bool:
    """Whether a text in a value may have had more white space than is shown."""
    if isinstance(value, dict):
        return any(map(_has_spaces, [*value, *value.values()]))
    if isinstance(value, list | tuple):
        return any(map(_has_spaces, value))
    return isinstance(value, str) and " " in value


def _as_json(value: Any) -> str | None:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return text if json.loads(text) == value else None


def _fits(text: str) -> bool:
    """Whether a field of a form has it as it is: browsers make other ends of lines of some."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\r" not in text and "\0" not in text
