"""One address: asked for politely, looked through, and what follows from it.

Owns what becomes of each kind of answer. Every visit ends as a result with follow-ups, as a
counted skip, as `Retry` or `Reject`, or as an error that is worth another try.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from queue_manager import Limit, Reject, Result, Retry, Task

from .address import LONGEST, host_of, origin_of
from .beside import beside
from .fetch.client import (
    REDIRECTS,
    Answer,
    Client,
    FetchError,
    TooLargeError,
    location,
    retry_after_s,
)
from .fetch.guard import ForbiddenAddressError
from .fetch.outside import validator
from .following import AGAIN, Follower, Handed, key_of
from .keep import thumbnails
from .keep.files import IN_MEMORY_BYTES, Incoming, Store
from .keep.taken import Taken
from .look import vectors
from .look.links import Found, found_in_sheet, links_of
from .look.pictures import Picture, is_whole, picture_of, says_it_late
from .look.sitemaps import MOST_BYTES as SITEMAP_BYTES
from .look.sitemaps import NoSitemapError, named_by
from .rules import Rules, RulesOfHosts, UnreachableRulesError
from .site import Site, unpacked

MOST_REDIRECTS = 10
MEGABYTE = 1_000_000
PAGE_BYTES = 4 * 1024 * 1024
"""Real pages have a megabyte or two. The worst of this size, all attributes, stays below the slot's
`memory_bytes`, and one page at a time is looked through."""

SHEET_BYTES = 1024 * 1024
"""More is no page, no style sheet that somebody wrote; to look through it takes far more."""

LONG_BYTES = 64 * 1024
"""A longer text takes the parser seconds, and much memory, at worst: a thread looks through one at
a time. A shorter one takes 0.5 s at worst, and a millisecond mostly."""

AGENT = "Quartermaster"
BUSY_S = 30.0
"""So long a host is left alone that answers 429 and does not say for how long."""

LEAST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 24 * 3600.0
SAID_AGAIN_S = 20.0

_HTML = ("text/html", "application/xhtml+xml", "application/xml", "text/xml", "")


class Skip(Exception):
    """Nothing is kept of an address, and that is no failure; its text says why."""


class Visit:
    """One payload, opened."""

    def __init__(self, site: Site, payload: dict[str, Any]) -> None:
        self.site, self.payload = site, payload
        self.kind: str = payload["kind"]
        self.address: str = payload["url"]
        self.host, self.origin = host_of(self.address), origin_of(self.address)
        self.hops: list[str] = payload.get("hops", [])
        self.is_linked: bool = payload.get("linked", False)
        self._known: dict[str, Any] = payload.get("known", {})

    @property
    def is_start(self) -> bool:
        """Whether the crawl begins here: without it there is none."""
        first = self.hops[0] if self.hops else self.address
        return self.kind == "page" and first == self.site.start

    @property
    def was_found(self) -> bool:
        """Whether an earlier run has it: it may be as before, and then takes no room."""
        return any(name in self._known for name in ("file", "etag", "modified"))

    def is_known(self, store: Store) -> bool:
        """Whether an earlier run has what would come, and this machine still has its file."""
        known = self._known
        if not (known.get("etag") or known.get("modified")):
            return False
        return "file" not in known or store.has(known["file"], known["bytes"])

    @property
    def conditions(self) -> dict[str, str]:
        """The headers that ask for it only if it has changed (RFC 9110, 13.1)."""
        known, headers = self._known, {}
        if known.get("etag"):
            headers["If-None-Match"] = known["etag"]
        if known.get("modified"):
            headers["If-Modified-Since"] = known["modified"]
        return headers

    @property
    def unchanged(self) -> dict[str, Any]:
        """The result of an address that has not changed: what it was, and that."""
        what = {} if "file" in self._known else {self.kind: 0}
        return {**what, **self._known, "unchanged": True}


class Visitor:
    """Visits addresses for one run. Make it in a running event loop.

    Args:
        host: the name of this machine, for the rows.

    Attributes:
        visits: so many are going on.
    """

    def __init__(self, site: Site, host: str) -> None:
        self._site, self._host = site, host
        agent = site.user_agent or f"{AGENT}/1.0 (crawls images)"
        self._client = Client(user_agent=agent, private=site.private)
        self._store = Store(Path(site.out))
        self._taken = Taken(self._store.folder, site.run, site.megabytes * MEGABYTE)
        self._rules = RulesOfHosts(self._store, site.run, agent)
        self._said: dict[str, float] = {}
        self._handed = Handed()
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
        if not (visit.is_start or visit.was_found) and self._taken.is_full():
            return {"skip": self._full}
        try:
            rules = self._rules.known(visit.origin) if site.robots else None
            if rules is None and site.robots:
                return self._opened(visit, await self._read_rules(visit))
            if rules is not None and not rules.allow(visit.address):
                raise Skip("robots.txt disallows it")
            value, follow = await self._fetched(visit)
        except Skip as skip:
            if visit.is_start:
                raise Reject(f"the start, {visit.address}: {skip}") from None
            value, follow = {"skip": str(skip)}, []
        except ForbiddenAddressError as error:
            raise Reject(str(error)) from None
        limits = self._limits(visit, rules)
        if rules is not None and (limits or visit.is_start):  # now and then, as the limits are
            named = rules.sitemaps(visit.origin)
            follow = follow + Follower(site, payload, self._handed).of_sitemaps(named)
        return Result(value, follow, limits=limits) if follow or limits else value

    @property
    def _full(self) -> str:
        return f"megabytes={self._site.megabytes} are stored already"

    # --- politeness ---

    async def _read_rules(self, visit: Visit) -> Rules:
        """Ask a host for its rules. Whoever is first there does."""
        try:
            return await self._rules.fetch(self._client, visit.origin)
        except UnreachableRulesError as error:
            raise _later(error.delay_s, str(error)) from None

    def _opened(self, visit: Visit, rules: Rules) -> Result:
        """This turn of the host went to robots.txt: the address itself has another one."""
        # Another worker, which has no copy of these rules, may get that one, and ask again.
        turn = visit.payload.get("turn", 0) + 1
        payload = {**visit.payload, "turn": turn}
        key = f"after robots.txt {turn}: {visit.address}"
        again = Task(payload, key=key_of(key), group=visit.host, priority=AGAIN)
        value = {"robots": visit.host}
        return Result(value, [again], limits={visit.host: self._limit(visit.site, rules)})

    def _limits(self, visit: Visit, rules: Rules | None) -> dict[str, Limit]:
        """The host's limit, now and then: a result with it may have been lost."""
        if not visit.site.polite:
            return {}
        now = time.monotonic()
        if now - self._said.get(visit.host, -SAID_AGAIN_S) < SAID_AGAIN_S:
            return {}
        self._said[visit.host] = now
        return {visit.host: self._limit(visit.site, rules)}

    @staticmethod
    def _limit(site: Site, rules: Rules | None) -> Limit:
        every_s = max(site.every_s, rules.every_s if rules is not None else 0.0)
        return Limit(at_once=site.at_once or None, every_s=every_s)

    # --- the answer ---

    async def _fetched(self, visit: Visit) -> tuple[dict[str, Any], list[Task]]:
        known = visit.is_known(self._store)
        client, limit = self._client, visit.site.max_bytes
        headers = visit.conditions if known else None
        with await client.get(visit.address, limit, headers) as answer:
            status = answer.status
            if status == 304 and known:
                return await self._unchanged(visit), []
            if status in REDIRECTS:
                return self._redirected(visit, answer)
            if status in (429, 503):
                self._busy(visit, answer)
            if status >= 500:
                raise FetchError(f"{visit.address} answers {status}")
            if status != 200:
                raise Skip(f"status {status}")
            try:
                return await self._received(visit, answer)
            except TooLargeError as error:
                raise Skip(f"too large: {error}") from None

    async def _unchanged(self, visit: Visit) -> dict[str, Any]:
        value = visit.unchanged
        if "file" in value:
            await self._thumbnail(value)  # the folder may be older than thumbnails are
        return value

    async def _thumbnail(self, value: dict[str, Any]) -> None:
        """Make the thumbnail of a stored picture, where it should have one and has none."""
        size = value.get("width"), value.get("height")
        if thumbnails.is_wanted(value["type"], value["bytes"], *size):
            await beside(thumbnails.make, self._store, value["file"])

    def _busy(self, visit: Visit, answer: Answer) -> None:
        asked_s = retry_after_s(answer.headers)
        if asked_s is None and answer.status == 503:
            raise FetchError(f"{visit.address} answers 503")
        raise _later(asked_s, f"{visit.address} answers {answer.status}")

    def _redirected(self, visit: Visit, answer: Answer) -> tuple[dict[str, Any], list[Task]]:
        target = location(answer.headers, visit.address)
        if target is None:
            raise Skip("redirects to nothing that can be fetched")
        hops = [*visit.hops, visit.address]
        if target in hops:
            raise Reject(f"redirects in a circle: {' to '.join([*hops, target])}")
        if len(hops) > MOST_REDIRECTS:
            raise Reject(f"more than {MOST_REDIRECTS} redirects, from {hops[0]} on")
        follow = Follower(visit.site, visit.payload, self._handed).redirect(target, hops)
        if not follow:
            raise Skip(f"redirects off the site, to {target}")
        return {"redirect": target}, follow

    async def _received(self, visit: Visit, answer: Answer) -> tuple[dict[str, Any], list[Task]]:
        if visit.kind == "sitemap":
            return await self._sitemap(visit, answer)
        if answer.type in _HTML and visit.kind == "page":
            return await self._page(visit, answer)
        if answer.type in _HTML[:2] and visit.is_linked:
            follow = Follower(visit.site, visit.payload, self._handed).as_page()
            if not follow:
                raise Skip("no picture but a page, off the site or too deep")
            return {"is": "a page"}, follow
        if visit.kind == "css" and answer.type in ("text/css", "text/plain", ""):
            return await self._sheet(visit, answer)
        if visit.kind == "css":
            raise Skip(f"no style sheet but {answer.type}")
        if visit.kind == "page" and not answer.type.startswith("image/"):
            raise Skip(f"no page but {answer.type}")
        return await self._image(visit, answer), []

    async def _page(self, visit: Visit, answer: Answer) -> tuple[dict[str, Any], list[Task]]:
        body = await _body(answer, PAGE_BYTES)
        found = await _looked(links_of, body, answer.charset, visit.address)
        follower = Follower(visit.site, visit.payload, self._handed)
        target = self._refresh(visit, found)
        first = follower.redirect(target, [*visit.hops, visit.address]) if target else []
        follow = first + follower.of_page(visit.address, found)
        follower.left_out += found.left_out
        value = _looked_through("page", follower, follow, body, answer)
        return ({**value, "refresh": target} if first else value), follow

    @staticmethod
    def _refresh(visit: Visit, found: Found) -> str | None:
        """What a page leads to like a redirect. In a circle nothing; behind ten it is a link."""
        target, hops = found.refresh, [*visit.hops, visit.address]
        if target is None or target in hops:
            return None
        if len(hops) > MOST_REDIRECTS:
            found.pages.setdefault(target)
            return None
        found.pages.pop(target, None)
        return target

    async def _sheet(self, visit: Visit, answer: Answer) -> tuple[dict[str, Any], list[Task]]:
        body = await _body(answer, SHEET_BYTES)
        found = await _looked(found_in_sheet, body, answer.charset, visit.address)
        follower = Follower(visit.site, visit.payload, self._handed)
        follow = follower.of_sheet(found)
        return _looked_through("css", follower, follow, body, answer), follow

    async def _sitemap(self, visit: Visit, answer: Answer) -> tuple[dict[str, Any], list[Task]]:
        body = await _body(answer, SITEMAP_BYTES)
        try:
            found, sitemaps = await beside(named_by, body, visit.address)
        except NoSitemapError as error:
            raise Skip(str(error)) from None
        follower = Follower(visit.site, visit.payload, self._handed)
        follow = follower.of_page(visit.address, found) + follower.of_sitemaps(sitemaps)
        return _looked_through("sitemap", follower, follow, body, answer), follow

    async def _image(self, visit: Visit, answer: Answer) -> dict[str, Any]:
        incoming = self._store.incoming()
        try:
            early: Picture | None = None
            late = False
            async for chunk in answer.chunks():
                incoming.write(chunk)
                if early is None and not late and incoming.size_bytes > IN_MEMORY_BYTES:
                    late = says_it_late(incoming.head)
                    if not late:  # nor a stream without end
                        early = _wanted(visit, answer, incoming.head)
            # A large file is read, and looked at, in a thread: it takes longer than a request.
            head = await beside(incoming.whole) if late else incoming.head
            picture = early or _wanted(visit, answer, head)
            if not answer.is_framed and not await beside(_is_whole, incoming):
                raise FetchError(f"the body of {visit.address} is cut short or damaged")
            ending = _ending(picture, incoming)
            if visit.site.megabytes:  # else nobody need look at the disk
                fresh = not self._store.has(incoming.name(ending), incoming.size_bytes)
                if fresh and not self._taken.add(incoming.size_bytes):
                    raise Skip(self._full)
            value = {
                "file": incoming.keep(ending),
                "type": picture.type,
                "bytes": incoming.size_bytes,
                "width": picture.width,
                "height": picture.height,
                "host": self._host,
                **_validators(answer),
            }
            await self._thumbnail(value)
            return value
        finally:
            incoming.drop()


