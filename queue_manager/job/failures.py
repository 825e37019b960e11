"""Which failure a dead letter is: what was raised, and where. Equal failures are one group.

The master's log, `qm failed` and the filters of `qm retry` mean the same by it.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from ..wire.failures import FailureFilter
from ..wire.limits import PATH_CHARS
from ..wire.records import DeadLetter
from .raised import read_raised

_FRAME = re.compile(r'^  File "(?:[^"\n]*/)?([^"/\n]+)", line (\d+)(?:, in |$)', re.MULTILINE)
"""A frame of a traceback; those of `faulthandler` have no comma, and the outermost last."""

_RAISED = re.compile(r"((?:[A-Za-z_]\w*\.)*[A-Z]\w*)(?:: |$)")
"""How the one line of a failure begins when it is that of an exception."""

NO_EXCEPTION = "other"
"""The name of a failure of which no exception is known."""


def place_of(evidence: str) -> str:
    """Where it was raised, as `lines.py:12`. Empty: the evidence is no traceback."""
    frames = _FRAME.findall(evidence)
    return ":".join(frames[-1]) if frames else ""


def named(letter: DeadLetter) -> tuple[str, str]:
    """What was raised, by the name of its class without a module, and where (`place_of`)."""
    return _exception_of(letter)[1][:PATH_CHARS], place_of(letter.evidence)[:PATH_CHARS]


def failure_of(letter: DeadLetter) -> str:
    """The failure of a dead letter, as `ValueError@lines.py:12`, or without a place."""
    name, place = named(letter)
    return f"{name}@{place}" if place else name


def is_chosen(only: FailureFilter, letter: DeadLetter) -> bool:
    """Whether a filter chooses a dead letter. The ranges of its tasks are in order and apart."""
    return (
        (not only.worker or only.worker in (letter.worker, letter.worker.rpartition("/")[0]))
        and (only.since is None or letter.died_at >= only.since)
        and (only.until is None or letter.died_at < only.until)
        and (not only.tasks or _has(only.tasks, letter.task))
        and (not only.exception or _is_called(only.exception, letter))
        and (not only.place or only.place == place_of(letter.evidence))
    )


def without_failure(only: FailureFilter) -> FailureFilter:
    """What a filter asks of a letter beside its exception and its place."""
    return FailureFilter(only.tasks, worker=only.worker, since=only.since, until=only.until)


def _has(ranges: tuple[tuple[int, int], ...], task: int) -> bool:
    at = bisect_right(ranges, task, key=lambda one: one[0]) - 1
    return at >= 0 and task < ranges[at][1]


def _is_called(name: str, letter: DeadLetter) -> bool:
    module, qualname = _exception_of(letter)
    return name in (qualname, f"{module}.{qualname}")


def _exception_of(letter: DeadLetter) -> tuple[str, str]:
    """The module and the name of the class that was raised."""
    raised = read_raised(letter.raised) if letter.raised else None
    if raised is not None:
        return raised.module, raised.qualname.rpartition(".")[2]
    found = _RAISED.match(letter.error)
    if found is None:
        return "", NO_EXCEPTION
    module, _, name = found[1].rpartition(".")
    return module, name
