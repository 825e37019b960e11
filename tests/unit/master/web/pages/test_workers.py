"""The page of workers: what their slots do, and who else is there."""

from __future__ import annotations

from typing import Any, cast

from master.web.pages.page import Asked, Desk
from master.web.pages.workers import load
from master.web.text.templates import Templates
from queue_manager.settings import load_settings
from queue_manager.wire.messages import SessionList, Status
from queue_manager.wire.records import Running, SessionStatus
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


class _Why:
    why = ("no worker has the tag gpu",)


def asked(sessions: Sessions) -> Asked:
    desk = Desk(cast(Any, None), cast(Any, sessions), cast(Any, None), load_settings({}))
    return Asked(desk, {}, {})


def worker(name: str, **fields: Any) -> SessionStatus:
    return SessionStatus("worker", name, 4, 6, 3.0, 60.0, **fields)


@in_loop
async def test_slots_are_busy_or_free_and_tasks_may_wait_behind_them() -> None:
    running = [Running(3, 17, 2.5), Running(4, 1, 0.1)]
    stock = SessionStatus("stock", "10.0.0.9:4", 0, 1, 2.0, 5.0, note="its clock is off")
    runner = SessionStatus("runner", "host/12", 0, 0, 0.0, 5.0)
    view = await load(asked(Sessions(worker("a", running=running), worker("b"), stock, runner)))
    assert view["numbers"] == {"workers": 2, "stock": 1, "slots": 8, "busy": 2, "behind": 10}
    assert [one.name for one in view["workers"]] == ["a", "b", "10.0.0.9:4"]
    assert [one.name for one in view["others"]] == ["host/12"]
    text = Templates().render("workers/list.html", "en", view)
    assert 'href="/runs/3/tasks/17"' in text
    assert "2 of 4 busy" in text
    assert "its clock is off" in text


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
