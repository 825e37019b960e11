"""What each thing that is asked of the broker must lead to."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from master.broker.leases.lease import Lease, Session
from master.broker.leases.quarantine import EXCLUSIVE_S, RESERVE_S
from master.changes import QUEUE_RUN, Changes
from queue_manager.ranges import Ranges
from queue_manager.wire.records import GroupLimit, HeldLease, NewBlock, RunOptions, RunQuota

from .truth import SOON, Pause, Task, TrueRun, Truth, check


class Judge(Truth):
    """Truth that follows along.

    stock_job: see `Broker`. epoch: of the master that is up. exclusive: quarantined tasks and until
    when they have no neighbours, by session. lies: how many leases workers made up. tags: of the
    workers, by session, as they said in their hello.
    """

    def __init__(self, stock_job: str) -> None:
        super().__init__()
        self.stock_job = stock_job
        self.epoch = 0
        self.newest_lease = self.lies = 0
        self.exclusive: dict[int, tuple[Task, int, float]] = {}
        self.tags: dict[int, frozenset[str]] = {}

    # --- runs ---

    def started(
        self,
        number: int,
        job: str,
        options: RunOptions,
        key: str | None,
        after: tuple[int, ...] = (),
    ) -> TrueRun:
        run = TrueRun(number, job, options, key, options.per_group is not None)
        run.after = after
        run.waits_for = frozenset(one for one in after if self.runs[one].state != "done")
        self.runs[number] = run
        self.undo_by(lambda: self.runs.pop(number))
        return run

    def code(self, run: TrueRun, options: RunOptions) -> None:
        self.touch_run(run)
        run.options = options

    def exhausted(self, run: TrueRun) -> None:
        self.touch_run(run)
        run.exhausted = True

    def cancelled(self, run: TrueRun) -> set[int]:
        """Returns the leases that end."""
        self.touch_run(run)
        numbers = {task.holder for task in run.tasks if task.holder}
        for task in run.tasks:
            if task.state == "waiting":
                self.touch(task)
                if task.holder:
                    self.let_go(task)
                task.state = "cancelled"
                run.cancelled += 1
                self.index(task)
        run.state = "cancelled"
        return numbers

    def withdrawn(self, run: TrueRun, wanted: Ranges) -> set[int]:
        """Tasks that nobody holds are cancelled, and the run goes on. Returns their numbers."""
        self.touch_run(run)
        gone = [t for t in run.free.values() if any(a <= t.number < b for a, b in wanted)]
        for task in gone:
            self.touch(task)
            task.state = "withdrawn"
            run.cancelled += 1
            self.index(task)
        return {task.number for task in gone}

    def retried(
        self, run: TrueRun, now: float, wall: float, staged: set[int], part: tuple[int, int]
    ) -> int:
        """staged: tasks that died in this turn, for which it comes too early. part: the tasks."""
        self.touch_run(run)
        count = 0
        for task in run.tasks:
            meant = part[0] <= task.number < part[1] and task.number not in staged
            if task.state == "dead" and meant:
                self.touch(task)
                task.state, task.attempts, task.losses = "waiting", 0, 0
                task.due = task.ready_at = now
                task.due_wall, task.delay_s = wall, 0.0
                run.dead -= 1
                count += 1
                self.hide(task)
        if count and not run.active:
            run.state = "active"
            run.paused_at = max([run.paused_at, *run.started_at.values()])
        return count

    def forgotten(self, run: TrueRun) -> None:
        del self.runs[run.id]
        self.undo_by(lambda: self.runs.__setitem__(run.id, run))

    def needed(self, run: TrueRun) -> bool:
        """Whether another run is after it and may not have taken all its results."""
        return any(
            run.id in one.after and one.active and not one.exhausted for one in self.runs.values()
        )

    def pruned(self, run: TrueRun) -> None:
        if run.key is None:
            self.forgotten(run)
            return
        self.touch_run(run)
        run.state = "pruned"

    def finish(self) -> None:
        """Runs end that have nothing left, and those begin that wait for nothing more."""
        for run in self.runs.values():
            if run.active and run.exhausted and not run.unended and run.id != QUEUE_RUN:
                self.touch_run(run)
                run.state = "failed" if run.dead else "done"
        for run in self.runs.values():
            if not run.pending:
                continue
            left = {one for one in run.waits_for if self.runs[one].state != "done"}
            if left != run.waits_for:
                self.touch_run(run)
                run.waits_for = frozenset(left)

    # --- tasks ---

    def submitted(
        self,
        run: TrueRun,
        new: NewBlock,
        block: int,
        start: int,
        now: float,
        wall: float,
        parent: int = 0,
    ) -> None:
        """block, start: from which position of which block on the new tasks are."""
        self.touch_run(run)
        tasks = self.blocks.setdefault(block, [])
        check(len(tasks) == start, "block {} has {} tasks, not {}", block, len(tasks), start)
        for position in range(new.count):
            key = None if new.keys is None else new.keys[position]
            number = len(run.tasks) + 1
            task = Task(run.id, number, block, start + position, new.priority, None, key, parent)
            task.group = new.group if run.limited else None
            task.due = task.ready_at = now + new.delay_s
            if new.delay_s > 0:
                task.tracked, task.delay_s, task.due_wall = True, new.delay_s, wall + new.delay_s
            run.tasks.append(task)
            tasks.append(task)
            if key is not None:
                check(key not in run.keys, "{} has the key {} of another", task, key)
                run.keys.add(key)
            self.hide(task)
        run.blocks.add(block)
        self.undo_by(lambda: self._shorten(block, start))

    def _shorten(self, block: int, count: int) -> None:
        """The tasks behind the first ones of a block were not taken after all."""
        if count:
            del self.blocks[block][count:]
        else:
            self.blocks.pop(block, None)

    def offered(self, run: TrueRun, blocks: list[NewBlock], from_tasks: bool) -> list[NewBlock]:
        """What must be accepted of new tasks; counts what quotas drop."""
        self.touch_run(run)
        seen = set(run.keys)
        accepted = []
        for block in blocks:
            kept = []
            for position in range(block.count):
                key = None if block.keys is None else block.keys[position]
                run.passed += from_tasks and key is None
                if key in seen:
                    continue
                if self._within_quota(run, block.quota):
                    kept.append(key)
                    seen.update([key] if key is not None else [])
            keys = None if block.keys is None else [key for key in kept if key is not None]
            if kept:
                accepted.append(msgspec.structs.replace(block, count=len(kept), keys=keys))
        return accepted

    @staticmethod
    def _within_quota(run: TrueRun, quota: RunQuota | None) -> bool:
        if quota is None:
            return True
        accepted, dropped = run.quotas.get(quota.name, (0, 0))
        fits = accepted < quota.most
        run.quotas[quota.name] = (accepted + fits, dropped + (not fits))
        return fits

    def settled(self, session: int, number: int, start: int, stop: int) -> list[Task]:
        """The tasks of a range that the session holds, if it holds them all."""
        held = {t.position: t for t in self.of_lease(number, session)}
        if any(position not in held for position in range(start, stop)):
            return []
        return [held[position] for position in range(start, stop)]

    def done(self, session: int, number: int, start: int, stop: int) -> list[Task]:
        tasks = self.settled(session, number, start, stop)
        for task in tasks:
            self.let_go(task)
            task.state = "done"
            if task.tracked:
                task.settled = number
                task.tries += 1
            self.runs[task.run].done += 1
            self.index(task)
        return tasks

    def limits_set(self, run: TrueRun, limits: dict[str, GroupLimit]) -> None:
        """A result has given groups limits of their own."""
        self.touch_run(run)
        for group in limits:
            self._has_own(run, group)
        run.own |= limits

    def paused(self, task: Task, delay_s: float, now: float, wall: float) -> None:
        """A task wants its whole group to wait. No pause gets shorter."""
        run, group = self.runs[task.run], task.group
        if run.is_limited(task) and group is not None:
            self.touch_run(run)
            self._has_own(run, group)
            until = now + delay_s
            if group not in run.pauses or until > run.pauses[group].until:
                run.pauses[group] = Pause(until, delay_s, wall + delay_s)

    @staticmethod
    def _has_own(run: TrueRun, group: str) -> None:
        run.unsure[group] = max(run.started_at.values(), default=run.paused_at)

    def given_up(self, session: int, number: int, start: int, stop: int) -> None:
        """What is left of a range that was refused waits again: nobody works on it."""
        for task in self.of_lease(number, session):
            if start <= task.position < stop:
                self.let_go(task)

    def bad_end(self, task: Task, now: float, wall: float, is_loss: bool, reject: bool) -> str:
        """A failed try or a loss; the state that the task has now."""
        run, number = self.runs[task.run], task.holder
        self.let_go(task)
        task.tracked, task.settled = True, number
        task.losses += is_loss
        task.attempts += not is_loss
        task.tries += 1
        task.due, task.due_wall, task.delay_s = now, wall, 0.0
        task.ready_at = now
        over = task.losses >= run.options.losses if is_loss else False
        over = over or (not is_loss and (reject or task.attempts >= run.options.attempts))
        if over:
            task.state = "dead"
            run.dead += 1
            self.index(task)
        return task.state

    def delayed(self, task: Task, delay_s: float, now: float, wall: float) -> None:
        task.delay_s, task.due, task.due_wall = delay_s, now + delay_s, wall + delay_s
        task.ready_at = task.due

    # --- sessions ---

    def taken_over(self, old: int, new: int, held: list[HeldLease]) -> dict[int, set[int]]:
        """Positions that go on, by lease."""
        said = {one.number: one.ranges for one in held}
        kept: dict[int, set[int]] = {}
        if old in self.exclusive:
            self.exclusive[new] = self.exclusive[old]
        for task in self.of_session(old):
            ranges = said.get(task.holder, [])
            if any(a <= task.position < b for a, b in ranges):
                self.touch(task)
                task.session = new
                kept.setdefault(task.holder, set()).add(task.position)
            else:
                self.let_go(task)
        return kept

    def claimed(self, session: int, held: HeldLease) -> set[int]:
        """Positions of a lease of an older epoch that go on."""
        run = self.runs.get(held.run)
        old = held.number >> 32 < self.epoch
        if run is None or not run.active or not old or held.block not in run.blocks:
            return set()
        found = set()
        for task in self.blocks[held.block]:
            if not any(a <= task.position < b for a, b in held.ranges):
                continue
            if task.state != "waiting" or not (task.visible or task.holder):
                continue
            if (task.tracked and task.settled >= held.number) or task.holder >= held.number:
                continue
            self.touch_run(run)
            self.touch(task)
            if task.holder:
                self.let_go(task)
                self.hidden.remove(task)
                task.visible = True
            # Its delay was over when it was leased, whatever the clock has been set to since.
            task.due = min(task.due, 0.0)
            self.hold(task, held.number, session)
            task.may_wait = True
            found.add(task.position)
        return found

    # --- leases ---

    def granted(self, session: Session, lease: Lease, now: float, holding: bool) -> None:
        """A lease was given: it must have been possible, and right."""
        check(not holding, "a lease was given while known workers are waited for")
        check(lease.number > self.newest_lease, "numbers of leases do not grow")
        check(lease.number >> 32 == self.epoch, "a lease of another epoch")
        self.newest_lease = lease.number
        ((start, stop),) = lease.open
        run = self.runs[lease.run.id]
        tasks = self.blocks[lease.block][start:stop]
        check(run.active and tasks, "a lease of run {}, which has ended", run.id)
        check(self.has_tags(session, run), "session {} has no tags for run {}", session.id, run.id)
        check(self.may_take(session, run), "session {} must not have run {}", session.id, run.id)
        for task in tasks:
            self._grantable(task, lease, now)
        self._in_order(session, run, tasks[0], now)
        self._exclusive(session, run, tasks[0], lease.number, now)
        if run.is_limited(tasks[0]):
            self._within_limit(session, run, tasks, lease, now)
        for task in tasks:
            self.hold(task, lease.number, session.id)

    def _grantable(self, task: Task, lease: Lease, now: float) -> None:
        check(task.state == "waiting", "{} was leased, and is {}", task, task.state)
        check(not task.holder, "{} was leased, and {} holds it", task, task.session)
        check(task.visible, "{} was leased before it was on disk", task)
        check(task.due <= now + SOON, "{} was leased {} s early", task, task.due - now)
        is_tracked = lease.tracked is not None
        check(is_tracked == task.tracked, "{} is a tracked task, or leased as one, not both", task)
        if lease.tracked is not None:
            counts = (lease.tracked.attempts, lease.tracked.losses)
            check(counts == (task.attempts, task.losses), "{} counts {}", task, counts)

    def _within_limit(
        self, session: Session, run: TrueRun, tasks: list[Task], lease: Lease, now: float
    ) -> None:
        (task,) = tasks
        assert task.group is not None
        check(lease.limited, "{} is of a limited group, its lease is not", task)
        check(run.may_start(task.group, now + SOON), "{} breaks the limit of {}", task, task.group)
        assert run.options.per_group is not None
        limit = run.own.get(task.group, run.options.per_group)
        may_wait = limit.at_once == 1 and not limit.every_s
        check(lease.may_wait == may_wait, "{} may wait, or may not: {}", task, limit)
        place = may_wait or session.stock or session.free >= 0
        check(place, "{} went to a worker without a place", task)
        run.started_at[task.group] = now
        task.may_wait = may_wait

    def _in_order(self, session: Session, run: TrueRun, task: Task, now: float) -> None:
        """No task of a higher priority could have been given."""
        if run.in_quarantine(task):
            return
        free = session.stock or session.free >= 0
        for other in run.free.values():
            if other.priority > task.priority and other.due <= now - SOON:
                limited = run.is_limited(other)
                if run.in_quarantine(other) or (limited and not free):
                    continue
                if limited and not self._startable(run, other, now):
                    continue
                check(
                    not self.in_memory(other),
                    "{} was leased before {}",
                    task,
                    other,
                )

    @staticmethod
    def _startable(run: TrueRun, task: Task, now: float) -> bool:
        """Whether the limit allows it, for sure."""
        group = task.group or ""
        limit = run.own.get(group, run.options.per_group)
        last = max(run.paused_at, run.unsure.get(group, run.paused_at))
        paused = limit is not None and last + limit.every_s > now
        return not paused and run.may_start(task.group or "", now - SOON)

    def in_memory(self, task: Task) -> bool:
        """Whether the broker has read it; set by the driver."""
        raise NotImplementedError

    def _exclusive(
        self, session: Session, run: TrueRun, task: Task, number: int, now: float
    ) -> None:
        """Who has a quarantined task has nothing else."""
        before = self.of_session(session.id)
        check(
            not self.is_exclusive(session.id, now), "a quarantined task got {} as a neighbour", task
        )
        if run.in_quarantine(task):
            late = now >= task.ready_at + RESERVE_S - SOON
            check(late or not before, "{} is a quarantined task, and has neighbours", task)
            self.exclusive[session.id] = (task, number, now + EXCLUSIVE_S)

    def is_exclusive(self, session: int, now: float) -> bool:
        """Whether it holds a quarantined task, and may hold nothing beside it."""
        task, number, until = self.exclusive.get(session, (None, 0, 0.0))
        if task is None or (task.holder, task.session) != (number, session):
            return False
        return now < until - SOON

    def has_tags(self, session: Session, run: TrueRun) -> bool:
        """Whether it has all that the run needs; stock clients have no tags."""
        return self.tags.get(session.id, frozenset()).issuperset(run.options.needs)

    def may_take(self, session: Session, run: TrueRun) -> bool:
        if not self.has_tags(session, run):
            return False
        if session.stock:
            return run.id == QUEUE_RUN or run.job == self.stock_job
        return run.job not in session.lacks

    # --- whoever waits ---

    def ready_for(
        self, session: Session, run: TrueRun, now: float, quarantined: bool
    ) -> Task | None:
        """A task of a run that a session could have right now."""
        if not run.active or not self.may_take(session, run):
            return None
        free = session.stock or session.free > 0
        for task in run.free.values():
            if task.due > now - SOON or (run.in_quarantine(task) and not quarantined):
                continue
            if run.is_limited(task) and not (free and self._startable(run, task, now)):
                continue
            return task
        return None

    def group_waits(self, session: Session, now: float) -> bool:
        """Whether a slot at work is missed by a group whose tasks start at once or not at all."""
        return session.free <= 0 and any(
            run.is_limited(task) and task.due <= now + SOON
            for run in self.runs.values()
            if run.active and self.may_take(session, run)
            for task in run.free.values()
        )

    def quarantined(self, now: float, session: Session | None = None) -> int:
        """How many wait. session: of those, how many it may take."""
        return sum(
            run.in_quarantine(task) and task.due <= now + SOON
            for run in self.runs.values()
            if run.active and (session is None or self.may_take(session, run))
            for task in run.free.values()
        )

    def recorded(self, changes: Changes) -> None:
        """What a turn makes durable of tracked is what is true."""
        for (number, task_number), record in changes.tracked.items():
            run = self.runs.get(number)
            if run is None:
                continue
            task = run.tasks[task_number - 1]
            if run.state == "cancelled":
                continue
            state = "done" if task.state == "withdrawn" else task.state
            told = (record.state, record.attempts, record.losses, record.tries, record.lease)
            true = (state, task.attempts, task.losses, task.tries, task.settled)
            check(told == true, "{} is recorded as {}, and is {}", task, told, true)
            check(
                abs(record.due_at - task.due_wall) < SOON or record.state != "waiting",
                "{} is due at {}, not {}",
                task,
                record.due_at,
                task.due_wall,
            )

    # --- who is known ---

    def came(self, worker: str) -> None:
        self._workers(self.workers | {worker})

    def left(self, worker: str, session: int, others: Iterable[Session]) -> None:
        if worker and not any(other.worker == worker for other in others if other.id != session):
            self._workers(self.workers - {worker})

    def _workers(self, workers: frozenset[str]) -> None:
        before = self.workers
        self.workers = workers
        self.undo_by(lambda: setattr(self, "workers", before))
