"""The turn of the master's loop: stage all that came, commit once, make it visible, answer.

Owns the order of these steps and who waits for a lease; what a message means is its sender's room
(`workers`, `runs`, `stock`). One thread: no locks, and no race between commit and admission.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections import OrderedDict
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Protocol

from queue_manager.errors import QueueError, StoreError, UnstorableError
from queue_manager.wire.records import Lease as LeaseMessage

from ..broker import Broker
from ..broker.groups import Groups
from ..broker.lane import Lane
from ..broker.lease import Lease
from ..broker.run import Run
from ..broker.undo import UndoLog
from ..changes import QUEUE_RUN, BlockState, Changes, OutcomeRecord
from ..store.contract import Store
from .steps import RETRY_S as RETRY_S
from .steps import Answer as Answer
from .steps import HeldSteps
from .steps import Step as Step
from .steps import guarded as guarded

log = logging.getLogger("quartermaster.master")

BODIES_BYTES = 8 * 1024 * 1024
_BODY_BYTES = 512
"""What an entry takes beside its payloads."""

UNREAD_S = 1.0
"""So long a task stays away whose payload could not be read."""

EARLY_S = 0.01
"""Two clocks differ by less; a stray that is read early waits for its time in memory."""

AHEAD_S = 0.02
"""About so long lanes of groups are read ahead in a turn: nothing else is done meanwhile."""

STEPS = 2_000
STAGE_S = 0.02
"""So many steps are staged in a turn, and for so long; the others have the next turns, in order.
What one turn holds up the loop for is about three times that: there are the commit and the answers.
"""

_LAST_TURNS = 200

SOUGHT = 256
"""So many groups are looked for at a time."""

PROGRESS_S = 0.04
"""How long the progress of collecting may wait for a commit that is due anyway."""


class Follower(Protocol):
    """Who acts at the end of each turn, on what became visible in it."""

    def turned(self, changes: Changes, now: float) -> None:
        """The changes of a turn are visible. now: monotonic seconds."""


class Turn:
    """Broker and store, one turn at a time.

    followers are called after each commit, in their order: those who hand out leases first, so
    that an answer can carry the leases of its own turn.
    undo: of what the rooms above keep in memory besides the broker: it goes with the turn.
    behind: steps were left for the next turn; until it has had them nothing more is to be heard.
    """

    def __init__(self, broker: Broker, store: Store) -> None:
        self.broker = broker
        self.store = store
        self.followers: list[Follower] = []
        self.undo = UndoLog()
        self.bodies = Bodies(store)
        self._fresh: list[OutcomeRecord] = []
        self._fresh_behind: dict[int, int] = {}
        self.trouble = ""
        self._unread = ""
        self._unreadable = ""
        self._steps: list[Step] = []
        self._most = STEPS
        self.behind = False
        self.held = HeldSteps()
        self._scheduled = False
        self._save_progress = False
        self._closed = False
        self._timers: dict[Answer, asyncio.TimerHandle] = {}
        self._wall_behind = time.time() - time.monotonic()

    @property
    def wall(self) -> float:
        """UTC epoch in seconds as it was at the start, and since then by the monotonic clock.

        Whoever sets the machine's clock changes no delay.
        """
        return time.monotonic() + self._wall_behind

    def post(self, step: Step) -> None:
        """Take a step in the next turn, which begins when the loop has read what is there."""
        self._steps.append(step)
        self.wake()

    def wake(self) -> None:
        """Have a turn soon, with or without a step."""
        if not self._scheduled and not self._closed:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._run)

    def stop(self) -> None:
        """Carry out what has come, in the last turns.

        Sessions that end behind them were ended by the master: their leases count for nothing.
        """
        self.held.due_now()
        self._run()
        for _ in range(_LAST_TURNS):
            if self._steps and not self.trouble:
                self._run()
        self._closed = True
        for timer in self._timers.values():
            timer.cancel()

    def write_rest(self) -> None:
        """Save the progress that was made since, before the store closes."""
        if self.broker.progress:
            self.broker.add_progress()
            try:
                self.store.commit(self.broker.changes)
            except Exception as error:
                log.error("%s; some results will be collected or delivered again", error)

    def withdraw(self, step: Step) -> bool:
        """A step is not wanted any more; False: it was carried out before."""
        if step in self._steps:
            self._steps.remove(step)
            self.held.staged(step)
            return True
        return self.held.staged(step)

    def _run(self) -> None:
        """Have a turn, in which Python's cyclic garbage collector waits.

        What a turn makes stays, mostly: each collection in it would look at all of that again, in
        vain. Between turns it goes on, so cycles such as those of closed connections do not pile
        up. Source: https://docs.python.org/3/library/gc.html#gc.set_threshold
        """
        self._scheduled = False
        if self._closed:
            return
        collects = gc.isenabled()
        gc.disable()
        try:
            self._take_turn()
        finally:
            if collects:
                gc.enable()

    def _take_turn(self) -> None:
        now = time.monotonic()
        steps = self.held.take(self._steps, now)
        steps, self._steps = steps[: self._most], steps[self._most :]
        self.broker.wake(now)
        try:
            self._carry_out(steps)
        except UnstorableError as error:
            log.error("%s", error)
            self._narrow_down(steps, error)
        except StoreError as error:  # it could not be written: nothing of the turn stays
            self._roll_back([*steps, *self._steps], str(error))
            return
        except Exception as error:
            log.exception("an error of ours")
            self._narrow_down(steps, error)
        else:
            self._most = min(2 * self._most, STEPS)
        self.behind = bool(self._steps)
        if self.behind:
            self.wake()

    def _narrow_down(self, steps: list[Step], error: Exception) -> None:
        """A turn failed, and not for the disk: find whose step it was, by turns of half as many."""
        self._undo_all()
        if len(steps) > 1:
            self._steps[:0] = steps
            self._most = len(steps) // 2
        elif steps:
            self._give_up(steps[0], error)
        else:
            self._wake_after(RETRY_S, self.wake)

    def _give_up(self, step: Step, error: Exception) -> None:
        """A step can't be carried out even alone: it is held for later, or refused."""
        text = str(error)
        if not isinstance(error, QueueError):
            text = f"the master failed at this: {error!r}"
        if step.lasting or (step.waits and not isinstance(error, UnstorableError)):
            self._hold([step], text, time.monotonic())
        else:
            self.held.staged(step)
            guarded(partial(step.refuse, text))

    def _carry_out(self, steps: list[Step]) -> None:
        """One turn, from staging to the answers. Raises what kept it from being on disk."""
        now = time.monotonic()
        answers = self._stage(steps, now, self.wall)
        changes = self.broker.changes
        if changes.urgent or self.broker.delivering or self._save_progress:
            self.broker.add_progress()
            self.store.commit(changes)
            self.trouble = ""
            self._save_progress = False
            now = time.monotonic()  # what starts now starts behind the commit, however long it took
        for step in steps:
            self.held.staged(step)
        guarded(partial(self._remember, changes))
        guarded(self.broker.committed)
        guarded(self.undo.committed)
        guarded(self.refill)
        for follower in self.followers:
            guarded(partial(follower.turned, changes, now))
        for answer in answers:
            guarded(answer)
        guarded(partial(self._wake_later, now))

    def _stage(self, steps: list[Step], now: float, wall: float) -> list[Answer]:
        """Stage the steps; those that were refused, are held or are left are out of the list."""
        held: dict[int, list[Step]] = {}
        try:
            answers = self._stage_all(steps, held, now, wall)
            if answers is None:  # one has changed half of what it would have: without it again
                self._undo_all()
                self._leave(steps, 0)
                answers = []
        finally:
            self._hold_all(held, now)
        self.broker.finish_runs(wall)
        return answers

    def _stage_all(
        self, steps: list[Step], held: dict[int, list[Step]], now: float, wall: float
    ) -> list[Answer] | None:
        """Stage them one after the other. held: by sender; it gets what is held from now on.

        None: all must begin again.
        """
        answers: list[Answer] = []
        until = now + STAGE_S
        for place, step in enumerate(list(steps)):
            if place and time.monotonic() > until:
                self._leave(steps, steps.index(step))
                break
            if step.of is not None and id(step.of) in held:  # behind what it must not overtake
                steps.remove(step)
                held[id(step.of)].append(step)
                continue
            before = self.broker.mark, self.undo.mark
            try:
                answer = step.stage(now, wall)
            except Exception as error:
                steps.remove(step)
                if step.waits and isinstance(error, StoreError):
                    held[id(step if step.of is None else step.of)] = [step]
                    self._unreadable = str(error)
                else:
                    self._refuse(step, error)
                if before != (self.broker.mark, self.undo.mark):
                    return None
            else:
                if answer is not None:
                    answers.append(answer)
        return answers

    def _leave(self, steps: list[Step], place: int) -> None:
        """Steps from a place on are for the next turn."""
        self._steps[:0] = steps[place:]
        del steps[place:]

    def _refuse(self, step: Step, error: Exception) -> None:
        self.held.staged(step)
        if isinstance(error, QueueError):
            guarded(partial(step.refuse, str(error)))
        else:
            log.error("an error of ours", exc_info=error)
            guarded(partial(step.refuse, f"the master failed at this: {error!r}"))

    def _hold_all(self, held: dict[int, list[Step]], now: float) -> None:
        if held:
            self._hold([step for steps in held.values() for step in steps], self._unreadable, now)

    def _hold(self, steps: list[Step], error: str, now: float) -> None:
        for late in self.held.hold(steps, error, now):
            guarded(partial(late.refuse, error))
        self._wake_after(RETRY_S, self._try_held)

    def _try_held(self) -> None:
        self.wake()

    def _roll_back(self, steps: list[Step], error: str) -> None:
        if error != self.trouble:
            self.trouble = error
            log.error("%s; what came waits or is refused until it can", error)
        self._undo_all()
        self._steps = [step for step in steps if step.waits]
        self.behind = False
        for step in steps:
            if not step.waits:
                self.held.staged(step)
                guarded(partial(step.refuse, error))
        self._wake_after(RETRY_S, self.wake)

    def _undo_all(self) -> None:
        guarded(self.undo.rolled_back)
        guarded(self.broker.rolled_back)

    def _wake_later(self, now: float) -> None:
        if self.broker.more_low and not self._unread:
            self.wake()
        due = self.broker.next_due
        if due is not None:
            self._wake_after(max(0.0, due - now), self.wake)
        if self.broker.progress and self._progress_due not in self._timers:
            self._wake_after(PROGRESS_S, self._progress_due)

    def _progress_due(self) -> None:
        self._timers.pop(self._progress_due, None)
        self._save_progress = True
        self.wake()

    def _wake_after(self, wait_s: float, act: Answer) -> None:
        """One timer for each act: a new one takes the place of the old."""
        timer = self._timers.pop(act, None)
        if timer is not None:
            timer.cancel()
        self._timers[act] = asyncio.get_running_loop().call_later(wait_s, act)

    def _remember(self, changes: Changes) -> None:
        """Keep at hand what is read next: new payloads, and the outcomes of this turn."""
        for block in changes.blocks:
            self.bodies.add(block.id, block.body)
        if changes.outcomes:
            runs = self.broker.runs
            self._fresh = changes.outcomes
            self._fresh_behind = {o.run: runs[o.run].last_seq for o in changes.outcomes}

    def read_outcomes(
        self, run: Run, after: int, most_bytes: int
    ) -> tuple[list[OutcomeRecord], dict[int, bytes]]:
        """As the store's verb of that name; a reader that is up to date is not sent to the disk."""
        if run.last_seq <= after:
            return [], {}
        if after < self._fresh_behind.get(run.id, after + 1):
            return self.store.read_outcomes(run.id, after, most_bytes)
        found = [o for o in self._fresh if o.run == run.id and o.seq > after]
        bodies = {o.first: self.bodies.get(o.block) for o in found if o.block}
        size = sum(len(o.results) for o in found) + sum(map(len, bodies.values()))
        if size > most_bytes:
            return self.store.read_outcomes(run.id, after, most_bytes)
        return found, bodies

    def refill(self) -> None:
        """Read waiting blocks ahead where the window runs low."""
        failed = ""
        sought = self.broker.seeking(self.wall)
        for run, groups in sought:
            try:
                look_for(self.broker, self.store, run, groups, self.wall)
            except StoreError as error:
                failed = str(error)
        low = self.broker.low_lanes()
        until = time.monotonic() + AHEAD_S
        for run, lane in low:
            if time.monotonic() > until and lane is not run.lane:  # the rest comes next turn
                run.look(lane, time.monotonic())
                continue
            try:
                self._refill(run, lane)
            except StoreError as error:  # the others must not wait for it
                failed = str(error)
                run.look(lane, time.monotonic())
        if failed:
            self.read_later(failed)
        elif low or sought:  # else nothing was read, and another may still be told to wait
            self._unread = ""

    def _refill(self, run: Run, lane: Lane) -> None:
        broker, store = self.broker, self.store
        window, strays = lane.window, lane.tracked
        if window.low:
            blocks, place = store.read_waiting(run.id, lane.group, window.disk_cursor, window.room)
            broker.refill(run, lane, blocks, place)
        if strays.low:
            records, due = store.read_tracked(run.id, lane.group, strays.disk_cursor, strays.most)
            broker.refill_tracked(run, lane, records, due, self.wall)

    def read_later(self, error: str) -> None:
        """The store can't be read: have another turn after a while, in which it is tried again."""
        if error != self._unread:
            self._unread = error
            log.error("%s; what waits behind it waits until it can", error)
        self._wake_after(RETRY_S, self._read_again)

    def _read_again(self) -> None:
        self.wake()

    # --- what several rooms need ---

    def lease_message(self, lease: Lease) -> LeaseMessage:
        """A lease as it travels to a worker."""
        run = lease.run
        (start, stop), *_ = lease.open
        return LeaseMessage(
            lease.number,
            run.id,
            run.job,
            lease.first,
            start,
            stop,
            self.bodies.get(lease.block),
            run.options.timeout_s,
            lease.block,
            run.version,
            lease.limited,
        )

    def unread(self, leases: Sequence[Lease], error: StoreError) -> None:
        """Payloads of leases that were just given can't be read: their tasks wait again, later.

        Not at once: they would be given again at once, and nothing else would.
        """
        log.error("run %d: a payload can't be read: %s", leases[0].run.id, error)

        def give_back(now: float, wall: float) -> None:
            for lease in leases:
                for start, stop in list(lease.open):
                    self.broker.release(lease.session, lease.number, start, stop, "")

        step = Step(give_back, waits=True, lasting=True)
        asyncio.get_running_loop().call_later(UNREAD_S, self.post, step)

    def stock_runs(self) -> list[Run]:
        """The runs whose tasks stock clients may take."""
        broker = self.broker
        return [
            run
            for run in broker.runs.values()
            if run.id == QUEUE_RUN
            or (run.active and run.job == broker.stock_job and run.job and not run.options.needs)
        ]


