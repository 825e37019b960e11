"""The messages from our own sessions to the master.

This module owns their fields alone. `replies` has the other direction, `records` the records in
both, and `messages` their encoding.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .failure_groups import AskFailures as AskFailures
from .failure_groups import AskLetters as AskLetters
from .failures import FailureFilter, Reason
from .history import AskHistory as AskHistory
from .limits import (
    AFTER,
    CANCEL_RANGES,
    CODE_FILES,
    EXCHANGE_OUTCOMES,
    HELD_LEASES,
    MOST_BLOCKS,
    PRINTED_CHARS,
    TAGS,
)
from .records import (
    Feeder,
    HeldLease,
    Key,
    Message,
    Name,
    NewBlock,
    Outcome,
    Path,
    RunOptions,
)
from .schedules import ScheduleSpec
from .task_lists import AskTasks as AskTasks
from .usage import Usage


class Hello(Message, frozen=True, array_like=True, tag="hello"):
    """The first message of a session.

    slots: how many a worker has; 0 for every other role. worker: an id that lasts as long as the
    worker's process. A new session with the same id replaces the old one. held: the leases that the
    worker still holds. tags: a worker gets no task of a run that needs others. level: `LEVEL` of
    the sender; 0 of one that is older than that number. program: a random id of the process of a
    client, which the child of a fork does not share; empty of an older client, which is known by
    its host and pid. store: that of the welcome by which a worker got what it holds; 0 of one that
    holds nothing, or is older.
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
    tags: Annotated[list[Name], Meta(max_length=TAGS + 1)] = msgspec.field(default_factory=list)
    level: int = 0
    program: Name = ""
    store: int = 0


class Exchange(Message, frozen=True, array_like=True, tag="exchange"):
    """A worker reports outcomes, and asks for more leases.

    The master answers with `Leases` of the same seq when the outcomes are on disk. Leases that it
    can give later come as `Leases` with seq 0. want: how many more leases, in addition to those
    that were asked for before. free: how many leases would start at once, as far as the worker
    knows. got: how many leases have come in this session, so that the master knows how many are on
    their way.
    """

    seq: int
    outcomes: Annotated[list[Outcome], Meta(max_length=EXCHANGE_OUTCOMES)]
    want: int = 0
    draining: bool = False
    free: int = 0
    got: int = 0


class Beat(Message, frozen=True, array_like=True, tag="beat"):
    """A worker sends this every few seconds. It tells a busy worker from a frozen host.

    usage: what the worker takes of its machine; None: it does not know that yet, or never will.
    """

    usage: Usage | None = None


class StartRun(Message, frozen=True, array_like=True, tag="start"):
    """Ask for a run of a job. The same key gives the same run. Answer: `RunStarted`.

    feeder: who gives the run its tasks and collects: a runner, which the master starts; a client,
    which opens the run; or any number of clients, which need not open it. Without a runner, `args`
    are not fitted to `tasks()`. With "results" a runner gives each result of the runs in `after` as
    a payload, and calls no function of the job. needs: tags that a worker must have beside those of
    the job's OPTIONS. lasting: False ends and removes the run a minute after the client that has
    opened it has gone. arguments: more arguments, as one encoded dict of plain data by their names;
    they are passed to `tasks()` as they are. after: the run begins when these runs have ended
    without dead letters. A run that clients feed can't have `arguments` or `after`. code: the
    files of the job by their paths, from the client itself; None: the job is in the master's
    folder. options: how tasks of that code are run; without code, fewer attempts count and nothing
    else does. inputs_only: results may have no follow-ups,
    for the client knows its tasks by their numbers. fingerprint: what is the same of all files that
    do the same, however they were made; empty: their version is. traceparent: that of W3C's trace
    context, which the run keeps; empty: none.
    """

    seq: int
    job: Name
    args: list[str]
    key: str | None = None
    feeder: Feeder = "runner"
    needs: Annotated[list[Name], Meta(max_length=TAGS)] = msgspec.field(default_factory=list)
    lasting: bool = True
    arguments: bytes = b""
    after: Annotated[list[int], Meta(max_length=AFTER)] = msgspec.field(default_factory=list)
    code: Annotated[dict[Path, bytes], Meta(max_length=CODE_FILES)] | None = None
    options: RunOptions | None = None
    inputs_only: bool = False
    fingerprint: Name = ""
    traceparent: Name = ""


