"""The overview says a thing once: that no worker is there, and each label of a chart."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from msgspec.structs import replace

from master.web.link.recent import Recent
from master.web.live.rates import Rates
from master.web.pages.overview import NO_WORKER, load
from master.web.pages.page import Asked, Desk
from master.web.text.plot import Chart, Series
from master.web.text.templates import Templates
from queue_manager.settings import load_settings
from queue_manager.wire.history import History
from queue_manager.wire.messages import AskRuns, Metrics, RunList, SessionList, Status
from queue_manager.wire.metrics import JobMetrics, MasterMetrics, SlotMetrics
from queue_manager.wire.records import RunStatus, SessionStatus
from tests.unit.master.web.loops import in_loop

templates = Templates()
NOTHING = {"workers": 0, "slots": 0, "waiting": 5, "leased": 0, "delayed": 0}


def run(number: int, *why: str) -> RunStatus:
    counts = 5, 5, 0, 0, 0, 0
    return RunStatus(number, "square", [], "active", *counts, True, [], 1.0, None, list(why))


def why(*runs: RunStatus, language: str = "en", **numbers: int) -> str:
    view: dict[str, Any] = {
        "why": [],
        "stuck": list(runs),
        "for_workers": [one.run for one in runs if one.why == [NO_WORKER]],
        "numbers": {**NOTHING, **numbers},
        "unserved": bool(runs) and not numbers.get("workers"),
        "is_idle": not runs,
    }
    return templates.render("overview/why.html", language, view)


def test_without_workers_it_is_said_once_and_which_runs_wait_for_one() -> None:
    text = why(run(1, NO_WORKER), run(2, NO_WORKER))
    assert text.lower().count("no worker is connected") == 1
    assert text.count("python -m worker") == 1
    assert re.findall(r'href="(/runs/\d)"', text) == ["/runs/1", "/runs/2"]
    assert "stuck-runs" not in text
    workers = templates.render("overview/workers.html", "en", {"workers": []})
    assert "onnected" not in workers


def test_a_run_that_needs_more_than_any_worker_says_so() -> None:
    tagged = "no worker is connected: start one with WORKER_TAGS=gpu"
    text = why(run(1, NO_WORKER), run(2, tagged), run(3, "its runner is stopped", NO_WORKER))
    assert "WORKER_TAGS=gpu" in text
    assert "its runner is stopped" in text
    assert re.findall(r'<dt><a href="(/runs/\d)"', text) == ["/runs/2", "/runs/3"]


def test_chinese_says_why_a_run_waits() -> None:
    assert "没有工作端具有标签 gpu" in why(
        run(1, "no worker has the tag gpu: start one with WORKER_TAGS=gpu"),
        language="zh",
        workers=1,
    )


class Kept:
    """A master with these runs, jobs and workers, as `Recent` tells of them."""

    def __init__(self, **fields: Any) -> None:
        self.active: list[RunStatus] = []
        self.ended: list[RunStatus] = []
        self.active_runs = 1
        self.workers: list[SessionStatus] = []
        self.metrics = MasterMetrics("1", 1.0, 1)
        for name, value in fields.items():
            setattr(self, name, value)
        self.recent = Recent(cast(Any, self))

    async def ask(self, make: Any, answer: type[Any]) -> Any:
        asked = make(1)
        if answer is Status:
            return Status(1, "1", "here:1", 5.0, 0, [], self.active_runs, len(self.ended), 9)
        if answer is SessionList:
            return SessionList(1, self.workers, 500, False, 700)
        if answer is Metrics:
            return Metrics(1, self.metrics)
        if answer is History:
            return History(1, 60, 1_000_000.0, [])
        assert isinstance(asked, AskRuns)
        if asked.back:  # the last page of the runs that go on
            return RunList(1, self.active[-asked.limit :], 0, True)
        if asked.after < 0:
            return RunList(1, self.ended[-asked.ended :][::-1], 0, True)
        return RunList(1, self.active[: asked.limit], 0, False)

    async def view(self) -> dict[str, Any]:
        rates = Rates(wall=lambda: 1_000_000.0)
        desk = Desk(cast(Any, self), self.recent, rates, load_settings({}), lambda: 1_000_000.0)
        return await load(Asked(desk, {}, {}))


def ended(number: int, ended_at: float, state: str = "done") -> RunStatus:
    return replace(run(number), state=state, ended_at=ended_at)


QUEUE = replace(run(0), tasks=0, waiting=0)


@in_loop
async def test_the_newest_runs_are_shown_and_how_many_more_go_on() -> None:
    many = [QUEUE, *map(run, range(1, 700))]
    view = await Kept(active=many, active_runs=700, ended=[ended(700, 5.0)]).view()
    assert [one.run for one in view["active"]] == list(range(699, 687, -1))
    assert view["active_more"] == 699 - 12
    assert [one.run for one in view["ended"]] == [700]


@in_loop
async def test_the_queue_run_is_one_of_those_that_go_on_if_it_has_tasks() -> None:
    busy = [run(0), *map(run, range(1, 13))]
    assert (await Kept(active=busy, active_runs=13).view())["active_more"] == 1
    view = await Kept(active=[QUEUE, *busy[1:]], active_runs=13).view()
    assert (len(view["active"]), view["active_more"]) == (12, 0)


@in_loop
async def test_runs_that_finish_go_on_and_what_has_ended_last_comes_first() -> None:
    over = [ended(1, 90.0), ended(2, 10.0, "failed"), ended(3, 50.0), ended(4, 99.0, "finishing")]
    view = await Kept(active=[QUEUE], ended=over).view()
    assert [one.run for one in view["ended"]] == [1, 3, 2]
    assert ([one.run for one in view["active"]], view["active_more"]) == ([4], 0)


@in_loop
async def test_all_workers_count_though_a_page_has_some_of_them() -> None:
    there = [SessionStatus("worker", f"w{place}", 4, 0, 0.0, 1.0) for place in range(500)]
    slots = [SlotMetrics("", "busy", 1_000), SlotMetrics("", "idle", 3_000)]
    sessions = {"worker": {"busy": 300, "idle": 700}, "client": {"connected": 200}}
    metrics = MasterMetrics(
        "1", 1.0, 1, slots=[*slots, SlotMetrics("gpu", "idle", 9)], sessions=sessions
    )
    view = await Kept(active=[QUEUE], workers=there, metrics=metrics).view()
    assert (view["numbers"]["workers"], view["numbers"]["slots"]) == (1_000, 4_000)
    assert (len(view["workers"]), view["workers_more"]) == (50, 950)


@in_loop
@pytest.mark.parametrize(
    ("waits", "role", "is_said"),
    [
        ("", "", False),
        ("queue", "", True),
        ("square", "", True),
        ("queue", "stock", False),
        ("square", "stock", True),
        ("square", "worker", False),
    ],
)
async def test_no_worker_is_a_reason_where_tasks_wait_that_nobody_takes(
    waits: str, role: str, is_said: bool
) -> None:
    jobs = [JobMetrics(waits or "square", tasks={"waiting": 5 if waits else 0})]
    sessions = {role: {"idle": 1}} if role else {}
    metrics = MasterMetrics("1", 1.0, 1, jobs=jobs, sessions=sessions)
    there = [replace(run(3), waiting=5)] if waits else []
    view = await Kept(active=[QUEUE, *there], active_runs=1, metrics=metrics).view()
    text = templates.render("overview/why.html", "en", view)
    assert ("Why something" in text) == is_said
    assert ("No worker is connected" in text) == (is_said or not (waits or role))


@pytest.mark.parametrize(
    ("length_s", "said"),
    [
        (3_600.0, ["10:00", "10:05"]),
        (86_400.0, ["11-28 10:00", "11-28 12:00"]),
        (604_800.0, ["11-28 10:00", "11-28 22:00"]),
    ],
)
def test_each_row_of_a_chart_has_its_own_time(length_s: float, said: list[str]) -> None:
    since = 1_795_860_000.0
    step_s = min(length_s / 12, 43_200.0)
    moments = [since + place * step_s for place in range(12)]
    chart = Chart(moments, [Series("done", [1 / 300] * 12)], since, since + length_s)
    view = {"shown": [chart], "span": "week", "spans": ["week"]}
    text = templates.render("overview/rate.html", "en", view)
    times = re.findall(r'<th scope="row"><time [^>]*>([^<]*)</time>', text)
    assert sorted(times)[:2] == said
    assert len(set(times)) == len(times) == 12
    assert re.findall(r'<td class="num">([^<]*)</td>', text) == ["0.0033"] * 12


@pytest.mark.parametrize(
    ("length_s", "said"),
    [
        (120.0, ["10:00", "", "10:01", "", "10:02"]),
        (3_600.0, ["10:00", "10:15", "10:30", "10:45", "11:00"]),
        (3 * 86_400.0, ["11-28", "11-29", "", "11-30", "12-01"]),
    ],
)
def test_a_chart_has_each_label_once(length_s: float, said: list[str]) -> None:
    since = 1_795_860_000.0  # 2026-11-28T10:00:00Z
    chart = Chart([since], [Series("done", [1.0])], since, since + length_s)
    view = {"shown": [chart], "span": "hour", "spans": ["hour"]}
    text = templates.render("overview/rate.html", "en", view)
    marks = re.search(r'<div class="xs".*?</div>', text, re.DOTALL)
    assert marks is not None
    assert re.findall(r"<time [^>]*>([^<]*)</time>", marks[0]) == said
