"""The messages from the master to our own sessions.

Owns their shape and nothing else. `requests` has the other direction, `records` what both are made
of, `messages` their encoding.
"""

from __future__ import annotations

import msgspec

from .records import (
    Ended,
    HeldLease,
    Lease,
    Message,
    ResultBlock,
    RunStatus,
    SessionStatus,
    TaskStatus,
)


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

    args: its arguments as they were given. collected, into: what `collect()` has
    reached, as in `Collected`.
    """

    seq: int
    job: str
    args: list[str]
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
    complete: bool
    ended_at: float | None = None


class Results(Message, frozen=True, array_like=True, tag="results"):
    """A page of results in task order. last: ask behind it next. over: nothing behind it."""

    seq: int
    blocks: list[ResultBlock]
    last: int
    complete: bool


class Status(Message, frozen=True, array_like=True, tag="status"):
    """How the master is, without its runs and sessions, which are counted.

    refused_outcomes: those of an old lease. why: what holds up everything.
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


class RunShown(Message, frozen=True, array_like=True, tag="run"):
    """One run as it stands. The last one that a watcher gets has a run that has ended."""

    seq: int
    run: RunStatus


class RunList(Message, frozen=True, array_like=True, tag="runs"):
    """A page of runs: active ones in their order, then ended ones, the newest first.

    The queue run is number 0. last: ask behind it next. over: nothing is behind it. more: how many
    runs are, those that were not asked for, too.
    """

    seq: int
    runs: list[RunStatus]
    last: int
    complete: bool
    more: int = 0


class SessionList(Message, frozen=True, array_like=True, tag="sessions"):
    """A page of sessions. last: ask behind it next. over: nothing is behind it. more: how many."""

    seq: int
    sessions: list[SessionStatus]
    last: int
    complete: bool
    more: int = 0


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
    | RunShown
    | RunList
    | SessionList
)
