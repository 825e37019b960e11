"""Looks whether the server keeps what it has acknowledged."""

from __future__ import annotations

import logging

from ..link.connection import Connection

log = logging.getLogger("quartermaster.master")

_NEEDED = ("fsync", "full_page_writes", "synchronous_commit")


def warn_of_settings(connection: Connection) -> None:
    """Say in the log which settings break the promise that nothing acknowledged is lost."""
    query = "SELECT name FROM pg_settings WHERE name = ANY(%s) AND setting = 'off' ORDER BY name"
    for (name,) in connection.execute(query, (list(_NEEDED),)).fetchall():
        log.warning("PostgreSQL has %s=off: what is acknowledged may be lost with a crash", name)
