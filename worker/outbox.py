"""Outcomes on their way to the master, kept until it has acknowledged them.

Owns their order over sessions and how they are cut into exchanges. Knows nothing of slots; what
is on disk at the master is what it has answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from queue_manager.ranges import Ranges
from queue_manager.records import Done, Failed, GroupLimit, Lease, Outcome, Released

EXCHANGE_BYTES = 4 * 1024 * 1024
"""Outcomes above this wait for the next exchange: a frame holds 8 MiB at most."""

_LIMIT_BYTES = 20


class Entry(NamedTuple):
    """One outcome, and whose it is."""

    run: int
    block: int
    outcome: Outcome

    @property
    def range(self) -> tuple[int, int]:
        """The tasks that it answers for."""
        outcome = self.outcome
        if isinstance(outcome, Failed):
            return outcome.position, outcome.position + 1
        return outcome.start, outcome.stop


class Outbox:
    """What is to be sent, and what was sent and has no answer yet."""

    def __init__(self) -> None:
        self._waiting: list[Entry] = []
        self._sent: dict[int, list[Entry]] = {}

    @property
    def empty(self) -> bool:
        """Whether the master has all of it."""
        return not (self._waiting or self._sent)

    @property
    def owes(self) -> bool:
        """Whether there is anything that was worked for: a result or a failure."""
        return any(not isinstance(e.outcome, Released) for e in self._entries())

    def add(self, lease: Lease, outcome: Outcome) -> None:
        """Send this soon."""
        self._waiting.append(Entry(lease.run, lease.block, outcome))

    def release(
        self, lease: Lease, ranges: Ranges, lacks: str = "", *, unstarted: bool = False
    ) -> None:
        """These tasks go back uncharged."""
        for start, stop in ranges:
            self.add(lease, Released(lease.number, start, stop, lacks, unstarted))

    def take(self) -> list[list[Entry]]:
        """All that waits, cut so that each portion fits in a frame."""
        taken, self._waiting = self._waiting, []
        return portions(taken)

    def sent(self, seq: int, entries: list[Entry]) -> None:
        """Keep a portion until its answer comes."""
        if entries:
            self._sent[seq] = entries

    def acknowledged(self, seq: int) -> None:
        """It is on the master's disk."""
        self._sent.pop(seq, None)

    def recall(self) -> None:
        """The session has ended: what has no answer is sent again first, in its order."""
        sent = [entry for entries in self._sent.values() for entry in entries]
        self._sent.clear()
        self._waiting = sent + self._waiting

    def keep_released(self, numbers: Iterable[int] = ()) -> None:
        """Drop what goes back, but of these leases: the master has it back already."""
        kept = set(numbers)
        self._waiting = [
            entry
            for entry in self._waiting
            if not isinstance(entry.outcome, Released) or entry.outcome.lease in kept
        ]

    def claims(self) -> list[tuple[int, int, int, tuple[int, int]]]:
        """(lease, run, block, range) of each result or failure that has no answer."""
        return [
            (entry.outcome.lease, entry.run, entry.block, entry.range)
            for entry in self._entries()
            if not isinstance(entry.outcome, Released)
        ]

    def _entries(self) -> list[Entry]:
        return [entry for entries in self._sent.values() for entry in entries] + self._waiting


def _size(outcome: Outcome) -> int:
    if isinstance(outcome, Done):
        size_bytes = len(outcome.results) + sum(len(block.body) for block in outcome.follow)
        return size_bytes + limits_bytes(outcome.limits)
    if isinstance(outcome, Failed):
        return len(outcome.error) + len(outcome.evidence) + len(outcome.printed)
    return len(outcome.lacks)


def limits_bytes(limits: Mapping[str, GroupLimit]) -> int:
    """About as much as they take on the wire."""
    return sum(len(group.encode()) + _LIMIT_BYTES for group in limits)


def portions(entries: list[Entry]) -> list[list[Entry]]:
    """Cut outcomes so that each exchange fits in a frame."""
    found: list[list[Entry]] = []
    room = 0
    for entry in entries:
        size_bytes = _size(entry.outcome)
        if not found or size_bytes > room:
            found.append([])
            room = EXCHANGE_BYTES
        found[-1].append(entry)
        room -= size_bytes
    return found
