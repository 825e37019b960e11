"""The contract between a job and Quartermaster: the names that `jobs/NAME.py` may import.

This module owns what a task, a result and a job's options are. It knows nothing of queues or
networks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..wire.limits import KEY_BYTES
from .tags import CHARACTERS, is_tag

LONGEST_S = 10.0**9
"""The longest delay or time limit in seconds, some thirty years."""

LARGEST = 2**31 - 1
"""The largest count of anything but bytes."""


def _seconds(name: str, value: object, *, above_zero: bool = False) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is a number of seconds, not {value!r}")
    if not 0 <= value <= LONGEST_S or (above_zero and value == 0):
        least = "above 0" if above_zero else "0 or more"
        above = "" if not value > LONGEST_S else f", and at most {LONGEST_S:,.0f}"
        raise ValueError(f"{name} is a number of seconds, {least}{above}, not {_shown(value)}")


def _shown(value: int | float) -> str:
    """A number as it was written, unless it is very long."""
    return repr(value) if abs(value) < 10**21 or isinstance(value, float) else "a far larger number"


def _count(name: str, value: object, limit: int = LARGEST) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is a whole number, not {value!r}")
    if value < 1:
        raise ValueError(f"{name} is 1 or more, not {_shown(value)}")
    if value > limit:
        raise ValueError(f"{name} is at most {limit:,}, not {_shown(value)}")


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


def _is_short(value: object) -> bool:
    """Whether it is a text that `_text` need not look at."""
    return type(value) is str and value.isascii() and 0 < len(value) <= KEY_BYTES


def _priority(value: object) -> None:
    if type(value) is not int:
        raise TypeError(f"priority is a whole number, not {value!r}")
    if not -(2**63) <= value < 2**63:
        raise ValueError(f"priority is a number of 64 bits, not {value!r}")


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
    """How many tasks with this quota a run accepts: `Task(quota=Quota("pages", 1000))`.

    The run drops and counts further tasks. Their keys stay free, as if they had not been submitted.
    An accepted task counts for good, whatever becomes of it.

    Args:
        name: the name of the quota. A run counts the tasks of each name by themselves.
        most: the most tasks that the run accepts, from `tasks()` and from results together.

    Raises:
        TypeError: a field is of the wrong type.
        ValueError: a field is out of its range.
    """

    name: str
    most: int

    def __post_init__(self) -> None:
        _text("name", self.name, "")
        _count("most", self.most)


@dataclass(frozen=True, init=False)
class Task:
    """One input of a run, with more than its payload.

    Args:
        payload: plain data, which `work` gets.
        key: makes the task unique in its run. A key stays taken when its task is done. It has at
            most 1,024 bytes; so do the names of groups and quotas.
        group: the tasks of one group can be limited together.
        priority: tasks of a higher priority go first within a run. Any whole number of 64 bits.
        delay_s: seconds before the task is offered for the first time.
        quota: the run drops the task if it has accepted enough tasks with this quota.

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

    def __init__(
        self,
        payload: Any,
        key: str | None = None,
        group: str | None = None,
        priority: int = 0,
        delay_s: float = 0.0,
        quota: Quota | None = None,
    ) -> None:
        # There may be a million of them: what dataclass writes for a frozen class takes twice this.
        fields = self.__dict__
        fields["payload"] = payload
        fields["key"] = key
        fields["group"] = group
        fields["priority"] = priority
        fields["delay_s"] = delay_s
        fields["quota"] = quota
        if key is not None and not _is_short(key):
            _text("key", key)
        if group is not None and not _is_short(group):
            _text("group", group)
        if priority != 0 or type(priority) is not int:
            _priority(priority)
        if delay_s != 0.0:
            _seconds("delay_s", delay_s)
        if quota is not None and not isinstance(quota, Quota):
            raise TypeError(f"quota is a Quota(...) or None, not {quota!r}")


@dataclass(frozen=True)
class Result:
    """A result with its follow-ups. Both are recorded in one transaction.

    Args:
        value: the task's result, plain data.
        follow: new tasks of the same run, at most 4 MiB together. Anything that is not a `Task`
            is a payload.
        limits: new limits of groups of the run, by group. Each replaces `OPTIONS.per_group` for
            that group from now on. The job must have `OPTIONS.per_group`.

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
    """How the tasks of one group are held back, on all workers together.

    Args:
        at_once: how many tasks of a group run at a time, at most. None: any number.
        every_s: the shortest time in seconds between the starts of two tasks of a group. Below
            0.1 s it is their pace: late starts are made up for, within the limit of each second.

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
        attempts: after this many charged tries a task is a dead letter. None: 3, but 1 in a map or
            an executor of a program's, as in `concurrent.futures`.
        losses: after this many lost leases a task is a dead letter.
        timeout_s: the hard limit of one try in seconds, from its start. None: no limit.
        concurrency: how many tasks one slot of an async `work` runs at a time.
        memory_bytes: the limit of a slot's private memory, imports included. Reserved addresses
            and mapped files do not count (Linux). None: no limit.
        per_group: the limit of each group of tasks (`Task(group=)`). None: no limit.
        needs: tags. Only workers that have all of them (`WORKER_TAGS`) get tasks of this job.

    Raises:
        TypeError: a field is of the wrong type.
        ValueError: a field is out of its range.
    """

    attempts: int | None = None
    losses: int = 5
    timeout_s: float | None = None
    concurrency: int = 1
    memory_bytes: int | None = None
    per_group: Limit | None = None
    needs: Iterable[str] = frozenset()

    def __post_init__(self) -> None:
        if self.attempts is not None:
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
    """How far a run is: its tasks by state. `report` gets it.

    Args:
        tasks: all tasks so far; more may come.
        done: tasks with a result.
        dead: dead letters.
        waiting: tasks that a worker can take.
        leased: tasks that workers have.
        delayed: tasks that wait for their time: before a retry, or submitted with a delay.
        left_s: seconds until all tasks so far have ended, at the rate of the last half minute.
            None while no rate is known.
        per_s: that rate, in tasks that end per second. None while it is not known.
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
    """`work` raises this to have its task tried again. The try is charged.

    Args:
        delay_s: seconds until the next try. None: the usual back-off.
        whole_group: no task of the same group starts before that either, on any worker. It needs
            `OPTIONS.per_group`, and has no effect for a task without a group.
        reason: the reason, which the one line of this try shows.

    Raises:
        TypeError: `delay_s` is no number.
        ValueError: `delay_s` is out of its range, or is missing with `whole_group`.
    """

    # A subclass whose `__init__` does not call ours has these values.
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
    """`work` raises this to make its task a dead letter at once, for this reason."""

    reason: str = ""  # for a subclass whose `__init__` does not call ours

    def __init__(self, reason: str = "rejected by the job") -> None:
        super().__init__(reason)
        self.reason = str(reason)
