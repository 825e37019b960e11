"""How `status` prints runs page by page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from master.cli.status import _show_runs
from queue_manager.wire.messages import RunList
from tests.unit.master.cli.text.test_status_text import run


def test_the_one_title_of_many_pages_has_the_columns_of_each_page(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def pages() -> AsyncIterator[RunList]:
        yield RunList(1, [run(1, [])], 1, False)
        yield RunList(1, [run(2, [], cancelled=77)], 2, True)

    asyncio.run(_show_runs(pages(), None))
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    at = head.index("cancelled")
    assert [row[at] for row in rows] == ["0", "77"]


def test_one_page_has_no_column_for_cancelled_tasks_where_there_are_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    async def pages() -> AsyncIterator[RunList]:
        yield RunList(1, [run(1, [])], 1, True)

    asyncio.run(_show_runs(pages(), None))
    assert "cancelled" not in capsys.readouterr().out
