"""The index of a crawl: a row for each address, in a database of its own beside the files.

Each run writes it anew, from what earlier runs have found in the same folder and from its results,
which the queue gives exactly once. Then it is exported as index.jsonl, index.csv or index.sqlite.
This module knows nothing of how something was fetched.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from ...output.words import cell, size
from ..address import host_of
from ..site import Site, unpacked
from .files import Store

DATABASE = ".index.sqlite"
_KEPT = {"file", "page", "css", "redirect", "skip"}
COLUMNS = ("address", "page", "file", "type", "bytes", "width", "height", "alt", "host")
HOPS = 10

_NO_ADDRESS = ("links", "long", "sitemap")
_BAD_ROW = (
    ValueError,  # half characters, settings that are none
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,  # a number of more than 64 bits
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    sqlite3.DataError,
)
"""Errors of one row. A full disk (OperationalError) is raised."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS fetched (
    address TEXT PRIMARY KEY, kind TEXT, start TEXT, run TEXT, page TEXT, alt TEXT, depth INTEGER,
    linked INTEGER, file TEXT, type TEXT, bytes INTEGER, width INTEGER, height INTEGER, host TEXT,
    etag TEXT, modified TEXT, target TEXT, skip TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS starts (start TEXT PRIMARY KEY, wanted TEXT) WITHOUT ROWID;
"""
_INSERT = f"INSERT OR REPLACE INTO fetched VALUES ({', '.join('?' * 18)})"
_KNOWN = """
SELECT address, kind, page, alt, depth, linked, file, type, bytes, width, height, host, etag,
       modified, CASE WHEN kind = 'page' AND file IS NULL THEN target END
FROM fetched WHERE start = ?1 ORDER BY address <> ?1, kind, address
"""
_FROM_START = f"""
WITH RECURSIVE ends(at, hops) AS (
    SELECT ?, 0
    UNION ALL
    SELECT fetched.target, hops + 1 FROM ends JOIN fetched ON fetched.address = ends.at
    WHERE fetched.target IS NOT NULL AND hops < {HOPS}
)
SELECT at FROM ends ORDER BY hops
"""
_ROWS = f"""
WITH RECURSIVE ends(address, page, alt, at, hops) AS (
    SELECT address, page, alt, address, 0 FROM fetched WHERE kind = 'image' OR file IS NOT NULL
    UNION ALL
    SELECT ends.address, ends.page, ends.alt, fetched.target, hops + 1
    FROM ends JOIN fetched ON fetched.address = ends.at
    WHERE fetched.target IS NOT NULL AND hops < {HOPS}
)
SELECT ends.address, coalesce(ends.page, '') AS page, f.file, f.type, f.bytes, f.width, f.height,
       coalesce(ends.alt, '') AS alt, f.host
