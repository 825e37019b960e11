"""What a master counts and measures, as it travels: sums since its start, and how things are now.

Nothing here is of a single run, task or worker, so it stays small however much there is of those.
"""

from __future__ import annotations

import msgspec


class Histogram(msgspec.Struct, frozen=True, array_like=True):
    """How many values lie between bounds.

    bounds: in order, in seconds. counts: how many values are at most the bound at the same place,
    and above the one before; the last count is of all above the last bound. sum_s: of all values.
    """

    bounds: list[float] = []
    counts: list[int] = []
    sum_s: float = 0.0


class JobMetrics(msgspec.Struct, frozen=True):
    """What was counted of one job, and how its tasks are now.

    job: `queue` for tasks that no job of the master's runs, `other` for all jobs behind the first
    200. accepted: tasks. became: tasks by what became of them: done, failed (another try follows),
    dead, cancelled, released (it went back uncharged) or lost (its lease ended with its session).
    waited, ran: how long tasks had waited for a try that was reported, and how long it took.
    leases_lost: leases that ended with their session. tasks: how many there are now by state:
    waiting, leased, delayed or dead. oldest_s: for how long the task in memory has waited that has
    waited longest; None: none waits.
    """

    job: str
    accepted: int = 0
    became: dict[str, int] = {}
    waited: Histogram = Histogram()
    ran: Histogram = Histogram()
    leases_lost: int = 0
    tasks: dict[str, int] = {}
    oldest_s: float | None = None


class RunMetrics(msgspec.Struct, frozen=True, array_like=True):
    """How many runs of a job are in a state, as `RunStatus` names it."""

    job: str
    state: str
    runs: int


class SlotMetrics(msgspec.Struct, frozen=True, array_like=True):
    """How many slots of workers are in a state: busy, idle or draining (their worker is stopping).

    tag: those of workers that have it; empty: those of all workers.
    """

    tag: str
    state: str
    slots: int


class StoreMetrics(msgspec.Struct, frozen=True):
    """The store. commit: how long commits took. free_bytes: None where nobody knows."""

    commit: Histogram = Histogram()
    file_bytes: int = 0
    wal_bytes: int = 0
    free_bytes: int | None = None


class ProcessMetrics(msgspec.Struct, frozen=True):
    """The process of the master, as far as its system tells.

    cpu_s: processor time since its start. rss_bytes: memory. fds, most_fds: open files, and how
    many there may be.
    """

    cpu_s: float = 0.0
    rss_bytes: int | None = None
    fds: int | None = None
    most_fds: int | None = None


class UsageMetrics(msgspec.Struct, frozen=True):
    """What all workers take together, as far as they tell.

    fullest: the largest part of its limit of memory that one of them takes, 0 to 1 or a little
    more.
    """

    memory_bytes: int = 0
    processors: float = 0.0
    fullest: float = 0.0


class MasterMetrics(msgspec.Struct, frozen=True):
    """All that a master counts and measures.

    version: of the master. started_at: when it started (UTC epoch, s). starts: how often a master
    has started on this store. sessions: by role and state: a worker is busy, idle or draining, all
    others are connected. loop: by how much its loop was late, once a second. refused: outcomes of
    old leases. runner_deaths: processes of runners that ended before their run. schedules_skipped:
    slots of schedules that were left out. is_writable: whether the store can be written.
    without_worker: tasks that wait for tags that no worker has. usage: what workers take. copies:
    by name, how many seconds ago a copy of the store that is followed was complete. masters: those
    that share the store by role: active, standby or away; none where it is not shared.
    """

    version: str
    started_at: float
    starts: int
    jobs: list[JobMetrics] = []
    runs: list[RunMetrics] = []
    sessions: dict[str, dict[str, int]] = {}
    slots: list[SlotMetrics] = []
    store: StoreMetrics = StoreMetrics()
    process: ProcessMetrics = ProcessMetrics()
    loop: Histogram = Histogram()
    refused: int = 0
    runner_deaths: int = 0
    schedules_skipped: int = 0
    is_writable: bool = True
    without_worker: int = 0
    usage: UsageMetrics = UsageMetrics()
    copies: dict[str, float] = {}
    masters: dict[str, int] = {}
