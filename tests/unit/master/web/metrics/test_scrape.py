"""What Prometheus is told of a master that does not answer, before it gives up itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import pytest
from starlette.requests import Request
from starlette.responses import Response

from master.web.link.recent import Recent
from master.web.metrics.scrape import Scrape
from queue_manager.wire.messages import Request as Asked

R = TypeVar("R")


class Frozen:
    """A master that takes each request and answers none."""

    async def ask(self, make: Callable[[int], Asked], answer: type[R]) -> R:
        await asyncio.Event().wait()
        raise AssertionError("no answer")


def scraped(*headers: tuple[str, str]) -> Response:
    """The answer to a scrape of a frozen master. Fails when there is none in time."""

    async def scrape() -> Response:
        (route,) = Scrape(Recent(Frozen())).routes()
        raw = [(name.lower().encode(), value.encode()) for name, value in headers]
        request = Request({"type": "http", "method": "GET", "headers": raw})
        async with asyncio.timeout(60):
            answer: Response = await route.endpoint(request)
        return answer

    return asyncio.run(scrape())


def test_a_frozen_master_is_told_within_the_time_of_the_scrape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("master.web.metrics.scrape.ANSWER_S", 600.0)
    answer = scraped(("X-Prometheus-Scrape-Timeout-Seconds", "0.1"))
    assert answer.status_code == 200
    assert b"\nquartermaster_up 0.0\n" in answer.body


@pytest.mark.parametrize("odd", ["", "soon", "nan", "inf", "-1", "0"])
def test_an_odd_time_counts_as_none(odd: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("master.web.metrics.scrape.ANSWER_S", 0.1)
    answer = scraped(("X-Prometheus-Scrape-Timeout-Seconds", odd))
    assert b"\nquartermaster_up 0.0\n" in answer.body
