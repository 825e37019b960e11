"""How a host is left alone: the limit of its requests, and the pauses that it asks for.

A limit is set by the results of visits, and the queue keeps it across all workers.
"""

from __future__ import annotations

import time

from queue_manager import Limit, Reject, Result, Retry, Task

from ..following import AGAIN, key_of
from ..rules import Rules
from ..site import Site
from .payload import Visit

BUSY_S = 30.0
"""The pause of a host that answers 429 and does not say for how long."""

LEAST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 24 * 3600.0
SAID_AGAIN_S = 20.0
"""How often a result repeats the limit of its host: a result may have been lost."""


class Politeness:
    """The limits that this process has told the queue."""

    def __init__(self) -> None:
        self._said: dict[str, float] = {}

    def limits(self, visit: Visit, rules: Rules | None) -> dict[str, Limit]:
        """The limit of the visit's host, for its result; nothing if it was told a while ago."""
        if not visit.site.polite:
            return {}
        now, host = time.monotonic(), visit.host
        if now - self._said.get(host, -SAID_AGAIN_S) < SAID_AGAIN_S:
            return {}
        self._said[host] = now
        return {host: limit_of(visit.site, rules)}


def limit_of(site: Site, rules: Rules | None) -> Limit:
    """What the user and robots.txt allow, the stricter of both."""
    every_s = max(site.every_s, rules.every_s if rules is not None else 0.0)
    return Limit(at_once=site.at_once or None, every_s=every_s)


def handed_back(visit: Visit, rules: Rules) -> Result:
    """The result of a turn that went to robots.txt: the address itself gets another turn.

    A worker that has no copy of these rules may get that turn, and read robots.txt, too.
    """
    turn = visit.payload.get("turn", 0) + 1
    payload = {**visit.payload, "turn": turn}
    key = f"after robots.txt {turn}: {visit.address}"
    again = Task(payload, key=key_of(key), group=visit.host, priority=AGAIN)
    return Result({"robots": visit.host}, [again], limits={visit.host: limit_of(visit.site, rules)})


def pause(asked_s: float | None, why: str) -> Exception:
    """What to raise to leave the whole host alone for as long as it asks.

    Args:
        asked_s: None if the host does not say for how long.
    """
    delay_s = BUSY_S if asked_s is None else max(asked_s, LEAST_PAUSE_S)
    if delay_s > LONGEST_PAUSE_S:
        return Reject(f"{why}, and wants to be left alone for {delay_s / 3600:,.0f} hours")
    return Retry(delay_s, whole_group=True, reason=f"{why}: again in {delay_s:,.0f} s")
