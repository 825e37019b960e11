"""One request and its answer (aiohttp): pooled connections, limits of size and time.

Owns what can go wrong on the way, in words. Knows nothing of what is in a body. Does not follow
redirects, since each leads to an address of its own.
"""

from __future__ import annotations

import asyncio
import email.utils
import time
from collections.abc import AsyncIterator, Mapping

import aiohttp
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from ..address import normalized
from .guard import ForbiddenAddressError, PublicResolver, check_host, forbidden
from .heads import take_what_browsers_take
from .outside import LONGEST_SAID, address_in, header, one_line
from .unpacking import ACCEPTED, Layer, UnpackingError, layers_of, through

CONNECT_S = 10.0
SILENT_S = 30.0
CHUNK_BYTES = 256 * 1024
REDIRECTS = (301, 302, 303, 307, 308)
"""Answers with these statuses name another address instead of having a body."""


class FetchError(Exception):
    """An address could not be fetched now. It may be fetched another time."""


class TooLargeError(Exception):
    """A body is larger than the crawl takes."""


class Answer:
    """The head of an answer, and its body as it comes. No more comes after its `with` block.

    Attributes:
        status: the code, such as 200.
        headers: by names whose case does not matter.
        type: the media type that the answer claims, in lower case.
    """

    def __init__(self, response: aiohttp.ClientResponse, address: str, max_bytes: int) -> None:
        self._response, self._address, self._max_bytes = response, address, max_bytes
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers
        self.type = header(self.headers, "Content-Type").partition(";")[0].strip().lower()[:100]
        self._layers: list[Layer] = []

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        # A body that was read gives its connection back. Any other body ends its connection.
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()

    @property
    def charset(self) -> str | None:
        """The charset that the answer claims."""
        return self._response.charset

    @property
    def is_framed(self) -> bool:
        """Whether the end of the body can be told from the end of the connection.

        A packed body may end early inside its frame, so ask when the whole body has come.
        """
        headers = self._response.headers
        framed = "Content-Length" in headers or "Transfer-Encoding" in headers
        return framed and all(layer.whole for layer in self._layers)

    def chunks(self) -> AsyncIterator[bytes]:
        """The body, unpacked.

        Raises:
            TooLargeError: it is larger than allowed, or says so.
            FetchError: it ends too early, or never, or can't be unpacked.
        """
        most = self._max_bytes
        length = self._response.content_length
        if length is not None and length > most:
            raise TooLargeError(f"{length:,} bytes, more than max_bytes={most}")
        return self._pieces(most)

    async def first(self, most: int) -> bytes:
        """The first `most` bytes of the body, unpacked. Raises FetchError."""
        parts, came = [], 0
        async for piece in self._pieces():
            parts.append(piece)
            came += len(piece)
            if came >= most:
                break
        return b"".join(parts)[:most]

    async def _pieces(self, most: int | None = None) -> AsyncIterator[bytes]:
        """The body as it comes. most: bytes that may come, unpacked."""
        content, packed, came = self._response.content, 0, 0
        with _in_words(self._address):
            self._layers = layers = layers_of(header(self.headers, "Content-Encoding"))
            while chunk := await content.read(CHUNK_BYTES):
                packed += len(chunk)
                if layers and packed > self._max_bytes:
                    raise TooLargeError(f"more than max_bytes={self._max_bytes}")
                for piece in through(layers, chunk) if layers else (chunk,):
                    came += len(piece)
                    if most is not None and came > most:
                        raise TooLargeError(f"more than max_bytes={most}, unpacked")
                    yield piece
                    if layers:
                        await asyncio.sleep(0)  # a small chunk may hold very much


class Client:
    """Sends requests of one crawl over pooled connections. Make it in a running event loop."""

    def __init__(self, *, user_agent: str, private: bool) -> None:
        self._private = private
        self._loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(
            limit=0,
            ttl_dns_cache=60,
            resolver=ThreadedResolver() if private else PublicResolver(),
        )
        take_what_browsers_take(connector)
        self._session = aiohttp.ClientSession(
            connector=connector,
            # The task's own limit holds for the whole request.
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENT_S),
            headers={
                "User-Agent": user_agent,
                "Accept-Language": "*",
                "Accept-Encoding": ACCEPTED,
            },
            auto_decompress=False,  # browsers take more than aiohttp does: unpacking.py
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=16 * 1024,
            max_field_size=16 * 1024,
        )

    async def get(
        self, address: str, max_bytes: int, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Ask for a normalized address.

        Raises:
            ForbiddenAddressError: the address is in a network that must not be reached.
            FetchError: no answer came.
        """
        # aiohttp takes no addresses but yarl's. `encoded` leaves each letter as it is.
        url = URL(address, encoded=True)
        if not self._private:
            check_host(url.raw_host or "")  # the very host that is connected to
        with _in_words(address):
            response = await self._session.get(url, headers=headers, allow_redirects=False)
        return Answer(response, address, max_bytes)

    async def close(self) -> None:
        """End all connections."""
        await self._session.close()

    def abandon(self) -> None:
        """End all connections when the process ends and its event loop stands still."""
        if not (self._loop.is_closed() or self._loop.is_running()):
            self._loop.run_until_complete(self.close())


class _in_words:
    """Turns aiohttp's errors into ours."""

    def __init__(self, address: str) -> None:
        self._address = address

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None:
            return
        if isinstance(error, TimeoutError):
            raise FetchError(f"no answer in time from {self._address}") from None
        if isinstance(error, aiohttp.ClientPayloadError | UnpackingError):
            why = one_line(str(error), LONGEST_SAID)
            raise FetchError(
                f"the body of {self._address} is cut short or damaged: {why}"
            ) from None
        if isinstance(error, UnicodeError):  # of the resolver, about a name
            raise FetchError(f"{self._address}: no host can have that name") from None
        if isinstance(error, aiohttp.ClientError):
            refused = forbidden(error)
            if refused is not None:
                raise ForbiddenAddressError(str(refused)) from None
            said = one_line(str(error), LONGEST_SAID) or type(error).__name__
            raise FetchError(f"{self._address}: {said}") from None


def location(headers: Mapping[str, str], address: str) -> str | None:
    """What a redirect of an address leads to, normalized; None if that can't be fetched."""
    return normalized(address_in(headers, "Location"), address)


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """What `Retry-After` asks for, in seconds (RFC 9110, 10.2.3); None if it says nothing."""
    text = header(headers, "Retry-After")[:100]
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError, OverflowError):
        return None
