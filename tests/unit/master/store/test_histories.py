"""Random histories: every store answers as the others do, and as was counted."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from master.changes import BlockRecord, Changes, RunCounts, TrackedState
from master.store.contract import Store
from queue_manager.wire.failures import FailureFilter
from tests.asked import all_letters, block_states, taken_keys
from tests.unit.master.store_records import (
    LIMITED,
    Engine,
    MemoryEngine,
    SqliteEngine,
    block,
    commit,
    drop_all,
    outcome,
    revived,
    run_record,
    tracked,
)


class History:
    """Random turns, as a broker could have them. It remembers what it counts."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.blocks: dict[int, BlockRecord] = {}
        self.open: dict[int, set[int]] = {}
        self.tracked: dict[tuple[int, int], tuple[int, TrackedState]] = {}
        self.runs = {n: run_record(n, options=LIMITED) for n in (1, 2)}
        self.tasks = {1: 0, 2: 0}
        self.done = {1: 0, 2: 0}
        self.block = self.seq = 0
        self.workers: set[str] = set()

    def turn(self) -> Changes:
        changes = Changes(runs=dict(self.runs) if not self.block else {})
        for _ in range(self.rng.randint(1, 4)):
            act = self.rng.choice([self._submit, self._finish, self._finish, self._stray])
            act(changes)
        if self.rng.random() < 0.1:
            self._revive(changes)
        worker = self.rng.choice("abc")
        changes.workers[worker] = self.rng.random() < 0.5
        (self.workers.add if changes.workers[worker] else self.workers.discard)(worker)
        changes.counts.update({run: self.counts(run) for run in self.runs})
        return changes

    def counts(self, run: int) -> RunCounts:
        states = [state for (of, _), (_, state) in self.tracked.items() if of == run]
        return RunCounts(
            self.tasks[run],
            0,
            self.done[run],
            states.count("dead"),
            states.count("waiting"),
            self.seq,
        )

    def _submit(self, changes: Changes) -> None:
        self.block += 1
        run, count = self.rng.choice([1, 2]), self.rng.randint(1, 6)
        keys = [f"{self.block}/{n}" for n in range(count)] if self.rng.random() < 0.3 else None
        made = block(
            self.block,
            self.tasks[run] + 1,
            count,
            run,
            keys=keys,
            group=self.rng.choice([None, None, "g", "h"]),
            priority=self.rng.choice([0, 0, -1, 2]),
        )
        self.tasks[run] += count
        self.blocks[made.id], self.open[made.id] = made, set(range(count))
        changes.blocks.append(made)

    def _finish(self, changes: Changes) -> None:
        """A range of plain tasks, or a tracked task: each with its outcome."""
        waiting = [key for key, (_, state) in self.tracked.items() if state == "waiting"]
        if waiting and self.rng.random() < 0.4:
            run, task = self.rng.choice(waiting)
            of = self.blocks[self.tracked[run, task][0]]
            start, stop = task - of.first, task - of.first + 1
            changes.tracked.update(tracked(of, start, "done", attempts=self.seq % 3))
            self.tracked[run, task] = (of.id, TrackedState.DONE)
        elif some := [number for number, left in self.open.items() if left]:
            of = self.blocks[self.rng.choice(some)]
            left = self.open[of.id]
            start = stop = self.rng.choice(sorted(left))
            while stop in left and (stop == start or self.rng.random() < 0.8):
                left.discard(stop)
                stop += 1
        else:
            return
        self.seq += 1
        self.done[of.run] += stop - start
        changes.outcomes.append(outcome(self.seq, of, start, stop))

    def _stray(self, changes: Changes) -> None:
        some = [number for number, left in self.open.items() if left]
        if some:
            of = self.blocks[self.rng.choice(some)]
            position = self.rng.choice(sorted(self.open[of.id]))
            self.open[of.id].discard(position)
            state: TrackedState = TrackedState(self.rng.choice(["waiting", "waiting", "dead"]))
            delay_s = self.rng.choice([0.0, 5.0, 500.0])
            fields: dict[str, Any] = {"delay_s": delay_s, "due_at": 100.0 + delay_s}
            if state == "dead":
                self.seq += 1
                fields["seq"] = self.seq
            changes.tracked.update(
                tracked(of, position, state, **fields, lease=self.seq, evidence=f"e{self.seq}")
            )
            self.tracked[of.run, of.first + position] = (of.id, state)

    def _revive(self, changes: Changes) -> None:
        run = self.rng.choice([1, 2])
        dead = [
            key
            for key, (_, state) in self.tracked.items()
            if key[0] == run and state == "dead" and key not in changes.tracked
        ]
        if self.rng.random() < 0.5:
            dead = self.rng.sample(dead, self.rng.randint(0, len(dead)))
            if not dead:
                return
            changes.revived.update(
                revived(1_000.0 + self.seq, *(task for _, task in dead), run=run, reason="some")
            )
        else:
            changes.revived.update(revived(1_000.0 + self.seq, run=run))
        for key in dead:
            self.tracked[key] = (self.tracked[key][0], TrackedState.WAITING)


