"""Faults that are done to the database in which the master has its store."""

from __future__ import annotations

from tests.postgres_server import PostgresServer

from .faults import Faults
from .ground.cluster import Cluster
from .load import Load
from .plan import Fault

BACK_S = 1.0
"""How long after the database's return it may take until all is recorded again."""


class DatabaseFaults(Faults):
    """All faults, and those of a server. The faults of a store in a file are not among the plan."""

    def __init__(self, cluster: Cluster, load: Load, seed: int, server: PostgresServer) -> None:
        super().__init__(cluster, load, seed)
        self._server = server

    def kill_database(self, fault: Fault) -> bool:
        """kill -9 of the server and its sessions; it starts again after a while."""
        if not self._server.runs or not self.cluster.up:
            return False
        self._away(fault.kind, fault.lasts_s + BACK_S)
        self._server.kill()
        self._later.after(fault.lasts_s, self._server.start)
        return True

    def end_sessions(self, fault: Fault) -> bool:
        """As an administrator does it, in whatever they are doing."""
        if not self._server.runs or not self.cluster.up:
            return False
        self._away(fault.kind, BACK_S)
        with self._server.superuser() as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name LIKE 'quartermaster/%'"
            )
        return True

    def _away(self, kind: str, lasts_s: float) -> None:
        # A stock worker whose result is refused gives up, and another worker gets its task.
        clients = frozenset(client.pid for client in self.cluster.clients.values())
        self._hits.note(kind, lasts_s, slots=clients)
        self._hits.no_records(lasts_s)
