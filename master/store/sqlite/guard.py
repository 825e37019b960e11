"""Errors of the file that is read, as the one line of a StoreError."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import msgspec

from queue_manager.errors import StoreError

F = TypeVar("F", bound=Callable[..., Any])

DAMAGE = (KeyError, msgspec.MsgspecError)
"""What making a record raises when its row has a state or bytes that no release has written."""


class HasPath(Protocol):
    """Something that reads a file."""

    _path: Path


def damaged(error: Exception) -> str:
    """What a `DAMAGE` says to people."""
    return f"a row is damaged: {error!r}"


def reads(verb: F) -> F:
    """Make a verb that reads raise StoreError if the file can't be read, or has a damaged row."""

    @functools.wraps(verb)
    def reading(self: HasPath, *args: Any, **kwargs: Any) -> Any:
        try:
            return verb(self, *args, **kwargs)
        except (sqlite3.Error, OverflowError, UnicodeError) as error:
            raise StoreError(f"can't read {self._path}: {error}") from error
        except DAMAGE as error:
            raise StoreError(f"can't read {self._path}: {damaged(error)}") from error

    return cast(F, reading)
