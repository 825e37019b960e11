"""Outcomes on their way to the master. They are kept until the master has acknowledged them.

This module owns their order over several sessions, and how they are cut into exchanges. It knows
nothing of slots. An acknowledged outcome is on the master's disk.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from queue_manager.job.contract import LARGEST, LONGEST_S
from queue_manager.job.raised import TOO_LARGE
from queue_manager.ranges import Ranges
from queue_manager.wire.limits import EXCHANGE_OUTCOMES, FRAME_BYTES, RAISED_BYTES, TEXT_CHARS
from queue_manager.wire.records import Failed, GroupLimit, Lease, Outcome, Released
from queue_manager.wire.weight import Weight, cannot_travel, weigh

FULL_BYTES = FRAME_BYTES
"""While outcomes of more than this wait to be sent, the worker begins no more tasks."""


class Entry(NamedTuple):
    """One outcome, and the run and block of its tasks."""

    run: int
    block: int
    outcome: Outcome

    @property
    def range(self) -> tuple[int, int]:
        """The positions of its tasks."""
        outcome = self.outcome
        if isinstance(outcome, Failed):
            return outcome.position, outcome.position + 1
        return outcome.start, outcome.stop


class Outbox:
    """The outcomes that are to be sent, and those that were sent and have no answer yet."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[Entry, Weight]] = deque()
        self._waiting_bytes = 0
        self._sent: dict[int, list[Entry]] = {}

    @property
    def empty(self) -> bool:
        """Whether the master has acknowledged all outcomes."""
        return not (self._waiting or self._sent)

    @property
    def full(self) -> bool:
        """Whether so much waits to be sent that no more tasks may begin."""
        return self._waiting_bytes > FULL_BYTES

    @property
    def owes(self) -> bool:
        """Whether it has a result or a failure. Released tasks do not count."""
        return any(not isinstance(e.outcome, Released) for e in self._entries())

    def add(self, lease: Lease, outcome: Outcome) -> None:
        """Add an outcome. If it can't travel, it becomes a failed try that says why."""
        for one in _fit(outcome):
            self._append(Entry(lease.run, lease.block, one))

    def release(
        self, lease: Lease, ranges: Ranges, lacks: str = "", *, unstarted: bool = False
    ) -> None:
        """Give tasks back uncharged."""
        for start, stop in ranges:
            self.add(lease, Released(lease.number, start, stop, lacks, unstarted))

    def take(self) -> list[Entry]:
        """Take the first waiting outcomes, as many as fit in a frame; empty: none waits."""
        waiting = self._waiting
        taken: list[Entry] = []
        together = Weight()
        while waiting and len(taken) < EXCHANGE_OUTCOMES:
            entry, weight = waiting[0]
            together = together.with_(weight)
            if taken and not together.fits():
                break
            taken.append(entry)
            waiting.popleft()
            self._waiting_bytes -= weight.size_bytes
        return taken

    def sent(self, seq: int, entries: list[Entry]) -> None:
        """Keep a portion until its answer comes."""
        if entries:
            self._sent[seq] = entries

    def acknowledged(self, seq: int) -> None:
        """Forget a portion: it is on the master's disk."""
        self._sent.pop(seq, None)

    def recall(self) -> None:
        """After the end of a session, put all outcomes without an answer at the front again."""
        sent = [entry for entries in self._sent.values() for entry in entries]
        self._sent.clear()
        self._wait_again(sent + self._unsent)

    def keep_released(self, numbers: Iterable[int] = ()) -> None:
        """Drop released tasks, except those of these leases. The master has the others already."""
        kept = set(numbers)
        self._wait_again(
            entry
            for entry in self._unsent
            if not isinstance(entry.outcome, Released) or entry.outcome.lease in kept
        )

    def claims(self) -> list[tuple[int, int, int, tuple[int, int]]]:
        """(lease, run, block, range) of each result or failure that has no answer."""
        return [
            (entry.outcome.lease, entry.run, entry.block, entry.range)
            for entry in self._entries()
            if not isinstance(entry.outcome, Released)
        ]

    def _entries(self) -> list[Entry]:
        return [entry for entries in self._sent.values() for entry in entries] + self._unsent

    @property
    def _unsent(self) -> list[Entry]:
        return [entry for entry, _ in self._waiting]

    def _append(self, entry: Entry) -> None:
        weight = weigh(entry.outcome)
        self._waiting.append((entry, weight))
        self._waiting_bytes += weight.size_bytes

    def _wait_again(self, entries: Iterable[Entry]) -> None:
        self._waiting.clear()
        self._waiting_bytes = 0
        for entry in entries:
            self._append(entry)


def _fit(outcome: Outcome) -> list[Outcome]:
    """Make an outcome fit for the wire. The master would end each session with an unfit one."""
    if isinstance(outcome, Released):
        return [msgspec.structs.replace(outcome, lacks=outcome.lacks[:TEXT_CHARS])]
    if not 0 <= outcome.took_s < math.inf:  # a job has changed the clock of its process
        outcome = msgspec.structs.replace(outcome, took_s=0.0)
    if isinstance(outcome, Failed):
        return [_cut(outcome)]
    wrong = next(filter(None, map(_wrong_limit, outcome.limits.items())), "")
    if wrong:
        return [Failed(outcome.lease, outcome.start, wrong, took_s=outcome.took_s)]
    error = cannot_travel(outcome)
    if not error:
        return [outcome]
    share_s = outcome.took_s / (outcome.stop - outcome.start)
    return [
        Failed(outcome.lease, position, error, took_s=share_s, raised=TOO_LARGE)
        for position in range(outcome.start, outcome.stop)
    ]


def _wrong_limit(named: tuple[str, GroupLimit]) -> str:
    """Why a group's limit can't be set, or empty. A job may change its Result after the check."""
    group, limit = named
    at_once = 1 if limit.at_once is None else limit.at_once
    if group and 1 <= at_once <= LARGEST and 0 <= limit.every_s <= LONGEST_S:
        return ""
    what = f"at_once={limit.at_once}, every_s={limit.every_s}"
    return f"Result(limits=...) has {what} for the group {group[:100]!r}, which is out of range"


def _cut(failed: Failed) -> Failed:
    """Make the delay and the texts of a failure fit for the wire.

    If they are too long, the one line keeps its beginning, and the other texts keep their end.
    """
    if not 0 <= (failed.delay_s or 0.0) <= LONGEST_S:
        error = f"{failed.error}; its delay of {failed.delay_s} s is out of range"
        failed = msgspec.structs.replace(failed, error=error, delay_s=None)
    if failed.whole_group and failed.delay_s is None:
        failed = msgspec.structs.replace(failed, whole_group=False)
    if len(failed.raised) > RAISED_BYTES:
        failed = msgspec.structs.replace(failed, raised=b"")
    if max(len(failed.error), len(failed.evidence), len(failed.printed)) <= TEXT_CHARS:
        return failed
    return msgspec.structs.replace(
        failed,
        error=failed.error[:TEXT_CHARS],
        evidence=failed.evidence[-TEXT_CHARS:],
        printed=failed.printed[-TEXT_CHARS:],
    )