def pages(read: Callable[[Any], tuple[list[Any], Any]], after: Any = None) -> list[Any]:
    """All pages of a verb, one after the other."""
    found, last = read(after)
    answers = [(found, last)]
    while last is not None:
        found, last = read(last)
        answers.append((found, last))
    return answers


def every_answer(store: Store, blocks: int) -> dict[str, Any]:
    """What each verb says of the runs 1 and 2."""
    answers: dict[str, Any] = {
        "runs": [(found.record, found.counts) for found in store.load()],
        "blocks": block_states(store, {n: (0, 2_000) for n in range(1, blocks + 2)}),
    }
    for run in (1, 2):
        tasks = answers["runs"][run][1].tasks if len(answers["runs"]) > run else 0
        keys = [f"{number}/0" for number in range(blocks + 2)]
        answers |= {
            f"outcomes {run}": [store.read_outcomes(run, after, 700) for after in (0, 5, 20)],
            f"last {run}": store.read_last_outcomes(run, 7),
            f"tasks {run}": [store.read_task(run, task) for task in range(tasks + 2)],
            f"keys {run}": taken_keys(store, run, keys),
        }
        for only in (FailureFilter(), FailureFilter(tasks=((2, 5), (9, 40)))):
            answers[f"letters {run} {only}"] = all_letters(store, run, only)
        for dead in (False, True):
            answers[f"results {run} {dead}"] = [
                store.read_results(run, after, most, dead)
                for after, most in ((0, 10**6), (0, 1_500), (7, 10**6))
            ]
        for group in (None, "g", "h"):
            for most in (3, 10_000):
                answers[f"waiting {run} {group} {most}"] = pages(
                    lambda after, r=run, g=group, m=most: store.read_waiting(r, g, after, m)
                )
                answers[f"tracked {run} {group} {most}"] = pages(
                    lambda after, r=run, g=group, m=most: store.read_tracked(r, g, after, m)
                )
    return answers


def check_counts(store: Store, history: History) -> None:
    """What the verbs find is what was counted, and every task is in one place."""
    for run in (1, 2):
        groups = (None, "g", "h")
        plain = [
            stop - start
            for group in groups
            for found in store.read_waiting(run, group, None, 10**9)[0]
            for start, stop in found.ranges
        ]
        records = [s for g in groups for s in store.read_tracked(run, g, None, 10**9)[0]]
        dead = [d for b in store.read_results(run, 0, 10**9, dead=True)[0] for d in b.dead]
        counts = store.load()[run].counts
        assert counts == history.counts(run)
        assert (len(records), len(dead)) == (counts.tracked, counts.dead)
        assert sum(plain) + len(records) + len(dead) + counts.done == counts.tasks
        waiting_groups = {g for g in ("g", "h") if store.read_waiting(run, g, None, 1)[0]}
        waiting_groups |= {s.group for s in records if s.group is not None}
        known = {group for _, group in store.next_groups(run, None, 99)[0]}
        known |= set(store.due_groups(run, (float("-inf"), 0), float("inf"), 99_999)[0])
        assert waiting_groups <= known


@pytest.mark.parametrize("seed", range(8))
def test_all_engines_answer_alike_whatever_has_happened(tmp_path: Path, seed: int) -> None:
    engines: list[Engine] = [SqliteEngine(tmp_path), MemoryEngine(tmp_path)]
    stores = [engine.open() for engine in engines]
    history = History(seed)
    for turn in range(150):
        changes = history.turn()
        for store in stores:
            store.commit(changes)
        if turn % 30 == 29:
            again = history.rng.choice(["open", "crash"])
            stores = [getattr(engine, again)() for engine in engines]
            assert [store.workers for store in stores] == [history.workers] * 2
            for store in stores:
                store.cap_delays(200.0 + turn)
                check_counts(store, history)
        if turn % 10 == 9:
            first, second = (every_answer(store, history.block) for store in stores)
            assert first == second
    for store in stores:
        commit(store, forgotten={1})
        drop_all(store, 7)
    first, second = (every_answer(store, history.block) for store in stores)
    assert first == second
    for engine in engines:
        engine.close()
