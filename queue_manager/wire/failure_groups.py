"""The messages about groups of dead letters, and about single letters of a group."""

from __future__ import annotations

import msgspec

from .failures import FailureFilter
from .records import DeadLetter, Message, Name


class AskFailures(Message, frozen=True, array_like=True, tag="failures?"):
    """Ask for a page of groups of dead letters: those that raised the same at the same place.

    run: None is all runs. after: the `last` of the page before; 0 begins with the group that has
    the newest letter. limit: how many groups a page has, at most 500. job: only of runs of this
    job; empty is any. only: which letters a group must have, as far as groups tell that; its ranges
    of tasks count for nothing. Answer: `Failures`.
    """

    seq: int
    run: int | None = None
    after: int = 0
    limit: int = 100
    job: Name = ""
    only: FailureFilter | None = None


class FailureGroup(msgspec.Struct, frozen=True):
    """The dead letters of a run that raised the same at the same place.

    exception: the name of the class without its module; `other` if none is known. place: as
    `lines.py:12`; empty without a traceback. Both empty: all failures of a run that has more than
    1,000 groups. first_at, last_at: when the first and the newest letter died (UTC epoch in
    seconds). task, error: of the newest. workers: how many letters each worker has reported; it
    names 32 workers at most.
    """

    run: int
    job: str
    exception: str
    place: str
    count: int
    first_at: float
    last_at: float
    task: int
    error: str
    workers: dict[str, int]


class Failures(Message, frozen=True, array_like=True, tag="failures"):
    """A page of groups, the one with the newest letter first.

    last: the next request asks behind it. complete: nothing is behind this page. A page may have no
    group that was asked for, though there are more behind it.
    """

    seq: int
    groups: list[FailureGroup]
    last: int
    complete: bool


class AskLetters(Message, frozen=True, array_like=True, tag="letters?"):
    """Ask for a page of the dead letters of a run, the newest first, without evidence.

    only: which of them; None is all. With an exception or a place, the master looks at letters of
    such groups alone. after: the `last` of the page before; 0 begins with the newest. limit: how
    many letters a page has, at most 500. Answer: `Letters`.
    """

    seq: int
    run: int
    only: FailureFilter | None = None
    after: int = 0
    limit: int = 100


class Letters(Message, frozen=True, array_like=True, tag="letters"):
    """A page of dead letters. last, complete: as in `Failures`."""

    seq: int
    letters: list[DeadLetter]
    last: int
    complete: bool
