"""The page of workers: what their slots do, and who else is there."""

from __future__ import annotations

import re
from typing import Any, cast

import pytest
from msgspec.structs import replace

from master.web.pages.page import Asked, Desk, NothingThereError
from master.web.pages.workers import load
from master.web.text.templates import Templates
from queue_manager.settings import load_settings
from queue_manager.wire.messages import Metrics, SessionList, Status
from queue_manager.wire.metrics import MasterMetrics, SlotMetrics, UsageMetrics
from queue_manager.wire.records import Running, SessionStatus
from queue_manager.wire.usage import LargestSlot, Usage
from tests.unit.master.web.loops import in_loop

HOSTILE = "<script>alert(1)</script>\x1b[2J"


class Sessions:
    """A master with these sessions."""

    def __init__(self, *sessions: SessionStatus, more: int = 0) -> None:
        self._list = SessionList(1, list(sessions), 9, not more, more)

    async def status(self) -> Status:
        return cast(Status, _Why())

    async def sessions(self, after: int) -> SessionList:
        return self._list

    async def get(self, key: object, make: Any, answer: type[Any]) -> Any:
        assert answer is Metrics
        slots = [SlotMetrics("", "busy", 900), SlotMetrics("", "idle", 3_100)]
        now = MasterMetrics("1", 1.0, 1, sessions=EVERYBODY, slots=slots)
        return Metrics(1, replace(now, usage=UsageMetrics(7 * GIB, 3.5)))


EVERYBODY = {"worker": {"busy": 900, "idle": 100}, "stock": {"connected": 7}}


class _Why:
    why = ("no worker has the tag gpu",)


def asked(sessions: Sessions, **query: str) -> Asked:
    desk = Desk(cast(Any, None), cast(Any, sessions), cast(Any, None), load_settings({}))
    return Asked(desk, {}, query)


def worker(name: str, **fields: Any) -> SessionStatus:
    return SessionStatus("worker", name, 4, 6, 3.0, 60.0, **fields)


@in_loop
async def test_slots_are_busy_or_free_and_tasks_may_wait_behind_them() -> None:
    running = [Running(3, 17, 2.5), Running(4, 1, 0.1)]
    stock = SessionStatus("stock", "10.0.0.9:4", 0, 1, 2.0, 5.0, note="its clock is off")
    runner = SessionStatus("runner", "host/12", 0, 0, 0.0, 5.0)
    view = await load(asked(Sessions(worker("a", running=running), worker("b"), stock, runner)))
    numbers = {"workers": 2, "stock": 1, "slots": 8, "busy": 2, "behind": 10}
    assert view["numbers"] == {**numbers, "memory_bytes": None, "processors": 0.0}
    assert [one.name for one in view["workers"]] == ["a", "b", "10.0.0.9:4"]
    assert [one.name for one in view["others"]] == ["host/12"]
    text = Templates().render("workers/list.html", "en", view)
    assert 'href="/runs/3/tasks/17"' in text
    assert "2 of 4 busy" in text
    assert "its clock is off" in text


@in_loop
@pytest.mark.parametrize(("more", "query"), [(1_000, {}), (0, {"after": "500"})])
async def test_one_page_of_many_workers_has_the_numbers_of_all(
    more: int, query: dict[str, str]
) -> None:
    view = await load(asked(Sessions(worker("a"), worker("b"), more=more), **query))
    numbers = {"workers": 1_000, "stock": 7, "slots": 4_000, "busy": 900, "behind": None}
    assert view["numbers"] == {**numbers, "memory_bytes": 7 * GIB, "processors": 3.5}
    text = Templates().render("workers/numbers.html", "en", view)
    assert "1,000" in text
    assert "more" not in text
    assert "None" not in text