class OpenRun(Message, frozen=True, array_like=True, tag="open"):
    """The runner of a run, or the client that feeds it, begins or resumes it. Answer: `RunOpened`.

    A client may open its run in a new session. The master refuses tasks of the older session then.
    """

    seq: int
    run: int


class SubmitTasks(Message, frozen=True, array_like=True, tag="submit"):
    """Give a run new tasks, from the session that opened it. Answer: `Accepted`, after the commit.

    The master holds the answer back while the run is too far ahead of its workers, except of a run
    that any client feeds.
    """

    seq: int
    run: int
    blocks: Annotated[list[NewBlock], Meta(max_length=MOST_BLOCKS)]


class TasksEnded(Message, frozen=True, array_like=True, tag="ended"):
    """The run gets no more tasks from its feeder. Answer: `Accepted`."""

    seq: int
    run: int


class Collect(Message, frozen=True, array_like=True, tag="collect"):
    """Ask for the outcomes of a run behind the sequence number `after`. Answer: `Page`.

    The master answers when there is an outcome, or when the run has ended. dead: the pages have
    dead letters and cancelled tasks, too. bodies: they have payloads.
    """

    seq: int
    run: int
    after: int
    dead: bool = False
    bodies: bool = True


class Collected(Message, frozen=True, array_like=True, tag="collected"):
    """How far `collect()` has come. A runner sends this every few hundredths of a second.

    `collect()` got every outcome up to the sequence number `collected`, and `into` results of the
    next outcome. errors: how many exceptions it has raised since the last message. The master saves
    all this soon, and does not answer.
    """

    run: int
    collected: int
    into: int = 0
    errors: int = 0


class Printed(Message, frozen=True, array_like=True, tag="printed"):
    """What the functions of a job have printed in the runner, up to now: the end of it.

    A runner sends this now and then while they print. The master keeps it in memory, and does not
    answer.
    """

    run: int
    text: Annotated[str, Meta(max_length=PRINTED_CHARS)]


class Finished(Message, frozen=True, array_like=True, tag="finished"):
    """The feeder has done everything for a run that ended at `ended_at`, its `finish()` too.

    Answer: `Accepted`. The message counts for this end only. A run that was retried meanwhile gets
    another one.
    """

    seq: int
    run: int
    ended_at: float


class AskStatus(Message, frozen=True, array_like=True, tag="status?"):
    """Ask how the master is. Answer: `Status`."""

    seq: int


class AskRun(Message, frozen=True, array_like=True, tag="run?"):
    """Ask how one run is. Answer: `RunShown`.

    key: the run with this key, whatever `run` says.
    """

    seq: int
    run: int
    key: str | None = None


class WatchRun(Message, frozen=True, array_like=True, tag="watch"):
    """Ask to be told how a run is: now, whenever its counts have changed, and when it has ended.

    Answer: `RunShown` with this seq, each time. A later `WatchRun` of the same run replaces this
    one. on: False ends the watching, after one answer.
    """

    seq: int
    run: int
    on: bool = True


class AskRuns(Message, frozen=True, array_like=True, tag="runs?"):
    """Ask for a page of runs, behind the `last` of the page before. Answer: `RunList`.

    state, job: only runs in this state, or of this job; empty is any. ended: the master looks at no
    more ended runs than this, and at 25,000 at most. search: only runs with this text in their job,
    key or arguments, or with this number; letters of ASCII in either case. limit: how many runs a
    page has, at most 500. back: the page has the runs before the place `after`, which is the
    `first` of a page, or 0 for the last page.
    """

    seq: int
    after: int = 0
    state: Name = ""
    job: Name = ""
    ended: int = 500
    search: Name = ""
    limit: int = 500
    back: bool = False


class AskSessions(Message, frozen=True, array_like=True, tag="sessions?"):
    """Ask for a page of sessions, behind the `last` of the page before. Answer: `SessionList`."""

    seq: int
    after: int = 0


