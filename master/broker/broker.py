"""The state machine of tasks and leases. No sockets, no SQL, no threads, no clock: time comes in.

It thinks in blocks. A turn stages what came (`submit`, `done`, `fail`, ...) into `changes`; the
caller makes them durable and calls `committed`, or `rolled_back`. New tasks become visible, and
counts of ended runs final, only then.
"""

from __future__ import annotations

import random

from ..changes import Changes
from ..tally.tally import Tally
from .group_control import GroupControl
from .journal import Journal
from .leases.leasing import Leasing
from .leases.quarantine import Quarantine
from .leases.recovery import Recovery
from .leases.sessions import KnownWorkers, Sessions
from .read_ahead import ReadAhead
from .runs.lifecycle import Lifecycle
from .runs.progress import Progress
from .runs.roster import Roster
from .tasks import Tasks
from .waiting import Waiting


class Broker:
    """All runs, sessions and leases of one master.

    It owns nothing but its parts: each verb is a method of the part that owns the state. All parts
    stage into one journal.

    Args:
        epoch: grows with each start of the master; a lease's number carries it.
        stock_job: the job whose `work` runs the queue run's tasks, and whose runs stock clients
            work for; empty is none.
        rng: for jitter.
    """

    def __init__(self, epoch: int, stock_job: str, rng: random.Random) -> None:
        self.epoch = epoch
        self.stock_job = stock_job
        self.journal = journal = Journal()
        self._progress = progress = Progress(journal)
        self.roster = roster = Roster()
        self.attendance = attendance = Sessions(stock_job)
        self._known_workers = known = KnownWorkers()
        self.quarantine = quarantine = Quarantine(attendance)
        self.waiting = waiting = Waiting(journal, roster, quarantine)
        self._read_ahead = read_ahead = ReadAhead(journal, roster, waiting, known)
        self._leasing = leasing = Leasing(
            epoch, journal, roster, attendance, known, quarantine, waiting, progress
        )
        control = GroupControl(journal)
        self.tasks = Tasks(journal, roster, leasing, waiting, control, rng)
        self._lifecycle = Lifecycle(journal, roster, leasing, quarantine, read_ahead, control)
        self.set_limits, self.pause = control.set_limits, control.pause
        self.await_known_workers = known.wait_for
        self._offer_runs()
        self._offer_tasks()
        self._offer_leases(Recovery(journal, roster, leasing, waiting, quarantine))
        self._offer_reads()

    # --- the verbs, each a method of the part that owns the state ---

    def _offer_runs(self) -> None:
        roster, runs = self.roster, self._lifecycle
        self.runs, self.recall, self.retire = roster.runs, roster.recall, roster.retire
        self.restore, self.start_run, self.set_code = runs.restore, runs.start_run, runs.set_code
        self.exhaust, self.finish_runs = runs.exhaust, runs.finish_runs
        self.finished, self.cancel, self.retry = runs.finished, runs.cancel, runs.retry
        self.check_retry = runs.check_retry
        self.prune, self.forget = runs.prune, runs.forget
        self.chains, self.minutes = runs.chains, runs.minutes
        self.on_disk = self.journal.on_disk

    def _offer_tasks(self) -> None:
        tasks = self.tasks
        self.submit, self.deliver = tasks.submit, tasks.deliver
        self.count_quotas = tasks.count_quotas
        self.done, self.fail, self.release = tasks.done, tasks.fail, tasks.release
        self.staged_attempts, self.cancel_tasks = tasks.staged_attempts, tasks.cancel

    def _offer_leases(self, recovery: Recovery) -> None:
        attendance, leasing = self.attendance, self._leasing
        self.sessions, self.add_session = attendance.all, attendance.add
        self.enter, self.drop_session = leasing.enter, self.tasks.drop_session
        self.lease, self.leases = leasing.lease, leasing.leases
        self.resume, self.claim = recovery.resume, recovery.claim
        self.superseded = recovery.superseded

    def _offer_reads(self) -> None:
        reads, progress = self._read_ahead, self._progress
        self.low_lanes, self.seeking = reads.low_lanes, reads.seeking
        self.tracked_due = reads.tracked_due
        self.refill, self.refill_tracked = reads.refill, reads.refill_tracked
        self.know_groups = reads.know_groups
        self.found_groups, self.found_due = reads.found_groups, reads.found_due
        self.collected, self.delivered = progress.collected, progress.delivered

    # --- numbers ---

    @property
    def next_run(self) -> int:
        """The number of the next run."""
        return self.roster.next_run

    @next_run.setter
    def next_run(self, number: int) -> None:
        self.roster.next_run = number

    @property
    def next_block(self) -> int:
        """The number of the next block."""
        return self.journal.next_block

    @next_block.setter
    def next_block(self, number: int) -> None:
        self.journal.next_block = number

    @property
    def next_seq(self) -> int:
        """The number of the next outcome."""
        return self.journal.next_seq

    @next_seq.setter
    def next_seq(self, number: int) -> None:
        self.journal.next_seq = number

    # --- how it stands ---

    @property
    def changes(self) -> Changes:
        """What this turn makes durable."""
        return self.journal.changes

    @property
    def mark(self) -> int:
        """How much is staged: equal as long as nothing is added."""
        return self.journal.mark

    @property
    def refused(self) -> int:
        """How many outcomes were refused, since their leases were not the sender's any more."""
        return self._leasing.refused

    @property
    def recovering(self) -> bool:
        """Whether a session gets nothing yet, since a known worker may still hold it."""
        return bool(self._known_workers.missing and self.sessions)

    @property
    def awaits_workers(self) -> bool:
        """Whether workers that were connected before a restart have not said what they hold."""
        return bool(self._known_workers.missing)

    @property
    def any_ready(self) -> bool:
        """Whether some lease could be given."""
        return self._leasing.any_ready

    @property
    def more_low(self) -> bool:
        """Whether to read ahead again at once."""
        return self._read_ahead.more_low

    @property
    def tally(self) -> Tally:
        """What became of tasks since the start, by job."""
        return self.journal.tally

    @property
    def progress(self) -> bool:
        """Whether `add_progress` has something to add."""
        return bool(self._progress)

    @property
    def delivering(self) -> bool:
        """Whether a client waits for its delivery to be on disk."""
        return self._progress.delivering

    # --- time ---

    def wake(self, now: float) -> None:
        """A turn begins: what time has ended ends. now: monotonic seconds."""
        self.journal.now = now
        self.waiting.wake(now)
        self.quarantine.wake(now)
        late = self._known_workers.give_up(now, bool(self.sessions))
        self._progress.left |= late  # the next start need not wait for them

    @property
    def next_due(self) -> float | None:
        """When something happens by itself (monotonic seconds)."""
        now = self.journal.now
        dues = [*self.waiting.dues(), *self.quarantine.dues(now)]
        if self.recovering:
            dues.append(self._known_workers.next_due(now))
        return min(dues, default=None)

    # --- the end of a turn ---

    def committed(self) -> None:
        """The staged changes are on disk: make them visible.

        Raises ExceptionGroup when some of it failed; all the rest is visible then.
        """
        changes = self.journal.take_changes()
        self._progress.written(changes)
        try:
            self.journal.committed()
        finally:
            for outcome in changes.outcomes:
                run = self.runs.get(outcome.run)  # None: cancelled and forgotten in the same turn
                if run is not None:
                    run.last_seq = max(run.last_seq, outcome.seq)
            for number, record in changes.runs.items():
                if record.state != "active" and number in self.runs:
                    self._lifecycle.leave_memory(self.runs[number])

    def add_progress(self) -> None:
        """Put into the changes of this turn what only waits for a commit."""
        self._progress.add()
        self.journal.note_accepted()

    def rolled_back(self) -> None:
        """The staged changes could not be made durable: all is as before the turn."""
        self.journal.rolled_back()
