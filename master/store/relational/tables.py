"""Tables whose rows are records: columns, rows and records follow from the fields of a record.

A new column is a field of the record, a line of `schema.sql` and a migration. A field is the value
of the column with its name, unless a `Kept` says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from operator import attrgetter
from typing import Any, Generic, TypeVar, get_type_hints

import msgspec

from queue_manager.wire.failures import RetryNote
from queue_manager.wire.records import GroupLimit, RunOptions

from ...changes import (
    BlockRecord,
    CollectCursor,
    GivenArguments,
    GroupRecord,
    OutcomeRecord,
    QuotaCounts,
    RunCounts,
    RunRecord,
    TrackedRecord,
)
from ...failures import FailureGroup
from ...history import Counted, HistoryRecord, Standing
from ...scheduled import ScheduleRecord
from ...tries import TryRecord
from .database import Database

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Kept:
    """How a field is kept that is not simply the value of its column.

    columns: by name, the function that makes the column's value of the field. None: the column
    holds the field as it is. load: makes the field of the values of the columns.
    """

    columns: Mapping[str, Callable[[Any], Any] | None]
    load: Callable[..., Any] | None = None


class Table(Generic[R]):
    """A table with a column or more for each field of a record, in the record's order.

    key: columns in front of them, which the record does not hold. unique: the columns that no two
    rows have in common, if a record may take the place of another. constants: columns behind them,
    by name, with the value that each new row has.
    """

    def __init__(
        self,
        name: str,
        record: Callable[..., R],
        kept: Mapping[str, Kept] | None = None,
        *,
        key: tuple[str, ...] = (),
        unique: tuple[str, ...] = (),
        constants: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name
        self._key = key
        self._unique = unique or key
        self._constants = constants or {}
        self.names: list[str] = []
        self._bytes: set[str] = set()
        functions: dict[str, Any] = {"record": record}
        dumped, loaded = [], []
        hints = get_type_hints(record)
        for field in fields(record):  # type: ignore[arg-type]
            how = (kept or {}).get(field.name) or _kept_as(field.name, hints[field.name])
            for dump in how.columns.values():
                value = f"record.{field.name}"
                dumped.append(_call(functions, dump, value) if dump else value)
            start = len(self.names)
            values = [f"row[{start + at}]" for at in range(len(how.columns))]
            loaded.append(_call(functions, how.load, *values) if how.load else values[0])
            self.names += how.columns
            if hints[field.name] is bytes:
                self._bytes.update(how.columns)
        self.columns = ", ".join(self.names)
        # The functions are made of source, as dataclasses do: a commit has thousands of rows.
        row = ", ".join(dumped)
        self.row: Callable[[R], tuple[Any, ...]] = eval(f"lambda record: ({row},)", functions)
        """What the columns hold for a record."""
        self._keyed_row = eval(f"lambda key, record: (*key, {row})", functions)
        self.load: Callable[[Sequence[Any]], R] = eval(
            f"lambda row: record({', '.join(loaded)})", functions
        )
        """The record of a row that has the columns in their order."""

    def select(self, of: str = "", without: Collection[str] = (), no_bytes: str = "") -> str:
        """The columns as SQL reads them: those of the table alias `of`; empty values for some.

        no_bytes: an empty value of bytes.
        """
        before = of and f"{of}."
        empty = {name: no_bytes if name in self._bytes else "''" for name in without}
        return ", ".join(empty.get(name, before + name) for name in self.names)

    def assignments(self, values: str, without: Collection[str] = ()) -> str:
        """The columns that an UPDATE sets. values: a value; `{}` in it is the column's name."""
        names = (name for name in self.names if name not in without)
        return ", ".join(f"{column} = {values.format(column)}" for column in names)

    def insert(self, db: Database, records: Collection[R], end: str = "") -> None:
        """Write records as new rows. end: what becomes of those that are there."""
        if records:
            self._insert(db, map(self.row, records), end)

    def replace(self, db: Database, records: Mapping[Any, R]) -> None:
        """Write records by their keys, in the place of those that are there."""
        if records:
            rows = map(self._keyed_row, records, records.values())
            self._insert(db, rows, self.in_place)

    @property
    def in_place(self) -> str:
        """The end of an INSERT whose rows take the place of those that are there."""
        return in_place(self._unique, self.assignments("excluded.{}", without=self._unique))

    def _insert(self, db: Database, rows: Iterable[tuple[Any, ...]], end: str) -> None:
        names = [*self._key, *self.names, *self._constants]
        if self._constants:
            behind = tuple(self._constants.values())
            rows = (row + behind for row in rows)
        db.insert(self.name, names, rows, end)


