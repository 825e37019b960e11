"""The turn of the master's loop, in five steps: prepare, stage, commit, publish, answer.

Owns their order, when the next turn begins, and what becomes of steps when one of the five fails.
The rooms of the senders (`workers`, `runs`, `stock`) know what a message means. There is one
thread, so there are no locks, and no race between commit and admission.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from queue_manager.errors import StoreError, UnstorableError
from queue_manager.log_lines import about_run

from ..broker import Broker
from ..broker.leases.lease import Lease
from ..broker.undo import UndoLog
from ..reads import ReadAnswer, ReadRequest
from ..store.contract import Store
from .answer import Awaited, guarded
from .commit import Commit
from .driver import Driver, drive
from .known import Known
from .payloads import Payloads
from .prepare import Prepared, prepare
from .publish import Publishing
from .read_ahead import ReadAhead
from .stage import STEPS, Staged, is_ours, stage
from .steps import RETRY_S, HeldSteps, Step

log = logging.getLogger("quartermaster.master")

UNREAD_S = 1.0
"""How long a task is not leased again after its payload could not be read."""

PROGRESS_S = 0.04
"""How long the progress of collecting may wait for another reason to commit."""

_LAST_TURNS = 200
T = TypeVar("T")


class BrokenStepError(Exception):
    """A step failed after it had changed something. Nothing of the turn may stay."""

    def __init__(self, step: Step, error: BaseException) -> None:
        super().__init__(repr(error))
        self.step = step
        self.error = error


class Turn:
    """Broker and store, one turn at a time.

    A turn runs within one call of the loop, as long as the store answers at once. When the store
    needs a while, the turn waits and the loop goes on; what comes meanwhile is for the next turn.

    undo: the way back for state of the rooms above, which is not the broker's. known: what was
    read for the steps that are being staged. held: the steps that wait for a store that can't be
    read. commit_seconds: how long commits took.
    """

    def __init__(self, broker: Broker, store: Store) -> None:
        self.broker = broker
        self.store = store
        self.undo = UndoLog()
        self.known = Known()
        self.held = HeldSteps()
        self._trouble = ""
        self.payloads = Payloads(broker, store)
        self.bodies = self.payloads.bodies
        self.read_outcomes = self.payloads.read_outcomes
        self.lease_message = self.payloads.lease_message
        self._ahead = ReadAhead(broker, store, lambda: self.wall, self._read_later)
        self.refill, self.read_later = self._ahead.refill, self._ahead.read_later
        self._publishing = Publishing(broker, self.undo, self.payloads, self._ahead)
        self.followers = self._publishing.followers
        self._commit = Commit(broker, store)
        self.commit_seconds = self._commit.seconds
        self._steps: list[Step] = []
        self._in_turn: list[Step] = []
        self._limit = STEPS
        self._is_left = False
        self._driver = Driver(self._take_turn)
        self.wake, self.gather = self._driver.wake, self._driver.gather
        self._after = self._driver.after
        self._wall_behind = time.time() - time.monotonic()

    @property
    def wall(self) -> float:
        """UTC epoch in seconds as it was at the start, and since then by the monotonic clock.

        Whoever sets the machine's clock changes no delay.
        """
        return time.monotonic() + self._wall_behind

    @property
    def trouble(self) -> str:
        """Why nothing can be written; empty: all can."""
        return self._trouble or self.store.trouble

    @property
    def behind(self) -> bool:
        """Whether so much waits for the next turn that no client is read before it.

        While the store is away that takes more: a turn waits for it, and people ask why.
        """
        return len(self._steps) > STEPS or (self._is_left and not self.store.trouble)

    @property
    def is_waiting(self) -> bool:
        """Whether a turn waits for the store. Nobody else may write to the store meanwhile."""
        return self._driver.is_waiting

    # --- what is posted ---

    def post(self, step: Step) -> None:
        """Take a step in the next turn, which begins when the loop has read what is there."""
        self._steps.append(step)
        if step.gathers:
            self.gather(step.of)
        else:
            self.wake()

    async def carry_out(
        self, stage: Callable[[float, float], Callable[[], T]], needs: ReadRequest | None = None
    ) -> T:
        """Post a step and await its answer. Raises RefusedError when it is refused.

        needs: what must be read before it is staged.
        """
        reply: Awaited[T] = Awaited()
        wanted = None if needs is None else lambda known: iter((needs,))
        self.post(Step(stage, reply, wanted))
        return await reply.answer

    async def read(self, request: ReadRequest) -> Known:
        """Read something outside of a turn. Raises StoreError."""
        known = Known()
        answer = self.store.read(request)
        known.add(answer if isinstance(answer, ReadAnswer) else await answer)
        return known

    def withdraw(self, step: Step) -> bool:
        """Take a step back. False: it is too late, it was or is just being carried out."""
        if step in self._steps:
            self._steps.remove(step)
            self.held.release(step)
            return True
        return step not in self._in_turn and self.held.release(step)

    async def stop(self) -> None:
        """Carry out what has come, in the last turns. A store that is away is not waited for.

        The master itself ends the sessions that end after that: their leases count for nothing.
        """
        self.store.hasten()
        self.held.due_now()
        for _ in range(1 + _LAST_TURNS):
            await self._driver.wait_until_idle()
            self._driver.begin()
            await self._driver.wait_until_idle()
            if not self._is_left:
                break
        self._driver.close()

    async def write_rest(self) -> None:
        """Save the progress of collecting since the last turn, before the store closes."""
        await self._driver.wait_until_idle()
        if self.broker.progress:
            try:
                await drive(self._commit.commit())
            except Exception as error:
                log.error("%s; some results will be collected or delivered again", error)

    # --- one turn ---

    async def _take_turn(self) -> None:
        now = time.monotonic()
        steps = self.held.take(self._steps, now)
        steps, self._steps = steps[: self._limit], steps[self._limit :]
        self._in_turn = steps
        self.broker.wake(now)
        is_put_off = False
        try:
            await self._carry_out(steps, now)
        except GeneratorExit:  # the loop is gone
            raise
        except BaseException as error:
            is_put_off = self._fail(steps, error)
        else:
            self._limit = min(2 * self._limit, STEPS)
        finally:
            self._in_turn = []
            self.known = Known()
        self._is_left = bool(self._steps) and not is_put_off
        if self._is_left:
            self.wake()

    async def _carry_out(self, steps: list[Step], now: float) -> None:
        """Carry out the five steps. Raises the error that kept the turn's changes from the disk.

        steps: those that are refused, held or left are taken out of the list.
        """
        prepared = await prepare(self.store, self.held, steps, now)
        self._sort_out(steps, prepared)
        now = time.monotonic()
        staged = stage(steps, self._mark, now, self.wall)
        self._settle(steps, staged)
        self.broker.finish_runs(self.wall)
        if self._commit.is_due:
            await self._commit.commit()
            self._trouble = ""
            now = time.monotonic()  # what follows starts after the commit, however long that took
        for step in steps:
            self.held.release(step)
        answers = self._publishing.publish(self.broker.changes, staged.done, now)
        self._publishing.answer(answers)
        guarded(partial(self._wake_later, now))

    def _sort_out(self, steps: list[Step], prepared: Prepared) -> None:
        """Leave in `steps` what may be staged; refuse, hold or leave all else."""
        self.known = prepared.known
        self._steps[:0] = prepared.left
        for step, error in prepared.refused.items():
            self._refuse(step, error)
        if prepared.unserved:
            self._hold(list(prepared.unserved), str(next(iter(prepared.unserved.values()))))
        steps[:] = prepared.ready

    def _settle(self, steps: list[Step], staged: Staged) -> None:
        """Refuse what was not staged, and leave the rest. Raises BrokenStepError."""
        for step, error in staged.refused:
            self._refuse(step, error)
        if staged.broken is not None:
            step, error = staged.broken
            gone = {step, *(refused for refused, _ in staged.refused)}
            self._steps[:0] = [step for step in steps if step not in gone]
            steps.clear()
            raise BrokenStepError(step, error)
        self._steps[:0] = staged.left
        steps[:] = [step for step, _ in staged.done]

    def _mark(self) -> object:
        return self.broker.mark, self.undo.mark

    # --- when a turn fails ---

    def _fail(self, steps: list[Step], error: BaseException) -> bool:
        """Undo the turn, and have its steps refused or tried again.

        Returns True when all of them must wait, because nothing can be written.
        """
        is_put_off = False
        guarded(self.undo.rolled_back)
        guarded(self.broker.rolled_back)
        if isinstance(error, BrokenStepError):
            self._give_up(error.step, error.error)
        elif isinstance(error, StoreError) and not isinstance(error, UnstorableError):
            self._put_off(steps, str(error))
            is_put_off = True
        else:
            log.error("a turn failed", exc_info=error)
            self._narrow_down(steps, error)
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise error
        return is_put_off

    def _put_off(self, steps: list[Step], error: str) -> None:
        """Nothing can be written: refuse requests, and try all else again after a while."""
        if error != self._trouble:
            self._trouble = error
            log.error("%s; what came waits or is refused until it can", error)
        every = [*steps, *self._steps]
        self._steps = [step for step in every if step.retry_on_store_error]
        for step in every:
            if not step.retry_on_store_error:
                self.held.release(step)
                guarded(partial(step.reply.refuse, error))
        self._after(RETRY_S, self.wake)

    def _narrow_down(self, steps: list[Step], error: BaseException) -> None:
        """A turn failed, and not for the disk: find the step by turns of half as many steps."""
        if len(steps) > 1:
            self._steps[:0] = steps
            self._limit = len(steps) // 2
        elif steps:
            self._give_up(steps[0], error)
        else:
            self._after(RETRY_S, self.wake)

    def _give_up(self, step: Step, error: BaseException) -> None:
        """A step can't be carried out even alone: it is held for later, or refused."""
        may_pass = step.retry_on_store_error and not isinstance(error, UnstorableError)
        if step.lasting or may_pass:
            self._hold([step], _line(error))
        else:
            self._refuse(step, error)

    def _refuse(self, step: Step, error: BaseException) -> None:
        self.held.release(step)
        if is_ours(error):
            log.error("an error of ours", exc_info=error)
        guarded(partial(step.reply.refuse, _line(error)))

    def _hold(self, steps: list[Step], error: str) -> None:
        for late in self.held.hold(steps, error, time.monotonic()):
            guarded(partial(late.reply.refuse, error))
        self._after(RETRY_S, self._try_held)

    def _try_held(self) -> None:
        self.wake()

    # --- what comes later ---

    def _wake_later(self, now: float) -> None:
        if self.broker.more_low and not self._ahead.failed:
            self.wake()
        due = self.broker.next_due
        if due is not None:
            self._after(max(0.0, due - time.monotonic()), self.wake)
        if self.broker.progress and not self._driver.is_planned(self._progress_due):
            self._after(PROGRESS_S, self._progress_due)

    def _progress_due(self) -> None:
        self._commit.progress_due = True
        self.wake()

    def _read_later(self) -> None:
        self._after(RETRY_S, self._read_again)

    def _read_again(self) -> None:
        self.wake()

    # --- what several rooms need ---

    def unread(self, leases: Sequence[Lease], error: StoreError) -> None:
        """Take back leases that were just given, because their payload can't be read.

        Their tasks wait again after a while. If they waited again at once, they would be leased
        again at once, and no other task would.
        """
        run = leases[0].run
        log.error("run %d: a payload can't be read: %s", run.id, error, extra=about_run(run))

        def give_back(now: float, wall: float) -> None:
            for lease in leases:
                for start, stop in list(lease.open):
                    self.broker.release(lease.session, lease.number, start, stop, "")

        step = Step(give_back, retry_on_store_error=True, lasting=True)
        asyncio.get_running_loop().call_later(UNREAD_S, self.post, step)


def _line(error: BaseException) -> str:
    """The line for the sender of a step that failed."""
    return f"the master failed at this: {error!r}" if is_ours(error) else str(error)
