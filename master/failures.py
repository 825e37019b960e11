"""Dead letters in groups: the records between broker, store and wire, and how a group changes.

No SQL. A group is what was raised, at one place, in one run. docs/design.md, "Groups of failures".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from queue_manager.job.failures import named
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.records import DeadLetter

from .changes import TrackedRecord, TrackedState

GROUPS = 1_000
"""How many groups a run has. Dead letters of any other failure are in one more, `OTHERS`."""

OTHERS = ""
"""The exception and the place of that group."""

WORKERS = 32
"""How many workers a group names."""

_ERROR_CHARS = 500

Name = tuple[int, str, str]
"""Run, exception and place: the name of a group."""


class End(NamedTuple):
    """The first or the newest letter of a group."""

    seq: int
    task: int
    error: str
    died_at: float


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """The dead letters of a run that raised the same at the same place, and wait to be tried again.

    id: 0 until the store gives it a number. exception: the name of a class without its module.
    place: as `lines.py:12`; empty if there was no traceback. first_at, last_at: when the first and
    the newest of them died (UTC epoch in seconds). last_seq, task, error: of the newest one.
    workers: how many of them each worker has reported; it names 32 workers at most.
    """

    id: int
    run: int
    exception: str
    place: str
    count: int
    first_at: float
    last_at: float
    last_seq: int
    task: int
    error: str
    workers: dict[str, int]

    def plus(self, other: FailureGroup) -> FailureGroup:
        """Both together, under the name of this one. The newest letter is that of either."""
        newest = max(self, other, key=lambda group: group.last_seq)
        return replace(
            self,
            count=self.count + other.count,
            first_at=min(self.first_at, other.first_at),
            last_at=max(self.last_at, other.last_at),
            last_seq=newest.last_seq,
            task=newest.task,
            error=newest.error,
            workers=_together(self.workers, other.workers.items()),
        )

    def minus(self, gone: Mapping[str, int]) -> FailureGroup | None:
        """The group without letters that are tried again or deleted. None: nothing is left.

        gone: how many of them, by worker. `between` says which letters are its ends then.
        """
        count = self.count - sum(gone.values())
        left = {worker: n - gone.get(worker, 0) for worker, n in self.workers.items()}
        workers = {worker: n for worker, n in left.items() if n > 0}
        return replace(self, count=count, workers=workers) if count > 0 else None

    def between(self, first: End | None, newest: End | None) -> FailureGroup:
        """The group with these letters as its first and its newest one. None: that is not known."""
        first_at = self.first_at if first is None else first.died_at
        if newest is None or newest.seq == self.last_seq:
            return replace(self, first_at=first_at)
        return replace(
            self,
            first_at=first_at,
            last_at=newest.died_at,
            last_seq=newest.seq,
            task=newest.task,
            error=newest.error[:_ERROR_CHARS],
        )

    def may_have(self, only: FailureFilter) -> bool:
        """Whether a filter may choose some of its letters, as far as the group tells."""
        hosts = {worker.rpartition("/")[0] for worker in self.workers}
        unnamed = self.count - sum(self.workers.values())
        return (
            (not only.exception or only.exception.rpartition(".")[2] == self.exception)
            and (not only.place or only.place == self.place)
            and (only.since is None or self.last_at >= only.since)
            and (only.until is None or self.first_at < only.until)
            and (not only.worker or only.worker in {*self.workers, *hosts} or unnamed > 0)
        )


class GroupsSought(NamedTuple):
    """A page of groups, the one with the newest letter first.

    run: None is every run. after: the page has groups whose `last_seq` is smaller. job: only of
    runs of this job; empty: any. only: which letters a group must have, as far as groups tell that.
    """

    after: int
    limit: int
    run: int | None = None
    job: str = ""
    only: FailureFilter = FailureFilter()
    look: int = 2_000


class FailurePage(NamedTuple):
    """Groups with the jobs of their runs. place: the next page is behind it."""

    groups: list[tuple[FailureGroup, str]]
    place: int
    complete: bool


class NewestSought(NamedTuple):
    """A page of the dead letters of a run that a filter chooses, the newest first.

    after: the page has letters with smaller numbers. look: how many are looked at for it, at most.
    """

    run: int
    only: FailureFilter
    after: int
    limit: int
    look: int = 5_000


class NewestPage(NamedTuple):
    """Dead letters without evidence. place: the next page is behind it."""

    letters: list[DeadLetter]
    place: int
    complete: bool


def name_of(record: TrackedRecord) -> Name:
    """The name of the group of a dead letter."""
    letter = DeadLetter(
        record.task, 0, 0, record.error, record.evidence, record.worker, raised=record.raised
    )
    return record.run, *named(letter)


def groups_of(records: Iterable[TrackedRecord]) -> dict[Name, list[TrackedRecord]]:
    """The dead letters among records, by the names of their groups."""
    found: dict[Name, list[TrackedRecord]] = {}
    for record in records:
        if record.state is TrackedState.DEAD:
            found.setdefault(name_of(record), []).append(record)
    return found


def group_of(name: Name, letters: list[TrackedRecord]) -> FailureGroup:
    """New dead letters of one group, as a group. A letter that has died keeps when in `due_at`."""
    newest = max(letters, key=lambda letter: letter.seq)
    workers = _together({}, ((letter.worker, 1) for letter in letters))
    died = [letter.due_at for letter in letters]
    error = newest.error[:_ERROR_CHARS]
    times = (min(died), max(died), newest.seq)
    return FailureGroup(0, *name, len(letters), *times, newest.task, error, workers)


def _together(workers: Mapping[str, int], more: Iterable[tuple[str, int]]) -> dict[str, int]:
    """How many letters each worker has reported, with more of them, as far as there is room."""
    found = dict(workers)
    for worker, count in more:
        if worker in found or len(found) < WORKERS:
            found[worker] = found.get(worker, 0) + count
    return found
