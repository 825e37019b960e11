"""The pieces of what is shown of a task on a terminal: fields, quoted texts, times."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from queue_manager.terminal import harmless


def field(name: str, value: str) -> str:
    """A field of what is shown, as one line."""
    return f"  {name:<10} {value}"


def quoted(text: str) -> Iterator[str]:
    """The lines of a stranger's text."""
    return (f"  | {harmless(line)}" for line in text.rstrip().splitlines())


def time_text(at: float) -> str:
    """A time (UTC epoch in seconds) as local time, in a form that options take, too."""
    return datetime.fromtimestamp(at, UTC).astimezone().isoformat(" ", "seconds")
