"""What the master counts and measures, as a desk's broker and its sessions have it."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from master.backup.states import CopyState
from master.broker.leases.lease import Session
from master.broker.runs.run import Run
from master.changes import CollectCursor
from master.observe import waited
from master.observe.metrics import MetricsBuilder
from master.observe.process import of_this_process
from master.reads import StoreSize
from master.tally.histogram import WORK_BOUNDS_S, Histogram
from master.tally.tally import Tally
from queue_manager.errors import StoreError
from queue_manager.wire.masters import MasterStatus
from queue_manager.wire.messages import Hello, Metrics, decode_reply, encode
from queue_manager.wire.metrics import JobMetrics, MasterMetrics, UsageMetrics
from queue_manager.wire.records import GroupLimit, RunOptions
from queue_manager.wire.usage import Usage
from tests.unit.master.desk import Desk


class Sources:
    """A desk's sessions as what metrics need of them."""

    address = "here:1"

    def __init__(self, desk: Desk) -> None:
        self.started = time.monotonic() - 5.0
        self.loop = Histogram(WORK_BOUNDS_S)
        self.there: list[Any] = []
        self.clients: list[Any] = []
        self.runners: dict[int, Any] = {}
        self.turn: Any = SimpleNamespace(
            broker=desk.broker,
            store=desk.store,
            trouble="",
            wall=desk.wall,
            commit_seconds=Histogram(WORK_BOUNDS_S),
        )
        self.builder = MetricsBuilder(self.turn, self)

    def workers(self) -> Any:
        return self.there

    def stock(self) -> Any:
        return self.clients

    def others(self) -> Any:
        return [SimpleNamespace(hello=Hello("runner", "host", 1))]

    def runner(self, run: int) -> Any:
        return self.runners.get(run)

    def fed(self, run: object) -> bool:
        return False

    def job_trouble(self, job: str) -> str:
        return ""

    def runner_deaths(self) -> int:
        return 3

    def masters(self) -> list[MasterStatus]:
        return [MasterStatus("a", "", True, 1.0, 0.1), MasterStatus("b", "", False, 1.0, 9.0)]

    def schedules_skipped(self) -> int:
        return 4

    def copies(self) -> list[CopyState]:
        return [CopyState("/other/disk", time.time() - 7.0)]

    def worker(self, session: Session, draining: bool = False, usage: Usage | None = None) -> None:
        self.there.append(SimpleNamespace(session=session, draining=draining, usage=usage))

    def now(self) -> MasterMetrics:
        """As it comes at the other end of the wire."""
        answer = decode_reply(encode(Metrics(1, self.builder.now())))
        assert isinstance(answer, Metrics)
        return answer.metrics

    def job(self, name: str = "job") -> JobMetrics:
        (found,) = [job for job in self.now().jobs if job.job == name]
        return found

    def runs(self) -> dict[tuple[str, str], int]:
        return {(run.job, run.state): run.runs for run in self.now().runs if run.job != "queue"}


@pytest.fixture
def desk() -> Desk:
    """A desk whose time is that of the metrics."""
    return desk_now()


def desk_now(**options: Any) -> Desk:
    desk = Desk(**options)
    desk.now = time.monotonic()
    desk.wall = desk.now + desk.broker.tally.behind_s
    desk.broker.wake(desk.now)
    return desk


def test_tasks_are_told_by_job_and_state(desk: Desk) -> None:
    session = desk.session()
    desk.submit(5)
    desk.submit(2, delay_s=100.0)
    desk.fail(desk.lease(session), reject=True)
    desk.commit()
    desk.lease(session)
    assert Sources(desk).job().tasks == {"waiting": 3, "leased": 1, "delayed": 2, "dead": 1}