def in_place(unique: Sequence[str], assignments: str) -> str:
    """The end of an INSERT whose rows take the place of those with the same `unique` columns."""
    return f"ON CONFLICT ({', '.join(unique)}) DO UPDATE SET {assignments}"


def _call(functions: dict[str, Any], function: Callable[..., Any], *values: str) -> str:
    """Source that calls a function, which gets a name for that."""
    name = f"function_{len(functions)}"
    functions[name] = function
    return f"{name}({', '.join(values)})"


_COLUMNS = {"group": "grp", "args": "words", "tracked": "strays"}
"""Columns whose names differ from their fields: GROUP is a word of SQL, the others are older."""


def _kept_as(name: str, hint: Any) -> Kept:
    """How a field of this type is kept, in one column."""
    column = _COLUMNS.get(name, name)
    if hint is bool:
        return Kept({column: int}, bool)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        states = {state.value: state for state in hint}
        return Kept({column: attrgetter("_value_")}, states.__getitem__)
    return Kept({column: None})


def packed(column: str, of: Any) -> Kept:
    """A field of this type as MessagePack; None is NULL."""
    decode = msgspec.msgpack.Decoder(of).decode
    encode = msgspec.msgpack.Encoder().encode
    return Kept(
        {column: lambda value: None if value is None else encode(value)},
        lambda data: None if data is None else decode(data),
    )


def _limit(at_once: int | None, every_s: float | None) -> GroupLimit | None:
    return None if every_s is None else GroupLimit(at_once, every_s)


def _of_standing(name: str) -> Callable[[Standing | None], int | None]:
    value: Callable[[Standing], int] = attrgetter(name)
    return lambda standing: None if standing is None else value(standing)


BLOCKS = Table("blocks", BlockRecord, {"keys": packed("keys", list[str])}, constants={"open": 1})
OUTCOMES = Table("outcomes", OutcomeRecord)
TRACKED = Table("strays", TrackedRecord, {"retries": packed("retries", list[RetryNote])})
TRIES = Table("tries", TryRecord)
"""Its first columns, `run`, `task` and `place`, are in no record."""
RUNS = Table(
    "runs",
    RunRecord,
    {
        "args": packed("words", list[str]),
        "options": packed("options", RunOptions),
        "arguments": packed("arguments", GivenArguments),
        "after": packed("predecessors", list[int]),
        "waits_for": packed("waits_for", list[int]),
        "collect_cursor": Kept(
            {"collected": attrgetter("number"), "collected_into": attrgetter("offset")},
            CollectCursor.at,
        ),
    },
)
COUNTS = Table(
    "runs",
    RunCounts,
    {
        "told": Kept(
            {f"told_{name}": attrgetter(name) for name in Counted._fields},
            lambda *counted: Counted(*counted),
        )
    },
)
"""The other columns of a run's row, which are written by themselves."""
QUOTAS = Table("quotas", QuotaCounts, key=("run", "name"))
OWN_GROUPS = Table(
    "own_groups",
    GroupRecord,
    {
        "limit": Kept(
            {
                "at_once": lambda limit: limit and limit.at_once,
                "every_s": lambda limit: limit and limit.every_s,
            },
            _limit,
        )
    },
    key=("run", "grp"),
)
FAILURES = Table("failures", FailureGroup, {"workers": packed("workers", dict[str, int])})
HISTORY = Table(
    "history",
    HistoryRecord,
    {
        "standing": Kept(
            {name: _of_standing(name) for name in Standing._fields},
            lambda *standing: None if standing[0] is None else Standing(*standing),
        )
    },
)
SCHEDULES = Table(
    "schedules",
    ScheduleRecord,
    {"args": packed("words", list[str]), "waiting": packed("waiting", list[float])},
    unique=("name",),
)
