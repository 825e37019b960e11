"""What messages are made of: blocks, leases, outcomes, results, and what is told of runs.

Payloads and results are opaque batches (`codec`); a block is up to 1,024 consecutive tasks whose
payloads are one batch. Positions (`start`, `stop`) count from the first task of a block; task
numbers count from 1 in a run.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from .limits import BLOCK_BYTES as BLOCK_BYTES
from .limits import BLOCK_TASKS as BLOCK_TASKS
from .limits import FRAME_BYTES as FRAME_BYTES
from .limits import KEY_BYTES, MOST_BLOCKS, NAME_CHARS, TEXT_CHARS

# What a stranger may send is bounded by the types, so that nothing longer is even decoded.
Name = Annotated[str, Meta(max_length=NAME_CHARS)]
Key = Annotated[str, Meta(max_length=KEY_BYTES)]
Text = Annotated[str, Meta(max_length=TEXT_CHARS)]


Feeder = Literal["runner", "client"]

NOBODY_COLLECTS = 2**62
"""How far a run has been collected when its runner has no more to do: all was, or nothing is."""

UNTIL_END = NOBODY_COLLECTS - 1
"""`Collect.after` of a runner that waits for nothing but the end of its run."""


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages; the class name is the tag on the wire."""


# --- what several messages are made of -----------------------------------------------------


class GroupLimit(msgspec.Struct, frozen=True, array_like=True):
    """How the tasks of one group of a run are held back, across all workers together.

    at_once: most of them at a time; None is no such limit. every_s: least time between the starts
    of two of them.
    """

    at_once: int | None = None
    every_s: float = 0.0


class RunOptions(msgspec.Struct, frozen=True, array_like=True):
    """The part of a job's `Options` that the master and the supervisor act on.

    attempts: charged tries before a dead letter. losses: lost leases before one.
    timeout_s: hard limit of one try, counted from its start; None is no limit.
    per_group: the limit of each group of its tasks; None is no limit.
    needs: tags that a worker must have, in order. finish: the job has a `finish()`, which is called
    when its run has ended. feeder: who gives the tasks of the run and collects: a runner, which
    the master starts, or a client.
    """

    attempts: int = 3
    losses: int = 5
    timeout_s: float | None = None
    per_group: GroupLimit | None = None
    needs: list[str] = []
    finish: bool = False
    feeder: Feeder = "runner"


class RunQuota(msgspec.Struct, frozen=True, array_like=True):
    """So many tasks that name it a run accepts."""

    name: Key
    most: int


class NewBlock(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive new tasks of one group, priority and quota, not yet numbered.

    body: their payloads, one batch of `count` values. keys: one for each task, or None when
    none has a key. delay_s: not before that many seconds after it was accepted. quota: those above
    it are dropped.
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

    first: number of the block's first task in its run. body: the payloads of the whole block
    (cutting it costs more than sending it). version: of the job's code that must run it; empty is
    any. limited: one task of a limited group: it starts at once, or goes back.
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


class HeldLease(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What a worker still holds of a lease: the ranges that it has not been acknowledged for.

    A hello has very many, of which Python's cyclic collector need not look at each (`gc`).
    """

    number: int
    run: int
    block: int
    ranges: Annotated[list[tuple[int, int]], Meta(max_length=BLOCK_TASKS)]


# --- what is told of runs, results and sessions --------------------------------------------


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """Results of the tasks `start` to `stop` of the block that begins with task `first`."""

    seq: int
    first: int
    start: int
    stop: int
    results: bytes


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """A task that will not be tried again, and its evidence.

    worker: who reported the last try. printed: the end of what that try printed.
    """

    task: int
    attempts: int
    losses: int
    error: str
    evidence: str
    worker: str = ""
    printed: str = ""


class TaskStatus(msgspec.Struct, frozen=True):
    """One task with all that is known of it.

    state: waiting, delayed, leased, done, dead or cancelled. body, position: its payload is at
    that place of that batch. results, result_position: its result, likewise. worker: who runs it,
    or reported its last try. since_s: for how long it has been leased. due_s: until its delay is
    over. error, evidence, printed: of its last bad try.
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


class ResultBlock(msgspec.Struct, frozen=True, array_like=True):
    """The ended tasks of one block. attempts: of the tasks that left the plain way."""

    first: int
    count: int
    body: bytes
    keys: list[str] | None
    ended: list[Ended]
    dead: list[DeadLetter]
    attempts: dict[int, int]


class QuotaStatus(msgspec.Struct, frozen=True, array_like=True):
    """How many tasks that name a quota were accepted, and how many dropped."""

    name: str
    accepted: int
    dropped: int


class RunStatus(msgspec.Struct, frozen=True):
    """Counts of one run. state: active, finishing (it has ended, its `finish()` has not), done,
    failed (with dead letters), stalled, cancelled. version: of its job's code. quotas: the first
    of them by name, where one run was asked for. pruned: dead letters of the queue run that are
    gone.
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


class Running(msgspec.Struct, frozen=True, array_like=True):
    """A task that a worker runs, as far as the master knows, and for how long."""

    run: int
    task: int
    for_s: float


class SessionStatus(msgspec.Struct, frozen=True):
    """One session. held: tasks that it holds leases of. oldest_s: age of the oldest one.

    address: of its end of the connection. version: of the program. tags: of a worker.
    running: what a worker runs, the oldest first: no more than it has slots.
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


# --- what a worker reports of a lease --------------------------------------------------------


class Done(Message, frozen=True, array_like=True, tag="done"):
    """Tasks `start` to `stop` of a lease are done; `results` is one batch of their values.

    took_s: seconds that they took together. follow: new tasks to record with this result; limits:
    of groups of the run, from now on; both only together with a range of one task.
    """

    lease: int
    start: int
    stop: int
    results: bytes
    took_s: float
    follow: Annotated[list[NewBlock], Meta(max_length=MOST_BLOCKS)] = []
    limits: Annotated[dict[Key, GroupLimit], Meta(max_length=MOST_BLOCKS)] = {}


class Failed(Message, frozen=True, array_like=True, tag="failed"):
    """One try of one task ended badly and is charged.

    error: one line. evidence: traceback, or exit code or signal and the end of stderr.
    printed: the end of what the try printed, 4 KiB at most. reject: straight to the dead
    letters. delay_s: when to try again; None is back-off. whole_group: nothing of its limited group
    starts before that either.
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


class Released(Message, frozen=True, array_like=True, tag="released"):
    """Tasks `start` to `stop` go back uncharged. lacks: why this worker can't run the job.

    unstarted: for certain none of them has begun, so a limited group need not pause for it.
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
    """How many bytes a part of a message takes on the wire: the one measure of sizes."""
    if type(part) is Done and not (part.follow or part.limits):
        return len(part.results) + _PLAIN_BYTES  # no need to copy them: the rest is numbers
    return len(_encoder.encode(part))
