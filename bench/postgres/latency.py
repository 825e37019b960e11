"""One idle task on PostgreSQL, submit to result, beside SQLite's and beside the commits themselves.

A task on PostgreSQL may take what it takes on SQLite and two commits of PostgreSQL more. A commit
is that of one small row by another session on the same server.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import psycopg

from ..brief import sized
from ..figure import Figure, ratio
from ..rig import postgres, processes
from ..speed.idle import COMMITS, WARM_UP, Commits, OwnClient, medians, timed

ROUNDS = sized(5, 1)


def measure() -> list[Figure]:
    """Measure all kinds in turns, a few samples each."""
    with ExitStack() as stack:
        folder, other = (stack.enter_context(processes.scratch()) for _ in range(2))
        server = stack.enter_context(postgres.server(folder))
        store = {"MASTER_STORE": server.url}
        _, lite = stack.enter_context(processes.master(other))
        stack.enter_context(processes.worker(other, lite, slots=1))
        _, port = stack.enter_context(processes.master(folder, more=store))
        stack.enter_context(processes.worker(folder, port, slots=1))
        light = Commits(other / "commits.sqlite3")
        stack.callback(light.close)
        session = stack.enter_context(server.session())
        kinds = [
            ("SQLite: a commit with fsync", timed(light.commit)),
            ("PostgreSQL: a commit, durable", timed(_Rows(session).commit)),
            ("SQLite: a task", stack.enter_context(OwnClient(lite, other)).task),
            ("PostgreSQL: a task", stack.enter_context(OwnClient(port, folder)).task),
        ]
        for _, sample in kinds:
            for number in range(WARM_UP):
                sample(number)
        rounds = [medians([sample for _, sample in kinds]) for _ in range(ROUNDS)]
    columns = zip((name for name, _ in kinds), zip(*rounds, strict=True), strict=True)
    figures = [Figure(name, "ms", column) for name, column in columns]
    _, commit, on_sqlite, on_postgres = figures
    name = f"a task on SQLite + {COMMITS} commits of PostgreSQL"
    pairs = zip(on_sqlite.rounds, commit.rounds, strict=True)
    bound = Figure(name, "ms", tuple(task + COMMITS * one for task, one in pairs))
    return [*figures, bound, ratio(f"PostgreSQL: a task / ({name})", on_postgres, bound, at_most=1)]


class _Rows:
    """A table with a row a commit."""

    def __init__(self, session: psycopg.Connection[Any]) -> None:
        self._session = session
        session.execute("CREATE TABLE rows (id bigserial PRIMARY KEY, body bytea)")

    def commit(self, n: int) -> None:
        self._session.execute(
            "INSERT INTO rows (body) VALUES (%s)", (b"L\x91\x01",), prepare=True, binary=True
        )
