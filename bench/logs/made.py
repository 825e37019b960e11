"""Lines of a log as a web server writes them: few values that are frequent, many that are rare."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

MEMORY = "most memory, bytes"
"""What `ours` calls the most memory that it has had."""

_BEGAN_AT = 1759276800  # 2025-10-01
_A_SECOND = 20
_CLIENTS, _PATHS, _AGENTS, _REFERRERS = 100_000, 20_000, 300, 2000
_STATUSES = {200: 80, 304: 8, 404: 6, 301: 4, 500: 2}


def write(path: Path, lines: int, times: int) -> None:
    """Write so many lines, so many times one after the other. They are always the same."""
    text = "".join(_lines(lines, random.Random(16)))
    with path.open("w") as file:
        for _ in range(times):
            file.write(text)


def _lines(count: int, chance: random.Random) -> list[str]:
    clients = _drawn([_client(number, chance) for number in range(_CLIENTS)], count, chance)
    paths = _drawn([f"/{n % 9}/page-{n:x}/{'x' * (n % 30)}" for n in range(_PATHS)], count, chance)
    agents = [f"Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Firefox/{n}.0" for n in range(_AGENTS)]
    referrers = ["-", *(f"https://www.example.org/from/{n}" for n in range(_REFERRERS))]
    columns = zip(
        clients,
        paths,
        chance.choices(list(_STATUSES), list(_STATUSES.values()), k=count),
        _drawn(referrers, count, chance),
        _drawn(agents, count, chance),
        strict=True,
    )
    return [
        f"{client} - - [{_time(n)}] "
        f'"GET {path} HTTP/1.1" {status} {chance.randrange(60_000)} "{referrer}" "{agent}"\n'
        for n, (client, path, status, referrer, agent) in enumerate(columns)
    ]


def _client(number: int, chance: random.Random) -> str:
    if number % 12 == 0:
        return f"2001:db8:{number >> 16:x}:{number & 65535:x}::{chance.randrange(1 << 16):x}"
    return f"{number % 223 + 1}.{number >> 8 & 255}.{number & 255}.{chance.randrange(1, 255)}"


def _drawn(values: Sequence[str], count: int, chance: random.Random) -> list[str]:
    """Values by Zipf's law: the n-th is about one n-th as frequent as the first."""
    weights = list(accumulate(1 / (n + 1) ** 0.9 for n in range(len(values))))
    return chance.choices(values, cum_weights=weights, k=count)


def _time(number: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(_BEGAN_AT + number // _A_SECOND))
