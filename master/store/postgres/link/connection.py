"""One connection to the server: its parameters, and what its errors say.

Owns what every connection has: time-outs, the schema, a name by which an administrator finds it.
Knows nothing of statements.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
from typing import Any

import psycopg
from psycopg.abc import PQGen

from queue_manager.errors import StoreError

from ..address import Address

CONNECT_S = 3
"""How long a connection may take to come about, for each address of the server; and then, how long
its first statement may take."""

SILENCE_S = 3
"""How long a connection lives of which no packet arrives, at either end."""

LONGEST_NAME = 63
"""Bytes of a session's name that PostgreSQL keeps (NAMEDATALEN)."""

_WHO_ANSWERS = "SELECT pg_backend_pid(), current_setting('search_path')"
_LONGEST_LINE = 300
_GUESS = re.compile("This probably means the server|before or while processing the request")
"""What libpq adds for whoever runs the server."""

# It warns of pipelines whose connection has ended. The error that is raised says the same.
logging.getLogger("psycopg").setLevel(logging.ERROR)

_CLIENT = {
    "target_session_attrs": "read-write",
    "connect_timeout": str(CONNECT_S),
    "keepalives": "1",
    "keepalives_idle": "1",
    "keepalives_interval": "1",
    "keepalives_count": str(SILENCE_S),
    "tcp_user_timeout": str(SILENCE_S * 1000),
    "client_encoding": "UTF8",
}
"""libpq's. Those in the URL come before them."""

_SERVER = {
    "tcp_keepalives_idle": "1",
    "tcp_keepalives_interval": "1",
    "tcp_keepalives_count": str(SILENCE_S),
    "tcp_user_timeout": str(SILENCE_S * 1000),
    "client_connection_check_interval": "1000",
    "idle_session_timeout": "0",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "jit": "off",
    **dict.fromkeys(
        (
            "enable_seqscan",
            "enable_bitmapscan",
            "enable_sort",
            "enable_hashjoin",
            "enable_mergejoin",
        ),
        "off",
    ),
}
"""The server's, for this session. It frees the locks of a client that is gone within `SILENCE_S`,
also where the client's long statement goes on; and it ends no session for being idle. Texts of SQL
mean what they mean in ours, whatever the role is set to.

Each of our statements reads a page in the order of an index. A planner that knows too little of a
table (it was just made) or of a page's end would read all rows, and sort them: that is off."""


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A connection that need not wait for ever.

    patience_s: how long a statement may take; then it raises psycopg.OperationalError, and the
        connection is closed. Without it a server behind a proxy that forwards nothing and closes
        nothing would hold up its thread for good. None: no limit.
    """

    patience_s: float | None = None

    def wait(self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None) -> Any:
        """As that of psycopg, which each verb of a connection ends up in."""
        if timeout is not None or self.patience_s is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(gen, interval, self.patience_s)
        except psycopg.errors._WaitTimeout:
            self.close()  # the answer may come later, and would be taken for another one's
            raise psycopg.OperationalError(
                f"the server has not answered within {self.patience_s:g} s"
            ) from None


def connect(address: Address, role: str, patience_s: float | None = None) -> Connection:
    """Open a connection, in autocommit, whose search path is the schema alone.

    Args:
        address: the server and the schema, which need not be there yet.
        role: the session is called `quartermaster/ROLE` in pg_stat_activity.
        patience_s: as in `Connection`.

    Raises:
        StoreError: there is none. Its one line says why, and has no password in it.
    """
    settings = {**_SERVER, "search_path": address.schema}
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    own = address.parameters.get("options", "")
    parameters: dict[str, Any] = {
        **_CLIENT,
        **address.parameters,
        "application_name": session_name(role),
        "options": f"{options} {own}".strip(),
    }
    try:
        connection = Connection.connect(autocommit=True, **parameters)
    except (psycopg.Error, UnicodeError) as error:
        raise StoreError(f"can't reach {address.shown}: {one_line(error)}") from error
    connection.patience_s = CONNECT_S
    try:
        _check(connection, address)
    except BaseException:
        close(connection)
        raise
    connection.patience_s = patience_s
    return connection


def _check(connection: Connection, address: Address) -> None:
    """Find out whether the server itself answers, in our schema.

    A pooler gives a session to others, and it may drop what ours is set to: then all schemas of a
    database would be one.
    """
    try:
        found = connection.execute(_WHO_ANSWERS, prepare=False).fetchone()
    except psycopg.Error as error:
        raise StoreError(f"can't use {address.shown}: {one_line(error)}") from error
    if found != (connection.info.backend_pid, address.schema):
        raise StoreError(
            f"can't use {address.shown}: a pooler answers there, and masters need sessions of"
            " their own: name the server itself"
        )


def session_name(role: str) -> str:
    """What the server calls a session: ASCII that can be printed, of at most 63 bytes.

    A long name loses its beginning: its end tells sessions apart.
    """
    plain = "".join(c if " " <= c <= "~" else "?" for c in role)
    prefix = "quartermaster/"
    return prefix + plain[-(LONGEST_NAME - len(prefix)) :]


def one_line(error: BaseException) -> str:
    """What an error of psycopg says, on one line."""
    lines = (line.strip() for line in str(error).splitlines())
    text = "; ".join(line for line in lines if line and not _GUESS.match(line))
    text = text or type(error).__name__
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}..."


def close(connection: Connection | None) -> None:
    """Close a connection in whatever state it is. Nothing is raised."""
    if connection is not None:
        with contextlib.suppress(psycopg.Error, OSError):
            connection.close()


def cut(connection: Connection | None) -> None:
    """End a connection that another thread may wait for: that thread gets an error at once."""
    if connection is None:
        return
    with contextlib.suppress(psycopg.Error, OSError):
        held = socket.socket(fileno=os.dup(connection.pgconn.socket))
        with held:
            held.shutdown(socket.SHUT_RDWR)
