"""What becomes of a picture: it is looked at while it comes, and stored if it is wanted."""

from __future__ import annotations

from typing import Any

from ..beside import beside
from ..fetch.client import Answer, FetchError
from ..fetch.outside import validators
from ..keep import thumbnails
from ..keep.files import IN_MEMORY_BYTES, Incoming, Store
from ..keep.taken import Taken
from ..look import vectors
from ..look.pictures import Picture, is_whole, picture_of, says_it_late
from ..site import Site
from .payload import Skip, Visit


class Pictures:
    """Stores pictures in the folder of a run.

    Args:
        taken: how many bytes all workers may store there.
        host: the name of this machine, for the rows of the index.
    """

    def __init__(self, store: Store, taken: Taken, host: str) -> None:
        self._store, self._taken, self._host = store, taken, host

    async def keep(self, visit: Visit, answer: Answer) -> dict[str, Any]:
        """Read the body of an answer, and store it.

        Raises:
            Skip: it is no picture, or not wanted, or the folder is full.
            TooLargeError: it is larger than allowed.
            FetchError: it is cut short or damaged.
            OSError: the disk is full.
        """
        incoming = self._store.incoming()
        try:
            picture = await _received(visit, answer, incoming)
            if not answer.is_framed and not await beside(_is_whole, incoming):
                raise FetchError(f"the body of {visit.address} is cut short or damaged")
            ending = ending_of(picture, incoming)
            if visit.site.megabytes:  # else nobody need look at the disk
                self._take_room(visit.site, incoming, ending)
            value = {
                "file": incoming.keep(ending),
                "type": picture.type,
                "bytes": incoming.size_bytes,
                "width": picture.width,
                "height": picture.height,
                "host": self._host,
                **validators(answer.headers),
            }
            await self.thumbnail(value)
            return value
        finally:
            incoming.drop()

    async def thumbnail(self, value: dict[str, Any]) -> None:
        """Make the thumbnail of a stored picture, if it should have one and has none."""
        size = value.get("width"), value.get("height")
        if thumbnails.is_wanted(value["type"], value["bytes"], *size):
            await beside(thumbnails.make, self._store, value["file"])

    def _take_room(self, site: Site, incoming: Incoming, ending: str) -> None:
        fresh = not self._store.has(incoming.name(ending), incoming.size_bytes)
        if fresh and not self._taken.add(incoming.size_bytes):
            raise Skip(full(site))


def full(site: Site) -> str:
    """Why a picture is not stored when the folder is full."""
    return f"megabytes={site.megabytes} are stored already"


async def _received(visit: Visit, answer: Answer, incoming: Incoming) -> Picture:
    """Write what comes, and say what it is. A stream without end is told by its first megabyte."""
    early: Picture | None = None
    late = False
    async for chunk in answer.chunks():
        incoming.write(chunk)
        if early is None and not late and incoming.size_bytes > IN_MEMORY_BYTES:
            late = says_it_late(incoming.head)
            if not late:
                early = _wanted(visit, answer, incoming.head)
    if early is not None:
        return early
    # A thread reads a large file: that takes longer than a request.
    return _wanted(visit, answer, await beside(incoming.whole) if late else incoming.head)


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


def ending_of(picture: Picture, incoming: Incoming) -> str:
    """The end of the name of a file: a browser shows an SVG that may run something as text."""
    if picture.type != "svg":
        return picture.type
    fits = incoming.size_bytes <= vectors.MOST_BYTES
    return "svg" if fits and vectors.is_inert(incoming.whole()) else "svg.txt"
