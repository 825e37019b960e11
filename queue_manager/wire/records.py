"""The records in messages: blocks, leases, outcomes, results, and the status of runs and sessions.

Payloads and results are opaque batches (`codec`). A block is up to 1,024 consecutive tasks whose
payloads are one batch. Positions (`start`, `stop`) count from 0 in a block. Task numbers count from
1 in a run.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .failures import RetryNote
from .limits import BLOCK_BYTES as BLOCK_BYTES
from .limits import BLOCK_TASKS as BLOCK_TASKS
from .limits import FRAME_BYTES as FRAME_BYTES
from .limits import (
    KEY_BYTES,
    MOST_BLOCKS,
    NAME_CHARS,
    PATH_CHARS,
    RAISED_BYTES,
    TAGS,
    TEXT_CHARS,
)
from .usage import Usage

# The types bound what a stranger may send, so that nothing longer is decoded.
Name = Annotated[str, Meta(max_length=NAME_CHARS)]
Key = Annotated[str, Meta(max_length=KEY_BYTES)]
Path = Annotated[str, Meta(max_length=PATH_CHARS)]
Text = Annotated[str, Meta(max_length=TEXT_CHARS)]
Raised = Annotated[bytes, Meta(max_length=RAISED_BYTES)]


Feeder = Literal["runner", "client", "clients", "results"]
"""Who gives a run its tasks: a runner, which the master starts and which calls `tasks()`; one
client, which opens the run; any number of clients, each with single tasks, of which nobody waits
for the others; or the results of other runs, which a runner gives as payloads."""

NOBODY_COLLECTS = 2**62
"""How far a run counts as collected when its runner has no more to collect."""

UNTIL_END = NOBODY_COLLECTS - 1
"""`Collect.after` of a session that waits only for the end of its run."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages; the class name is the tag on the wire."""


# --- records of several messages -----------------------------------------------------


class GroupLimit(msgspec.Struct, frozen=True, array_like=True):
    """How the tasks of one group of a run are held back, on all workers together.

    at_once: how many run at a time, at most; None is any number. every_s: the shortest time between
    the starts of two of them.
    """

    at_once: int | None = None
    every_s: float = 0.0


class RunOptions(msgspec.Struct, frozen=True, array_like=True):
    """The part of a job's `Options` that the master and the supervisor act on.

    attempts: after this many charged tries a task is a dead letter. losses: after this many lost
    leases it is one. timeout_s: the hard limit of one try from its start; None is no limit.
    per_group: the limit of each group of its tasks; None is no limit. needs: the tags that a worker
    must have, sorted. finish: the job has a `finish()`, which is called when its run has ended.
    feeder: who gives the run its tasks and collects. also_needs: what was asked for with this run:
    tags that are in `needs` beside those of the job's file, sorted. lasting: the run stays when the
    client that feeds it has gone. inputs_only: no task may come but those of its feeder, which
    knows them by their numbers. fingerprint: that of the code that a client has sent, as in
    `StartRun`. mixed: results may be of other code that the run had before.
    """

    attempts: int = 3
    losses: int = 5
    timeout_s: float | None = None
    per_group: GroupLimit | None = None
    needs: Annotated[list[Name], Meta(max_length=TAGS)] = []
    finish: bool = False
    feeder: Feeder = "runner"
    also_needs: list[str] = []
    lasting: bool = True
    inputs_only: bool = False
    fingerprint: Name = ""
    mixed: bool = False


class RunQuota(msgspec.Struct, frozen=True, array_like=True):
    """A run accepts at most `most` tasks with the quota of this name."""

    name: Key
    most: int


