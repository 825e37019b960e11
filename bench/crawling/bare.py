"""`python -m bench.crawling.bare START`: a crawler with no queue that keeps nothing.

One process, one event loop, sixteen requests in flight, the product's own libraries and nothing
else: what a crawl costs at least. Prints its figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time

import aiohttp
from yarl import URL

from jobs.crawl.address import host_of, normalized
from jobs.crawl.look.links import found_in_sheet, links_of

AT_ONCE = 16


class Bare:
    """One crawl."""

    def __init__(self, start: str) -> None:
        self._host = host_of(start)
        self._seen = {start}
        self._todo: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._todo.put_nowait(("page", start))
        self.pages = self.images = 0

    async def run(self) -> None:
        """Crawl until there is nothing more to ask for."""
        connector = aiohttp.TCPConnector(limit=0)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
            fetchers = [asyncio.create_task(self._fetch_all(session)) for _ in range(AT_ONCE)]
            await self._todo.join()
            for fetcher in fetchers:
                fetcher.cancel()

    async def _fetch_all(self, session: aiohttp.ClientSession) -> None:
        while True:
            kind, address = await self._todo.get()
            try:
                await self._fetch(session, kind, address)
            finally:
                self._todo.task_done()

    async def _fetch(self, session: aiohttp.ClientSession, kind: str, address: str) -> None:
        async with session.get(URL(address, encoded=True)) as response:
            body = await response.read()
        if response.status != 200:
            return
        if kind == "image":
            self.images += 1
            return
        if kind == "css":
            found = found_in_sheet(body, None, address)
        elif response.content_type == "text/html":
            self.pages += 1
            found = links_of(body, None, address)
        else:
            return
        self._add("image", found.pictures)
        self._add("css", found.sheets)
        self._add("page", found.pages)

    def _add(self, kind: str, addresses: dict[str, str] | dict[str, None]) -> None:
        for address in addresses:
            if address not in self._seen and host_of(address) == self._host:
                self._seen.add(address)
                self._todo.put_nowait((kind, address))


def main() -> None:
    """Crawl, and print what it took."""
    start = normalized(sys.argv[1])
    assert start is not None
    bare = Bare(start)
    began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    asyncio.run(bare.run())
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_s = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    took_s = time.monotonic() - began
    print(json.dumps({"pages": bare.pages, "images": bare.images, "s": took_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
