"""What must hold after every step, and what after a crash and at the end of a world."""

from __future__ import annotations

from master.broker.lanes import window as window_room
from master.broker.lanes.window import Window
from master.broker.leases.lease import Session
from master.broker.runs.run import Run
from master.changes import QUEUE_RUN, GroupRecord, TrackedRecord
from queue_manager.wire.records import BLOCK_TASKS
from tests.asked import block_states, taken_keys
from tests.memory_store import all_runs

from .driver import Driver
from .truth import SOON, Task, TrueRun, check


def after_step(driver: Driver, now: float) -> None:
    """The cheap form: counts, and nobody idle beside a task."""
    broker, judge = driver.broker, driver.judge
    check(set(broker.runs) == set(judge.runs), "runs {}, not {}", broker.runs, judge.runs)
    for number, run in broker.runs.items():
        _counts(run, judge.runs[number], now)
    if driver.idle and not driver.stuck and not driver.expected:
        nobody_idle(driver, now)


def _counts(run: Run, true: TrueRun, now: float) -> None:
    check(run.accepted == true.passed, "run {} has {} of tasks()", run.id, run.accepted)
    told = (run.tasks, run.done, run.dead, run.cancelled, run.leased, run.staged, run.state)
    tasks = len(true.tasks)
    right = (tasks, true.done, true.dead, true.cancelled, true.held, 0, true.state)
    check(told == right, "run {} counts {}, not {}", run.id, told, right)
    waits_for = set(run.waits_for)
    check(waits_for == true.waits_for, "run {} waits for {}, not {}", run.id, waits_for, true)
    check(not true.pending or not true.tasks, "run {} has tasks before it begins", run.id)
    if not run.active:
        check(run.delayed == 0 or run.state != "cancelled", "run {} has delays", run.id)
        return
    check(run.waiting >= 0, "run {} has {} waiting", run.id, run.waiting)
    check(run.delayed >= 0, "run {} has {} delayed", run.id, run.delayed)
    for lane in run.lanes:
        window, tracked = lane.window, lane.tracked
        block: int = vars(window_room)["BLOCK_TASKS"]
        most = window.most if window.most >= 3 * block else window.most + 2 * block
        check(window.loaded <= most, "{} tasks in a window of {}", window.loaded, window.most)
        count = len(tracked.in_memory)
        check(count <= 2 * tracked.most + true.held + 40, "{} tracked", count)
    if run.groups is not None:
        check(len(run.groups.lanes) <= len(true.tasks), "too many lanes")


def nobody_idle(driver: Driver, now: float) -> None:
    """Whoever may take something, and wants to, has it."""
    judge = driver.judge
    reserved = held_back = 0
    for connection in driver.idle.values():
        session = connection.session
        assert session is not None
        if session.wanted <= 0 or judge.is_exclusive(session.id, now + 2 * SOON):
            continue
        for run in judge.runs.values():
            # While it holds something it may have to wait for a quarantined task.
            held = bool(session.leases)
            task = judge.ready_for(session, run, now, not held)
            if task is None:
                check(
                    not held or not _late(driver, session, run, now),
                    "a quarantined task waits too long",
                )
                continue
            if judge.quarantined(now, session):
                reserved += 1
                if reserved <= judge.quarantined(now):
                    break
            if not held_back and not session.stock and judge.group_waits(session, now):
                held_back += 1  # it gets nothing more, until a slot of it is free for the group
                break
            check(False, "session {} is idle, {} waits", session.id, task)


def _late(driver: Driver, session: Session, run: TrueRun, now: float) -> bool:
    """Whether the only quarantined task is of the run, and has not waited for RESERVE_S yet."""
    waiting = list(driver.broker.quarantine.waiting)
    task = driver.judge.ready_for(session, run, now, True)
    if len(waiting) != 1 or task is None or waiting[0].task.gone:
        return False
    found = waiting[0]
    return (found.run.id, found.task.task) == (run.id, task.number) and found.until < now