FROM ends JOIN fetched AS f ON f.address = ends.at
WHERE f.file IS NOT NULL ORDER BY ends.page, ends.address
"""

_FILES = """
SELECT count(*), coalesce(sum(bytes), 0)
FROM (SELECT DISTINCT file, bytes FROM fetched WHERE file IS NOT NULL)
"""


def known(site: Site) -> Iterator[dict[str, Any]]:
    """Payloads of what an earlier run from the same start has found.

    The start is first, so that the quota of pages leaves room for it. Where the start leads to
    another host, the pages of that host belong to the crawl from the beginning.

    A run with the same settings asks for a page only if the page has changed. Nobody sees the links
    of an unchanged page, so an earlier run must have fetched all of them.
    """
    path = Path(site.out) / DATABASE
    if not path.is_file():
        return
    with closing(_opened(path)) as db:
        wanted = db.execute("SELECT wanted FROM starts WHERE start = ?", (site.start,)).fetchone()
        same = wanted is not None and wanted[0] == _wanted(site)
        led = [host_of(at) for (at,) in db.execute(_FROM_START, (site.start,))]
        hosts = list(dict.fromkeys([*site.hosts, *led]))
        packed = msgspec.structs.replace(site, hosts=hosts).packed()
        for row in db.execute(_KNOWN, (site.start,)):
            yield {
                **_payload(row, conditional=same or row[1] == "image"),
                "site": packed if row[0] != site.start else site.packed(),
            }


def _payload(row: tuple[Any, ...], *, conditional: bool) -> dict[str, Any]:
    address, kind, page, alt, depth, linked, *what = row
    names = ("file", "type", "bytes", "width", "height", "host", "etag", "modified", "refresh")
    has = {name: value for name, value in zip(names, what, strict=True) if value is not None}
    payload: dict[str, Any] = {
        "kind": kind,
        "url": address,
        "page": page or "",
        "depth": depth or 0,
    }
    if alt:
        payload["alt"] = alt
    if linked:
        payload["linked"] = True
    if conditional:
        payload["known"] = has
    return payload


def write_index(folder: str, results: Iterable[tuple[Any, Any]], form: str, *, whole: bool) -> str:
    """Put the results of a run into the index and export it. Returns a line that sums up.

    Args:
        form: jsonl, csv or sqlite.
        whole: nothing of the run has failed or was left, so the links of its pages are known.
    """
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    store = Store(out)
    database, part = out / DATABASE, store.part()
    if database.is_file():
        shutil.copyfile(database, part)
    with closing(_opened(part)) as db:
        left_out = _add(db, results, whole=whole)
        db.commit()
        exported = store.part()
        _FORMS[form](exported, rows_of(db))
        os.replace(exported, out / f"index.{form}")
        said = _summary(db)
    if left_out:
        said += f" ({left_out:,} results could not be written and are left out)"
    os.replace(part, database)
    store.sweep()
    return f"{said}: {out / f'index.{form}'}"


def rows_of(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """The rows of the index (`COLUMNS`): each address of a picture that is stored, by its page.

    An address that redirects to a picture has a row, too.
    """
    yield from db.execute(_ROWS)


def sums(db: sqlite3.Connection) -> tuple[int, int]:
    """How many files the index names, and how many bytes they have together."""
    files, size_bytes = db.execute(_FILES).fetchone()
    return int(files), int(size_bytes)


def sites(db: sqlite3.Connection) -> list[str]:
    """The hosts at which the crawls into this folder have started."""
    return sorted({host_of(start) for (start,) in db.execute("SELECT DISTINCT start FROM fetched")})


def files_of(db: sqlite3.Connection) -> Iterator[tuple[Any, ...]]:
    """Each file once (`COLUMNS`), with the first of the rows that name it."""
    columns = ", ".join(COLUMNS)
    # SQLite gives the other columns from the row that has the least address.
    one = f"SELECT {columns}, min(address) FROM ({_ROWS}) GROUP BY file ORDER BY page, address"
    for row in db.execute(one):
        yield row[:-1]


def opened(folder: Path) -> sqlite3.Connection:
    """The index of a folder. Raises FileNotFoundError if it has none."""
    if not (folder / DATABASE).is_file():
        raise FileNotFoundError(f"{folder} has no {DATABASE}: no crawl has ended there")
    return _opened(folder / DATABASE)


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.text_factory = lambda text: text.decode("utf-8", "replace")
    # Nobody else opens it: it is moved to its place when it is whole.
    db.executescript("PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF;" + _SCHEMA)
    return db


def _add(db: sqlite3.Connection, results: Iterable[tuple[Any, Any]], *, whole: bool) -> int:
    """Returns how many results could not be written. One bad row never costs the others."""
    left_out = 0
    for payload, result in results:
        try:
            if payload["kind"] in _NO_ADDRESS or result.keys().isdisjoint(_KEPT):
                continue
            site = unpacked(payload["site"])
            db.execute(_INSERT, _row(site, payload, result))
            if payload["url"] == site.start:
                wanted = _wanted(site) if whole else ""
                db.execute("INSERT OR REPLACE INTO starts VALUES (?, ?)", (site.start, wanted))
        except _BAD_ROW:
            left_out += 1
    return left_out


def _row(site: Site, payload: dict[str, Any], result: dict[str, Any]) -> tuple[Any, ...]:
    get = result.get
    return (
        payload["url"], payload["kind"], site.start, site.run, payload.get("page"),
        payload.get("alt"), payload.get("depth", 0), int(payload.get("linked", False)), get("file"),
        get("type"), get("bytes"), get("width"), get("height"), get("host"), get("etag"),
        get("modified"), get("redirect") or get("refresh"), get("skip"),
    )  # fmt: skip


def _wanted(site: Site) -> str:
    """The settings that decide which addresses a page leads to."""
    return json.dumps(
        [site.pages, site.images, site.depth, site.hosts, site.robots, site.types, site.max_bytes]
    )


def _summary(db: sqlite3.Connection) -> str:
    (rows,) = db.execute(f"SELECT count(*) FROM ({_ROWS})").fetchone()
    files, taken = sums(db)
    return f"{rows:,} images in {files:,} files of {size(taken)}"


def _jsonl(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False) + "\n")


def _csv(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([cell(v) if isinstance(v, str) else v for v in row] for row in rows)


def _sqlite(path: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"CREATE TABLE images ({', '.join(COLUMNS)}, PRIMARY KEY (address))")
        db.executemany(f"INSERT INTO images VALUES ({', '.join('?' * len(COLUMNS))})", rows)
        db.commit()


_FORMS = {"jsonl": _jsonl, "csv": _csv, "sqlite": _sqlite}
