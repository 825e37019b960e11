"""The messages about what runs have done in each minute, and the record in them."""

from __future__ import annotations

import msgspec

from .records import Message


class AskHistory(Message, frozen=True, array_like=True, tag="history?"):
    """Ask what a run has done over a time, in steps of equal length. Answer: `History`.

    run: None is all runs together. since_at, until_at: UTC epoch in seconds; 0 is an hour before
    `until_at`, and now. step_s: how long a step is at least. The master takes a longer one where
    the answer would have more than 1,500 points, or where single minutes are gone (after a day).
    """

    seq: int
    run: int | None = None
    since_at: float = 0.0
    until_at: float = 0.0
    step_s: float = 60.0


class HistoryPoint(msgspec.Struct, frozen=True, array_like=True):
    """What was done in a step, and how the run stood at its end.

    at: when the step began (UTC epoch in seconds). done: tasks. dead: how many became dead letters.
    failed: charged attempts. busy_s: how long tasks took, on all workers together. waiting,
    leased, delayed: tasks. workers, slots: those that hold leases of the run; of all runs together,
    those that are connected. These five are None where nobody knows.
    """

    at: int
    done: int = 0
    dead: int = 0
    failed: int = 0
    busy_s: float = 0.0
    waiting: int | None = None
    leased: int | None = None
    delayed: int | None = None
    workers: int | None = None
    slots: int | None = None


class History(Message, frozen=True, array_like=True, tag="history"):
    """The steps of a time, the oldest first; the last one may still go on.

    step_s: how long each is; they begin at multiples of it. now_at: the master's time (UTC epoch in
    seconds). A step without a point: nothing of the run has changed in it. Of all runs together,
    the master was away then.
    """

    seq: int
    step_s: int
    now_at: float
    points: list[HistoryPoint]
