"""The two ends of a move, whatever their engine: tables of rows, with the same columns in both.

What the engines keep in ways of their own, an end gives and takes in one: `meta` as (name, value),
the counts of all runs in `runs`, and the keys of tasks as (run, hash) in `keys`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from .hashing import Row

TABLES = {
    "runs": "id job key state exhausted started_at ended_at collected collect_errors"
    " collected_into version cancelled tasks accepted done dead strays last_seq words options"
    " pruned last_dead arguments predecessors waits_for uploaded died failed busy_s told_done"
    " told_died told_failed told_busy_s traceparent",
    "texts": "run text",
    "code": "version files",
    "blocks": "id run priority first count open grp keys body",
    "outcomes": "seq run block first start stop results",
    "strays": "run task block position priority state attempts losses delay_s due_at grp lease seq"
    " worker error evidence printed raised retries failure tries fate ended_at took_s",
    "tries": "run task place number fate ended_at took_s worker error evidence printed raised",
    "failures": "id run exception place count first_at last_at last_seq task error workers",
    "own_groups": "run grp at_once every_s delay_s due_at",
    "quotas": "run name accepted dropped",
    "marks": "at seq",
    "workers": "id",
    "dropping": "run",
    "history": "run at span_s done dead failed busy_s waiting leased delayed workers slots",
    "schedules": "name expression job words zone missed overlap from_file paused cursor waiting"
    " last_slot last_run skipped note trouble",
    "meta": "name value",
    "keys": "run hash",
}
"""The columns of each table. A test compares them with both schemas."""

OWN = {"commit", "schema_version", "folded_turn", "epoch"}
"""Names in `meta` that mean something to one engine alone, or that an end knows elsewhere."""

COUNTS = TABLES["runs"].split()


class Origin(Protocol):
    """A store that is read. It is held: no master can begin on it meanwhile."""

    @property
    def epoch(self) -> int:
        """How often a master has begun on it."""

    def count(self, table: str) -> int:
        """About how many rows a table has."""

    def rows(self, table: str) -> Iterator[Row]:
        """All rows of a table, in whatever order."""

    def close(self) -> None:
        """Let the store go."""


class Destination(Origin, Protocol):
    """A store that is written. Nothing of it counts before `finish`."""

    def write(self, table: str, rows: Iterable[Row]) -> None:
        """Write all rows of a table, which is empty."""

    def finish(self, epoch: int) -> None:
        """What was written is the store, on disk. epoch: at least that of the origin."""
