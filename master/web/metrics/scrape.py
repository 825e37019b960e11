"""The answer to Prometheus: asks the master once, and writes what it says."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from queue_manager.wire.messages import AskMetrics, Metrics
from queue_manager.wire.metrics import MasterMetrics

from ..link.master import ANSWER_S, AwayError, BusyError
from ..link.recent import Recent
from .families import families

_PART = 0.8
"""The part of a scrape's time that the master has. The rest is for the answer and its way."""


class Snapshot(Collector):
    """What the master said at one moment; None: it does not answer."""

    def __init__(self, now: MasterMetrics | None) -> None:
        self._now = now

    def collect(self) -> Iterable[Metric]:
        return families(self._now)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not ask what there is before somebody scrapes."""
        return []


def rendered(now: MasterMetrics | None, accept: str = "") -> tuple[bytes, str]:
    """The text for Prometheus and its content type. accept: the header of the request."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Snapshot(now))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class Scrape:
    """The route `/metrics`."""

    def __init__(self, recent: Recent) -> None:
        self._recent = recent

    def routes(self) -> list[Route]:
        """Where it is."""
        return [Route("/metrics", self._answer)]

    async def _answer(self, request: Request) -> Response:
        try:
            async with asyncio.timeout(_within_s(request)):
                answer = await self._recent.get("metrics", AskMetrics, Metrics)
        except BusyError as error:  # it may well live: this says nothing of it
            return PlainTextResponse(f"{error}\n", 503)
        except (AwayError, TimeoutError):
            now = None
        else:
            now = answer.metrics
        text, content_type = rendered(now, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})


def _within_s(request: Request) -> float:
    """How long the master has: so long that its silence is told before Prometheus gives up."""
    try:
        given = float(request.headers.get("x-prometheus-scrape-timeout-seconds", ""))
    except ValueError:
        return ANSWER_S
    return min(ANSWER_S, given * _PART) if math.isfinite(given) and given > 0 else ANSWER_S
