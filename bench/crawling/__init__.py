"""A crawl of a real site, side by side: ours, Scrapy's, and one with no queue that keeps nothing.

All ask the same web server with politeness off, sixteen requests at a time, and what takes files
writes them to memory. Rates are read from the web server's log, from the first request of a crawl
to the end of its last: what a program needs to start is not in them. The rows of whole commands
have all of it, from the start of a process to its end.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes
from ..rig.environment import python_of
from . import ours, website
from .crawl import Crawl

ROUNDS = sized(5, 1)
HALF_ROUNDS = sized(3, 1)
LEAST_SCRAPY, LEAST_BARE, LEAST_TWO = 4.0, 0.5, 1.0
LEAST_WHOLE_SCRAPY, LEAST_WHOLE_BARE = 4.0, 0.6
_HERE = processes.HERE / "crawling"
_LIMIT_S = 300.0


def measure() -> list[Figure]:
    """Measure all three in turn, then one worker and two, each with half a processor.

    Raises RuntimeError where there is no engine for the web server.
    """
    if shutil.which("docker") is None:
        raise RuntimeError("the site of this benchmark is served from a container: `make engine`")
    scrapy = python_of("scrapy", _HERE / "requirements.txt")
    with website.running() as site:
        scrapys, bares, all_ours, wholes = [], [], [], []
        for _ in range(ROUNDS):
            scrapys.append(_timed(site, lambda: _scrapy(scrapy, site.address)))
            bares.append(_timed(site, lambda: _bare(site.address)))
            all_ours.append(_timed(site, lambda: ours.measure(site.address)))
            wholes.append(ours.whole(site.address))
        halves = [[_halves_of(site, count) for count in (1, 2)] for _ in range(HALF_ROUNDS)]
    return [
        *_side_by_side(scrapys, bares, all_ours),
        *_whole(wholes, scrapys, bares),
        *_halves(halves),
    ]


def _side_by_side(scrapys: list[Crawl], bares: list[Crawl], ours: list[Crawl]) -> list[Figure]:
    counts = f"{ours[0].pages:,} pages, {ours[0].images:,} images"
    mine = _rate(f"images, one worker: {counts}", ours)
    theirs = _rate(f"Scrapy, FilesPipeline: {scrapys[0].pages:,}, {scrapys[0].images:,}", scrapys)
    bare = _rate(f"no queue, keeps nothing: {bares[0].pages:,}, {bares[0].images:,}", bares)
    return [
        mine,
        theirs,
        bare,
        ratio("ours / Scrapy", mine, theirs, at_least=LEAST_SCRAPY),
        ratio("ours / no queue", mine, bare, at_least=LEAST_BARE),
        _cpu("CPU of one, all our processes", ours),
        Figure("CPU of one, our slot", "ms", tuple(c.parts_ms[-1] for c in ours)),
        _cpu("CPU of one, Scrapy", scrapys),
        _cpu("CPU of one, no queue", bares),
    ]


def _whole(ours: list[float], scrapys: list[Crawl], bares: list[Crawl]) -> list[Figure]:
    mine = Figure("whole command: qm run images, one slot", "s", tuple(ours))
    theirs = Figure("whole command: Scrapy", "s", tuple(c.whole_s for c in scrapys))
    bare = Figure("whole command: no queue", "s", tuple(c.whole_s for c in bares))
    return [
        mine,
        theirs,
        bare,
        ratio("whole command: ours / Scrapy, by speed", theirs, mine, at_least=LEAST_WHOLE_SCRAPY),
        ratio("whole command: ours / no queue, by speed", bare, mine, at_least=LEAST_WHOLE_BARE),
    ]


def _halves(rounds: list[list[Crawl]]) -> list[Figure]:
    one = _rate("one worker with half a processor", [crawls[0] for crawls in rounds])
    two = _rate("two workers with half a processor each", [crawls[1] for crawls in rounds])
    return [one, two, ratio("two / one", two, one, at_least=LEAST_TWO)]


def _rate(name: str, crawls: list[Crawl]) -> Figure:
    return Figure(name, "a second", tuple(crawl.rate for crawl in crawls))


def _cpu(name: str, crawls: list[Crawl]) -> Figure:
    return Figure(name, "ms", tuple(crawl.cpu_ms for crawl in crawls))


def _halves_of(site: website.Site, workers: int) -> Crawl:
    return _timed(site, lambda: ours.measure_halves(site.address, workers))


def _timed(site: website.Site, crawl: Callable[[], Crawl]) -> Crawl:
    """A crawl with the time that it took by the server's log."""
    since = time.time()
    found = crawl()
    return found.lasting(site.span_s(since))


def _bare(site: str) -> Crawl:
    return _json([sys.executable, "-m", "bench.crawling.bare", site])


def _scrapy(python: str, site: str) -> Crawl:
    with ours.memory_folder() as folder:
        return _json([python, str(_HERE / "scrapy_spider.py"), site, str(folder)])


def _json(words: list[str]) -> Crawl:
    began = time.monotonic()
    done = subprocess.run(
        words, cwd=processes.ROOT, check=True, capture_output=True, text=True, timeout=_LIMIT_S
    )
    return Crawl(**json.loads(done.stdout.splitlines()[-1]), whole_s=time.monotonic() - began)
