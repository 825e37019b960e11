"""How fast messages go out: to a domain by limits of the queue, to a server by a shared file."""

from __future__ import annotations

import fcntl
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path

from queue_manager import Limit

from ..campaign import Campaign
from .errors import Later
from .pool import locked

_DAY_S = 86_400.0
_DOMAINS = 10_000


def limit_of(campaign: Campaign, now: datetime) -> Limit:
    """The limit of each domain at a moment: `per_minute`, or what a warm-up allows on that day."""
    every_s = 60.0 / campaign.per_minute if campaign.per_minute else 0.0
    if campaign.warmup:
        since = datetime.fromisoformat(campaign.since)
        days = max(0, (now - since.astimezone(UTC)).days)
        every_s = max(every_s, _DAY_S / (campaign.warmup * 2 ** min(days, 40)))
    return Limit(at_once=campaign.at_once, every_s=every_s)


class Limits:
    """Which limits this process has told the queue already."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[int, str], Limit] = OrderedDict()

    def news(self, run: int, domain: str, campaign: Campaign) -> dict[str, Limit]:
        """The limit for a domain, if the queue may not know it yet."""
        limit = limit_of(campaign, datetime.now(UTC))
        if self._told.get((run, domain)) == limit:
            return {}
        self._told[run, domain] = limit
        if len(self._told) > _DOMAINS:
            self._told.popitem(last=False)
        return {domain: limit}


class Pace:
    """Spreads what goes to one server over time, on all workers: so many messages a second.

    The moment of the next message is in a file that the workers share, with the seconds from the
    last one to it.
    """

    def __init__(self, folder: Path, per_second: float) -> None:
        self._path, self._every_s = folder / "pace", 1.0 / per_second

    def wait(self, most_s: float) -> None:
        """Wait for a turn. Raises Later if it comes later than `most_s` seconds from now."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self._path, fcntl.LOCK_EX):
            now = time.time()
            due, every_s = self._next()
            # Whoever wrote it waited for the turn before it. So the clock was wrong, then or now.
            if due > now + most_s + max(every_s, self._every_s):
                due = 0.0
            turn = max(now, due)
            if turn - now > most_s:
                raise Later(f"the rate leaves no turn within {most_s:.0f} s", turn - now)
            self._path.write_text(f"{turn + self._every_s!r} {self._every_s!r}")
        time.sleep(turn - now)

    def _next(self) -> tuple[float, float]:
        try:
            due, every_s = map(float, self._path.read_text().split())
        except ValueError:  # new, or cut by a crash
            return 0.0, 0.0
        return due, every_s