def test_counts_and_seconds_are_told_by_job(desk: Desk) -> None:
    session = desk.session()
    desk.submit(2)
    desk.done(desk.lease(session))
    desk.lease(session)
    desk.drop(session)
    desk.commit()
    job = Sources(desk).job()
    assert (job.accepted, job.became, job.leases_lost) == (2, {"done": 1, "lost": 1}, 1)
    assert sum(job.waited.counts) == sum(job.ran.counts) == 1
    assert len(job.ran.counts) == len(job.ran.bounds) + 1


def test_the_dead_letters_of_ended_runs_count_until_they_are_forgotten(desk: Desk) -> None:
    session = desk.session()
    desk.submit(1)
    desk.broker.exhaust(desk.run)
    desk.fail(desk.lease(session), reject=True)
    desk.commit()
    sources = Sources(desk)
    assert sources.job().tasks["dead"] == 1
    desk.run.collect_cursor = CollectCursor(closed=True)
    desk.broker.forget(desk.run)
    desk.commit()
    sources.builder._counted = 0.0, 0.0
    assert sources.job().tasks["dead"] == 0


def test_a_dead_letter_counts_once_when_its_run_ends_and_when_it_is_tried_again(desk: Desk) -> None:
    """A count of ended runs that is a while old is none of the runs that are active now."""
    session, sources = desk.session(), Sources(desk)

    def dead() -> int:
        sources.builder._counted = time.monotonic() - 30.0, 1.0  # it took a second
        return sources.job().tasks["dead"]

    desk.submit(2)
    desk.broker.exhaust(desk.run)
    desk.fail(desk.lease(session), reject=True)
    desk.commit()
    assert dead() == 1
    desk.fail(desk.lease(session), reject=True)
    desk.commit()
    assert (desk.run.active, dead()) == (False, 2)
    assert desk.broker.retry(desk.run, desk.wall) == 2
    desk.commit()
    assert (desk.run.active, dead()) == (True, 0)


# --- how old what waits is ---


def test_the_oldest_waiting_task_is_the_oldest_of_all_lanes_and_runs(desk: Desk) -> None:
    sources = Sources(desk)
    assert sources.job().oldest_s is None
    desk.submit(1)
    desk.broker.wake(desk.now + 50.0)
    desk.submit(100, priority=5)
    desk.submit(1, desk.new_run())
    least_s = time.monotonic() - desk.now
    oldest_s = sources.job().oldest_s
    assert oldest_s is not None
    assert least_s <= oldest_s <= time.monotonic() - desk.now


def test_the_oldest_waiting_task_may_be_one_whose_delay_is_over(desk: Desk) -> None:
    session = desk.session()
    desk.submit(1)
    desk.fail(desk.lease(session), delay_s=0.0)
    desk.commit()
    desk.broker.wake(desk.now + 0.1)
    (task,) = desk.run.lane.tracked.in_memory.values()
    task.due_at -= 33.0
    oldest_s = Sources(desk).job().oldest_s
    assert oldest_s is not None
    assert 33.0 <= oldest_s < 38.0


def test_a_task_of_a_limited_group_waits_like_any_other() -> None:
    desk = desk_now(per_group=GroupLimit(at_once=1))
    desk.submit(1, group="a")
    assert Sources(desk).job().oldest_s is not None


def test_tasks_that_are_leased_or_delayed_do_not_wait(desk: Desk) -> None:
    session = desk.session()
    desk.submit(1)
    desk.lease(session)
    desk.submit(1, delay_s=100.0)
    assert Sources(desk).job().oldest_s is None


# --- runs ---


def test_runs_are_told_by_job_and_state(desk: Desk) -> None:
    done, failed = desk.new_run("other"), desk.new_run("other")
    session = desk.session()
    desk.broker.exhaust(done)
    desk.submit(1, failed)
    desk.broker.exhaust(failed)
    desk.fail(desk.lease(session), reject=True)
    desk.commit()
    assert Sources(desk).runs() == {
        ("job", "active"): 1,
        ("other", "done"): 1,
        ("other", "failed"): 1,
    }


def test_a_run_whose_finish_has_not_returned_is_finishing_and_nothing_else() -> None:
    desk = desk_now(finish=True)
    desk.broker.exhaust(desk.run)
    desk.commit()
    assert Sources(desk).runs() == {("job", "finishing"): 1}


