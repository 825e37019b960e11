"""What the master has counted, as Prometheus names it. A function of the snapshot alone.

docs/metrics.md says of each name what it is and what to do when it moves; a test compares both.
Source of the rules: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.utils import floatToGoString

from queue_manager.wire.metrics import Histogram, JobMetrics, MasterMetrics

OUTCOMES = ("done", "failed", "dead", "cancelled", "released", "lost")


def families(now: MasterMetrics | None) -> Iterator[Metric]:
    """All metrics of a master. None: it does not answer."""
    yield _gauge("up", "1 if the master answers its web process, else 0.", int(now is not None))
    if now is not None:
        yield from _master(now)
        yield from _tasks(now.jobs)
        yield from _runs_and_sessions(now)
        yield from _store(now)
        yield from _process(now)


# --- parts ---


def _master(now: MasterMetrics) -> Iterator[Metric]:
    info = GaugeMetricFamily("quartermaster_info", "The master's version.", labels=["version"])
    info.add_metric([now.version], 1)
    yield info
    yield _gauge("start_time_seconds", "When the master started (Unix time).", now.started_at)
    yield _counter("starts", "Starts of a master on this store, since it was made.", now.starts)
    yield _counter("outcomes_refused", "Outcomes of old leases, which were refused.", now.refused)
    yield _counter(
        "runner_deaths", "Processes of runners that ended before their run.", now.runner_deaths
    )
    yield _counter(
        "schedule_slots_skipped", "Slots of schedules that were left out.", now.schedules_skipped
    )
    yield _gauge("master_active", "1: this master has the queue. A standby has no metrics.", 1)
    if now.masters:
        masters = GaugeMetricFamily(
            "quartermaster_masters", "Masters that share the store, by role.", labels=["role"]
        )
        for role in ("active", "standby", "away"):
            masters.add_metric([role], now.masters.get(role, 0))
        yield masters
    loop = HistogramMetricFamily(
        "quartermaster_loop_lag_seconds", "By how much the master's loop was late, once a second."
    )
    _add(loop, [], now.loop)
    yield loop


def _tasks(jobs: list[JobMetrics]) -> Iterator[Metric]:
    tasks = GaugeMetricFamily(
        "quartermaster_tasks", "Tasks that are in a state now.", labels=["job_name", "state"]
    )
    accepted = CounterMetricFamily(
        "quartermaster_tasks_accepted", "Tasks that were accepted.", labels=["job_name"]
    )
    outcomes = CounterMetricFamily(
        "quartermaster_task_outcomes", "What became of tasks.", labels=["job_name", "outcome"]
    )
    waited = HistogramMetricFamily(
        "quartermaster_task_wait_seconds",
        "How long tasks had waited for a try that was reported.",
        labels=["job_name"],
    )
    ran = HistogramMetricFamily(
        "quartermaster_task_run_seconds", "How long tries of tasks took.", labels=["job_name"]
    )
    lost = CounterMetricFamily(
        "quartermaster_leases_lost", "Leases that ended with their session.", labels=["job_name"]
    )
    oldest = GaugeMetricFamily(
        "quartermaster_oldest_waiting_seconds",
        "For how long the task has waited that has waited longest; 0 if none waits.",
        labels=["job_name"],
    )
    for job in jobs:
        for state, count in job.tasks.items():
            tasks.add_metric([job.job, state], count)
        for outcome in OUTCOMES:
            outcomes.add_metric([job.job, outcome], job.became.get(outcome, 0))
        accepted.add_metric([job.job], job.accepted)
        lost.add_metric([job.job], job.leases_lost)
        oldest.add_metric([job.job], job.oldest_s or 0.0)
        _add(waited, [job.job], job.waited)
        _add(ran, [job.job], job.ran)
    yield from (tasks, accepted, outcomes, waited, ran, lost, oldest)


def _runs_and_sessions(now: MasterMetrics) -> Iterator[Metric]:
    runs = GaugeMetricFamily(
        "quartermaster_runs", "Runs that are in a state now.", labels=["job_name", "state"]
    )
    for run in now.runs:
        runs.add_metric([run.job, run.state], run.runs)
    sessions = GaugeMetricFamily(
        "quartermaster_sessions", "Sessions that are connected.", labels=["role", "state"]
    )
    for role, states in now.sessions.items():
        for state, count in states.items():
            sessions.add_metric([role, state], count)
    slots = GaugeMetricFamily("quartermaster_slots", "Slots of all workers.", labels=["state"])
    tagged = GaugeMetricFamily(
        "quartermaster_tagged_slots", "Slots of workers with a tag.", labels=["tag", "state"]
    )
    for slot in now.slots:
        if slot.tag:
            tagged.add_metric([slot.tag, slot.state], slot.slots)
        else:
            slots.add_metric([slot.state], slot.slots)
    yield from (runs, sessions, slots, tagged)
    yield _gauge(
        "tasks_without_worker", "Tasks that wait for tags that no worker has.", now.without_worker
    )
    use = now.usage
    yield _gauge("workers_memory_bytes", "Memory that all workers take.", use.memory_bytes)
    yield _gauge(
        "workers_memory_fullest_ratio",
        "The largest part of its limit of memory that a worker takes.",
        use.fullest,
    )
    yield _gauge("workers_processors", "Processors that all workers use.", use.processors)


def _store(now: MasterMetrics) -> Iterator[Metric]:
    store = now.store
    commit = HistogramMetricFamily("quartermaster_commit_seconds", "How long commits took.")
    _add(commit, [], store.commit)
    yield commit
    yield _gauge("store_writable", "1 if the store can be written, else 0.", now.is_writable)
    yield _gauge("store_file_bytes", "Size of the store's main file.", store.file_bytes)
    yield _gauge("store_wal_bytes", "Size of its log of what was written last.", store.wal_bytes)
    if store.free_bytes is not None:
        yield _gauge("store_free_bytes", "What is free on its disk.", store.free_bytes)
    copies = GaugeMetricFamily(
        "quartermaster_copy_age_seconds",
        "How long ago a followed copy of the store was complete.",
        labels=["copy"],
    )
    for name, age_s in now.copies.items():
        copies.add_metric([name], age_s)
    yield copies


def _process(now: MasterMetrics) -> Iterator[Metric]:
    process = now.process
    yield _counter("process_cpu_seconds", "Processor time of the master's process.", process.cpu_s)
    for name, help_text, value in (
        ("resident_memory_bytes", "Memory of the master's process.", process.rss_bytes),
        ("open_fds", "Files that the master's process has open.", process.fds),
        ("max_fds", "How many files it may have open.", process.most_fds),
    ):
        if value is not None:
            yield _gauge(f"process_{name}", help_text, value)


# --- pieces ---


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"quartermaster_{name}", help_text, value=float(value))


def _counter(name: str, help_text: str, value: float) -> Metric:
    return CounterMetricFamily(f"quartermaster_{name}", help_text, value=value)


def _add(family: HistogramMetricFamily, labels: list[str], found: Histogram) -> None:
    """Add a histogram. Prometheus counts in each bucket those of all smaller ones, too."""
    bounds = [*map(floatToGoString, found.bounds), "+Inf"]
    counts = list(accumulate(found.counts)) or [0]
    buckets = list(zip(bounds, counts, strict=True))
    family.add_metric(labels, buckets, found.sum_s)