def _wanted(visit: Visit, answer: Answer, head: bytes) -> Picture:
    picture = picture_of(head)
    if picture is None:
        claimed = f", though it says {answer.type}" if answer.type.startswith("image/") else ""
        kind = "picture" if visit.kind == "image" else "page and no picture"
        raise Skip(f"no {kind} that is known{claimed}")
    if visit.site.types and picture.type not in visit.site.types:
        raise Skip(f"of type {picture.type}, which types= leaves out")
    return picture


def _is_whole(incoming: Incoming) -> bool:
    return is_whole(incoming.whole())


def _ending(picture: Picture, incoming: Incoming) -> str:
    """What the name of a file ends with: a browser shows an SVG that may run something as text."""
    if picture.type != "svg":
        return picture.type
    fits = incoming.size_bytes <= vectors.MOST_BYTES
    return "svg" if fits and vectors.is_inert(incoming.whole()) else "svg.txt"


async def _looked(
    look: Callable[..., Found], body: bytes, charset: str | None, address: str
) -> Found:
    """What is found in a text; the event loop goes on while a long one is looked through."""
    if len(body) <= LONG_BYTES:
        return look(body, charset, address)
    return await beside(look, body, charset, address)


async def _body(answer: Answer, most: int) -> bytes:
    parts, came = [], 0
    async for chunk in answer.chunks():
        parts.append(chunk)
        came += len(chunk)
        if came > most:
            raise TooLargeError(f"more than {most:,} bytes of text")
    return b"".join(parts)


def _looked_through(
    kind: str, follower: Follower, follow: list[Task], body: bytes, answer: Answer
) -> dict[str, Any]:
    value = {kind: len(follow), "bytes": len(body), **_validators(answer)}
    if follower.left_out:
        value["left_out"] = follower.left_out
    return value


def _validators(answer: Answer) -> dict[str, str]:
    """What a later run asks by whether it has changed (RFC 9110, 8.8)."""
    headers = answer.headers
    found = {"etag": validator(headers, "ETag"), "modified": validator(headers, "Last-Modified")}
    return {name: text for name, text in found.items() if text}


def _later(asked_s: float | None, why: str) -> Exception:
    """The whole host is left alone for so long as it asked for."""
    delay_s = BUSY_S if asked_s is None else max(asked_s, LEAST_PAUSE_S)
    if delay_s > LONGEST_PAUSE_S:
        return Reject(f"{why}, and wants to be left alone for {delay_s / 3600:,.0f} hours")
    return Retry(delay_s, whole_group=True, reason=f"{why}: again in {delay_s:,.0f} s")
