"""What a turn has read of the store before it stages its steps, and what it could not read."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from queue_manager.errors import StoreError

from ..changes import BlockState, GroupRecord, LoadedRun, QuotaCounts
from ..reads import LetterPage, LettersSought, ReadAnswer, ReadRequest


class Known:
    """The answers to all requests of a turn's steps.

    unread: what could not be read for steps that are staged nevertheless. A look at it raises a
    StoreError. error: why, in one line.
    """

    def __init__(self) -> None:
        self._answer = ReadAnswer()
        self.unread = ReadRequest()
        self.error = ""

    def add(self, answer: ReadAnswer) -> None:
        """Add an answer."""
        known = self._answer
        for run, keys in answer.taken_keys.items():
            known.taken_keys.setdefault(run, set()).update(keys)
        for run, groups in answer.groups.items():
            known.groups.setdefault(run, {}).update(groups)
        known.quotas.update(answer.quotas)
        known.blocks.update(answer.blocks)
        known.bodies.update(answer.bodies)
        known.runs.update(answer.runs)
        known.run_keys.update(answer.run_keys)
        known.code.update(answer.code)
        known.letters.update(answer.letters)

    def add_unread(self, request: ReadRequest, error: str) -> None:
        """Add a request that can't be served. error: why, in one line."""
        self.unread.add(request)
        self.error = error

    def taken_keys(self, run: int) -> set[str]:
        """The keys that the run has, of those that were asked for. Raises StoreError."""
        self._check(run in self.unread.task_keys)
        return self._answer.taken_keys.get(run, set())

    def quota(self, run: int, name: str) -> QuotaCounts:
        """What a quota of a run has counted. Raises StoreError."""
        self._check((run, name) in self.unread.quotas)
        return self._answer.quotas.get((run, name), QuotaCounts())

    def own_groups(self, run: int, groups: Collection[str]) -> dict[str, GroupRecord]:
        """What these groups of a run have of their own. Raises StoreError."""
        self._check(not self.unread.groups.get(run, set()).isdisjoint(groups))
        known = self._answer.groups.get(run, {})
        return {group: known[group] for group in groups if group in known}

    @property
    def blocks(self) -> Mapping[int, BlockState]:
        """The state of each block that was asked for, without those that can't be read."""
        return self._answer.blocks

    def run(self, number: int) -> LoadedRun | None:
        """A run by its number. Raises StoreError."""
        self._check(number in self.unread.runs)
        return self._answer.runs.get(number)

    def run_of_key(self, key: str) -> LoadedRun | None:
        """The run that has a key. Raises StoreError."""
        self._check(key in self.unread.run_keys)
        return self._answer.run_keys.get(key)

    def code(self, version: str) -> dict[str, bytes] | None:
        """The files of uploaded code; None if there is none of this version. Raises StoreError."""
        self._check(version in self.unread.code)
        return self._answer.code.get(version)

    def letters(self, sought: LettersSought) -> LetterPage:
        """A page of dead letters that was asked for. Raises StoreError."""
        self._check(sought in self.unread.letters)
        return self._answer.letters[sought]

    def _check(self, is_unread: bool) -> None:
        if is_unread:
            raise StoreError(self.error)
