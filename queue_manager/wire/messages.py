"""The messages that our own sessions send over the wire, and their encoding.

Owns the shape of every message and nothing else; what they are made of is in `records`.
Messages are MessagePack arrays `[tag, field, ...]`; a pickle's first byte, 0x80, never starts one.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from ..errors import ProtocolError
from .limits import EXCHANGE_OUTCOMES, HELD_LEASES, MOST_BLOCKS, TAGS, printable
from .measuring import measure
from .records import (
    Ended,
    HeldLease,
    Lease,
    Message,
    Name,
    NewBlock,
    Outcome,
    ResultBlock,
    RunStatus,
    SessionStatus,
    TaskStatus,
)

# --- from a session to the master ------------------------------------------------------------


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
    """Ask for a run of a job. The same key gives the same run. Answer: `RunStarted`."""

    seq: int
    job: Name
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
    blocks: Annotated[list[NewBlock], Meta(max_length=MOST_BLOCKS)]


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


class Finished(Message, frozen=True, array_like=True, tag="finished"):
    """A runner has done all for a run that ended at `ended_at`, `finish()` too. Answer: `Accepted`.

    It counts for that end alone: a run that was retried meanwhile has another.
    """

    seq: int
    run: int
    ended_at: float


class AskStatus(Message, frozen=True, array_like=True, tag="status?"):
    """Ask how the master, or one run, is. Answer: `Status`; of one run, without sessions."""

    seq: int
    run: int | None = None


class AskRuns(Message, frozen=True, array_like=True, tag="runs?"):
    """Ask for more runs than a `Status` has, behind its `last_run`. Answer: `RunList`."""

    seq: int
    after: int = 0


class AskSessions(Message, frozen=True, array_like=True, tag="sessions?"):
    """Ask for more sessions than a `Status` has, behind its `last_session`.

    Answer: `SessionList`.
    """

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


# --- from the master -------------------------------------------------------------------------


class Welcome(Message, frozen=True, array_like=True, tag="welcome"):
    """The answer to `Hello`. held: what the master recognizes of the leases held, the rest ends."""

    version: str
    max_bytes: int
    held: list[HeldLease] = msgspec.field(default_factory=list)


class Leases(Message, frozen=True, array_like=True, tag="leases"):
    """Leases given, and how many reported outcomes were refused as those of an old lease."""

    seq: int
    leases: list[Lease]
    refused: int = 0


class Revoked(Message, frozen=True, array_like=True, tag="revoked"):
    """To a worker: these leases have ended by the master's word; stop what runs of them."""

    seq: int
    leases: list[int]
    why: str = ""


class Code(Message, frozen=True, array_like=True, tag="code"):
    """The files of a job in that version, by their paths below the folder of jobs."""

    seq: int
    job: str
    version: str
    files: dict[str, bytes]


class TaskShown(Message, frozen=True, array_like=True, tag="shown"):
    """One task as it stands."""

    seq: int
    task: TaskStatus


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
    """Where a run stands. accepted: tasks without a key from `tasks()` that are on disk, or that a
    quota dropped.

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
    """On disk. tasks: how many of them are new, and not above a quota."""

    seq: int
    tasks: int


class Page(Message, frozen=True, array_like=True, tag="page"):
    """Outcomes of a run in order of completion, and the payloads of their blocks by first task.

    last: ask behind it next. over: the run has ended and this is the last page. ended_at: when it
    ended (UTC epoch in seconds), in that last page.
    """

    seq: int
    outcomes: list[Ended]
    bodies: dict[int, bytes]
    last: int
    over: bool
    ended_at: float | None = None


class Results(Message, frozen=True, array_like=True, tag="results"):
    """A page of results in task order. last: ask behind it next. over: nothing behind it."""

    seq: int
    blocks: list[ResultBlock]
    last: int
    over: bool


class Status(Message, frozen=True, array_like=True, tag="status"):
    """How the master is: runs (the queue run is number 0), sessions, counters, and why.

    The runs are the active ones and the newest ended ones. more_runs, more_sessions: so many others
    there are; ask for those behind last_run, last_session.
    """

    seq: int
    version: str
    address: str
    up_s: float
    runs: list[RunStatus]
    sessions: list[SessionStatus]
    refused_outcomes: int
    why: list[str]
    more_runs: int = 0
    last_run: int = 0
    more_sessions: int = 0
    last_session: int = 0


class RunList(Message, frozen=True, array_like=True, tag="runs"):
    """A page of runs: active ones in their order, then ended ones, the newest first.

    last: ask behind it next. over: nothing behind it.
    """

    seq: int
    runs: list[RunStatus]
    last: int
    over: bool


class SessionList(Message, frozen=True, array_like=True, tag="sessions"):
    """A page of sessions. last: ask behind it next. over: nothing behind it."""

    seq: int
    sessions: list[SessionStatus]
    last: int
    over: bool


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
    | AskRuns
    | AskSessions
    | AskResults
    | AskTask
    | RetryRun
    | CancelRun
    | ForgetRun
    | AskCode
)
Reply = (
    Welcome
    | Leases
    | Revoked
    | Code
    | TaskShown
    | Refused
    | RunStarted
    | RunOpened
    | Accepted
    | Page
    | Results
    | Status
    | RunList
    | SessionList
)

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Any) -> bytes:
    """Encode one message (a frame's body)."""
    return _encoder.encode(message)


def decode_request(body: bytes) -> Request:
    """Decode what a session sent to the master. Raises ProtocolError on anything else."""
    measure(body)
    try:
        return _requests.decode(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a request of ours: {printable(str(error))}") from None


def decode_reply(body: bytes) -> Reply:
    """Decode what the master sent. Raises ProtocolError on anything else."""
    try:
        return _replies.decode(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not an answer of the master's: {printable(str(error))}") from None
