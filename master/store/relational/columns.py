"""What `{name}` stands for in statements: the columns of records, and a few expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from queue_manager.codec import NOTHING

from ...changes import CANCELLED
from .tables import (
    BLOCKS,
    COUNTS,
    FAILURES,
    HISTORY,
    OUTCOMES,
    OWN_GROUPS,
    QUOTAS,
    RUNS,
    SCHEDULES,
    TRACKED,
    TRIES,
)

TEXTS = ("evidence", "printed", "raised")
"""The columns of a tracked task that are long, and not needed while it waits."""

LETTER = "task, attempts, losses, error, evidence, worker, printed, raised, seq, due_at"
"""The columns of a tracked task that are the fields of a dead letter."""

_INDEXES = ("waiting", "dead", "letters", "failures", "of_failure")
"""The indexes of tracked tasks that statements name: of `{by_dead}`, that is `strays_dead`."""


NO_NOTES = b"\x90"
"""No notes of retries: an empty array of MessagePack."""


@dataclass(frozen=True)
class Dialect:
    """How an engine writes what SQL has no common way for. `{}` in each stands for what it is of.

    hexed: bytes, of their hexadecimal digits. any_of: a number is one of a list. greatest: the
    name of the function of the greatest value. number: 1 or 0, of a condition. by_index: the index
    that a statement uses, of its name; empty if the engine chooses. own: more names of what only
    this engine has.
    """

    hexed: str
    any_of: str
    greatest: str
    number: str = "{}"
    by_index: str = ""
    own: Mapping[str, str] = field(default_factory=dict)


_IS_TRY = "(fate != '' OR error != '')"
"""Whether the row of a tracked task tells of a try. An earlier release wrote no fate."""


def _last_try(greatest: str) -> str:
    """The columns of a try as the row of its task has them."""
    failed = "CASE WHEN fate = '' THEN 'failed' ELSE fate END"
    values = {"number": f"{greatest}(tries, attempts + losses, 1)", "fate": failed}
    return ", ".join(values.get(name, name) for name in TRIES.names)


def columns(dialect: Dialect) -> dict[str, str]:
    """The columns of each table by its name, and of one alias where two tables are joined."""
    hexed = (dialect.hexed.format(some.hex()) for some in (b"", NOTHING, CANCELLED, NO_NOTES))
    no_bytes, nothing, cancelled, no_notes = hexed
    in_tasks = dialect.any_of.format(":tasks")
    return {
        "runs": RUNS.columns,
        "set_runs": RUNS.assignments(":{}"),
        "counts": COUNTS.columns,
        "set_counts": COUNTS.assignments(":{}"),
        "blocks": BLOCKS.columns,
        "outcomes": OUTCOMES.columns,
        "tracked": TRACKED.columns,
        "tracked_short": TRACKED.select("", TEXTS, no_bytes),
        "s_tracked_short": TRACKED.select("s", TEXTS, no_bytes),
        "tries": TRIES.columns,
        "is_try": _IS_TRY,
        "last_try": _last_try(dialect.greatest),
        "replace_tries": TRIES.assignments("excluded.{}"),
        "in_tasks": in_tasks,
        "in_seqs": dialect.any_of.format(":seqs"),
        "in_blocks": dialect.any_of.format(":blocks"),
        "greatest": dialect.greatest,
        "quotas": QUOTAS.columns,
        "q_quotas": QUOTAS.select("q"),
        "own_groups": OWN_GROUPS.columns,
        "failures": FAILURES.columns,
        "set_failures": FAILURES.assignments(":{}", without=("id",)),
        "new_failures": ", ".join(FAILURES.names[1:]),
        "values_of_new_failures": ", ".join(f":{name}" for name in FAILURES.names[1:]),
        "f_failures": FAILURES.select("f"),
        "history": HISTORY.columns,
        "schedules": SCHEDULES.columns,
        "letter": LETTER,
        "listed": "task, attempts, due_at, delay_s, worker, substr(error, 1, 1000)",
        **{f"by_{name}": dialect.by_index.format(f"strays_{name}") for name in _INDEXES},
        "no_bytes": no_bytes,
        "no_notes": no_notes,
        "nothing": nothing,
        "cancelled": cancelled,
        "readable": f"(stop - start) * {dialect.number.format(f'(results != {nothing})')}",
        **dialect.own,
    }
