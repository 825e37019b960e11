"""The answer to Prometheus: asks the master once, and writes what it says."""

from __future__ import annotations

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

from ..link.master import AwayError, BusyError
from ..link.recent import Recent
from .families import families


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
            answer = await self._recent.get("metrics", AskMetrics, Metrics)
        except BusyError as error:  # it may well live: this says nothing of it
            return PlainTextResponse(f"{error}\n", 503)
        except AwayError:
            now = None
        else:
            now = answer.metrics
        text, content_type = rendered(now, request.headers.get("accept", ""))
        return Response(text, headers={"Content-Type": content_type})
