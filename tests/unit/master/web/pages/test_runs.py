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
