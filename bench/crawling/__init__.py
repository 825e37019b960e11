"""A crawl of a real site, side by side: ours, Scrapy's, and one with no queue that keeps nothing.

All ask the same web server with politeness off, sixteen requests at a time, and what takes files
writes them to memory. Rates are read from the web server's log, from the first request of a crawl
to the end of its last: what a program needs to start is not in them. The rows of whole commands
have all of it, from the start of a process to its end.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Callable, Iterator

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import processes
from ..rig.environment import python_of
from . import command, ours, website
from .command import Command
from .crawl import Crawl

ROUNDS = sized(5, 1)
HALF_ROUNDS = sized(3, 1)
LEAST_SCRAPY, LEAST_BARE, LEAST_TWO = 4.0, 0.5, 1.0
LEAST_WHOLE_SCRAPY, LEAST_WHOLE_BARE = 4.0, 0.6
_HERE = processes.HERE / "crawling"


def measure() -> list[Figure]:
    """Measure all three in turn, then one worker and two, each with half a processor.

    Raises RuntimeError where there is no engine for the web server.
    """
    if shutil.which("docker") is None:
        raise RuntimeError("the site of this benchmark is served from a container: `make engine`")
    scrapy = str(python_of(processes.CACHE / "scrapy", _HERE / "requirements.txt"))
    processes.compile_modules()
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
        *_whole(wholes, _commands(scrapys), _commands(bares)),
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


def _whole(ours: list[Command], scrapys: list[Command], bares: list[Command]) -> list[Figure]:
    mine, theirs, bare = (
        Figure(f"whole command: {name}", "s", tuple(c.s for c in commands))
        for name, commands in _named(ours, scrapys, bares)
    )
    return [
        mine,
        theirs,
        bare,
        ratio("whole command: ours / Scrapy, by speed", theirs, mine, at_least=LEAST_WHOLE_SCRAPY),
        ratio("whole command: ours / no queue, by speed", bare, mine, at_least=LEAST_WHOLE_BARE),
        *(
            Figure(f"CPU of the whole command: {name}", "s", tuple(c.cpu_s for c in commands))
            for name, commands in _named(ours, scrapys, bares)
        ),
    ]


def _named(*commands: list[Command]) -> Iterator[tuple[str, list[Command]]]:
    return zip(("qm run images, one slot", "Scrapy", "no queue"), commands, strict=True)


def _commands(crawls: list[Crawl]) -> list[Command]:
    return [crawl.whole for crawl in crawls if crawl.whole is not None]


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
    return _told(command.run([sys.executable, "-m", "bench.crawling.bare", site]))


def _scrapy(python: str, site: str) -> Crawl:
    with ours.memory_folder() as folder:
        return _told(command.run([python, str(_HERE / "scrapy_spider.py"), site, str(folder)]))


def _told(crawler: Command) -> Crawl:
    """The crawl as its crawler has printed it."""
    return Crawl(**json.loads(crawler.output.splitlines()[-1]), whole=crawler)
