"""The messages from our own sessions to the master.

Owns their shape and nothing else. `replies` has the other direction, `records` what both are made
of, `messages` their encoding.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .limits import EXCHANGE_OUTCOMES, HELD_LEASES, MOST_BLOCKS, TAGS
from .records import Feeder, HeldLease, Message, Name, NewBlock, Outcome


class Hello(Message, frozen=True, array_like=True, tag="hello"):
    """The first message of a session. slots: of a worker; 0 for every other role.

    worker: an id that lasts as long as the worker's process: a new hello of the same one takes the
    place of its old session. held: the leases that it still holds from before. tags: of a worker;
    it is given no task of a run that needs others.
    """

    role: Literal["worker", "runner", "client"]
    host: Name
    pid: int
    slots: int = 0
    version: Name = ""
    worker: Name = ""
    held: Annotated[list[HeldLease], Meta(max_length=HELD_LEASES)] = msgspec.field(
        default_factory=list
    )
    tags: Annotated[list[Name], Meta(max_length=TAGS)] = msgspec.field(default_factory=list)


class Exchange(Message, frozen=True, array_like=True, tag="exchange"):
    """A worker's outcomes, and how many more leases it can take now (added to what it asked).

    Answered at once by `Leases` with the same seq, after the outcomes are on disk; leases that
    become free later come as `Leases` with seq 0. free: how many leases would start at once, as
    far as the worker knows; got: how many leases have come in this session, so that the master can
    count off those on their way.
    """

    seq: int
    outcomes: Annotated[list[Outcome], Meta(max_length=EXCHANGE_OUTCOMES)]
    want: int = 0
    draining: bool = False
    free: int = 0
    got: int = 0


class Beat(Message, frozen=True, array_like=True, tag="beat"):
    """Sent every few seconds by a worker, so that a frozen host is told from a busy one."""


class StartRun(Message, frozen=True, array_like=True, tag="start"):
    """Ask for a run of a job. The same key gives the same run. Answer: `RunStarted`.

    feeder: who gives the run its tasks and collects: a runner that the master starts, or a client,
    which opens the run. `args` are not fitted to `tasks()` then.
    """

    seq: int
    job: Name
    args: list[str]
    key: str | None = None
    feeder: Feeder = "runner"


class OpenRun(Message, frozen=True, array_like=True, tag="open"):
    """A runner, or a client that feeds the run, takes it up. Answer: `RunOpened`.

    A client may open its run again. From then on the master refuses tasks of the session before.
    """

    seq: int
    run: int


class SubmitTasks(Message, frozen=True, array_like=True, tag="submit"):
    """New tasks of a run, from the session that opened it. Answer: `Accepted`, after the commit.

    The answer is held back while the run is too far ahead of its workers.
    """

    seq: int
    run: int
    blocks: Annotated[list[NewBlock], Meta(max_length=MOST_BLOCKS)]


class TasksEnded(Message, frozen=True, array_like=True, tag="ended"):
    """The run gets no more tasks of its feeder. Answer: `Accepted`."""

    seq: int
    run: int


class Collect(Message, frozen=True, array_like=True, tag="collect"):
    """Ask for the outcomes of a run behind the sequence number `after`. Answer: `Page`.

    The answer waits until there is one, or the run has ended.
    """

    seq: int
    run: int
    after: int


class Collected(Message, frozen=True, array_like=True, tag="collected"):
    """How far `collect()` has come; sent every few hundredths of a second while it works.

    Everything up to the sequence number `collected` was given to it, and `into` results of the
    outcome behind that. errors: exceptions in it since the last one. Saved soon, not answered.
    """

    run: int
    collected: int
    into: int = 0
    errors: int = 0


class Finished(Message, frozen=True, array_like=True, tag="finished"):
    """Its feeder has done all for a run that ended at `ended_at`, `finish()` too.

    Answer: `Accepted`.

    It counts for that end alone: a run that was retried meanwhile has another.
    """

    seq: int
    run: int
    ended_at: float


class AskStatus(Message, frozen=True, array_like=True, tag="status?"):
    """Ask how the master is. Answer: `Status`."""

    seq: int


class AskRun(Message, frozen=True, array_like=True, tag="run?"):
    """Ask how one run is. Answer: `RunShown`."""

    seq: int
    run: int


class WatchRun(Message, frozen=True, array_like=True, tag="watch"):
    """Be told how a run is: now, whenever its counts have changed, and when it has ended.

    Answer: `RunShown` with this seq, each time. A new one of the same run takes the place of the
    one before. on: False ends it, after one answer.
    """

    seq: int
    run: int
    on: bool = True


class AskRuns(Message, frozen=True, array_like=True, tag="runs?"):
    """Ask for a page of runs, behind the `last` of the page before. Answer: `RunList`.

    state, job: only runs in that state, or of that job; empty is any. ended: look at so many ended
    runs at most.
    """

    seq: int
    after: int = 0
    state: Name = ""
    job: Name = ""
    ended: int = 500


class AskSessions(Message, frozen=True, array_like=True, tag="sessions?"):
    """Ask for a page of sessions, behind the `last` of the page before. Answer: `SessionList`."""

    seq: int
    after: int = 0


class AskResults(Message, frozen=True, array_like=True, tag="results?"):
    """Ask for ended tasks of a run in task order, behind the `last` of the page before.

    after: 0 is from the first on. dead: the dead letters only. Answer: `Results`.
    """

    seq: int
    run: int
    after: int = 0
    dead: bool = False


class AskTask(Message, frozen=True, array_like=True, tag="task?"):
    """Ask for all that is known of one task. Answer: `TaskShown`."""

    seq: int
    run: int
    task: int


class RetryRun(Message, frozen=True, array_like=True, tag="retry"):
    """Have the dead letters of a run tried again, as if for the first time. Answer: `Accepted`."""

    seq: int
    run: int


class CancelRun(Message, frozen=True, array_like=True, tag="cancel"):
    """End a run now: its runner, its running tasks, what waits. Answer: `Accepted`."""

    seq: int
    run: int


class ForgetRun(Message, frozen=True, array_like=True, tag="forget"):
    """Delete an ended run with its tasks and results. Answer: `Accepted`."""

    seq: int
    run: int


class AskCode(Message, frozen=True, array_like=True, tag="code?"):
    """A worker lacks a job's code in that version. Answer: `Code`."""

    seq: int
    job: Name
    version: Name


Request = (
    Hello
    | Exchange
    | Beat
    | StartRun
    | OpenRun
    | SubmitTasks
    | TasksEnded
    | Collect
    | Collected
    | Finished
    | AskStatus
    | AskRun
    | WatchRun
    | AskRuns
    | AskSessions
    | AskResults
    | AskTask
    | RetryRun
    | CancelRun
    | ForgetRun
    | AskCode
)
