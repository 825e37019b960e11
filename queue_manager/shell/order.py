"""What a task of commands says, and what becomes of it: the payload and the result.

The payload is a command, or a dict with it and more. Knows nothing of processes.
"""

from __future__ import annotations

import os
import zlib
from typing import Any, NamedTuple

KEEP_BYTES = 384 * 1024
"""So much of each stream fits into a result with the default QUEUE_MAX_BYTES."""

MOST_TRIES = 100


class Order(NamedTuple):
    """One command.

    Args:
        command: as a shell takes it.
        seq: its number, which its result has, too.
        folder: where it runs; empty: where the worker is.
        timeout_s: the limit of its time in seconds.
        retries: so many times it is tried in all if it fails.
        keep_bytes: so much of each stream is in its result.
        large: the folder for outputs that are longer; empty: that of the worker.
        check: as `check_of` makes it. Its result has it, too.
    """

    command: str | bytes
    seq: int | None = None
    folder: str = ""
    timeout_s: float | None = None
    retries: int = 1
    keep_bytes: int = KEEP_BYTES
    large: str = ""
    check: int | None = None

    def payload(self) -> dict[str, Any]:
        """As it travels: what differs from the defaults."""
        defaults = self._field_defaults
        return {
            name: value
            for name, value in zip(self._fields, self, strict=True)
            if name not in defaults or value != defaults[name]
        }


def check_of(given: str, command: str | bytes) -> int:
    """A number of an input and its command, by which a task is known to be of these."""
    text = command if isinstance(command, bytes) else command.encode("utf-8", "surrogatepass")
    return zlib.crc32(text, zlib.crc32(os.fsencode(given) + b"\0"))


def order_of(payload: Any) -> Order:
    """The order of a payload.

    Raises:
        ValueError: it is none; one line.
    """
    given = {"command": payload} if isinstance(payload, str | bytes) else payload
    if not isinstance(given, dict) or not isinstance(given.get("command"), str | bytes):
        raise ValueError("a task is a command, such as 'ls', or a dict with a `command`")
    unknown = [name for name in given if name not in Order._fields]
    if unknown:
        raise ValueError(f"a command has no {unknown[0]!r}: it has {', '.join(Order._fields)}")
    return Order(**given)
