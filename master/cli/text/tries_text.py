"""The lines of the tries of one task on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queue_manager.terminal import harmless, harmless_line
from queue_manager.wire.records import TaskTry

from .fields import field, quoted, time_text


def tries_lines(tries: Sequence[TaskTry], newest_shown: bool) -> Iterator[str]:
    """How each try ended, the newest first.

    newest_shown: the traceback of the newest one, and what it printed, are shown above.
    """
    if tries and tries[0].number > len(tries):
        yield field("tries", f"{tries[0].number}, the newest {len(tries)} are kept")
    for at, one in enumerate(tries):
        yield field(f"try {one.number}", _ended(one))
        if at or not newest_shown:
            yield from quoted(one.evidence)
            if one.printed:
                yield field("printed", "the end of it:")
                yield from quoted(one.printed)


def _ended(one: TaskTry) -> str:
    """How a try ended: when, where and why, as far as they are known."""
    took = "" if one.took_s is None else f" {_TOOK.get(one.fate, 'after')} {one.took_s:.1f} s"
    at = f" at {time_text(one.ended_at)}" if one.ended_at else ""
    worker = f" by {harmless_line(one.worker)}" if one.worker else ""
    why = f": {harmless(one.error)}" if one.error else ""
    return f"{harmless_line(one.fate)}{took}{at}{worker}{why}"


_TOOK = {"done": "in", "lost": "after it was held for"}
"""How the seconds of a try are told."""
