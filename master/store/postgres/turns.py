"""What changes in nearly every commit: numbers under names, and the counts of active runs.

A commit inserts them as one row (`turns` in `schema.sql`). The newest ones are here as well, so
reading them takes no statement. Knows no connection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from ...changes import RunCounts
from ..relational.database import Row
from ..relational.tables import COUNTS

FOLD_AT = 1_024
"""After so many commits the newest values go into `meta` and `runs`."""

FOLDED = "folded_turn"
"""The name of the number of the last commit whose values are in `meta` and `runs`."""


class Content(msgspec.Struct, array_like=True, gc=False):
    """What a row holds. counts: by run, what the columns of its row in `runs` would hold."""

    kept: dict[str, int | bytes]
    counts: dict[int, tuple[int | float, ...]]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Content).decode


class Newest:
    """The values as of the last commit. number: of that commit."""

    def __init__(self) -> None:
        self.number = 0
        self.folded = 0
        self.unfolded = Content({}, {})
        self._kept: dict[str, Any] = {}
        self._counts: dict[int, RunCounts] = {}

    def load(self, meta: Mapping[str, Any], turns: Iterable[tuple[int, bytes]]) -> None:
        """Take what is on disk. turns: the rows behind the folded ones, in their order."""
        self._kept = dict(meta)
        self.number = self.folded = self._kept.get(FOLDED, 0)
        for number, content in turns:
            self.take(number, _decode(content))

    def take(self, number: int, content: Content, gone: Collection[int] = ()) -> None:
        """A commit is on disk. gone: runs whose row in `runs` has their counts, or is deleted."""
        self.number = number
        if FOLDED in content.kept:
            self.folded, self.unfolded = number, Content({}, {})
        else:
            self.unfolded.kept.update(content.kept)
            self.unfolded.counts.update(content.counts)
        self._kept.update(content.kept)
        for run, row in content.counts.items():
            self._counts[run] = COUNTS.load(row)
        for run in gone:
            self._counts.pop(run, None)
            self.unfolded.counts.pop(run, None)

    def kept(self, name: str) -> Any:
        """The value under a name. None: there is none."""
        return self._kept.get(name)

    def counts(self, run: int, row: Row) -> RunCounts:
        """The counts of a run. row: those of its row in `runs`."""
        return self._counts.get(run) or COUNTS.load(row)


class Turn:
    """The values as one commit will leave them. number: of the commit, as no other one has it."""

    def __init__(self, newest: Newest, number: int) -> None:
        self._newest = newest
        self.number = number
        self._content = Content({}, {})
        self._gone: set[int] = set()

    def kept(self, name: str) -> Any:
        """As `Newest.kept`."""
        value = self._content.kept.get(name)
        return self._newest.kept(name) if value is None else value

    def keep(self, values: Mapping[str, Any]) -> None:
        """Keep numbers or bytes under their names."""
        self._content.kept.update(values)

    def counts(self, run: int, row: Row) -> RunCounts:
        """As `Newest.counts`."""
        new = self._content.counts.get(run)
        return self._newest.counts(run, row) if new is None else COUNTS.load(new)

    def set_counts(self, counts: Mapping[int, RunCounts]) -> None:
        """Keep the counts of runs."""
        for run, some in counts.items():
            self._content.counts[run] = COUNTS.row(some)

    def gone(self, runs: Collection[int]) -> dict[int, Row]:
        """Runs that have ended or are forgotten: the counts that are to be in their rows."""
        self._gone.update(runs)
        counts = self._newest.unfolded.counts | self._content.counts
        return {run: counts[run] for run in runs if run in counts}

    @property
    def is_fold_due(self) -> bool:
        """Whether the newest values go into `meta` and `runs` in this commit."""
        return self.number - self._newest.folded >= FOLD_AT

    def fold(self) -> Content:
        """What goes into `meta` and `runs`."""
        self._content.kept[FOLDED] = self.number
        old = self._newest.unfolded
        return Content(old.kept | self._content.kept, old.counts | self._content.counts)

    def row(self) -> bytes:
        """What the commit inserts."""
        return _encode(self._content)

    def taken(self) -> None:
        """The commit is on disk."""
        self._newest.take(self.number, self._content, self._gone)
