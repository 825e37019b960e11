"""Visits addresses: first the rules of the host, then the address, then what follows.

Every visit ends as a result with follow-ups, as a counted skip, as `Retry` or `Reject`, or as an
error that is worth another try.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from queue_manager import Reject, Result

from ..address import LONGEST
from ..fetch.client import Client
from ..fetch.guard import ForbiddenAddressError
from ..following import Follower
from ..handed import Handed
from ..keep.files import Store
from ..keep.taken import Taken
from ..rules import Rules, RulesOfHosts, UnreachableRulesError
from ..site import Site, unpacked
from .answers import Answers
from .payload import Outcome, Skip, Visit
from .pictures import Pictures, full
from .politeness import Politeness, handed_back, pause

MEGABYTE = 1_000_000
AGENT = "Quartermaster"


class Visitor:
    """Visits addresses for one run. Make it in a running event loop.

    Args:
        host: the name of this machine, for the rows of the index.

    Attributes:
        visits: how many are going on.
    """

    def __init__(self, site: Site, host: str) -> None:
        agent = site.user_agent or f"{AGENT}/1.0 (crawls images)"
        self._client = Client(user_agent=agent, private=site.private)
        store = Store(Path(site.out))
        self._taken = Taken(store.folder, site.run, site.megabytes * MEGABYTE)
        self._rules = RulesOfHosts(store, site.run, agent)
        self._politeness = Politeness()
        self._handed = Handed()
        pictures = Pictures(store, self._taken, host)
        self._answers = Answers(self._client, store, pictures, self._handed)
        self.visits = 0

    async def close(self) -> None:
        """The run is over for this process."""
        await self._client.close()

    def abandon(self) -> None:
        """The process ends."""
        self._client.abandon()

    async def visit(self, payload: dict[str, Any]) -> Any:
        """The result for one payload."""
        self.visits += 1
        try:
            return await self._visited(payload)
        finally:
            self.visits -= 1

    async def _visited(self, payload: dict[str, Any]) -> Any:
        site = unpacked(payload["site"])
        self._handed.came_from(payload.get("by", ""))
        if payload["kind"] == "links":
            follow = Follower(site, payload, self._handed).of_parcel()
            return Result({"links": len(follow)}, follow)
        if payload["kind"] == "long":
            return {"skip": f"its address has more than {LONGEST:,} characters"}
        visit = Visit(site, payload)
        if site.megabytes and not (visit.is_start or visit.was_found) and self._taken.is_full():
            return {"skip": full(site)}
        rules = self._rules.known(visit.origin) if site.robots else None
        if rules is None and site.robots:
            return await self._opened(visit)
        return self._result(visit, rules, *await self._fetched(visit, rules))

    async def _opened(self, visit: Visit) -> Result:
        """Read the rules of a host; whoever comes first to the host does."""
        try:
            return handed_back(visit, await self._rules.fetch(self._client, visit.origin))
        except UnreachableRulesError as error:
            raise pause(error.delay_s, str(error)) from None
        except ForbiddenAddressError as error:
            raise Reject(str(error)) from None

    async def _fetched(self, visit: Visit, rules: Rules | None) -> Outcome:
        try:
            if rules is not None and not rules.allow(visit.address):
                raise Skip("robots.txt disallows it")
            return await self._answers.fetched(visit)
        except Skip as skip:
            if visit.is_start:
                raise Reject(f"the start, {visit.address}: {skip}") from None
            return {"skip": str(skip)}, []
        except ForbiddenAddressError as error:
            raise Reject(str(error)) from None

    def _result(self, visit: Visit, rules: Rules | None, value: Any, follow: Any) -> Any:
        limits = self._politeness.limits(visit, rules)
        if rules is not None and (limits or visit.is_start):  # now and then, as the limits are
            named = rules.sitemaps(visit.origin)
            follow = follow + Follower(visit.site, visit.payload, self._handed).of_sitemaps(named)
        return Result(value, follow, limits=limits) if follow or limits else value
