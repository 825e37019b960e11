"""The settings of one crawl, as they travel in the payload of each of its tasks."""

from __future__ import annotations

import functools

import msgspec

ALL_HOSTS = "*"


class Site(msgspec.Struct, frozen=True, omit_defaults=True):
    """What one run was asked for.

    start: the normalized first address. run: a new name for each run; what a worker remembers of a
    host (robots.txt) holds for that run only. hosts: the hosts whose pages are crawled; `*` is all.
    pages, images: how many are asked for, at most; 0 images is any number. megabytes: how much the
    folder takes in pictures, in units of 1,000,000 bytes; 0 is any number. depth: links away from
    the start, at most. out: the folder of the files. at_once: requests of a host at a time, at
    most; 0 is any. per_second: starts of requests of a host, at most; 0 is any. types: the images
    that are kept; empty is all. max_bytes: the size of one body, unpacked, at most. private:
    whether the crawl may reach the user's own network.
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
        """The least time between the starts of two requests of one host, in seconds."""
        return 1.0 / self.per_second if self.per_second else 0.0

    def covers(self, host: str) -> bool:
        """Whether the pages of a host belong to the crawl."""
        return host in self.hosts or ALL_HOSTS in self.hosts

    def packed(self) -> str:
        """The settings as JSON text, one small value of a payload."""
        return msgspec.json.encode(self).decode()


@functools.lru_cache(maxsize=64)
def unpacked(packed: str) -> Site:
    """The settings from what `Site.packed` gave."""
    return msgspec.json.decode(packed, type=Site)
