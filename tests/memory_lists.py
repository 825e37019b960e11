"""Tasks by how they stand, in a store of plain dicts."""

from __future__ import annotations

from collections.abc import Iterator

from master.changes import BlockRecord, OutcomeRecord
from master.task_lists import SHOWN_BATCH_BYTES, FoundTask, Stand, TasksFound, TasksSought
from tests.memory_kept import Kept


def find_tasks(kept: Kept, sought: TasksSought) -> TasksFound:
    """As `Store.find_tasks`. It looks at all tasks of the run."""
    tasks: list[FoundTask] = []
    for found in _found(kept, sought):
        if len(tasks) == sought.limit:
            return TasksFound(tasks, tasks[-1].task if tasks else sought.after, complete=False)
        tasks.append(found)
    return TasksFound(tasks, tasks[-1].task if tasks else sought.after, complete=True)


def _found(kept: Kept, sought: TasksSought) -> Iterator[FoundTask]:
    for block in kept.blocks_of(sought.run):
        outcomes = kept.outcomes_of(block)
        for position in range(block.count):
            stand, found = _stands(kept, sought, block, position, outcomes)
            if found.task > sought.after and stand in sought.stands:
                yield found


def _stands(
    kept: Kept, sought: TasksSought, block: BlockRecord, at: int, outcomes: list[OutcomeRecord]
) -> tuple[Stand | None, FoundTask]:
    task = block.first + at
    outcome = next((o for o in outcomes if o.start <= at < o.stop), None)
    if outcome is not None and outcome.is_cancelled:
        return Stand.CANCELLED, FoundTask(task, position=at - outcome.start)
    if outcome is not None:
        results = outcome.results if len(outcome.results) <= SHOWN_BATCH_BYTES else None
        return Stand.DONE, FoundTask(task, results=results, position=at - outcome.start)
    is_held = sought.held.get(block.id, 0) >> at & 1
    record = kept.tracked.get((sought.run, task))
    if record is None:
        return (None if is_held else Stand.WAITING), FoundTask(task)
    of = (record.attempts, record.due_at, record.delay_s, record.worker, record.error[:1000])
    if record.state == "dead":
        return Stand.DEAD, FoundTask(task, *of)
    stand = Stand.DELAYED if record.due_at > sought.now else Stand.WAITING
    return (None if is_held else stand), FoundTask(task, *of)