class NewBlock(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive new tasks of one group, priority and quota, not yet numbered.

    body: their payloads, one batch of `count` values. keys: one for each task, or None if none has
    a key. delay_s: how long they are delayed after they were accepted. quota: tasks above it are
    dropped.
    """

    count: int
    body: bytes
    keys: Annotated[list[Key], Meta(max_length=BLOCK_TASKS)] | None = None
    group: Key | None = None
    priority: int = 0
    delay_s: float = 0.0
    quota: RunQuota | None = None


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """The right to try the tasks `start` to `stop` of a block once.

    first: the number of the block's first task in its run. body: the payloads of the whole block
    (cutting them costs more than sending them). version: which version of the job's code must run
    it; empty is any. limited: this is one task of a limited group that starts at once or goes back.
    attempts: how often it was charged before; a task that was charged is leased by itself. reason:
    why a person has had its one task tried again last; empty: nobody has, or has said why.
    traceparent: that of the run.
    """

    number: int
    run: int
    job: str
    first: int
    start: int
    stop: int
    body: bytes
    timeout_s: float | None = None
    block: int = 0
    version: str = ""
    limited: bool = False
    attempts: int = 0
    reason: str = ""
    traceparent: str = ""


class HeldLease(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The part of a lease that a worker still holds: ranges without an acknowledged outcome.

    A hello may have very many of these. `gc=False` keeps Python's cyclic collector away from them.
    """

    number: int
    run: int
    block: int
    ranges: Annotated[list[tuple[int, int]], Meta(max_length=BLOCK_TASKS)]


# --- the status of runs, results and sessions --------------------------------------------


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """Results of the tasks `start` to `stop` of the block that begins with task `first`."""

    seq: int
    first: int
    start: int
    stop: int
    results: bytes


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """A task that will not be tried again, and its evidence.

    worker: the worker that reported the last try. printed: the end of what that try printed.
    raised: what it raised, as plain data (`job.raised`); empty if that is not known. seq: its place
    among the outcomes of its run; only pages of `Collect` have it. died_at: when it became a dead
    letter (UTC epoch in seconds).
    """

    task: int
    attempts: int
    losses: int
    error: str
    evidence: str
    worker: str = ""
    printed: str = ""
    raised: bytes = b""
    seq: int = 0
    died_at: float = 0.0


class TaskTry(msgspec.Struct, frozen=True):
    """How one try of a task ended.

    number: of all tries of the task, from 1 on, also over retries. fate: failed, lost (with its
    worker or connection, uncharged) or done. ended_at: UTC epoch in seconds; 0: nobody knows.
    took_s: how long it took; of a lost one, how long its session held it; None: nobody knows. The
    other fields are those of a dead letter.
    """

    number: int
    fate: str
    ended_at: float = 0.0
    took_s: float | None = None
    worker: str = ""
    error: str = ""
    evidence: str = ""
    printed: str = ""
    raised: bytes = b""


class TaskStatus(msgspec.Struct, frozen=True):
    """One task with all that is known of it.

    state: waiting, delayed, leased, done, dead or cancelled. body, position: the batch that has its
    payload, and the place in it. results, result_position: the same of its result. worker: the
    worker that runs it, or that reported its last try. since_s: how long it has been leased. due_s:
    how long it is still delayed. error, evidence, printed, raised: those of its last failed try.
    retries: how it was tried again after it was a dead letter, the newest last. tries: its newest
    ten tries, the newest first, if they were asked for.
    """

    run: int
    job: str
    task: int
    state: str
    body: bytes
    position: int
    key: str | None = None
    group: str | None = None
    priority: int = 0
    attempts: int = 0
    losses: int = 0
    results: bytes | None = None
    result_position: int = 0
    worker: str = ""
    since_s: float | None = None
    due_s: float | None = None
    error: str = ""
    evidence: str = ""
    printed: str = ""
    raised: bytes = b""
    retries: list[RetryNote] = []
    tries: list[TaskTry] = []


class ResultBlock(msgspec.Struct, frozen=True, array_like=True):
    """The ended tasks of one block. attempts: those of its tracked tasks, by task."""

    first: int
    count: int
    body: bytes
    keys: list[str] | None
    ended: list[Ended]
    dead: list[DeadLetter]
    attempts: dict[int, int]


class QuotaStatus(msgspec.Struct, frozen=True, array_like=True):
    """How many tasks with a quota a run has accepted, and how many it has dropped."""

    name: str
    accepted: int
    dropped: int


class RunStatus(msgspec.Struct, frozen=True):
    """The counts of one run.

    state: pending (it waits for other runs), active, finishing (the run has ended, its `finish()`
    has not), done, failed (with dead letters), stalled or cancelled. version: that of its job's
    code. quotas: the first ones by name, if one run was asked for. pruned: how many dead letters of
    the queue run were deleted. after: the runs that it waits for, or has waited for. uploaded: a
    client has sent its code. key: None for a run that goes with its program, too. traceparent:
    as in `StartRun`. values: how many of `args`, its last ones, were given as values: they are
    shown as Python writes them, and may be cut. feeder: who gives its tasks; empty: the master is
    older.
    """

    run: int
    job: str
    args: list[str]
    state: str
    tasks: int
    waiting: int
    leased: int
    delayed: int
    done: int
    dead: int
    exhausted: bool
    collect_errors: int
    started_at: float
    ended_at: float | None
    why: list[str] = []
    cancelled: int = 0
    version: str = ""
    quotas: list[QuotaStatus] = []
    pruned: int = 0
    after: list[int] = []
    uploaded: bool = False
    key: str | None = None
    traceparent: str = ""
    values: int = 0
    feeder: str = ""


class Running(msgspec.Struct, frozen=True, array_like=True):
    """A task that a worker runs, as far as the master knows. for_s: how long it has run."""

    run: int
    task: int
    for_s: float


class SessionStatus(msgspec.Struct, frozen=True):
    """One session.

    held: how many tasks it holds in leases. oldest_s: the age of its oldest lease. address: its end
    of the connection. version: the version of its program. tags: a worker's tags. running: the
    tasks that a worker runs, the oldest first; no more than it has slots. usage: what a worker
    takes of its machine, as it has told last; None: nothing.
    """

    role: str
    name: str
    slots: int
    held: int
    oldest_s: float
    connected_s: float
    note: str = ""
    address: str = ""
    version: str = ""
    tags: list[str] = []
    running: list[Running] = []
    usage: Usage | None = None


# --- outcomes, which a worker reports --------------------------------------------------------


class Done(Message, frozen=True, array_like=True, tag="done"):
    """Tasks `start` to `stop` of a lease are done; `results` is one batch of their values.

    took_s: how long they took together. follow: new tasks. limits: new limits of groups of the run.
    Both are recorded with the result, and need a range of one task.
    """

    lease: int
    start: int
    stop: int
    results: bytes
    took_s: float
    follow: Annotated[list[NewBlock], Meta(max_length=MOST_BLOCKS)] = []
    limits: Annotated[dict[Key, GroupLimit], Meta(max_length=MOST_BLOCKS)] = {}


class Failed(Message, frozen=True, array_like=True, tag="failed"):
    """One try of one task has failed and is charged.

    error: one line. evidence: a traceback, or the end of stderr. printed: the end of what the try
    printed, at most 4 KiB. reject: the task is a dead letter at once. delay_s: seconds until the
    next try; None is the usual back-off. whole_group: no task of its limited group starts before
    that either. raised: what it raised, as plain data (`job.raised`); empty if that is not known.
    """

    lease: int
    position: int
    error: Text
    evidence: Text = ""
    reject: bool = False
    delay_s: float | None = None
    took_s: float = 0.0
    printed: Text = ""
    whole_group: bool = False
    raised: Raised = b""


class Released(Message, frozen=True, array_like=True, tag="released"):
    """Tasks `start` to `stop` of a lease go back uncharged.

    lacks: why this worker can't run the job. unstarted: it is certain that none of them has begun,
    so their limited group need not pause.
    """

    lease: int
    start: int
    stop: int
    lacks: Text = ""
    unstarted: bool = False


Outcome = Done | Failed | Released

_encoder = msgspec.msgpack.Encoder()
_PLAIN_BYTES = 64


def encoded_bytes(part: Outcome | NewBlock) -> int:
    """How many bytes a part of a message takes on the wire."""
    if type(part) is Done and not (part.follow or part.limits):
        return len(part.results) + _PLAIN_BYTES  # the rest is a few numbers, and a copy is saved
    return len(_encoder.encode(part))
