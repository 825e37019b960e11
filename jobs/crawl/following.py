"""The tasks that follow from one address: which, with which key, group, quota and priority."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from queue_manager import Quota, Task

from .address import host_of
from .links import Found
from .pictures import TYPES
from .site import Site

PAGE, IMAGE, SHEET, AGAIN = 0, 1, 2, 3
"""Priorities. What a page refers to goes before more pages: less waits, and more is seen early."""

MOST_BYTES = 3 * 1024 * 1024
"""The follow-ups of one task may take 4 MiB; what is above this goes through tasks of its own."""

PARCEL_BYTES = 700 * 1024
"""So much of it in one of these: a payload may have 1 MiB."""

_OWN_BYTES = 100
_ENDINGS = tuple(f".{ending}" for ending in (*TYPES, "jpeg", "tif", "apng"))

Link = tuple[str, str, str]
"""Kind, address and alt text. A picture that a page does not show but links to is `linked`."""


class Follower:
    """Makes the follow-ups of one payload."""

    def __init__(self, site: Site, payload: dict[str, Any]) -> None:
        self._site, self._from = site, payload
        self._packed: dict[str, Any] = payload["site"]

    def of_page(self, address: str, found: Found) -> list[Task]:
        """What a page leads to."""
        depth = self._from.get("depth", 0) + 1
        links = [("css", sheet, "") for sheet in found.sheets]
        links += [("image", picture, alt) for picture, alt in found.pictures.items()]
        for page in found.pages:
            if page in found.pictures:
                continue
            if page.partition("?")[0].lower().endswith(_ENDINGS):
                links.append(("linked", page, ""))
            elif depth <= self._site.depth and self._site.covers(host_of(page)):
                links.append(("page", page, ""))
        return self._bounded(links, {"page": address, "depth": depth})

    def of_sheet(self, found: Found) -> list[Task]:
        """What a style sheet leads to: it counts as its page's."""
        links = [("css", sheet, "") for sheet in found.sheets]
        links += [("image", picture, "") for picture in found.pictures]
        base = {"page": self._from.get("page", ""), "depth": self._from.get("depth", 0)}
        return self._bounded(links, base)

    def of_parcel(self) -> list[Task]:
        """What was too much for one result."""
        base = {"page": self._from["page"], "depth": self._from["depth"]}
        return [self._task(tuple(link), base) for link in self._from["links"]]

    def redirect(self, target: str, hops: list[str]) -> list[Task]:
        """The address that another one redirects to; no pages of hosts that are not crawled.

        Where the start leads to another host, such as with `www.` before it, that one is meant.
        """
        payload = {**self._from, "url": target, "hops": hops}
        payload.pop("known", None)
        host = host_of(target)
        if self._from["kind"] == "page" and not self._site.covers(host):
            if hops[0] != self._site.start:
                return []
            payload["site"] = {**self._packed, "hosts": [*self._site.hosts, host]}
        return [self._made(payload)]

    def as_page(self) -> Task:
        """The same address again: its name was that of a picture, and it is a page."""
        payload = {**self._from, "kind": "page"}
        payload.pop("linked", None)
        task = self._made(payload)
        return Task(task.payload, f"page: {task.key}", task.group, PAGE, quota=task.quota)

    def _bounded(self, links: list[Link], base: dict[str, Any]) -> list[Task]:
        own = _OWN_BYTES + sum(len(str(value)) for value in (self._packed, base))
        direct, size = 0, 0
        for _, address, alt in links:
            size += own + len(address) * 2 + len(alt) * 4
            if size > MOST_BYTES:
                break
            direct += 1
        tasks = [self._task(link, base) for link in links[:direct]]
        return tasks + list(self._parcels(links[direct:], base))

    def _parcels(self, links: list[Link], base: dict[str, Any]) -> Iterator[Task]:
        for number, parcel in enumerate(_cut(links)):
            payload = {"kind": "links", "url": base["page"], "site": self._packed, **base}
            payload["links"] = [list(link) for link in parcel]
            yield Task(payload, key=f"links {number} of {self._from['url']}", priority=AGAIN)

    def _task(self, link: Iterable[str], base: dict[str, Any]) -> Task:
        kind, address, alt = link
        payload: dict[str, Any] = {"kind": kind, "url": address, "site": self._packed, **base}
        if kind == "linked":
            payload["kind"], payload["linked"] = "image", True
        if alt:
            payload["alt"] = alt
        return self._made(payload)

    def _made(self, payload: dict[str, Any]) -> Task:
        return task_of(self._site, payload)


def task_of(site: Site, payload: dict[str, Any]) -> Task:
    """The task of a payload: its address is its key, its host its group."""
    kind, address = payload["kind"], payload["url"]
    return Task(
        payload,
        key=address,
        group=host_of(address) if site.polite else None,
        priority={"page": PAGE, "css": SHEET}.get(kind, IMAGE),
        quota=Quota("pages", site.pages) if kind == "page" else None,
    )


def _cut(links: list[Link]) -> Iterator[list[Link]]:
    parcel: list[Link] = []
    size = 0
    for link in links:
        size += 20 + len(link[1]) + len(link[2]) * 4
        if parcel and size > PARCEL_BYTES:
            yield parcel
            parcel, size = [], 0
        parcel.append(link)
    if parcel:
        yield parcel