def test_a_run_whose_runner_was_given_up_is_stalled(desk: Desk) -> None:
    sources = Sources(desk)
    sources.runners[1] = SimpleNamespace(stalled=True, why_stalled="died", remedy=lambda: "mend")
    assert sources.runs() == {("job", "stalled"): 1}


def test_a_run_that_waits_for_another_is_pending(desk: Desk) -> None:
    desk.broker.start_run("later", [], None, RunOptions(), desk.wall, after=[desk.run])
    desk.commit()
    assert Sources(desk).runs() == {("job", "active"): 1, ("later", "pending"): 1}


def test_what_takes_long_to_look_at_is_looked_at_a_small_part_of_the_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def slow(run: Run, tally: Tally) -> float | None:
        looks.append(run.id)
        time.sleep(0.05)
        return desk.now

    monkeypatch.setattr(waited, "waits_since", slow)
    desk.submit(1)
    sources = Sources(desk)
    assert [sources.job().oldest_s is not None for _ in range(20)] == [True] * 20
    assert len(looks) == 1
    desk.done(desk.lease(desk.session()))
    desk.commit()
    assert sources.job().oldest_s is None, "no task waits any more"


def test_the_oldest_of_many_lanes_is_sought_among_the_times_of_blocks_once(desk: Desk) -> None:
    asked: list[int] = []
    block = SimpleNamespace(block=7)
    window = SimpleNamespace(order=[0], ready={0: [block]})
    lane = SimpleNamespace(window=window, tracked=SimpleNamespace(first=None, quarantined=[]))
    run: Any = SimpleNamespace(waiting=5_000, lanes=[lane] * 4_096)
    tally: Any = SimpleNamespace(
        behind_s=0.0, accepted=SimpleNamespace(of=lambda number: asked.append(number) or 3.0)
    )
    assert waited.waits_since(run, tally) == 3.0
    assert asked == [7]


# --- sessions and slots ---


def test_slots_are_told_by_state_of_all_workers_and_of_each_tag(desk: Desk) -> None:
    busy = desk.session(slots=3, tags=frozenset({"gpu", "python3.13"}))
    idle, leaving = desk.session(slots=2), desk.session(slots=1, tags=frozenset({"gpu"}))
    desk.submit(1)
    desk.lease(busy)
    sources = Sources(desk)
    sources.worker(busy)
    sources.worker(idle)
    sources.worker(leaving, draining=True)
    now = sources.now()
    slots = {(slot.tag, slot.state): slot.slots for slot in now.slots}
    assert slots == {
        ("", "busy"): 1,
        ("", "idle"): 4,
        ("", "draining"): 1,
        ("gpu", "busy"): 1,
        ("gpu", "idle"): 2,
        ("gpu", "draining"): 1,
    }
    assert now.sessions["worker"] == {"busy": 1, "idle": 1, "draining": 1}


def test_tasks_without_a_worker_are_those_whose_tags_none_has(desk: Desk) -> None:
    sources = Sources(desk)
    desk.submit(9)  # of a run that needs no tags
    for needs, count in ((["gpu"], 5), (["gpu", "eu"], 3), (["eu"], 2)):
        desk.submit(count, desk.new_run(needs=needs))
    assert sources.now().without_worker == 10
    sources.worker(desk.session(tags=frozenset({"eu", "ssd"})))
    sources.worker(desk.session(tags=frozenset({"gpu"})), draining=True)
    assert sources.now().without_worker == 8
    sources.worker(desk.session(tags=frozenset({"gpu"})))
    assert sources.now().without_worker == 3
    sources.worker(desk.session(tags=frozenset({"gpu", "eu"})))
    assert sources.now().without_worker == 0


