"""The contract between a job and Quartermaster: the names that `jobs/NAME.py` may import.

Owns what a task, a result and a job's options are; knows nothing of queues or networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..wire.limits import KEY_BYTES
from .tags import CHARACTERS, is_tag

LONGEST_S = 10.0**9
"""Some thirty years: the most that a delay or a limit of time may be, in seconds."""

LARGEST = 2**31 - 1
"""The most that any count may be, except of bytes."""


def _seconds(name: str, value: object, *, above_zero: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not 0 <= value <= LONGEST_S or (above_zero and value == 0):
        least = "above 0" if above_zero else "0 or more"
        above = "" if not value > LONGEST_S else f", and at most {LONGEST_S:,.0f}"
        raise ValueError(f"{name} is a number of seconds, {least}{above}, not {_shown(value)}")


def _shown(value: int | float) -> str:
    """A number as it was written, or roughly if it is very long."""
    return repr(value) if abs(value) < 10**21 or isinstance(value, float) else "a far larger number"


def _count(name: str, value: object, most: int = LARGEST) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} is 1 or more, not {_shown(value)}")
    if value > most:
        raise ValueError(f"{name} is at most {most:,}, not {_shown(value)}")


def _text(name: str, value: object, other: str = " or None") -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} is a str{other}, not {value!r}")
    if not value:
        comma = "," * bool(other)
        raise ValueError(f"{name} is a text with at least one character{comma}{other}")
    size_bytes = len(value)
    if not value.isascii():
        try:
            size_bytes = len(value.encode())
        except UnicodeEncodeError:
            raise ValueError(f"{name} {value[:100]!r} cannot be written as UTF-8") from None
    if size_bytes > KEY_BYTES:
        raise ValueError(
            f"{name} takes {size_bytes:,} bytes, and may take {KEY_BYTES:,}: shorten it, such as to"
            f" a hash; it begins with {value[:40]!r}"
        )


def _tags(name: str, value: object) -> frozenset[str]:
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise TypeError(f"{name} is a set of tags such as {{'gpu'}}, not {value!r}")
    tags = list(value)
    for tag in tags:
        if not isinstance(tag, str):
            raise TypeError(f"{name} has tags, which are texts, not {tag!r}")
        if not is_tag(tag):
            raise ValueError(f"{name} has {tag!r}: a tag is made of {CHARACTERS}")
    return frozenset(tags)


@dataclass(frozen=True)
class Quota:
    """The most tasks that a run accepts of those that name it: `Task(quota=Quota("pages", 1000))`.

    What comes above that is dropped and counted, as if it had not been submitted: its key stays
    free. What was accepted counts for good, whatever becomes of it.

    Args:
        name: of the quota; each one of a run counts by itself.
        most: so many tasks, from `tasks()` and behind results together.

    Raises:
        TypeError: a field is of the wrong type.
        ValueError: a field is out of its range.
    """

    name: str
    most: int

    def __post_init__(self) -> None:
        _text("name", self.name, "")
        _count("most", self.most)


@dataclass(frozen=True)
class Task:
    """One input of a run, with more than its payload.

    Args:
        payload: plain data, given to `work`.
        key: makes the task unique in its run; it stays taken after completion. It takes 1,024
            bytes at most, as do the names of groups and quotas.
        group: tasks of one group can be limited together.
        priority: higher goes first within a run; any whole number of 64 bits.
        delay_s: seconds before the task is offered for the first time.
        quota: the run drops it if it has accepted enough tasks of that quota.

    Raises:
        TypeError: a field is of the wrong type.
        ValueError: a field is out of its range.
    """

    payload: Any
    key: str | None = None
    group: str | None = None
    priority: int = 0
    delay_s: float = 0.0
    quota: Quota | None = None

    def __post_init__(self) -> None:
        if self.key is not None:
            _text("key", self.key)
        if self.group is not None:
            _text("group", self.group)
        if type(self.priority) is not int:
            raise TypeError(f"priority is a whole number, not {self.priority!r}")
        if not -(2**63) <= self.priority < 2**63:
            raise ValueError(f"priority is a number of 64 bits, not {self.priority!r}")
        if self.delay_s != 0.0:
            _seconds("delay_s", self.delay_s)
        if self.quota is not None and not isinstance(self.quota, Quota):
            raise TypeError(f"quota is a Quota(...) or None, not {self.quota!r}")


@dataclass(frozen=True)
class Result:
    """A result with what follows from it, recorded in the same transaction.

    Args:
        value: plain data, the task's result.
        follow: new tasks of the same run, 4 MiB together at most; anything that is not a `Task`
            is a payload.
        limits: groups of the run and the limit that each has from now on, instead of the one of
            `OPTIONS.per_group`, which there must be.

    Raises:
        TypeError: a field is of the wrong type.
        ValueError: the name of a group is empty, too long, or no UTF-8.
    """

    value: Any
    follow: Iterable[Any] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if isinstance(self.follow, str | bytes | dict | Task):
            kind = type(self.follow).__name__
            raise TypeError(f"follow is a list of tasks, not one {kind}")
        follow = tuple(t if isinstance(t, Task) else Task(t) for t in self.follow)
        object.__setattr__(self, "follow", follow)
        if not isinstance(self.limits, Mapping):
            raise TypeError(f"limits is a dict such as {{'a': Limit(...)}}, not {self.limits!r}")
        for group, limit in self.limits.items():
            _text("a group in limits", group, "")
            if not isinstance(limit, Limit):
                raise TypeError(f"limits has {limit!r} for {group!r}, which is no Limit(...)")
        object.__setattr__(self, "limits", dict(self.limits))


@dataclass(frozen=True)
class Limit:
    """How the tasks of one group are held back, across all workers together.

    Args:
        at_once: most tasks of a group that run at a time; None is no such limit.
        every_s: least time in seconds between the starts of two tasks of a group.

    Raises:
        TypeError: a field is of the wrong type.
        ValueError: a field is out of its range.
    """

    at_once: int | None = None
    every_s: float = 0.0

    def __post_init__(self) -> None:
        if self.at_once is not None:
            _count("at_once", self.at_once)
        _seconds("every_s", self.every_s)


@dataclass(frozen=True)
class Options:
    """How a job's tasks are run: `OPTIONS = Options(...)` in its module.

    Args:
        attempts: charged tries of a task before it is a dead letter.
        losses: lost leases of a task before it is a dead letter.
        timeout_s: hard limit of one try in seconds, from its start; None is no limit.
        concurrency: tasks that one slot of an async `work` keeps in flight.
        memory_bytes: limit of what a slot has to itself in memory, imports included; reserved
            addresses and mapped files do not count (Linux). None is no limit.
        per_group: holds back the tasks of each group (`Task(group=)`); None is no limit.
        needs: tags; only workers that have all of them (`WORKER_TAGS`) get its tasks.

    Raises:
        TypeError: a field is of the wrong type.
        ValueError: a field is out of its range.
    """

    attempts: int = 3
    losses: int = 5
    timeout_s: float | None = None
    concurrency: int = 1
    memory_bytes: int | None = None
    per_group: Limit | None = None
    needs: Iterable[str] = frozenset()

    def __post_init__(self) -> None:
        _count("attempts", self.attempts)
        _count("losses", self.losses)
        _count("concurrency", self.concurrency)
        if self.timeout_s is not None:
            _seconds("timeout_s", self.timeout_s, above_zero=True)
        if self.memory_bytes is not None:
            _count("memory_bytes", self.memory_bytes, 2**63 - 1)
        if self.per_group is not None and not isinstance(self.per_group, Limit):
            raise TypeError(f"per_group is a Limit(...) or None, not {self.per_group!r}")
        object.__setattr__(self, "needs", _tags("needs", self.needs))


@dataclass(frozen=True)
class Counts:
    """How far a run is, given to `report`: its tasks by what is with them now.

    Args:
        tasks: all that are known by now; more may come.
        done: those with a result.
        dead: dead letters.
        waiting: those that a worker could take.
        leased: those that workers have.
        delayed: those whose time has not come: retried after a pause, or submitted with a delay.
        left_s: seconds until those known now have ended, at the rate of the last half minute; None
            while no rate is known.
        per_s: that rate: tasks that ended a second; None while it is not known.
    """

    tasks: int
    done: int
    dead: int
    waiting: int
    leased: int
    delayed: int
    left_s: float | None = None
    per_s: float | None = None


class Retry(Exception):
    """Raised by `work`: try this task again (charged), after `delay_s` seconds if given.

    Args:
        delay_s: seconds; None is back-off.
        whole_group: nothing of the task's group starts before that either, on no worker. It needs
            `OPTIONS.per_group`; of a task without a group it means nothing.
        reason: why, for the one line that is kept of this try.

    Raises:
        TypeError: `delay_s` is no number.
        ValueError: it is out of its range, or not given for a whole group.
    """

    # A subclass whose `__init__` does not call ours has these.
    delay_s: float | None = None
    whole_group: bool = False
    reason: str = ""

    def __init__(
        self, delay_s: float | None = None, whole_group: bool = False, reason: str = ""
    ) -> None:
        if delay_s is not None:
            _seconds("delay_s", delay_s)
        elif whole_group:
            raise ValueError("whole_group=True needs delay_s: for how long the group waits")
        super().__init__(delay_s)
        self.delay_s, self.whole_group = delay_s, bool(whole_group)
        self.reason = str(reason)

    def __str__(self) -> str:
        if self.reason:
            return self.reason
        if self.delay_s is None:
            return "the job asked for another try, without a reason"
        return f"in {self.delay_s:g} s" + ", with its whole group" * self.whole_group


class Reject(Exception):
    """Raised by `work`: this task goes straight to the dead letters, for this reason."""

    reason: str = ""  # of a subclass whose `__init__` does not call ours

    def __init__(self, reason: str = "rejected by the job") -> None:
        super().__init__(reason)
        self.reason = str(reason)
