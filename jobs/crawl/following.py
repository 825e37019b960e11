"""The tasks that follow from one address: which, with which key, group, quota and priority."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

import msgspec

from queue_manager import Quota, Task

from .address import host_of
from .handed import Handed, Link
from .look.found import Found
from .look.kinds import TYPES
from .look.sitemaps import MOST_SITEMAPS
from .site import Site

PAGE, IMAGE, SHEET, AGAIN = 0, 1, 2, 3
"""Priorities. What a page refers to goes before more pages: fewer tasks wait, and people see
pictures early."""

MOST_BYTES = 3584 * 1024
"""The follow-ups of one task may take 4 MiB. Links that take more as tasks travel in parcels, where
each takes little more than its address. Links that are too much even so are left out."""

PARCEL_BYTES = 700 * 1024
"""The most bytes of a parcel: a payload may have 1 MiB."""

KEY_BYTES = 1_024
KEY_BEGIN_BYTES = 900
_OWN_BYTES = 100
_PRIORITIES = {"page": PAGE, "css": SHEET, "sitemap": SHEET}
_ENDINGS = tuple(f".{ending}" for ending in (*TYPES, "jpeg", "tif", "apng"))


class Follower:
    """Makes the follow-ups of one payload.

    Args:
        handed: what need not be handed in again. Without it, everything is handed in.

    Attributes:
        left_out: how many links were more than a result can carry.
    """

    def __init__(self, site: Site, payload: dict[str, Any], handed: Handed | None = None) -> None:
        self._site, self._from = site, payload
        self._handed = handed if handed is not None else Handed()
        self._packed: str = payload["site"]
        self.left_out = 0

    def of_page(self, address: str, found: Found) -> list[Task]:
        """What a page leads to."""
        depth = self._from.get("depth", 0) + 1
        links = [("css", sheet, "") for sheet in found.sheets]
        links += [("image", picture, alt) for picture, alt in found.pictures.items()]
        for page in found.pages:
            if page in found.pictures or not self._site.covers(host_of(page)):
                continue
            if page.partition("?")[0].lower().endswith(_ENDINGS):
                links.append(("linked", page, ""))
            elif depth <= self._site.depth:
                links.append(("page", page, ""))
        base = {"page": address, "depth": depth}
        return self._fresh(links, base) + self._too_long(found, base)

    def of_sheet(self, found: Found) -> list[Task]:
        """What a style sheet leads to. Its pictures count as those of its page."""
        links = [("css", sheet, "") for sheet in found.sheets]
        links += [("image", picture, "") for picture in found.pictures]
        base = {"page": self._from.get("page", ""), "depth": self._from.get("depth", 0)}
        return self._fresh(links, base) + self._too_long(found, base)

    def of_sitemaps(self, addresses: Iterable[str]) -> list[Task]:
        """The sitemaps of hosts whose pages are crawled; none where only the start is crawled."""
        if not self._site.depth:
            return []
        wanted = [one for one in addresses if self._site.covers(host_of(one))]
        base = {"kind": "sitemap", "site": self._packed, "page": "", "depth": 0}
        return [self._made({**base, "url": one}) for one in wanted[:MOST_SITEMAPS]]

    def of_parcel(self) -> list[Task]:
        """What was too much for one result. It may be too much for this result, too."""
        base = {name: self._from[name] for name in ("page", "depth", "by")}
        links = [(kind, address, alt) for kind, address, alt in self._from["links"]]
        return self._bounded(links, base)[0]

    def redirect(self, target: str, hops: list[str]) -> list[Task]:
        """The address that another address redirects to. Pages of other hosts are left out.

        A start that leads to another host, such as one with `www.` before it, means that host.
        """
        payload = {**self._from, "url": target, "hops": hops}
        payload.pop("known", None)
        host = host_of(target)
        if self._from["kind"] in ("page", "sitemap") and not self._site.covers(host):
            if hops[0] != self._site.start:
                return []
            hosts = [*self._site.hosts, host]
            payload["site"] = msgspec.structs.replace(self._site, hosts=hosts).packed()
        return [self._made(payload)]

    def as_page(self) -> list[Task]:
        """The same address again, as a page: its name was that of a picture.

        Nothing if such a page does not belong to the crawl.
        """
        deep = self._from.get("depth", 0) > self._site.depth
        if deep or not self._site.covers(host_of(self._from["url"])):
            return []
        payload = {**self._from, "kind": "page"}
        payload.pop("linked", None)
        task = self._made(payload)
        key = key_of(f"page: {task.key}")
        return [Task(task.payload, key, task.group, PAGE, quota=task.quota)]

    def _too_long(self, found: Found, base: dict[str, Any]) -> list[Task]:
        """A task for each address that is too long. It asks for nothing; its result tells why."""
        tasks = []
        for address, kind in found.long.items():
            if kind == "page" and not self._site.covers(host_of(address)):
                continue
            short = key_of(address)
            payload = {"kind": "long", "url": short, "site": self._packed, **base}
            tasks.append(Task(payload, key=short, priority=AGAIN))
        return tasks

    def _fresh(self, links: list[Link], base: dict[str, Any]) -> list[Task]:
        by = self._handed.visit()
        tasks, direct = self._bounded(self._handed.fresh(links), {**base, "by": by})
        self._handed.hand_in(by, direct)
        return tasks

    def _bounded(self, links: list[Link], base: dict[str, Any]) -> tuple[list[Task], list[Link]]:
        """The tasks, and the links that have a task each. The other links are in parcels."""
        own = _OWN_BYTES + sum(len(str(value)) for value in (self._packed, base))
        links = self._carried(links)
        size = sum(map(_in_parcel, links))
        direct = 0
        for link in links:
            size += own + len(link[1]) * 2 + len(link[2]) * 4 - _in_parcel(link)
            if size > MOST_BYTES:
                break
            direct += 1
        tasks = [self._task(link, base) for link in links[:direct]]
        return tasks + list(self._parcels(links[direct:], base)), links[:direct]

    def _carried(self, links: list[Link]) -> list[Link]:
        size = 0
        for number, link in enumerate(links):
            size += _in_parcel(link)
            if size > MOST_BYTES:
                self.left_out = len(links) - number
                return links[:number]
        return links

    def _parcels(self, links: list[Link], base: dict[str, Any]) -> Iterator[Task]:
        address = self._from["url"]
        for number, parcel in enumerate(_cut(links)):
            part = f"{self._from.get('part', '')}{number}."
            payload = {"kind": "links", "url": address, "site": self._packed, "part": part, **base}
            payload["links"] = [list(link) for link in parcel]
            yield Task(payload, key=key_of(f"links {part} of {address}"), priority=AGAIN)

    def _task(self, link: Link, base: dict[str, Any]) -> Task:
        kind, address, alt = link
        payload: dict[str, Any] = {"kind": kind, "url": address, "site": self._packed, **base}
        if kind == "linked":
            payload["kind"], payload["linked"] = "image", True
        if alt:
            payload["alt"] = alt
        return self._made(payload)

    def _made(self, payload: dict[str, Any]) -> Task:
        return task_of(self._site, payload)


def key_of(text: str) -> str:
    """The key of a task by its address. A long address has its beginning, and a hash of all."""
    if len(text) <= KEY_BYTES and text.isascii():
        return text
    data = text.encode()
    if len(data) <= KEY_BYTES:
        return text
    return f"{data[:KEY_BEGIN_BYTES].decode(errors='ignore')}... sha256 {sha256(data).hexdigest()}"


def task_of(site: Site, payload: dict[str, Any]) -> Task:
    """The task of a payload: its address is its key, its host its group."""
    kind, address = payload["kind"], payload["url"]
    return Task(
        payload,
        # An address that is a sitemap may be a page, too, if a page links to it.
        key=key_of(f"sitemap: {address}" if kind == "sitemap" else address),
        group=host_of(address) if site.polite else None,
        priority=_PRIORITIES.get(kind, IMAGE),
        quota=_quota(kind, site.pages, site.images),
    )


@functools.lru_cache(maxsize=64)
def _quota(kind: str, pages: int, images: int) -> Quota | None:
    if kind == "page":
        return Quota("pages", pages)
    if kind == "sitemap":
        return Quota("sitemaps", MOST_SITEMAPS)
    if kind == "image" and images:
        return Quota("images", images)
    return None


def _cut(links: list[Link]) -> Iterator[list[Link]]:
    parcel: list[Link] = []
    size = 0
    for link in links:
        size += _in_parcel(link)
        if parcel and size > PARCEL_BYTES:
            yield parcel
            parcel, size = [], _in_parcel(link)
        parcel.append(link)
    if parcel:
        yield parcel


def _in_parcel(link: Link) -> int:
    """The most bytes that a link takes in a parcel."""
    return 20 + len(link[1]) + len(link[2]) * 4
