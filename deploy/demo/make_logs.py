"""Writes logs of a week to /shared/logs, which `make demo-logs` counts: plain, gzip, odd lines.

It needs the standard library only, and always writes the same.
"""

from __future__ import annotations

import gzip
import math
import random
import sys
import time
from pathlib import Path

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else "/shared/logs")
LINES, BEGAN_AT, DAY_S = 120_000, 1759276800, 86_400  # 2025-10-01
PAGES = ["/", "/about", "/blog/", "/shop/", "/shop/cart", "/login", "/style.css", "/logo.svg"]
AGENTS = ["Mozilla/5.0 Firefox/143.0", "Mozilla/5.0 Chrome/140.0", "curl/8.14", 'a \\"bot\\"']
REFERRERS = ["-", "https://search.example/", "https://news.example/story"]
chance = random.Random(16)


def moment() -> int:
    """A moment of the week; there are fewer requests at night."""
    while True:
        second = chance.randrange(7 * DAY_S)
        if chance.random() < 0.6 - 0.4 * math.cos(second / DAY_S * 2 * math.pi):
            return BEGAN_AT + second


def line(second: int) -> str:
    """A line of the combined format."""
    client = f"198.51.{chance.randrange(4)}.{min(254, int(chance.expovariate(0.02)))}"
    path = chance.choices(
        [*PAGES, f"/blog/{chance.randrange(300)}"], [30, 5, 10, 9, 4, 3, 20, 20, 40]
    )[0]
    status = chance.choices([200, 304, 404, 500], [85, 8, 6, 1])[0]
    size = "-" if status == 304 else int(chance.lognormvariate(9, 1))
    when = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(second))
    referrer, agent = chance.choice(REFERRERS), chance.choices(AGENTS, [6, 7, 1, 1])[0]
    return f'{client} - - [{when}] "GET {path} HTTP/1.1" {status} {size} "{referrer}" "{agent}"\n'


lines = [line(second) for second in sorted(moment() for _ in range(LINES))]
lines[1000:1000] = ["a line that was cut o\n", '2001:db8::7 - - "no time" 200\n']
FOLDER.mkdir(parents=True, exist_ok=True)
half = len(lines) // 2
with gzip.open(FOLDER / "access.log.1.gz", "wt", encoding="utf-8") as packed:
    packed.writelines(lines[:half])
(FOLDER / "access.log").write_text("".join(lines[half:]), "utf-8")
