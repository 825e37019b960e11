"""What errors of the database mean for a store: its connection is gone, or it refuses something."""

from __future__ import annotations

import psycopg
from psycopg import errors

from queue_manager.errors import StoreError, UnstorableError

from .link.connection import Connection, one_line

_UNSTORABLE = (
    psycopg.IntegrityError,
    psycopg.DataError,
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
)
"""Errors that are the fault of what is to be written, not of the server."""

_OF_VALUES = (ValueError, OverflowError)
"""Errors of values that PostgreSQL has no form for."""

_ELSEWHERE = (errors.ReadOnlySqlTransaction, errors.CannotConnectNow, errors.AdminShutdown)
"""Errors of a server that is none any more, or does not write any more: another one may."""


def is_broken(connection: Connection, error: psycopg.Error) -> bool:
    """Whether a connection is of no use any more after an error."""
    return connection.closed or isinstance(error, _ELSEWHERE)


def unwritten(error: Exception) -> Exception:
    """What a transaction raises that was rolled back: a StoreError, or an error of ours."""
    if isinstance(error, _OF_VALUES) and not isinstance(error, StoreError):
        return UnstorableError(f"can't write to the database: {error}")
    if not isinstance(error, psycopg.Error):
        return error
    line = f"can't write to the database: {one_line(error)}"
    return UnstorableError(line) if isinstance(error, _UNSTORABLE) else StoreError(line)
