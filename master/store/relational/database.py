"""What the shared verbs need of an engine: statements by names, and what each keeps its way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from ...changes import RunCounts

Row = tuple[Any, ...]
Parts = Mapping[str, str] | None


class Database(ABC):
    """A connection of an engine. Statements are those of `Statements`.

    A value is given by its name. A list is for a statement that looks for any of its numbers.
    parts: as `Statements.text`. Errors are those of the engine's library.

    tables_of_keys: the tables with keys of tasks, each with the column by which its rows are
    deleted, and what a row has in bytes beside short columns.
    """

    tables_of_keys: Sequence[tuple[str, str, str]]

    # --- statements ---

    @abstractmethod
    def rows(self, name: str, /, parts: Parts = None, **values: Any) -> Iterator[Row]:
        """The rows of a statement. They may be read while they are looked at.

        Whoever may stop early limits the statement: an engine may read all rows first.
        """

    @abstractmethod
    def stream(self, name: str, /, parts: Parts = None, **values: Any) -> Iterator[Row]:
        """The rows of a statement that has many, a few at a time. Others may run meanwhile."""

    @abstractmethod
    def look_up(
        self, name: str, keys: Sequence[Row], /, parts: Parts = None, **values: Any
    ) -> Iterator[Row]:
        """The rows of a statement with many keys in the place of its `{keys}`.

        keys: all of the same width. A row may come twice.
        """

    @abstractmethod
    def run(self, name: str, /, parts: Parts = None, **values: Any) -> None:
        """Run a statement that changes rows."""

    @abstractmethod
    def changed(self, name: str, /, parts: Parts = None, **values: Any) -> int:
        """Run a statement that changes rows, and return how many it has changed."""

    @abstractmethod
    def insert(
        self, table: str, columns: Sequence[str], rows: Iterable[Collection[Any]], end: str = ""
    ) -> None:
        """Write many rows with few statements. end: what becomes of those that are there."""

    def first(self, name: str, /, parts: Parts = None, **values: Any) -> Row | None:
        """The first row of a statement. None: there is no row."""
        return next(iter(self.rows(name, parts, **values)), None)

    def one(self, name: str, /, parts: Parts = None, **values: Any) -> Any:
        """The first value of the first row. None: there is no row."""
        row = self.first(name, parts, **values)
        return None if row is None else row[0]

    # --- what each engine keeps its way ---

    @abstractmethod
    def kept(self, name: str) -> Any:
        """The number, or the bytes, under a name of `meta`. None: there is nothing."""

    @abstractmethod
    def keep(self, values: Mapping[str, Any]) -> None:
        """Keep numbers or bytes under their names."""

    def number(self, name: str) -> int:
        """The number under a name, 0 if there is none."""
        return self.kept(name) or 0

    @abstractmethod
    def counts(self, run: int, row: Row) -> RunCounts:
        """The counts of a run. row: what the columns of its row hold."""

    @abstractmethod
    def set_counts(self, counts: Mapping[int, RunCounts]) -> None:
        """Keep the counts of runs, after their records."""

    @abstractmethod
    def taken_keys(self, run: int, keys: Collection[str]) -> set[str]:
        """Which of these keys of tasks the run has."""

    @abstractmethod
    def drop_keys(self, run: int, keys: Collection[str]) -> None:
        """Forget keys of tasks, as far as that is cheap. Others stay taken."""
