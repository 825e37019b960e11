"""What Prometheus is given is a function of what the master says, and follows Prometheus' rules."""

from __future__ import annotations

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from master.web.metrics.scrape import rendered
from queue_manager.wire.metrics import (
    Histogram,
    JobMetrics,
    MasterMetrics,
    ProcessMetrics,
    RunMetrics,
    SlotMetrics,
    StoreMetrics,
    UsageMetrics,
)

PAGE = Path(__file__).parents[5] / "docs" / "metrics.md"
BOUNDS = [0.005, 1.0]

NOW = MasterMetrics(
    "1.2.3",
    1_000.5,
    7,
    jobs=[
        JobMetrics(
            'a"job\\',
            accepted=9,
            became={"done": 4, "dead": 1},
            waited=Histogram(BOUNDS, [1, 2, 3], 50.5),
            ran=Histogram(BOUNDS, [6, 0, 0], 0.006),
            leases_lost=2,
            tasks={"waiting": 3, "leased": 1, "delayed": 0, "dead": 1},
            oldest_s=12.5,
        ),
        JobMetrics("idle"),
    ],
    runs=[RunMetrics("idle", "done", 5)],
    sessions={"worker": {"busy": 1, "idle": 0, "draining": 0}, "client": {"connected": 2}},
    slots=[SlotMetrics("", "busy", 3), SlotMetrics("gpu", "busy", 2)],
    store=StoreMetrics(Histogram(BOUNDS, [4, 0, 0], 0.01), 100, 200, 300),
    process=ProcessMetrics(1.5, 10_000, 12, 1024),
    loop=Histogram(BOUNDS, [9, 0, 0], 0.02),
    refused=4,
    runner_deaths=5,
    schedules_skipped=6,
    masters={"active": 1, "standby": 2},
    without_worker=11,
    usage=UsageMetrics(5_000, 1.75, 0.5),
    copies={"/other/disk": 0.5},
)


def samples(now: MasterMetrics | None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What is told, by name and labels."""
    text = rendered(now)[0].decode()
    return {
        (sample.name.removeprefix("quartermaster_"), tuple(sorted(sample.labels.items()))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(name: str, **labels: str) -> float:
    return samples(NOW)[name, tuple(sorted(labels.items()))]


JOB = 'a"job\\'


def test_tasks_are_told_by_job_state_and_outcome_with_hostile_names_escaped() -> None:
    assert value("tasks", job_name=JOB, state="waiting") == 3
    assert value("tasks_accepted_total", job_name=JOB) == 9
    assert value("task_outcomes_total", job_name=JOB, outcome="done") == 4
    assert value("task_outcomes_total", job_name=JOB, outcome="lost") == 0
    assert value("leases_lost_total", job_name=JOB) == 2
    assert value("oldest_waiting_seconds", job_name=JOB) == 12.5
    assert value("oldest_waiting_seconds", job_name="idle") == 0


def test_the_buckets_of_a_histogram_count_all_that_is_smaller() -> None:
    name = "task_wait_seconds"
    found = [value(f"{name}_bucket", job_name=JOB, le=le) for le in ("0.005", "1.0", "+Inf")]
    assert found == [1, 3, 6]
    assert (value(f"{name}_count", job_name=JOB), value(f"{name}_sum", job_name=JOB)) == (6, 50.5)
    assert value("task_run_seconds_sum", job_name=JOB) == 0.006
    assert value("commit_seconds_count") == 4
    assert value("loop_lag_seconds_count") == 9


def test_runs_sessions_and_slots_are_told() -> None:
    assert value("runs", job_name="idle", state="done") == 5
    assert value("sessions", role="client", state="connected") == 2
    assert value("slots", state="busy") == 3
    assert value("tagged_slots", tag="gpu", state="busy") == 2


def test_what_workers_take_and_what_has_no_worker_is_told() -> None:
    assert value("tasks_without_worker") == 11
    names = ("memory_bytes", "memory_fullest_ratio", "processors")
    assert [value(f"workers_{name}") for name in names] == [5_000, 0.5, 1.75]


def test_the_master_its_store_and_its_process_are_told() -> None:
    assert value("up") == value("store_writable") == 1
    assert value("info", version="1.2.3") == 1
    assert (value("start_time_seconds"), value("starts_total")) == (1_000.5, 7)
    names = ("file", "wal", "free")
    assert [value(f"store_{name}_bytes") for name in names] == [100, 200, 300]
    assert value("copy_age_seconds", copy="/other/disk") == 0.5
    assert value("outcomes_refused_total") == 4
    assert value("runner_deaths_total") == 5
    assert value("schedule_slots_skipped_total") == 6
    assert value("process_cpu_seconds_total") == 1.5
    assert value("process_resident_memory_bytes") == 10_000
    assert (value("process_open_fds"), value("process_max_fds")) == (12, 1024)


def test_a_master_that_does_not_answer_is_down_and_nothing_else_is_told() -> None:
    assert samples(None) == {("up", ()): 0}


def test_what_nobody_knows_is_left_out() -> None:
    found = {name for name, _ in samples(MasterMetrics("1", 0.0, 1))}
    assert not found & {"store_free_bytes", "process_resident_memory_bytes", "process_open_fds"}


def test_no_label_is_of_a_run_a_task_or_a_worker() -> None:
    labels = {name for _, pairs in samples(NOW) for name, _ in pairs}
    assert labels == {"job_name", "state", "outcome", "tag", "role", "version", "copy", "le"}


def test_who_asks_for_openmetrics_gets_it() -> None:
    text, content_type = rendered(NOW, "application/openmetrics-text;version=1.0.0")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith(b"# EOF\n")


def told() -> set[str]:
    """The metrics that there are, without the endings of a histogram's series."""
    text = rendered(NOW)[0].decode()
    return set(re.findall(r"^# TYPE (\w+) ", text, re.M))


def test_the_page_has_each_metric_and_no_other() -> None:
    rows = re.findall(r"^\| `(quartermaster_\w+)`", PAGE.read_text("utf-8"), re.M)
    assert len(rows) == len(set(rows))
    assert set(rows) == told()


def test_rules_and_dashboard_name_only_what_there_is() -> None:
    """A rule on a name that nothing has would be silent for ever."""
    there = {name + end for name in told() for end in ("", "_bucket", "_sum", "_count")}
    for name in ("alerts.yml", "grafana.json"):
        text = (PAGE.parents[1] / "deploy" / name).read_text("utf-8")
        used = set(re.findall(r"quartermaster_\w+", text))
        assert used
        assert used - there == set(), name
