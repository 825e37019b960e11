"""What becomes of each kind of answer, by its status and by the type that it claims."""

from __future__ import annotations

from queue_manager import Reject

from ..fetch.client import (
    REDIRECTS,
    Answer,
    Client,
    FetchError,
    TooLargeError,
    location,
    retry_after_s,
)
from ..following import Follower
from ..handed import Handed
from ..keep.files import Store
from .payload import Outcome, Skip, Visit
from .pictures import Pictures
from .politeness import pause
from .texts import MOST_REDIRECTS, Texts

_HTML = ("text/html", "application/xhtml+xml", "application/xml", "text/xml", "")


class Answers:
    """Asks for addresses, and passes each answer to who knows what to do with it."""

    def __init__(self, client: Client, store: Store, pictures: Pictures, handed: Handed) -> None:
        self._client, self._store, self._pictures = client, store, pictures
        self._handed = handed
        self._texts = Texts(handed)

    async def fetched(self, visit: Visit) -> Outcome:
        """Ask for an address.

        Raises:
            Skip: nothing is kept of it.
            Retry: the host wants to be left alone for a while.
            Reject: it redirects in a circle, or too often.
            FetchError: it may be had another time.
            ForbiddenAddressError: it must not be reached.
        """
        known = visit.is_known(self._store)
        headers = visit.conditions if known else None
        with await self._client.get(visit.address, visit.site.max_bytes, headers) as answer:
            if answer.status == 304 and known:
                return await self._unchanged(visit), []
            if answer.status in REDIRECTS:
                return self._redirected(visit, answer)
            _check_status(visit, answer)
            try:
                return await self._received(visit, answer)
            except TooLargeError as error:
                raise Skip(f"too large: {error}") from None

    async def _unchanged(self, visit: Visit) -> dict[str, object]:
        value = visit.unchanged
        if "file" in value:
            await self._pictures.thumbnail(value)  # the folder may be older than thumbnails are
        return value

    def _redirected(self, visit: Visit, answer: Answer) -> Outcome:
        target = location(answer.headers, visit.address)
        if target is None:
            raise Skip("redirects to nothing that can be fetched")
        hops = [*visit.hops, visit.address]
        if target in hops:
            raise Reject(f"redirects in a circle: {' to '.join([*hops, target])}")
        if len(hops) > MOST_REDIRECTS:
            raise Reject(f"more than {MOST_REDIRECTS} redirects, from {hops[0]} on")
        follow = self._follower(visit).redirect(target, hops)
        if not follow:
            raise Skip(f"redirects off the site, to {target}")
        return {"redirect": target}, follow

    async def _received(self, visit: Visit, answer: Answer) -> Outcome:
        if visit.kind == "sitemap":
            return await self._texts.sitemap(visit, answer)
        if answer.type in _HTML and visit.kind == "page":
            return await self._texts.page(visit, answer)
        if answer.type in _HTML[:2] and visit.is_linked:
            return self._page_behind_a_picture(visit)
        if visit.kind == "css" and answer.type in ("text/css", "text/plain", ""):
            return await self._texts.sheet(visit, answer)
        if visit.kind == "css":
            raise Skip(f"no style sheet but {answer.type}")
        if visit.kind == "page" and not answer.type.startswith("image/"):
            raise Skip(f"no page but {answer.type}")
        return await self._pictures.keep(visit, answer), []

    def _page_behind_a_picture(self, visit: Visit) -> Outcome:
        follow = self._follower(visit).as_page()
        if not follow:
            raise Skip("no picture but a page, off the site or too deep")
        return {"is": "a page"}, follow

    def _follower(self, visit: Visit) -> Follower:
        return Follower(visit.site, visit.payload, self._handed)


def _check_status(visit: Visit, answer: Answer) -> None:
    status = answer.status
    if status in (429, 503):
        asked_s = retry_after_s(answer.headers)
        if asked_s is not None or status == 429:
            raise pause(asked_s, f"{visit.address} answers {status}")
    if status >= 500:
        raise FetchError(f"{visit.address} answers {status}")
    if status != 200:
        raise Skip(f"status {status}")
