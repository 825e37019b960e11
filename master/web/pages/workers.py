"""Who works, on what, with how much of their machine; and who else is connected."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from queue_manager.wire.messages import AskMetrics, Metrics
from queue_manager.wire.records import SessionStatus

from .overview import staff
from .page import Asked, NothingThereError, Page, View

_ORDERS: dict[str, Callable[[SessionStatus], Any]] = {
    "name": lambda one: one.name,
    "memory": lambda one: -one.usage.memory_bytes if one.usage else 1,
    "processors": lambda one: -(one.usage.processors or 0.0) if one.usage else 1.0,
}
"""By what workers may be sorted. Those that tell nothing of it come last."""


async def load(asked: Asked) -> View:
    """One page of sessions, behind the place `after`: workers, stock clients, and all others.

    sort: in which order its workers come.
    """
    after, sort = asked.number("after"), asked.query.get("sort", "name")
    if sort not in _ORDERS:
        raise NothingThereError(f"sort={sort[:40]!r} is none of {', '.join(_ORDERS)}")
    status = await asked.desk.recent.status()
    found = await asked.desk.recent.sessions(after)
    ours = [one for one in found.sessions if one.role == "worker"]
    stock = [one for one in found.sessions if one.role == "stock"]
    ours.sort(key=lambda one: one.name)
    ours.sort(key=_ORDERS[sort])
    numbers = _numbers(ours) | {"stock": len(stock)}
    if after or not found.complete:  # the page has some of them
        now = (await asked.desk.recent.get("metrics", AskMetrics, Metrics)).metrics
        used = {
            "memory_bytes": now.usage.memory_bytes or None,
            "processors": now.usage.processors,
        }
        numbers = {**staff(now), **used, "behind": None}
    return {
        "after": after,
        "sort": sort,
        "sorts": list(_ORDERS),
        "workers": ours + stock,
        "others": [one for one in found.sessions if one.role not in ("worker", "stock")],
        "numbers": numbers,
        "why": status.why,
        "next": None if found.complete else found.last,
        "more": found.more,
    }


def _numbers(workers: Iterable[SessionStatus]) -> dict[str, Any]:
    """All workers together. Without one that tells it, `memory_bytes` is None.

    behind: how many tasks wait behind those that run; None: nobody has added them up.
    """
    there = list(workers)
    busy = sum(len(one.running) for one in there)
    told = [one.usage for one in there if one.usage is not None]
    return {
        "workers": len(there),
        "slots": sum(one.slots for one in there),
        "busy": busy,
        "behind": max(0, sum(one.held for one in there) - busy),
        "memory_bytes": sum(one.memory_bytes for one in told) if told else None,
        "processors": sum(one.processors or 0.0 for one in told),
    }


WORKERS = Page("/workers", "workers", ("why", "numbers", "list", "others"), load, "Workers")
