"""The overview says a thing once: that no worker is there, and each label of a chart."""

from __future__ import annotations

import re
from typing import Any

import pytest

from master.web.pages.overview import NO_WORKER
from master.web.text.plot import Chart, Series
from master.web.text.templates import Templates
from queue_manager.wire.records import RunStatus

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
