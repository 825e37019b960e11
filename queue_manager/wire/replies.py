"""The messages from the master to our own sessions.

This module owns their fields alone. `requests` has the other direction, `records` the records in
both, and `messages` their encoding.
"""

from __future__ import annotations

import msgspec

from .failure_groups import Failures as Failures
from .failure_groups import Letters as Letters
from .history import History as History
from .job_records import JobInfo
from .masters import MasterStatus
from .metrics import MasterMetrics
from .records import (
    DeadLetter,
    Ended,
    Feeder,
    HeldLease,
    Lease,
    Message,
    ResultBlock,
    RunStatus,
    SessionStatus,
    TaskStatus,
)
from .schedules import ScheduleStatus
from .task_lists import TaskList as TaskList

LEVEL = 4
"""Which level of the protocol this release speaks: what a program may ask of a master, and a master
of a worker. It grows when somebody may ask for more."""

PING_LEVEL = 4
"""The least level of a master that answers a `Ping`."""

NEEDED_LEVEL = 2
"""The least level of a master that `connect` takes."""


class Welcome(Message, frozen=True, array_like=True, tag="welcome"):
    """The answer to `Hello`. held: the held leases that go on. All others have ended.

    level: `LEVEL` of the master; 0 of a master that knows no programs. store: a random number of
    its store. Numbers of runs mean nothing in another store. 0 of an older master.
    """

    version: str
    max_bytes: int
    held: list[HeldLease] = msgspec.field(default_factory=list)
    level: int = 0
    store: int = 0


class Leases(Message, frozen=True, array_like=True, tag="leases"):
    """New leases. refused: how many outcomes of the exchange were refused, as of an old lease."""

    seq: int
    leases: list[Lease]
    refused: int = 0


class Revoked(Message, frozen=True, array_like=True, tag="revoked"):
    """The master tells a worker that these leases have ended. The worker stops their tasks."""

    seq: int
    leases: list[int]
    why: str = ""


class Code(Message, frozen=True, array_like=True, tag="code"):
    """The files of one version of a job, by their paths below the folder of jobs."""

    seq: int
    job: str
    version: str
    files: dict[str, bytes]


class TaskShown(Message, frozen=True, array_like=True, tag="shown"):
    """One task as it is now."""

    seq: int
    task: TaskStatus


class Refused(Message, frozen=True, array_like=True, tag="refused"):
    """The master does not grant a request. error: one line that says why."""

    seq: int
    error: str


class RunStarted(Message, frozen=True, array_like=True, tag="started"):
    """The run that was asked for. created: False if the key had this run already.

    older: how many results the run has, if some of them may be of other code than this request's.
    key: that of the run, if the request had none: the job has made it of the arguments.
    """

    seq: int
    run: int
    created: bool
    older: int = 0
    key: str = ""


class RunOpened(Message, frozen=True, array_like=True, tag="opened"):
    """How far a run is.

    args: its arguments as they were given. accepted: how many tasks without a key `tasks()` has
    given, those too that a quota dropped. ended: the run gets no more tasks. collected, into: how
    far `collect()` has come, as in `Collected`. feeder, arguments, after, traceparent: as in
    `StartRun`.
    """

    seq: int
    job: str
    args: list[str]
    accepted: int
    ended: bool
    collected: int
    into: int = 0
    feeder: Feeder = "runner"
    arguments: bytes = b""
    after: list[int] = msgspec.field(default_factory=list)
    traceparent: str = ""


class Accepted(Message, frozen=True, array_like=True, tag="accepted"):
    """A request is carried out and on disk. tasks: how many are new, and not above a quota.

    first: the number of the first of these tasks, if any client feeds their run; the others follow.
    """

    seq: int
    tasks: int
    first: int = 0


class TasksCancelled(Message, frozen=True, array_like=True, tag="cancelled"):
    """Which tasks of a run were cancelled, and are so on disk.

    ranges: of task numbers: the first, and the one behind the last. complete: False if the request
    was for so many that the same request has to come again for the rest.
    """

    seq: int
    ranges: list[tuple[int, int]]
    complete: bool = True


