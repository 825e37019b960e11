"""Which dead letters a program or a person means: the arguments of a filter, looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any, TypeAlias

from ...errors import ArgumentError, ProtocolError
from ...ranges import joined
from ...wire.failures import FailureFilter
from ...wire.limits import LAST_NUMBER, NAME_CHARS, PATH_CHARS, REASON_CHARS, RETRY_RANGES
from ..checking import text_of
from ..connection.session import Session

Error: TypeAlias = str | type[BaseException]
Moment: TypeAlias = datetime | float | None

_LEVEL = 2
"""The level of the protocol from which on a master knows filters of dead letters."""


def filter_of(
    tasks: Iterable[int] | None = None,
    error: Error = "",
    worker: str = "",
    since: Moment = None,
    until: Moment = None,
) -> FailureFilter | None:
    """The filter that these arguments say; None: any dead letter. Raises ArgumentError."""
    exception, place = _error_of(error)
    only = FailureFilter(
        () if tasks is None else _ranges_of(tasks),
        exception,
        place,
        _bounded("worker", worker, 2 * NAME_CHARS),
        _time_of("since", since),
        _time_of("until", until),
    )
    if only.since is not None and only.until is not None and only.since >= only.until:
        raise ArgumentError("until is not later than since: nothing can have failed between them")
    return None if only == FailureFilter() else only


def reason_of(reason: Any) -> str:
    """Why dead letters are tried again. Raises ArgumentError for what can't be told."""
    return _bounded("reason", reason, REASON_CHARS)


def check_master(session: Session) -> None:
    """Raise ProtocolError if the master of a session would not understand a filter.

    It would take no notice of it, and try all dead letters again.
    """
    level = session.welcome.level
    if level < _LEVEL:
        raise ProtocolError(
            f"the master is older than this program (it speaks level {level} of the protocol, and"
            f" chosen dead letters need {_LEVEL}): update the master"
        )


def _bounded(name: str, value: Any, limit_chars: int) -> str:
    text = text_of(name, value)
    if len(text) > limit_chars:
        raise ArgumentError(f"{name} has {len(text):,} characters, and may have {limit_chars:,}")
    return text


def _error_of(error: Any) -> tuple[str, str]:
    if isinstance(error, type):
        error = error.__name__
    exception, at, place = _bounded("error", error, PATH_CHARS).partition("@")
    if error and not (exception or place):
        raise ArgumentError("error names nothing: pass EXCEPTION or EXCEPTION@FILE:LINE")
    if at and not _is_place(place):
        raise ArgumentError(
            f"{place!r:.100} is no place: pass it as FILE:LINE, such as ValueError@lines.py:12"
        )
    return exception, place


def _is_place(text: str) -> bool:
    file, _, line = text.rpartition(":")
    return bool(file) and line.isascii() and line.isdecimal()


def _ranges_of(tasks: Any) -> tuple[tuple[int, int], ...]:
    numbers = [tasks] if isinstance(tasks, int) else list(tasks)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or not 0 < number < LAST_NUMBER:
            raise ArgumentError(f"{number!r:.100} is no number of a task, such as 1")
    if not numbers:
        raise ArgumentError("tasks names no task: leave it out for all of them")
    ranges = joined([(number, number + 1) for number in numbers])
    if len(ranges) > RETRY_RANGES:
        raise ArgumentError(
            f"tasks has {len(ranges):,} ranges of tasks, and may have {RETRY_RANGES:,}: take them"
            " in parts"
        )
    return tuple(ranges)


def _time_of(name: str, moment: Any) -> float | None:
    if moment is None:
        return None
    if isinstance(moment, datetime):
        try:
            return moment.timestamp()
        except (OverflowError, OSError, ValueError):
            raise ArgumentError(f"{name}={moment} is too far away") from None
    is_number = isinstance(moment, int | float) and not isinstance(moment, bool)
    if is_number and math.isfinite(moment):
        return float(moment)
    raise ArgumentError(
        f"{name}={moment!r:.100} is no time: pass a datetime, or seconds since 1970 (UTC)"
    )