def seek(broker: Broker, store: Store, wall: float) -> None:
    """Look for groups that wait on disk alone, where few others may start a task."""
    for run, groups in broker.seeking(wall):
        look_for(broker, store, run, groups, wall)


def look_for(broker: Broker, store: Store, run: Run, groups: Groups, wall: float) -> None:
    """The same of one run, so many groups at a time. Raises StoreError."""
    hidden = groups.hidden
    if groups.seeks():
        found, over = store.next_groups(run.id, hidden.place, SOUGHT)
        know(broker, store, run, [group for _, group in found], wall)
        broker.found_groups(run, found, over)
    if broker.tracked_due(groups):
        due = store.due_groups(run.id, hidden.due_from, wall + EARLY_S, SOUGHT)
        know(broker, store, run, due[0], wall)
        broker.found_due(run, *due, wall)


def know(broker: Broker, store: Store, run: Run, groups: Collection[str], wall: float) -> None:
    """Read what groups have of their own, where the broker may not know it. Raises StoreError."""
    unknown = [] if run.groups is None else run.groups.unknown(groups)
    if unknown:
        broker.know_groups(run, store.own_groups(run.id, unknown), wall)


def know_all(broker: Broker, store: Store, blocks: Iterable[BlockState], wall: float) -> None:
    """The same of the groups of blocks whose tasks are claimed."""
    groups: dict[int, set[str]] = {}
    for block in blocks:
        if block.group is not None and block.run in broker.runs:
            groups.setdefault(block.run, set()).add(block.group)
    for run, names in groups.items():
        know(broker, store, broker.runs[run], names, wall)


class Bodies:
    """Payloads of blocks that are or were lately in use; at most 8 MiB, the rest on disk."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._bodies: OrderedDict[int, bytes] = OrderedDict()
        self._bytes = 0

    def add(self, block: int, body: bytes) -> None:
        """Keep the payloads of a block while there is room."""
        if block in self._bodies:
            return
        self._bodies[block] = body
        self._bytes += len(body) + _BODY_BYTES
        while self._bytes > BODIES_BYTES and len(self._bodies) > 1:
            _, dropped = self._bodies.popitem(last=False)
            self._bytes -= len(dropped) + _BODY_BYTES

    def get(self, block: int) -> bytes:
        """The payloads of a block."""
        body = self._bodies.get(block)
        if body is None:
            body = self._store.read_body(block)
            self.add(block, body)
        else:
            self._bodies.move_to_end(block)
        return body
