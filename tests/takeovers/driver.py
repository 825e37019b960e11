"""The player of faults: strikes the active master so many times at random, measures, checks."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from .faults import FAULTS, Fault
from .ground import SLOTS, Ground, Master
from .record import Owner, Record
from .table import Seen

_PATIENCE_S = 60.0
_LOOK_S = 0.02
_SPARE_S = 15.0
T = TypeVar("T")


class Driver:
    """Plays the faults of a seed. seen: what was measured; reasons: why old masters gave up.

    most_s: faults go on no longer than so many seconds."""

    def __init__(self, ground: Ground, seed: int, count: int, tasks: int) -> None:
        self._ground, self._random = ground, random.Random(seed)
        self._count, self._tasks = count, tasks
        self.most_s = float("inf")
        self.seen: list[Seen] = []
        self.reasons: Counter[str] = Counter()
        self.troubles: list[str] = []
        self.run = 0
        self.record: Record

    def play(self) -> None:
        """All of it: submits the tasks, strikes, and waits until all tasks are done."""
        self.record = Record(self._ground)
        self._await(lambda: self.record.owner() and self.record.both_live(), "two masters")
        ended = self._ground.client.command("submit", "noted", f"count={self._tasks}")
        assert ended.code == 0, repr(ended)
        self.run = int(ended.out)
        began = time.monotonic()
        for number, fault in enumerate(self._deck()):
            self._strike(number, fault)
            if time.monotonic() - began > self.most_s:
                self.troubles.append(f"only {number + 1} of {self._count} faults in the time")
                break
            self._adjust(number + 1, time.monotonic() - began)
        self._ground.pace(0.0)
        self._await(lambda: self.record.recorded(self.run) >= self._tasks, "all results", 600.0)

    def _deck(self) -> list[Fault]:
        """Each kind as often as the others, in random order."""
        deck = [FAULTS[number % len(FAULTS)] for number in range(self._count)]
        self._random.shuffle(deck)
        return deck

    def _strike(self, number: int, fault: Fault) -> None:
        self._await(self.record.both_live, "one active master and one that stands by")
        time.sleep(self._random.uniform(0.0, 1.2))
        before = self.record.owner()
        assert before is not None
        old = next(one for one in self._ground.masters if one.name == before.name)
        lines = len(old.process.log.splitlines())
        at = time.time()
        fault.strike(old)
        try:
            if fault.bound_s is None:
                seen = self._stays(fault, before, old, at)
            else:
                seen = self._taken_over(fault, before, at)
                time.sleep(self._random.uniform(0.0, 0.5))
                fault.undo(old)
                if fault.name == "frozen" or "off" in fault.name:
                    self._gives_up(old, lines)
        except AssertionError as error:
            raise AssertionError(
                f"fault {number + 1}, {fault.name} of {old.name}: {error}"
            ) from None
        self.seen.append(seen)
        print(f"{number + 1:>4} {old.name} {seen.line}", flush=True)

    def _taken_over(self, fault: Fault, before: Owner, at: float) -> Seen:
        """Wait until another master has recorded a result."""
        owner = self._await(lambda: self._newer(before), "a take-over")
        first = self._await(lambda: self.record.first_commit(owner), "a commit")
        result = self._await(lambda: self.record.first_result(owner), "a result")
        if owner.epoch != before.epoch + 1:
            self.troubles.append(f"{fault.name}: epoch {before.epoch}, then {owner.epoch}")
        if late := self.record.late_commits(owner):
            self.troubles.append(
                f"{fault.name}: {late} commits of the old master after the new one"
            )
        if not self.record.refuses(before.epoch):
            self.troubles.append(f"{fault.name}: the database takes a commit of an old epoch")
        return Seen(fault, owner.taken - at, first - at, result - at)

    def _newer(self, before: Owner) -> Owner | None:
        owner = self.record.owner()
        return owner if owner and owner.epoch > before.epoch else None

    def _stays(self, fault: Fault, before: Owner, old: Master, at: float) -> Seen:
        """The database is there for the master, so it stays active; other hosts' workers wait."""
        time.sleep(self._random.uniform(2.0, 6.0))
        healed, behind = time.time(), self._ground.notes_bytes()
        fault.undo(old)
        # What workers had in hand when they were cut off may begin at any time.
        begun = self._await(
            lambda: self._ground.first_begun(healed, old.name, behind), "work of other hosts"
        )
        if self.record.owner() != before:
            self.troubles.append(f"{fault.name}: another master has taken over")
        return Seen(fault, None, None, begun - healed)

    def _gives_up(self, old: Master, lines: int) -> None:
        """A master that is back says in one line why it is not the active one any more."""
        pattern = re.compile("is not the active one any more: (.*?)[.;] It stands by")

        def said() -> list[str]:
            new = old.process.log.splitlines()[lines:]
            return [found[1] for line in new if (found := pattern.search(line))]

        why = self._await(said, f"that {old.name} gives up:\n{old.process.log[-2000:]}")
        if len(why) != 1:
            self.troubles.append(f"{old.name} has given up {len(why)} times")
        self.reasons[re.sub(r"\d+(\.\d+)?", "N", why[0])] += 1

    def _adjust(self, played: int, passed_s: float) -> None:
        """Tasks take so long that some are left when the last fault is over: it needs them."""
        left_s = passed_s / played * (self._count - played) + _SPARE_S
        left = max(self._tasks - self.record.recorded(self.run), 1)
        slots = SLOTS * len(self._ground.net.hosts)
        self._ground.pace(min(max(slots * left_s / left - 0.002, 0.0), 1.0))

    def _await(
        self, condition: Callable[[], T | None], what: str, within_s: float = _PATIENCE_S
    ) -> T:
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            if time.monotonic() > deadline:
                logs = "".join(
                    f"\n{one.name}: {one.process.log[-2000:]}" for one in self._ground.masters
                )
                text = f"not within {within_s} s: {what}\n{self.record.sessions()}{logs}"
                raise AssertionError(text)
            time.sleep(_LOOK_S)
        return value
