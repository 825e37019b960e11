"""The list of runs: how many a page shows, and how many a program may have."""

from __future__ import annotations

from typing import Any, cast

import pytest

from master.web.link.recent import Recent
from master.web.live.rates import Rates
from master.web.pages.page import Asked, Desk
from master.web.pages.runs import load
from queue_manager.settings import load_settings
from queue_manager.wire.messages import AskRuns, RunList
from queue_manager.wire.records import RunStatus
from tests.unit.master.web.loops import in_loop


class Lists:
    """A master without runs. limits: how many it was asked for."""

    def __init__(self) -> None:
        self.limits: list[int] = []

    async def ask(self, make: Any, answer: type[Any]) -> Any:
        request = make(1)
        assert isinstance(request, AskRuns)
        self.limits.append(request.limit)
        return RunList(1, [], last=0, complete=True)


@pytest.mark.parametrize(
    ("limit", "is_data", "most"),
    [("", False, 50), ("500", False, 100), ("99", False, 99), ("500", True, 500), ("0", True, 1)],
)
def test_a_page_shows_fewer_runs_than_a_program_may_have(
    limit: str, is_data: bool, most: int
) -> None:
    master = Lists()

    @in_loop
    async def ask() -> None:
        desk = Desk(cast(Any, master), Recent(master), Rates(), load_settings({}))
        await load(Asked(desk, {}, {"limit": limit}, is_data=is_data))

    ask()
    assert master.limits == [most]


class Long:
    """A master with one run that has the text, behind 60,000 that do not. places: asked behind."""

    def __init__(self) -> None:
        self.places: list[int] = []

    async def ask(self, make: Any, answer: type[Any]) -> Any:
        request = make(1)
        self.places.append(request.after)
        behind = request.after - request.ended if request.after else -request.ended
        is_there = behind <= -60_000
        run = RunStatus(7, "job", [], "done", 1, 0, 0, 0, 1, 0, True, 0, 0.0, 1.0)
        return RunList(1, [run] * is_there, behind, is_there, first=-7 * is_there)


def test_a_search_that_finds_nothing_in_a_part_goes_on_behind_it() -> None:
    master = Long()
    shown: list[Any] = []

    @in_loop
    async def ask() -> None:
        desk = Desk(cast(Any, master), Recent(master), Rates(), load_settings({}))
        shown.append(await load(Asked(desk, {}, {"search": "rare"})))

    ask()
    assert master.places == [0, -25_000, -50_000]
    assert [run.run for run in shown[0]["runs"]] == [7]
    assert shown[0]["older"] is None