class Page(Message, frozen=True, array_like=True, tag="page"):
    """Outcomes of a run in order of completion, and the payloads of their blocks by first task.

    last: the next request asks behind it. complete: the run has ended, and no outcome is behind
    this page. ended_at: when it ended (UTC epoch in seconds), in the complete page only. dead: dead
    letters, by their seq among the outcomes; a task that was retried may come again. cancelled:
    tasks that were cancelled, as ranges of task numbers. Both are for who asked for them.
    """

    seq: int
    outcomes: list[Ended]
    bodies: dict[int, bytes]
    last: int
    complete: bool
    ended_at: float | None = None
    dead: list[DeadLetter] = msgspec.field(default_factory=list)
    cancelled: list[tuple[int, int]] = msgspec.field(default_factory=list)


class Results(Message, frozen=True, array_like=True, tag="results"):
    """A page of results in task order.

    last: the next request asks behind it. complete: nothing is behind this page.
    """

    seq: int
    blocks: list[ResultBlock]
    last: int
    complete: bool


class Status(Message, frozen=True, array_like=True, tag="status"):
    """How the master is. Its runs and sessions are only counted.

    refused_outcomes: how many outcomes of old leases it has refused. why: what holds up every run.
    schedules: what is wrong with schedules. masters: where several share a store, the active one
    first.
    """

    seq: int
    version: str
    address: str
    up_s: float
    refused_outcomes: int
    why: list[str]
    active_runs: int
    ended_runs: int
    sessions: int
    schedules: list[str] = msgspec.field(default_factory=list)
    masters: list[MasterStatus] = msgspec.field(default_factory=list)


class RunShown(Message, frozen=True, array_like=True, tag="run"):
    """One run as it is now. In the last one that a watcher gets, the run has ended.

    printed: the end of what its job has printed in the runner, for who asks for the run itself.
    """

    seq: int
    run: RunStatus
    printed: str = ""


class RunList(Message, frozen=True, array_like=True, tag="runs"):
    """A page of runs: active ones in their order, then ended ones, the newest first.

    The queue run is number 0. last: the next request asks behind it. complete: nothing is behind
    this page. more: how many runs are behind it, those too that were not asked for. first: the page
    before is back from this place. Of a page that goes back, `complete` and `more` tell of the runs
    before it.
    """

    seq: int
    runs: list[RunStatus]
    last: int
    complete: bool
    more: int = 0
    first: int = 0


class SessionList(Message, frozen=True, array_like=True, tag="sessions"):
    """A page of sessions.

    last: the next request asks behind it. complete: nothing is behind this page. more: how many
    are.
    """

    seq: int
    sessions: list[SessionStatus]
    last: int
    complete: bool
    more: int = 0


class JobList(Message, frozen=True, array_like=True, tag="jobs"):
    """The jobs of the master's folder, by name. more: how many there are behind these."""

    seq: int
    jobs: list[JobInfo]
    more: int = 0


class ScheduleShown(Message, frozen=True, array_like=True, tag="scheduled"):
    """One schedule, as it is on disk. new: False if it was there already, just so."""

    seq: int
    schedule: ScheduleStatus
    new: bool = False


class ScheduleList(Message, frozen=True, array_like=True, tag="schedules"):
    """All schedules by their names. why: what is wrong with all of them, such as their file."""

    seq: int
    schedules: list[ScheduleStatus]
    why: list[str] = msgspec.field(default_factory=list)


class Metrics(Message, frozen=True, array_like=True, tag="metrics"):
    """All that the master counts and measures."""

    seq: int
    metrics: MasterMetrics


class Pong(Message, frozen=True, array_like=True, tag="pong"):
    """The master is there."""

    seq: int


Reply = (
    Welcome
    | Pong
    | Leases
    | Revoked
    | Code
    | TaskShown
    | Refused
    | RunStarted
    | RunOpened
    | Accepted
    | TasksCancelled
    | Page
    | Results
    | Status
    | RunShown
    | RunList
    | SessionList
    | JobList
    | ScheduleShown
    | ScheduleList
    | History
    | Failures
    | Letters
    | Metrics
    | TaskList
)
