"""Rows follow from records: which columns there are, and what goes in comes out again."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from enum import StrEnum

import pytest

from master.store.relational import tables
from master.store.relational.tables import Kept, Table, packed
from master.store.sqlite.database import SqliteDatabase
from master.store.sqlite.schema.file import read_schema


@pytest.fixture
def db() -> sqlite3.Connection:
    return sqlite3.connect(":memory:")


@pytest.mark.parametrize(
    ("name", "of_rows", "beside"),
    [
        ("runs", [tables.RUNS, tables.COUNTS], set()),
        ("blocks", [tables.BLOCKS], {"open"}),
        ("outcomes", [tables.OUTCOMES], set()),
        ("strays", [tables.TRACKED], set()),
        ("tries", [tables.TRIES], {"run", "task", "place"}),
        ("quotas", [tables.QUOTAS], {"run", "name"}),
        ("own_groups", [tables.OWN_GROUPS], {"run", "grp"}),
    ],
)
def test_the_columns_of_the_schema_are_those_of_the_records(
    db: sqlite3.Connection, name: str, of_rows: list[Table[object]], beside: set[str]
) -> None:
    """A new field of a record without its column, or the other way round, is found here."""
    db.executescript(read_schema())
    columns = {row[1] for row in db.execute(f"PRAGMA table_info({name})")}
    of_records = [column for table in of_rows for column in table.names]
    assert sorted([*of_records, *beside]) == sorted(columns)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Thing:
    """One field of each kind."""

    id: int
    group: str | None
    colour: Colour
    is_new: bool
    names: list[str] | None
    span: tuple[int, int]
    last: float = 0.0


THINGS = Table(
    "things",
    Thing,
    {
        "names": packed("names", list[str]),
        "span": Kept(
            {"low": lambda span: span[0], "high": lambda span: span[1]}, lambda *span: span
        ),
    },
    constants={"open": 1},
)


def test_a_field_has_the_column_of_its_name_or_is_kept_as_was_said() -> None:
    assert THINGS.columns == "id, grp, colour, is_new, names, low, high, last"
    assert THINGS.select("t", without=("names", "last")) == (
        "t.id, t.grp, t.colour, t.is_new, '', t.low, t.high, ''"
    )
    assert THINGS.assignments("excluded.{}").startswith("id = excluded.id, grp = excluded.grp, ")


def test_records_come_back_as_they_were_written(db: sqlite3.Connection) -> None:
    db.executescript(read_schema())
    db.execute(f"CREATE TABLE things ({THINGS.columns}, open)")
    first = Thing(1, None, Colour.RED, True, None, (3, 4), last=0.5)
    second = Thing(2, "g", Colour.BLUE, False, ["a", "痛"], (0, 2**62))
    THINGS.insert(SqliteDatabase(db), [first, second])
    rows = db.execute(f"SELECT {THINGS.columns} FROM things ORDER BY id").fetchall()
    assert rows[0] == (1, None, "red", 1, None, 3, 4, 0.5)
    loaded = [THINGS.load(row) for row in rows]
    assert loaded == [first, second]
    assert [type(loaded[0].colour), type(loaded[0].is_new)] == [Colour, bool]
    assert db.execute("SELECT open FROM things").fetchall() == [(1,), (1,)]


def test_records_replace_those_with_the_same_key(db: sqlite3.Connection) -> None:
    quotas = tables.QUOTAS
    db.executescript(read_schema())
    some = [tables.QuotaCounts(n, n) for n in range(300)]
    database = SqliteDatabase(db)
    quotas.replace(database, {(1, f"q{n}"): counts for n, counts in enumerate(some)})
    quotas.replace(database, {(1, "q0"): tables.QuotaCounts(9, 8)})
    row = db.execute(f"SELECT {quotas.columns} FROM quotas WHERE name = 'q0'").fetchone()
    assert quotas.load(row) == tables.QuotaCounts(9, 8)
    assert db.execute("SELECT COUNT(*) FROM quotas").fetchone() == (300,)