def in_full(driver: Driver) -> None:
    """The dear form: everything in memory, range by range."""
    broker, judge = driver.broker, driver.judge
    for number, true in judge.runs.items():
        held = sum(bool(task.holder) for task in true.tasks)
        ends = [task.state for task in true.tasks]
        cancelled = ends.count("cancelled") + ends.count("withdrawn")
        right = (held, ends.count("done"), ends.count("dead"), cancelled)
        check(right == (true.held, true.done, true.dead, true.cancelled), "the model is wrong")
        run = broker.runs[number]
        if run.active:
            _delays(run, true, broker.journal.now)
            _memory(run, true)
    leases = {
        (number, position): session.id
        for session in broker.sessions.values()
        for number, lease in session.leases.items()
        for a, b in lease.open
        for position in range(a, b)
    }
    model = {(t.holder, t.position): t.session for t in judge.tasks() if t.holder}
    check(leases == model, "leases {}, not {}", leases, model)


def _delays(run: Run, true: TrueRun, now: float) -> None:
    if not any(lane.tracked.more_on_disk for lane in run.lanes) and not _hidden(run):
        late = sum(task.due > now + SOON for task in true.free.values())
        soon = sum(task.due > now - SOON for task in true.free.values())
        check(late <= run.delayed <= soon, "run {}: {} delayed, not {}", run.id, run.delayed, late)


def _memory(run: Run, true: TrueRun) -> None:
    seen: set[tuple[int, int]] = set()
    for lane in run.lanes:
        window = lane.window
        sizes = sum(r.stop - r.start for ready in window.ready.values() for r in ready)
        check(sizes == window.loaded, "a window counts {}, holds {}", window.loaded, sizes)
        check(window.order == sorted(window.ready), "priorities are not in order")
        check(all(window.ready.values()), "an empty priority is kept")
        for found in _ranges(window):
            check(found not in seen, "{} is in memory twice", found)
            seen.add(found)
        tracked = lane.tracked
        for task in tracked.in_memory:
            check(task in true.free, "task {} waits in memory, and not in truth", task)
            check(true.tasks[task - 1].tracked, "task {} is not tracked", task)
    waiting = {(t.block, t.position) for t in true.free.values() if not t.tracked}
    for block, position in seen:
        check((block, position) in waiting, "position {} of {} does not wait", position, block)
    if not any(lane.window.more_on_disk for lane in run.lanes) and not _hidden(run):
        plain = sum(not task.tracked for task in true.free.values())
        check(len(seen) == plain, "run {}: {} tasks in memory, not {}", run.id, len(seen), plain)


def _hidden(run: Run) -> bool:
    """Whether groups without a lane may have something on disk."""
    groups = run.groups
    return groups is not None and (groups.hidden.anything or bool(groups.absent.waiting))


def _ranges(window: Window) -> list[tuple[int, int]]:
    return [
        (r.block, position)
        for ready in window.ready.values()
        for r in ready
        for position in range(r.start, r.stop)
    ]


def on_disk(driver: Driver) -> None:
    """After a crash: the store has what was acknowledged, and nothing else."""
    judge, store = driver.judge, driver.store
    known, right = store.workers, judge.saved_workers
    check(known == right, "knows {}, not {}", known, right)
    loaded = {run.record.id: run for run in all_runs(store)}
    check(set(loaded) == set(judge.runs), "runs {} on disk, not {}", set(loaded), set(judge.runs))
    for number, true in judge.runs.items():
        record, counts = loaded[number].record, loaded[number].counts
        told = (record.state, record.exhausted, record.cancelled, record.options)
        state = (true.state, true.exhausted, true.cancelled, true.options)
        check(told == state, "run {} is {} on disk, not {}", number, told, state)
        chain, right = (record.after, set(record.waits_for)), ([*true.after], set(true.waits_for))
        check(chain == right, "run {} is after {} on disk, not {}", number, chain, right)
        told_counts = (counts.tasks, counts.done, counts.dead)
        check(told_counts == (len(true.tasks), true.done, true.dead), "counts of run {}", number)
        check(counts.accepted == true.passed, "run {} has {} of tasks()", number, counts.accepted)
        if true.state == "pruned":
            continue
        _outcomes(driver, true)
        for block in true.blocks:
            _block(driver, judge.blocks[block], block)
        quotas = {n: (q.accepted, q.dropped) for n, q in store.quotas(number, 99).items()}
        check(quotas == true.quotas, "quotas {} on disk, not {}", quotas, true.quotas)
        _own(store.own_groups(number), true, driver.began_at)
        keys = [f"k{n}" for n in range(60)]
        check(taken_keys(store, number, keys) == set(keys) & true.keys, "keys of run {}", number)


