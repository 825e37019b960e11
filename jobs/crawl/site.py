"""The settings of one crawl, as they travel in the payload of each of its tasks."""

from __future__ import annotations

import functools

import msgspec

ALL_HOSTS = "*"


class Site(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one run was asked for.

    start: the normalized first address. run: made anew for each run; what is remembered of hosts
    (robots.txt) is remembered for that run only. hosts: those whose pages are crawled; `*` is all.
    pages, images: at most so many are asked for; 0 images is any number. megabytes: of pictures
    that one folder takes, in units of 1,000,000 bytes; 0 is any number. depth: links away from the
    start. out: the folder of the files. at_once: most requests of a host at a time, 0 is any.
    per_second: most starts of requests of a host, 0 is any. types: of the images that are kept,
    empty is all. max_bytes: of one body, unpacked. private: whether addresses of the user's own
    network may be asked.
    """

    start: str
    run: str
    hosts: list[str]
    out: str
    pages: int = 1000
    images: int = 0
    megabytes: int = 0
    depth: int = 5
    at_once: int = 2
    per_second: float = 2.0
    robots: bool = True
    private: bool = False
    user_agent: str = ""
    max_bytes: int = 50_000_000
    types: list[str] = []

    @property
    def polite(self) -> bool:
        """Whether requests of a host wait for each other, in any way."""
        return bool(self.at_once or self.per_second or self.robots)

    @property
    def every_s(self) -> float:
        """Least time between the starts of two requests of one host, in seconds."""
        return 1.0 / self.per_second if self.per_second else 0.0

    def covers(self, host: str) -> bool:
        """Whether the pages of a host belong to the crawl."""
        return host in self.hosts or ALL_HOSTS in self.hosts

    def packed(self) -> str:
        """As JSON text, for payloads: one small value, however many of them there are."""
        return msgspec.json.encode(self).decode()


@functools.lru_cache(maxsize=64)
def unpacked(packed: str) -> Site:
    """From what `Site.packed` gave."""
    return msgspec.json.decode(packed, type=Site)
