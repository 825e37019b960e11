"""Who works, and on what; and who else is connected."""

from __future__ import annotations

from .page import Asked, Page, View


async def load(asked: Asked) -> View:
    """One page of sessions, behind the place `after`: workers, stock clients, and all others."""
    after = asked.number("after")
    status = await asked.desk.recent.status()
    found = await asked.desk.recent.sessions(after)
    workers = [one for one in found.sessions if one.role in ("worker", "stock")]
    ours = [one for one in workers if one.role == "worker"]
    busy = sum(len(one.running) for one in ours)
    return {
        "after": after,
        "workers": workers,
        "others": [one for one in found.sessions if one.role not in ("worker", "stock")],
        "numbers": {
            "workers": len(ours),
            "stock": len(workers) - len(ours),
            "slots": sum(one.slots for one in ours),
            "busy": busy,
            "behind": max(0, sum(one.held for one in ours) - busy),
        },
        "why": status.why,
        "next": None if found.complete else found.last,
        "more": found.more,
    }


WORKERS = Page("/workers", "workers", ("why", "numbers", "list", "others"), load, "Workers")
