"""What becomes of a text: what follows from a page, a style sheet or a sitemap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from queue_manager import Task

from ..beside import beside
from ..fetch.client import Answer, TooLargeError
from ..fetch.outside import validators
from ..following import Follower
from ..handed import Handed
from ..look.found import Found
from ..look.links import found_in_sheet, links_of
from ..look.sitemaps import MOST_BYTES as SITEMAP_BYTES
from ..look.sitemaps import NoSitemapError, named_by
from .payload import Outcome, Skip, Visit

MOST_REDIRECTS = 10
"""Redirects and refreshes from one address to the next, in a row."""

PAGE_BYTES = 4 * 1024 * 1024
"""Real pages have a megabyte or two. The worst page of this size, all attributes, stays below the
slot's `memory_bytes`. A thread looks through one such page at a time."""

SHEET_BYTES = 1024 * 1024
"""Nobody writes a larger style sheet, and to look through it takes far more memory."""

LONG_BYTES = 64 * 1024
"""A thread looks through longer texts, one at a time: at worst they take the parser seconds, and
much memory. A shorter text takes 0.5 s at worst, and a millisecond mostly."""


class Texts:
    """Reads texts, and says what follows from them.

    Args:
        handed: what need not be handed in again.
    """

    def __init__(self, handed: Handed) -> None:
        self._handed = handed

    async def page(self, visit: Visit, answer: Answer) -> Outcome:
        """A page leads to pages, style sheets and pictures. Raises as `Answer.chunks` does."""
        body = await _body(answer, PAGE_BYTES)
        found = await looked(links_of, body, answer.charset, visit.address)
        follower = Follower(visit.site, visit.payload, self._handed)
        target = _refresh(visit, found)
        first = follower.redirect(target, [*visit.hops, visit.address]) if target else []
        follow = first + follower.of_page(visit.address, found)
        follower.left_out += found.left_out
        value = _value("page", follower, follow, body, answer)
        return ({**value, "refresh": target} if first else value), follow

    async def sheet(self, visit: Visit, answer: Answer) -> Outcome:
        """A style sheet leads to pictures and to other sheets. Raises as `Answer.chunks` does."""
        body = await _body(answer, SHEET_BYTES)
        found = await looked(found_in_sheet, body, answer.charset, visit.address)
        follower = Follower(visit.site, visit.payload, self._handed)
        follow = follower.of_sheet(found)
        return _value("css", follower, follow, body, answer), follow

    async def sitemap(self, visit: Visit, answer: Answer) -> Outcome:
        """A sitemap leads to pages, pictures and sitemaps. Raises as `Answer.chunks` does."""
        body = await _body(answer, SITEMAP_BYTES)
        try:
            found, sitemaps = await beside(named_by, body, visit.address)
        except NoSitemapError as error:
            raise Skip(str(error)) from None
        follower = Follower(visit.site, visit.payload, self._handed)
        follow = follower.of_page(visit.address, found) + follower.of_sitemaps(sitemaps)
        return _value("sitemap", follower, follow, body, answer), follow


def _refresh(visit: Visit, found: Found) -> str | None:
    """The address that a page leads to like a redirect, if any.

    A refresh in a circle leads nowhere. Behind ten redirects it is a link like any other.
    """
    target, hops = found.refresh, [*visit.hops, visit.address]
    if target is None or target in hops:
        return None
    if len(hops) > MOST_REDIRECTS:
        found.pages.setdefault(target)
        return None
    found.pages.pop(target, None)
    return target


async def looked(
    look: Callable[..., Found], body: bytes, charset: str | None, address: str
) -> Found:
    """What is found in a text. The event loop goes on while a long text is looked through."""
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


def _value(
    kind: str, follower: Follower, follow: list[Task], body: bytes, answer: Answer
) -> dict[str, Any]:
    value = {kind: len(follow), "bytes": len(body), **validators(answer.headers)}
    if follower.left_out:
        value["left_out"] = follower.left_out
    return value
