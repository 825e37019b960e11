"""Moves all rows of a store into another one, table by table, and compares both afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from queue_manager.errors import InputError, SettingsError, StoreError

from ...store.postgres.address import is_postgres, parse_address
from .ends import TABLES, Destination, Origin
from .hashing import Row, Sum
from .sqlite_end import SqliteEnd

Show = Callable[[str, int, int], None]
"""Is told the table, how many rows were written or compared, and how many there are."""


_SHOW_EACH = 500
_TASKS = TABLES["runs"].split().index("tasks")


@dataclass(frozen=True)
class Moved:
    """What a move has found in both stores. rows: of all tables. runs: beside the queue run."""

    rows: int
    runs: int
    tasks: int


def move(origin: str, destination: str, *, replace: bool, show: Show) -> Moved:
    """Copy a store at rest into another one. Each is a folder, a URL, or a file that has a URL.

    Nothing of the destination changes unless all of it is the same as the origin.

    Raises:
        StoreBusyError: a master uses one of the two.
        StoreError: one can't be read or written, the destination has a store, or they differ.
        SettingsError: a URL is wrong, or psycopg is missing.
    """
    if _url_of(origin) == _url_of(destination):
        raise SettingsError("FROM and TO are the same store")
    with (
        contextlib.closing(_opened(origin)) as source,
        contextlib.closing(_opened(destination, new=True, replace=replace)) as target,
    ):
        return _copy(source, target, show)


def is_database(text: str) -> bool:
    """Whether a text is the URL of a database."""
    return is_postgres(text)


def shown(text: str) -> str:
    """A store as people may see it: the URL without its password, or the folder."""
    return parse_address(text, "TO").shown if is_postgres(text) else text


def raise_numbers(url: str) -> None:
    """A database was restored by its own tools: no number of the lost time is given twice.

    Raises:
        StoreBusyError: a master uses it.
        StoreError: it can't be read or written.
    """
    from .postgres_end import PostgresEnd

    with contextlib.closing(PostgresEnd(parse_address(_url_of(url), "the URL"), new=False)) as end:
        end.raise_numbers()


def _copy(source: Origin, target: Destination, show: Show) -> Moved:
    sums = {}
    for table in TABLES:
        count, done = source.count(table), Sum()
        rows = done.through(source.rows(table))
        target.write(table, _shown(rows, show, table, count))
        sums[table] = done
    tasks = 0
    for table, done in sums.items():
        found = Sum()
        rows = found.through(target.rows(table))
        for row in _shown(rows, show, f"checking {table}", done.rows):
            tasks += row[_TASKS] if table == "runs" else 0
        if found != done:
            raise StoreError(
                f"the table {table} is not the same after the copy: {done.rows:,} rows were read,"
                f" {found.rows:,} are there. Nothing was changed"
            )
    target.finish(source.epoch)
    return Moved(sum(one.rows for one in sums.values()), sums["runs"].rows - 1, tasks)


def _shown(rows: Iterator[Row], show: Show, what: str, count: int) -> Iterator[Row]:
    at = 0
    for at, row in enumerate(rows, 1):
        yield row
        if at % _SHOW_EACH == 0:
            show(what, at, max(at, count))
    show(what, at, at)


def _opened(text: str, *, new: bool = False, replace: bool = False) -> Destination:
    url = _url_of(text)
    if not is_postgres(url):
        return SqliteEnd(Path(text), new=new, replace=replace)
    address = parse_address(url, "the URL")
    from .postgres_end import PostgresEnd

    return PostgresEnd(address, new=new, replace=replace)


def _url_of(text: str) -> str:
    """The URL that a text is, or that the file of this name has; else the text itself."""
    path = Path(text)
    if is_postgres(text) or not path.is_file():
        return text
    try:
        url = path.read_text("utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise InputError(f"can't read {text}: {error}") from error
    if not is_postgres(url):
        raise InputError(f"{text} is no folder of a store, and has no URL of a database")
    return url
