"""A connection as the shared verbs use it: statements by their names, rows as arrays of columns.

In a transaction, statements that change rows wait until somebody looks at rows, or until its end.
So a commit that only writes takes one round trip.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any, NamedTuple

import psycopg

from ...changes import RunCounts
from ..relational.columns import Dialect
from ..relational.database import Database, Parts, Row
from ..relational.names import hash_key
from ..relational.statements import Statements
from ..relational.tables import COUNTS
from . import plain_text
from .link.connection import Connection
from .link.parameters import BYTEA, FLOAT8, INT8, TEXT, Parameter, array, parameter
from .link.pipeline import Call, Pipeline, Result
from .turns import Newest, Turn

STATEMENTS = Statements(
    __package__,
    Dialect(
        hexed=r"'\x{}'::bytea",
        greatest="GREATEST",
        any_of="= ANY({}::bigint[])",
        number="({})::int",
        own={
            "some_dead": "state = 'dead' AND task = ANY(:tasks::bigint[])",
            "new_counts": COUNTS.assignments("new.{}"),
            "arrays_of_counts": ", ".join(f":{name}" for name in COUNTS.names),
        },
    ),
)

PATIENCE_S = 1.5
"""How long the loop waits for rows at most."""

_FETCHED = 64
"""How many rows of a stream come at once."""

_FEW = 4
"""Up to so many rows are inserted each by itself, and wide ones are: arrays cost more then."""

_WIDE_BYTES = 4_096

_VALUE = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_KINDS = {"bigint": INT8, "double precision": FLOAT8, "text": TEXT, "bytea": BYTEA}
_TYPES = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, NULL) FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r' AND a.attnum > 0
"""


class _Statement(NamedTuple):
    """SQL with $1, $2 ..., and the names of these values in their order."""

    text: bytes
    names: list[str]


class _Insert(NamedTuple):
    """Statements that insert one row, or arrays of columns. kinds: the types of the columns."""

    one: bytes
    many: bytes
    kinds: list[int]


