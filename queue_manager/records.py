"""The messages that our own sessions send over the wire, and their encoding.

Owns the shape of every message and nothing else. Payloads and results are opaque batches
(`codec`); a block is up to 1,024 consecutive tasks whose payloads are one batch. Positions
(`start`, `stop`) count from the first task of a block; task numbers count from 1 in a run.
Messages are MessagePack arrays `[tag, field, ...]`; a pickle's first byte, 0x80, never starts one.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from .errors import ProtocolError

BLOCK_TASKS = 1_024
BLOCK_BYTES = 64 * 1024
FRAME_BYTES = 8 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages; the class name is the tag on the wire."""


# --- what several messages are made of -----------------------------------------------------


class RunOptions(msgspec.Struct, frozen=True, array_like=True):
    """The part of a job's `Options` that the master and the supervisor act on.

    attempts: charged tries before a dead letter. losses: lost leases before one.
    timeout_s: hard limit of one try, counted from its start; None is no limit.
    """

    attempts: int = 3
    losses: int = 5
    timeout_s: float | None = None


class NewBlock(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive new tasks of one group and priority, not yet numbered.

    body: their payloads, one batch of `count` values. keys: one for each task, or None when
    none has a key. delay_s: not before that many seconds after it was accepted.
    """

    count: int
    body: bytes
    keys: list[str] | None = None
    group: str | None = None
    priority: int = 0
    delay_s: float = 0.0


class Lease(msgspec.Struct, frozen=True, array_like=True):
    """The right to try the tasks `start` to `stop` of a block once.

    first: number of the block's first task in its run. body: the payloads of the whole block
    (cutting it costs more than sending it).
    """

    number: int
    run: int
    job: str
    first: int
    start: int
    stop: int
    body: bytes
    timeout_s: float | None = None


# --- what a worker reports of a lease --------------------------------------------------------


class Done(Message, frozen=True, array_like=True, tag="done"):
    """Tasks `start` to `stop` of a lease are done; `results` is one batch of their values.

    took_s: seconds that they took together. follow: new tasks to record with this result, only
    together with a range of one task.
    """

    lease: int
    start: int
    stop: int
    results: bytes
    took_s: float
    follow: list[NewBlock] = []


class Failed(Message, frozen=True, array_like=True, tag="failed"):
    """One try of one task ended badly and is charged.

    error: one line. evidence: traceback, or exit code or signal and the end of stderr.
    reject: straight to the dead letters. delay_s: when to try again; None is back-off.
    """

    lease: int
    position: int
    error: str
    evidence: str = ""
    reject: bool = False
    delay_s: float | None = None
    took_s: float = 0.0


class Released(Message, frozen=True, array_like=True, tag="released"):
    """Tasks `start` to `stop` go back uncharged. lacks: why this worker can't run the job."""

    lease: int
    start: int
    stop: int
    lacks: str = ""


Outcome = Done | Failed | Released


# --- from a session to the master ------------------------------------------------------------


class Hello(Message, frozen=True, array_like=True, tag="hello"):
    """The first message of a session. slots: of a worker; 0 for every other role."""

    role: Literal["worker", "runner", "client"]
    host: str
    pid: int
    slots: int = 0
    version: str = ""


class Exchange(Message, frozen=True, array_like=True, tag="exchange"):
    """A worker's outcomes, and how many more leases it can take now (added to what it asked).

    Answered at once by `Leases` with the same seq, after the outcomes are on disk; leases that
    become free later come as `Leases` with seq 0.
    """

    seq: int
    outcomes: list[Outcome]
    want: int = 0
    draining: bool = False


class Beat(Message, frozen=True, array_like=True, tag="beat"):
    """Sent every few seconds by a worker, so that a frozen host is told from a busy one."""


class StartRun(Message, frozen=True, array_like=True, tag="start"):
    """Ask for a run of a job. The same key gives the same run. Answer: `RunStarted`."""

    seq: int
    job: str
    words: list[str]
    key: str | None = None


class OpenRun(Message, frozen=True, array_like=True, tag="open"):
    """A runner takes up its run. Answer: `RunOpened`."""

    seq: int
    run: int


class SubmitTasks(Message, frozen=True, array_like=True, tag="submit"):
    """New tasks of a run; answered by `Accepted` after they are on disk.

    The answer is held back while the run is too far ahead of its workers.
    """

    seq: int
    run: int
    blocks: list[NewBlock]


class TasksEnded(Message, frozen=True, array_like=True, tag="ended"):
    """`tasks()` of the run has no more to give. Answer: `Accepted`."""

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


class AskStatus(Message, frozen=True, array_like=True, tag="status?"):
    """Ask how the master, or one run, is. Answer: `Status`."""

    seq: int
    run: int | None = None


class AskResults(Message, frozen=True, array_like=True, tag="results?"):
    """Ask for ended tasks of a run in task order behind block `after`. Answer: `Results`."""

    seq: int
    run: int
    after: int = 0


# --- from the master -------------------------------------------------------------------------


class Welcome(Message, frozen=True, array_like=True, tag="welcome"):
    """The answer to `Hello`."""

    version: str
    max_bytes: int


class Leases(Message, frozen=True, array_like=True, tag="leases"):
    """Leases given, and how many reported outcomes were refused as those of an old lease."""

    seq: int
    leases: list[Lease]
    refused: int = 0


class Refused(Message, frozen=True, array_like=True, tag="refused"):
    """A request that the master does not grant: one clear line."""

    seq: int
    error: str


class RunStarted(Message, frozen=True, array_like=True, tag="started"):
    """The run that was asked for; created is False when the key had one already."""

    seq: int
    run: int
    created: bool


class RunOpened(Message, frozen=True, array_like=True, tag="opened"):
    """Where a run stands. accepted: tasks without a key from `tasks()` that are on disk.

    words: its arguments as they were given. collected, into: what `collect()` has
    reached, as in `Collected`.
    """

    seq: int
    job: str
    words: list[str]
    accepted: int
    ended: bool
    collected: int
    into: int = 0


class Accepted(Message, frozen=True, array_like=True, tag="accepted"):
    """On disk. tasks: how many of them are new (a key that is taken is no new task)."""

    seq: int
    tasks: int


class Ended(msgspec.Struct, frozen=True, array_like=True):
    """Results of the tasks `start` to `stop` of the block that begins with task `first`."""

    seq: int
    first: int
    start: int
    stop: int
    results: bytes


class Page(Message, frozen=True, array_like=True, tag="page"):
    """Outcomes of a run in order of completion, and the payloads of their blocks by first task.

    last: ask behind it next. over: the run has ended and this is the last page.
    """

    seq: int
    outcomes: list[Ended]
    bodies: dict[int, bytes]
    last: int
    over: bool


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """A task that will not be tried again, and its evidence."""

    task: int
    attempts: int
    losses: int
    error: str
    evidence: str


class ResultBlock(msgspec.Struct, frozen=True, array_like=True):
    """The ended tasks of one block. attempts: of the tasks that left the plain way."""

    first: int
    count: int
    body: bytes
    keys: list[str] | None
    ended: list[Ended]
    dead: list[DeadLetter]
    attempts: dict[int, int]


class Results(Message, frozen=True, array_like=True, tag="results"):
    """A page of results in task order. last: ask behind it next. over: nothing behind it."""

    seq: int
    blocks: list[ResultBlock]
    last: int
    over: bool


class RunStatus(msgspec.Struct, frozen=True):
    """Counts of one run. state: active, done, failed (with dead letters), stalled."""

    run: int
    job: str
    words: list[str]
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


class SessionStatus(msgspec.Struct, frozen=True):
    """One session. held: tasks that it holds leases of. oldest_s: age of the oldest one."""

    role: str
    name: str
    slots: int
    held: int
    oldest_s: float
    connected_s: float
    note: str = ""


class Status(Message, frozen=True, array_like=True, tag="status"):
    """How the master is: runs (the queue run is number 0), sessions, counters, and why."""

    seq: int
    version: str
    address: str
    up_s: float
    runs: list[RunStatus]
    sessions: list[SessionStatus]
    refused_outcomes: int
    why: list[str]


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
    | AskStatus
    | AskResults
)
Reply = Welcome | Leases | Refused | RunStarted | RunOpened | Accepted | Page | Results | Status

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Any) -> bytes:
    """Encode one message (a frame's body)."""
    return _encoder.encode(message)


def decode_request(body: bytes) -> Request:
    """Decode what a session sent to the master. Raises ProtocolError on anything else."""
    try:
        return _requests.decode(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a request of ours: {error}") from error


def decode_reply(body: bytes) -> Reply:
    """Decode what the master sent. Raises ProtocolError on anything else."""
    try:
        return _replies.decode(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not an answer of the master's: {error}") from error