def _own(own: dict[str, GroupRecord], true: TrueRun, wall: float) -> None:
    limits = {group: record.limit for group, record in own.items() if record.limit is not None}
    check(limits == true.own, "run {} has limits {} on disk, not {}", true.id, limits, true.own)
    for group, pause in true.pauses.items():
        due_at = own[group].due_at if group in own else wall
        right = abs(due_at - pause.due_wall) < SOON or max(due_at, pause.due_wall) < wall + SOON
        check(right, "group {} waits until {}, not {}", group, due_at, pause.due_wall)


def _outcomes(driver: Driver, true: TrueRun) -> None:
    done: set[int] = set()
    withdrawn: set[int] = set()
    outcomes, _ = driver.store.read_outcomes(true.id, 0, 1 << 30)
    for outcome in outcomes:
        for task in range(*outcome.tasks):
            ended = task in done or task in withdrawn
            check(not ended, "task {} of run {} has two results", task, true.id)
            (withdrawn if outcome.is_cancelled else done).add(task)
    _letters(driver, true)
    right = {task.number for task in true.tasks if task.state == "withdrawn"}
    check(withdrawn == right, "{} are cancelled on disk, not {}", withdrawn, right)
    right = {task.number for task in true.tasks if task.state == "done"}
    check(done == right, "results of {} on disk, not of {}", done, right)
    for child in true.tasks:
        check(not child.parent or child.parent in done, "{} has no parent that is done", child)


def _letters(driver: Driver, true: TrueRun) -> None:
    """The dead letters have numbers of their own, so a page can have each of them."""
    letters, complete = driver.store.read_letters(true.id, 0, 1 << 30)
    seqs = [letter.seq for letter in letters]
    check(complete and seqs == sorted(set(seqs)), "dead letters are numbered {}", seqs)
    check(not seqs or seqs[-1] < driver.store.next_seq, "number {} is given again", seqs)
    dead = {letter.task for letter in letters}
    right = {task.number for task in true.tasks if task.state == "dead"}
    check(dead == right, "dead letters {} on disk, not {}", dead, right)


def _block(driver: Driver, tasks: list[Task], block: int) -> None:
    state = block_states(driver.store, {block: (0, BLOCK_TASKS)}).get(block)
    check(state is not None, "block {} is not on disk", block)
    assert state is not None
    plain = {p for a, b in state.waiting for p in range(a, b)}
    cancelled = driver.judge.runs[state.run].state == "cancelled"
    right = {t.position for t in tasks if t.state in ("waiting", "cancelled") and not t.tracked}
    check(plain == right, "of block {} {} wait on disk, not {}", block, plain, right)
    tracked = {s.position: s for s in state.tracked}
    waiting = {t.position for t in tasks if t.state in ("waiting", "cancelled") and t.tracked}
    check(set(tracked) == waiting, "tracked {} on disk, not {}", set(tracked), waiting)
    if not cancelled:
        for task in tasks:
            if task.position in tracked:
                _tracked(tracked[task.position], task)


def _tracked(record: TrackedRecord, task: Task) -> None:
    told = (record.attempts, record.losses, record.lease)
    check(told == (task.attempts, task.losses, task.settled), "{} is {} on disk", task, told)
    check(abs(record.due_at - task.due_wall) < SOON, "{} is due at another time", task)


def ended(driver: Driver) -> list[TrueRun]:
    """Runs that should have ended when all is drained, and have not."""
    return [
        run
        for run in driver.judge.runs.values()
        if run.active and (run.unended or run.id != QUEUE_RUN)
    ]