GIB = 1024**3
USES = Usage(6 * GIB // 5, 4 * GIB, 1.7, 2.0, LargestSlot(GIB // 2, 3, 17))


@in_loop
async def test_memory_and_processors_are_told_with_their_limits_and_the_largest_slot() -> None:
    view = await load(asked(Sessions(worker("a", usage=USES), worker("b"))))
    assert (view["numbers"]["memory_bytes"], view["numbers"]["processors"]) == (6 * GIB // 5, 1.7)
    text = Templates().render("workers/list.html", "en", view)
    assert "1.2 GiB of 4.0 GiB" in text
    assert "1.7 of 2<" in text
    assert "512.0 MiB" in text
    assert 'href="/runs/3/tasks/17"' in text
    assert "共 4.0 GiB" in Templates().render("workers/list.html", "zh", view)
    text = Templates().render("workers/numbers.html", "en", view)
    assert "memory in use" in text
    assert "1.2 GiB" in text


@in_loop
async def test_a_worker_that_tells_little_shows_little() -> None:
    view = await load(asked(Sessions(worker("a", usage=Usage(512)), worker("b"))))
    text = Templates().render("workers/list.html", "en", view)
    assert "512 B<" in text
    assert "largest slot" not in text
    assert "None" not in text
    text = Templates().render(
        "workers/numbers.html", "en", await load(asked(Sessions(worker("b"))))
    )
    assert "memory in use" not in text


@in_loop
@pytest.mark.parametrize(
    ("part", "color"), [(0.89, "bar-done"), (0.9, "bar-dead"), (7, "bar-dead")]
)
async def test_memory_that_is_nearly_full_is_red(part: float, color: str) -> None:
    full = worker("a", usage=Usage(int(100 * GIB * part), 100 * GIB))
    text = Templates().render("workers/list.html", "en", await load(asked(Sessions(full))))
    bar = text.partition("of 100.0 GiB")[2]
    width = min(100.0, 100 * part)
    assert re.search(rf'"{color}"[^>]* width="{width:.0f}\.', bar)


@in_loop
async def test_workers_are_sorted_by_what_they_take_and_those_that_tell_nothing_come_last() -> None:
    stock = SessionStatus("stock", "10.0.0.9:4", 0, 1, 2.0, 5.0)
    small, large = Usage(1, processors=1.5), Usage(9, processors=0.5)
    there = [stock, worker("c", usage=small), worker("d"), worker("b", usage=large), worker("a")]
    orders = {"": "abcd1", "name": "abcd1", "memory": "bcad1", "processors": "cbad1"}
    for sort, order in orders.items():
        view = await load(asked(Sessions(*there, more=1), **({"sort": sort} if sort else {})))
        assert "".join(one.name[0] for one in view["workers"]) == order
        text = Templates().render("workers/list.html", "en", view)
        assert f'sort={sort or "name"}" aria-current' in text
        assert text.count("aria-current") == 1
        kept = "" if sort in ("", "name") else f"sort={sort}&amp;"
        assert f'href="/workers?{kept}after=9"' in text


@in_loop
async def test_an_order_that_there_is_not_is_no_page() -> None:
    with pytest.raises(NothingThereError, match="memory"):
        await load(asked(Sessions(), sort="<b>"))


@in_loop
async def test_nobody_who_works_is_told_with_what_to_do_next() -> None:
    view = await load(asked(Sessions()))
    assert "docker compose up --scale worker=2" in Templates().render(
        "workers/list.html", "en", view
    )
    assert "no worker has the tag gpu" in Templates().render("workers/why.html", "en", view)


@in_loop
async def test_texts_of_workers_stand_as_they_are() -> None:
    one = worker(HOSTILE, note=HOSTILE, address=HOSTILE * 2, version=HOSTILE, tags=[HOSTILE])
    view = await load(asked(Sessions(one, more=500)))
    text = Templates().render("workers/list.html", "en", view)
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;\\x1b[2J") == 6
    assert "<script>" not in text
    assert 'href="/workers?after=9"' in text
