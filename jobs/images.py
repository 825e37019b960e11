"""jobs/images.py: every image of a site, each fetched once, politely, by all workers together.

    python -m master run images start=https://example.org/ [pages=1000] [images=0] [depth=5] ...

out= has the files by their content, index.jsonl, which says what is where, and index.html to look
at. docs/images.md has all arguments. The same command again asks only for what has changed.
"""

from __future__ import annotations

import atexit
import itertools
import os
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from jobs.crawl.address import host_of
from jobs.crawl.asked import (
    ALL_TYPES,
    NO_HOSTS,
    Address,
    Count,
    CountOrNone,
    ListOfHosts,
    ListOfTypes,
    Rate,
)
from jobs.crawl.following import task_of
from jobs.crawl.keep.totals import Totals
from jobs.crawl.site import Site, unpacked
from jobs.output.folder import made
from queue_manager import Counts, Limit, Options, Task

if TYPE_CHECKING:
    from jobs.crawl.visit.visitor import Visitor

OPTIONS = Options(
    attempts=5,
    timeout_s=300,  # also for a page that is made to keep a parser busy
    concurrency=16,
    memory_bytes=768 * 1024 * 1024,  # far more than a slot takes: jobs/crawl has the limits
    # Whoever comes first to a host reads its robots.txt, alone. The result sets the host's limit.
    per_group=Limit(at_once=1),
)
_VISITORS = 4

_visitors: dict[str, Visitor] = {}
_totals = Totals()


def tasks(
    start: Address,
    pages: Count = 1000,
    images: CountOrNone = 0,
    megabytes: CountOrNone = 0,
    depth: CountOrNone = 5,
    hosts: ListOfHosts = NO_HOSTS,
    out: str = "/shared/images",
    at_once: CountOrNone = 2,
    per_second: Rate = 2.0,
    robots: bool = True,
    private: bool = False,
    user_agent: str = "",
    max_bytes: Count = 50_000_000,
    types: ListOfTypes = ALL_TYPES,
    index: Literal["jsonl", "csv", "sqlite"] = "jsonl",
) -> Iterator[Task]:
    """The start, and what an earlier run has found: asked for only if it has changed."""
    first = str(start)
    site = Site(
        start=first,
        run=os.urandom(8).hex(),
        hosts=list(dict.fromkeys([host_of(first), *hosts.names()])),
        out=made(out, page_of="images"),
        pages=pages,
        images=images,
        megabytes=megabytes,
        depth=depth,
        at_once=at_once,
        per_second=per_second,
        robots=robots,
        private=private,
        user_agent=user_agent,
        max_bytes=max_bytes,
        types=types.names(),
    )
    page = {"kind": "page", "url": first, "site": site.packed()}
    for payload in itertools.chain(_known(site), [page]):
        yield task_of(site, payload)


def _known(site: Site) -> Iterator[dict[str, Any]]:
    from jobs.crawl.keep.indexing import known  # the runner alone needs it

    return known(site)


def setup() -> None:
    """Import what visits addresses, in a slot: it takes longer than all that a runner needs."""
    from jobs.crawl.visit import visitor  # noqa: F401


@atexit.register
def _leave() -> None:
    for visitor in _visitors.values():
        visitor.abandon()


async def work(payload: dict[str, Any]) -> Any:
    """Visit one address."""
    site = unpacked(payload["site"])
    visitor = _visitors.pop(site.run, None)
    if visitor is None:
        from jobs.crawl.visit.visitor import Visitor

        await _make_room()
        name = os.environ.get("WORKER_NAME") or socket.gethostname()
        visitor = _visitors.get(site.run) or Visitor(site, name)
    _visitors[site.run] = visitor  # now the last one; the first was used the longest ago
    return await visitor.visit(payload)


async def _make_room() -> None:
    """Forget the runs of which this process has heard nothing for the longest time."""
    idle = [run for run, visitor in _visitors.items() if not visitor.visits]
    for run in idle[: max(0, len(_visitors) + 1 - _VISITORS)]:
        await _visitors.pop(run).close()


def collect(payload: dict[str, Any], result: dict[str, Any]) -> None:
    """Count a result, for the line that says how far the crawl is."""
    _totals.add(result)


def report(counts: Counts) -> str:
    """The line that says how far the crawl is."""
    return _totals.line(counts)


def finish(results: Iterator[tuple[Any, Any]], out: str, index: str) -> None:
    """Write the index and the contact sheet."""
    from jobs.crawl.keep.indexing import write_index
    from jobs.crawl.keep.sheet import write_sheet

    folder = os.path.abspath(out)
    said = write_index(folder, results, index, whole=_totals.whole)
    sheet = write_sheet(folder)
    print(f"images: {said}")
    print(f"images: look at {sheet}")