def test_tasks_of_the_queue_run_have_a_worker_where_a_stock_client_is_connected() -> None:
    desk = desk_now()
    sources, queue = Sources(desk), desk.broker.runs[0]
    queue.options = RunOptions(needs=["gpu"])
    desk.submit(4, queue)
    assert sources.now().without_worker == 4
    sources.clients.append(SimpleNamespace())
    assert sources.now().without_worker == 0


def test_what_workers_take_is_summed_up_and_the_fullest_is_told(desk: Desk) -> None:
    sources = Sources(desk)
    assert sources.now().usage == UsageMetrics()
    for usage in (Usage(30, 100, 1.5), Usage(80, 100), Usage(7), None):
        sources.worker(desk.session(), usage=usage)
    assert sources.now().usage == UsageMetrics(117, 1.5, 0.8)


def test_leases_that_wait_behind_others_take_no_slot(desk: Desk) -> None:
    session = desk.session(slots=1)
    desk.submit(2)
    desk.lease(session)
    desk.lease(session)
    sources = Sources(desk)
    sources.worker(session)
    assert [slot.slots for slot in sources.now().slots if slot.state == "busy"] == [1]


def test_sessions_of_each_role_are_told_also_where_there_is_none(desk: Desk) -> None:
    sources = Sources(desk)
    sources.clients = [object(), object()]
    assert sources.now().sessions == {
        "worker": {"busy": 0, "idle": 0, "draining": 0},
        "runner": {"connected": 1},
        "client": {"connected": 0},
        "stock": {"connected": 2},
    }


# --- the master itself ---


def test_the_master_tells_of_itself(desk: Desk) -> None:
    sources = Sources(desk)
    sources.turn.commit_seconds.observe(0.002)
    sources.loop.observe(0.3)
    now = sources.now()
    assert now.starts == desk.broker.epoch
    assert now.started_at == pytest.approx(desk.wall - 5.0, abs=5.0)
    assert (now.runner_deaths, now.schedules_skipped, now.is_writable) == (3, 4, True)
    assert now.masters == {"active": 1, "away": 1}
    assert (sum(now.store.commit.counts), now.store.commit.sum_s) == (1, 0.002)
    assert now.loop.sum_s == 0.3
    sources.turn.trouble = "the disk is full"
    assert not sources.now().is_writable


def test_a_store_that_cannot_be_read_keeps_no_metrics_back(desk: Desk) -> None:
    def unread() -> Any:
        raise StoreError("can't read it")

    desk.submit(1)
    desk.store.runs_ended = unread  # type: ignore[method-assign]
    desk.store.size = unread  # type: ignore[method-assign]
    assert Sources(desk).job().tasks["waiting"] == 1


def test_the_ended_runs_are_counted_at_most_a_small_part_of_the_time(desk: Desk) -> None:
    counted: list[float] = []

    def slow() -> Any:
        counted.append(time.monotonic())
        time.sleep(0.05)
        return []

    desk.store.runs_ended = slow  # type: ignore[method-assign]
    sources = Sources(desk)
    for _ in range(20):
        sources.now()
    assert len(counted) == 1


def test_the_size_of_the_store_is_told(desk: Desk) -> None:
    desk.store.size = lambda: StoreSize(7, 8, 9)  # type: ignore[method-assign]
    store = Sources(desk).now().store
    assert (store.file_bytes, store.wal_bytes, store.free_bytes) == (7, 8, 9)


def test_copies_have_an_age(desk: Desk) -> None:
    assert Sources(desk).now().copies["/other/disk"] == pytest.approx(7.0, abs=2.0)


def test_this_process_has_memory_files_and_processor_time() -> None:
    found = of_this_process()
    assert found.rss_bytes is not None
    assert 5e6 < found.rss_bytes < 5e9
    assert found.fds is not None
    assert 0 < found.fds <= (found.most_fds or found.fds)
    assert found.cpu_s > 0


def test_a_system_that_does_not_tell_leaves_figures_out(tmp_path: Any) -> None:
    found = of_this_process(tmp_path / "statm", tmp_path / "fd")
    assert (found.rss_bytes, found.fds) == (None, None)
