"""The groups of dead letters that a store of plain dicts keeps."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from master.changes import TrackedRecord, TrackedState
from master.failures import GROUPS, OTHERS, End, FailureGroup, Name, group_of, groups_of


@dataclass(slots=True)
class Groups:
    """All groups, by their numbers."""

    by_number: dict[int, FailureGroup] = field(default_factory=dict)
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def count(self, records: Iterable[TrackedRecord]) -> dict[tuple[int, int], int]:
        """Count new dead letters; the number of the group of each."""
        found: dict[tuple[int, int], int] = {}
        others: dict[int, list[TrackedRecord]] = {}
        for name, letters in groups_of(records).items():
            of_run = [g for g in self.by_number.values() if g.run == name[0]]
            if name in map(_name, of_run) or len(of_run) < GROUPS:
                self._add(name, letters, found)
            else:
                others.setdefault(name[0], []).extend(letters)
        for run, letters in others.items():
            self._add((run, OTHERS, OTHERS), letters, found)
        return found

    def _add(
        self, name: Name, letters: list[TrackedRecord], found: dict[tuple[int, int], int]
    ) -> None:
        new = group_of(name, letters)
        known = [n for n, group in self.by_number.items() if _name(group) == name]
        number = known[0] if known else next(self.numbers)
        before = self.by_number.get(number)
        self.by_number[number] = before.plus(new) if before else replace(new, id=number)
        found.update(dict.fromkeys(((one.run, one.task) for one in letters), number))

    def leave(self, letters: Iterable[TrackedRecord]) -> None:
        """Dead letters are tried again or deleted."""
        for letter in letters:
            group = self.by_number.get(letter.failure)
            left = None if group is None else group.minus({letter.worker: 1})
            if left is None:
                self.by_number.pop(letter.failure, None)
            else:
                self.by_number[letter.failure] = left

    def renew(self, records: Iterable[TrackedRecord]) -> None:
        """Letters have left: the first and the newest of each group may be others now."""
        of_group: dict[int, list[End]] = {}
        for one in records:
            if one.state is TrackedState.DEAD:
                end = End(one.seq, one.task, one.error, one.due_at)
                of_group.setdefault(one.failure, []).append(end)
        for number, group in self.by_number.items():
            ends = of_group.get(number)
            self.by_number[number] = group.between(min(ends), max(ends)) if ends else group

    def forget(self, runs: Iterable[int]) -> None:
        """Runs are no more, or nothing but their keys are."""
        gone = set(runs)
        self.by_number = {n: g for n, g in self.by_number.items() if g.run not in gone}


def _name(group: FailureGroup) -> Name:
    return group.run, group.exception, group.place