class PostgresDatabase(Database):
    """One connection, used by one thread.

    turn: the numbers of `meta` and the counts of active runs: as of the last commit or, where one
    is being made, as it will leave them. patience_s: how long rows are waited for.
    """

    tables_of_keys = (("keys", "hash", "0"),)

    def __init__(self, connection: Connection, turn: Newest | Turn) -> None:
        plain_text.register(connection.adapters)
        self.pipeline = Pipeline(connection)
        self.turn = turn
        self.patience_s = PATIENCE_S
        self._statements: dict[str, _Statement] = {}
        self._inserts: dict[tuple[str, ...], _Insert] = {}
        self._types: dict[tuple[str, str], int] = {}
        self._streams: set[int] = set()
        self._waiting: list[Call] | None = None
        self._is_open = False

    # --- a transaction ---

    def begin(self, turn: Turn) -> None:
        """Begin a transaction. Statements wait from now on."""
        self.turn = turn
        self._waiting, self._is_open = [], False

    def end(self, first: Call) -> list[Call]:
        """The calls that end the transaction. first: goes before those that have waited."""
        calls = [first, *(self._waiting or [])]
        if self._is_open:
            calls.append(Call(b"COMMIT"))
        self._waiting = None
        return calls

    def committed(self, newest: Newest) -> None:
        """The transaction is on disk."""
        self.turn, self._is_open = newest, False

    def leave(self, newest: Newest) -> None:
        """The transaction has failed; what of it is open is undone."""
        self.turn, self._waiting = newest, None
        if self._is_open:
            self._is_open = False
            self._roll_back()

    def _roll_back(self) -> None:
        if not self.pipeline.closed and self.pipeline.connection.info.transaction_status:
            with contextlib.suppress(psycopg.Error):  # whoever is next finds out what it is
                self.pipeline.run_now([Call(b"ROLLBACK")], self.patience_s)

    # --- statements ---

    def rows(self, name: str, /, parts: Parts = None, **values: Any) -> Iterator[Row]:
        return iter(self.pipeline.rows(self._run_now(self.call(name, parts, values))))

    def stream(self, name: str, /, parts: Parts = None, **values: Any) -> Iterator[Row]:
        # A name is used again: the statements with it are prepared once.
        streams = self._streams
        number = next(number for number in count() if number not in streams)
        cursor = b"stream%d" % number
        call = self.call(name, parts, values)
        begin = [] if self._waiting is not None or streams else [Call(b"BEGIN")]
        streams.add(number)
        declare = Call(b"DECLARE %b NO SCROLL CURSOR FOR %b" % (cursor, call.statement), call[1])
        fetch = Call(b"FETCH %d FROM %b" % (_FETCHED, cursor))
        try:
            rows = self.pipeline.rows(self._run_now(*begin, declare, fetch))
            while rows:
                yield from rows
                rows = self.pipeline.rows(self._run_now(fetch)) if len(rows) == _FETCHED else []
        finally:
            streams.remove(number)
            is_last = self._waiting is None and not streams
            if streams is self._streams:
                with contextlib.suppress(psycopg.Error):  # the connection may be gone
                    self._run_now(Call(b"ROLLBACK") if is_last else Call(b"CLOSE " + cursor))

    def end_streams(self) -> None:
        """End what a failed reading has left open.

        Its error holds on to its streams, and a failed transaction answers nobody.
        """
        self._streams = set()
        self._roll_back()

    def look_up(
        self, name: str, keys: Sequence[Row], /, parts: Parts = None, **values: Any
    ) -> Iterator[Row]:
        if not keys:
            return iter(())
        columns = {f"keys{at}": list(column) for at, column in enumerate(zip(*keys, strict=True))}
        return self.rows(name, parts, **values, **columns)

    def run(self, name: str, /, parts: Parts = None, **values: Any) -> None:
        self._run_later(self.call(name, parts, values))

    def changed(self, name: str, /, parts: Parts = None, **values: Any) -> int:
        return self._run_now(self.call(name, parts, values)).command_tuples or 0

    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Collection[Any]], end: str = ""
    ) -> None:
        every = list(rows)
        if not every:
            return
        insert = self._insert(table, columns, end)
        if len(every) <= _FEW or _is_wide(every[0]):
            for row in every:
                values = [_of_kind(*each) for each in zip(row, insert.kinds, strict=True)]
                self._run_later(Call(insert.one, values))
            return
        each = zip(zip(*every, strict=True), insert.kinds, strict=True)
        self._run_later(Call(insert.many, [array(column, kind) for column, kind in each]))

    def call(self, name: str, parts: Parts, values: Mapping[str, Any]) -> Call:
        """A statement with its values."""
        plain = STATEMENTS.text(name, parts)
        made = self._statements.get(plain)
        if made is None:
            names: list[str] = list(dict.fromkeys(_VALUE.findall(plain)))
            numbers = {name: f"${at}" for at, name in enumerate(names, 1)}
            text = _VALUE.sub(lambda found: numbers[found[1]], plain)
            made = self._statements[plain] = _Statement(text.encode(), names)
        return Call(made.text, [parameter(values[name]) for name in made.names])

    def _run_later(self, call: Call) -> None:
        assert self._waiting is not None, "rows are changed in a transaction"
        self._waiting.append(call)

    def _run_now(self, *calls: Call) -> Result:
        """Carry out calls, behind those that wait. Returns the result of the last one."""
        every = list(calls)
        if self._waiting is not None:
            begin = [] if self._is_open else [Call(b"BEGIN")]
            every = [*begin, *self._waiting, *calls]
            self._waiting, self._is_open = [], True
        return self.pipeline.run_now(every, self.patience_s)[-1]

    def _insert(self, table: str, columns: Sequence[str], end: str) -> _Insert:
        key = (table, end, *columns)
        made = self._inserts.get(key)
        if made is None:
            kinds = [self._kind(table, column) for column in columns]
            head = f"INSERT INTO {table} ({', '.join(columns)})"
            marks = [f"${at}" for at in range(1, len(columns) + 1)]
            one = f"{head} VALUES ({', '.join(marks)}) {end}"
            # In the target list: in FROM, the server would first gather all rows.
            many = f"{head} SELECT {', '.join(f'unnest({mark})' for mark in marks)} {end}"
            made = self._inserts[key] = _Insert(one.encode(), many.encode(), kinds)
        return made

    def _kind(self, table: str, column: str) -> int:
        if not self._types:
            (result,) = self.pipeline.run_now([Call(_TYPES.encode())], self.patience_s)
            found = self.pipeline.rows(result)
            self._types = {(of, name): _KINDS.get(kind, TEXT) for of, name, kind in found}
        return self._types[table, column]

    # --- what this engine keeps its way ---

    def kept(self, name: str) -> Any:
        return self.turn.kept(name)

    def keep(self, values: Mapping[str, Any]) -> None:
        self._turn().keep(values)

    def counts(self, run: int, row: Row) -> RunCounts:
        return self.turn.counts(run, row)

    def set_counts(self, counts: Mapping[int, RunCounts]) -> None:
        self._turn().set_counts(counts)

    def write_counts(self, counts: Mapping[int, Row]) -> None:
        """Write the counts of runs into their rows."""
        if counts:
            columns = zip(*counts.values(), strict=True)
            values = {n: list(column) for n, column in zip(COUNTS.names, columns, strict=True)}
            self.run("write_counts", None, runs=list(counts), **values)

    def leave_turns(self, runs: Collection[int]) -> dict[int, Row]:
        """Runs that have ended, or are forgotten, leave `turns`: the counts for their rows."""
        return self._turn().gone(runs)

    def taken_keys(self, run: int, keys: Collection[str]) -> set[str]:
        hashes = {hash_key(key): key for key in keys}
        rows = self.rows("taken_keys", run=run, hashes=list(hashes))
        return {hashes[taken] for (taken,) in rows}

    def drop_keys(self, run: int, keys: Collection[str]) -> None:
        self.run("drop_keys", run=run, hashes=[hash_key(key) for key in keys])

    def add_keys(self, new: Iterable[tuple[int, Sequence[str]]]) -> None:
        """Write new keys of tasks. The commit fails if one of them is taken."""
        rows = chain.from_iterable(((run, hash_key(key)) for key in keys) for run, keys in new)
        self.insert("keys", ("run", "hash"), sorted(rows))

    def _turn(self) -> Turn:
        assert isinstance(self.turn, Turn), "only a commit writes"
        return self.turn


def _is_wide(row: Collection[Any]) -> bool:
    return any(len(value) > _WIDE_BYTES for value in row if isinstance(value, bytes))


def _of_kind(value: Any, kind: int) -> Parameter:
    """A value of a column of this type: 1 is 1.0 in a column of numbers with fractions."""
    return parameter(float(value) if kind == FLOAT8 and value is not None else value)
