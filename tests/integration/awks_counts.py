"""Logs of any size, as web servers write them, and what awk counts in them.

awk takes fields by their quotes and spaces. These lines allow that: no text in them has a quote.
"""

from __future__ import annotations

import gzip
import random
import shutil
import subprocess
import time
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

LISTS = ("status", "path", "client", "hour", "method", "referrer", "agent")
ODD = ["this is no request", "", "192.0.2.1 - - [01/Oct/2025:13:00:07 +0000] cut o"]
"""Lines that are no request, one after another. awk knows them by their quotes: they have none."""

_BEGAN_AT = 1759276800  # 2025-10-01
_A_SECOND = 20
_AT_ONCE = 50_000
_ODD_EACH = 9_973
_PATHS, _CLIENTS, _REFERRERS, _AGENTS = 20_000, 30_000, 2_000, 300
_STATUSES = {"200": 80, "304": 8, "404": 6, "301": 4, "500": 2}
_METHODS = {"GET": 90, "POST": 8, "HEAD": 2}

# mawk prints sums of more than 2**31 with %d as 2147483647, and without a format as 3.9e+10.
_AWK = r"""
BEGIN { FS = "\""; split("Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec", names, " ")
  for (n in names) month[names[n]] = sprintf("%02d", n) }
{ lines++ }
NF < 7 { odd++; next }
{ split($1, head, " "); split($2, request, " "); split($3, tail, " ")
  day = head[4]; size = tail[2] == "-" ? 0 : tail[2]; sum += size
  hour = substr(day, 9, 4) "-" month[substr(day, 5, 3)] "-" substr(day, 2, 2) "T" \
    substr(day, 14, 2) ":00Z"
  count["status\t" tail[1]]++; sent["status\t" tail[1]] += size
  count["path\t" request[2]]++; sent["path\t" request[2]] += size
  count["client\t" head[1]]++; sent["client\t" head[1]] += size; came[head[1]]
  count["hour\t" hour]++; sent["hour\t" hour] += size
  count["method\t" request[1]]++; sent["method\t" request[1]] += size
  count["referrer\t" $4]++; sent["referrer\t" $4] += size
  count["agent\t" $6]++; sent["agent\t" $6] += size }
END { for (key in count) printf "%s\t%.0f\t%.0f\n", key, count[key], sent[key]
  for (client in came) clients++
  printf "total\tlines\t%.0f\t0\ntotal\todd\t%.0f\t0\n", lines, odd
  printf "total\tclients\t%.0f\t0\ntotal\tbytes\t%.0f\t0\n", clients, sum }
"""

Counts = dict[str, dict[str, tuple[int, int]]]
"""By list and value: requests and bytes. The list `total` has lines, odd, clients and bytes."""


def write(folder: Path, size: int) -> list[Path]:
    """Write logs of `size` bytes together, an eighth of them in a gzip file. Always the same."""
    plain, packed, old = folder / "access.log", folder / "access.log.1.gz", folder / "old"
    lines = _texts(random.Random(16))
    for path, most in ((old, size // 8), (plain, size - size // 8)):
        with path.open("w") as file:
            while file.tell() < most:
                file.write(next(lines))
    with old.open("rb") as file, gzip.open(packed, "wb", 1) as out:
        shutil.copyfileobj(file, out, 1 << 20)
    old.unlink()
    return [plain, packed]


def _texts(chance: random.Random) -> Iterator[str]:
    number = 0
    while True:
        lines = _lines(number, chance)
        yield "".join(f"{line}\n" for line in lines)
        number += _AT_ONCE


def _lines(first: int, chance: random.Random) -> Iterator[str]:
    """Lines from the one with this number on, in order of time."""

    def drawn(count: int) -> list[int]:
        # Zipf's law: the n-th is about one n-th as frequent as the first.
        weights = list(accumulate(1 / (n + 1) ** 0.9 for n in range(count)))
        return chance.choices(range(count), cum_weights=weights, k=_AT_ONCE)

    statuses = chance.choices(list(_STATUSES), list(_STATUSES.values()), k=_AT_ONCE)
    methods = chance.choices(list(_METHODS), list(_METHODS.values()), k=_AT_ONCE)
    columns = zip(
        drawn(_CLIENTS), methods, drawn(_PATHS), statuses, drawn(_REFERRERS), drawn(_AGENTS),
        strict=True,
    )  # fmt: skip
    for number, (client, method, path, status, referrer, agent) in enumerate(columns, first):
        if number % _ODD_EACH == 0:
            yield ODD[number // _ODD_EACH % len(ODD)]
        size = "-" if status == "304" else str(chance.randrange(60_000))
        yield (
            f'{_client(client)} - - [{_time(number)}] "{method} {_path(path, number)} HTTP/1.1"'
            f' {status} {size} "{_referrer(referrer)}" "{_agent(agent)}"'
        )


def _client(number: int) -> str:
    if number % 12 == 0:
        return f"2001:db8:{number:x}::7"
    return f"{number % 223 + 1}.{number >> 8 & 255}.{number & 255}.7"


def _path(path: int, number: int) -> str:
    """Of 200 requests, one is for a path that nobody else asks for."""
    return f"/search?q={number}" if number % 200 == 7 else f"/{path % 9}/page-{path:x}"


def _referrer(number: int) -> str:
    return f"https://www.example.org/from/{number}" if number else "-"


def _agent(number: int) -> str:
    return f"Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0) Gecko/20100101 Firefox/{number}.0"


def _time(number: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(_BEGAN_AT + number // _A_SECOND))


def counts(files: list[Path]) -> Counts:
    """What awk counts in all files together."""
    words = ["sh", "-c", 'program=$1; shift; zcat --force "$@" | awk "$program"', "sh", _AWK]
    words += map(str, files)
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    found: Counts = {name: {} for name in (*LISTS, "total")}
    for row in done.stdout.splitlines():
        name, value, count, size = row.split("\t")
        found[name][value] = int(count), int(size)
    return found


def head(found: dict[str, tuple[int, int]], most: int) -> list[tuple[str, int]]:
    """What `sort -k2,2nr -k1,1 | head` gives of a list: values and how often each came."""
    ranked = sorted((-count, value) for value, (count, _) in found.items())
    return [(value, -count) for count, value in ranked[:most]]