class AskResults(Message, frozen=True, array_like=True, tag="results?"):
    """Ask for ended tasks of a run in task order, behind the `last` of the page before.

    after: 0 begins with the first task. dead: only dead letters. only: which of these; a page may
    have none of them though there are more behind it. Answer: `Results`.
    """

    seq: int
    run: int
    after: int = 0
    dead: bool = False
    only: FailureFilter | None = None


class AskTask(Message, frozen=True, array_like=True, tag="task?"):
    """Ask for all that is known of one task. Answer: `TaskShown`.

    key: with `task` 0, the task with this key, if it is among the newest of its run: whoever has
    lost the answer to a submit learns so what has become of it. tries: the answer has the task's
    newest tries, too.
    """

    seq: int
    run: int
    task: int
    key: Key = ""
    tries: bool = False


class RetryRun(Message, frozen=True, array_like=True, tag="retry"):
    """Have the dead letters of a run tried again, as if for the first time. Answer: `Accepted`.

    only: which of them; None: all. The master refuses a filter that chooses none. reason: why, for
    whoever looks at these tasks, and for their job. by: whom the session asks for; empty: itself.
    """

    seq: int
    run: int
    only: FailureFilter | None = None
    reason: Reason = ""
    by: Reason = ""


class CancelRun(Message, frozen=True, array_like=True, tag="cancel"):
    """End a run now: its runner, its running tasks, what waits. Answer: `Accepted`.

    tasks, unstarted: the run goes on, and only tasks that wait or are delayed are cancelled: those
    in these ranges of task numbers, or all of the run. Leased tasks go on. Answer:
    `TasksCancelled`.

    by: whom the session asks for; empty: itself.
    """

    seq: int
    run: int
    tasks: Annotated[list[tuple[int, int]], Meta(max_length=CANCEL_RANGES)] = msgspec.field(
        default_factory=list
    )
    unstarted: bool = False
    by: Reason = ""


class ForgetRun(Message, frozen=True, array_like=True, tag="forget"):
    """Delete an ended run with its tasks and results. Answer: `Accepted`.

    by: whom the session asks for; empty: itself.
    """

    seq: int
    run: int
    by: Reason = ""


class AskJobs(Message, frozen=True, array_like=True, tag="jobs?"):
    """Ask which jobs the master's folder has. Answer: `JobList`.

    job: all of this job, which is imported for that; empty: the names and first lines of all jobs.
    """

    seq: int
    job: Name = ""


class AddSchedule(Message, frozen=True, array_like=True, tag="schedule"):
    """Have a job run at times. The same schedule again changes nothing. Answer: `ScheduleShown`."""

    seq: int
    spec: ScheduleSpec


class AskSchedules(Message, frozen=True, array_like=True, tag="schedules?"):
    """Ask for all schedules. Answer: `ScheduleList`."""

    seq: int


class ChangeSchedule(Message, frozen=True, array_like=True, tag="reschedule"):
    """Pause or resume a schedule, or remove it. Answer: `ScheduleShown`.

    Slots of before it is resumed do not run. What is removed is shown as it was.
    """

    seq: int
    name: Name
    to: Literal["paused", "resumed", "removed"]


class AskMetrics(Message, frozen=True, array_like=True, tag="metrics?"):
    """Ask for all that the master counts and measures. Answer: `Metrics`."""

    seq: int


class AskCode(Message, frozen=True, array_like=True, tag="code?"):
    """Ask for a version of a job's code, which this worker lacks. Answer: `Code`."""

    seq: int
    job: Name
    version: Name


class Ping(Message, frozen=True, array_like=True, tag="ping"):
    """Ask whether the master is there. Answer: `Pong`, at once. See `PING_LEVEL`."""

    seq: int


Request = (
    Hello
    | Ping
    | Exchange
    | Beat
    | StartRun
    | OpenRun
    | SubmitTasks
    | TasksEnded
    | Collect
    | Collected
    | Printed
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
    | AddSchedule
    | AskSchedules
    | ChangeSchedule
    | AskCode
    | AskJobs
    | AskHistory
    | AskFailures
    | AskLetters
    | AskMetrics
    | AskTasks
)
