"""The log of a process of ours: lines without a prefix, harmless for a terminal, or JSON.

What a line is about (a run, a task, a worker) is said in its text, for people, and in fields of its
record, for programs. `about` makes these fields.

It is apart from `terminal`, because a slot and a look at a job start sooner without `logging`.
"""

from __future__ import annotations

import logging
from typing import Any, Protocol

from .settings import log_format
from .terminal import harmless

FIELDS = ("job", "run", "task", "worker", "traceparent")
"""The fields of a record that say what it is about."""

always: dict[str, Any] = {}
"""Fields that all lines of this process have, such as the run of a runner."""


class RunLike(Protocol):
    """A run, as the master has it."""

    id: int
    job: str
    traceparent: str


class HarmlessFormatter(logging.Formatter):
    """Makes log lines harmless, because they contain text from others."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def log_to(handler: logging.Handler, level: int = logging.INFO) -> None:
    """Send the log of this process to a handler, as QUEUE_LOG says: harmless lines, or JSON."""
    handler.setFormatter(_formatter())
    logging.basicConfig(level=level, handlers=[handler])


def _formatter() -> logging.Formatter:
    if log_format() != "json":
        return HarmlessFormatter("%(message)s")
    from .json_lines import JsonFormatter  # late: it takes 16 ms of a start

    return JsonFormatter(FIELDS, always)


def about(
    *,
    run: int | None = None,
    task: int | None = None,
    worker: str = "",
    job: str = "",
    traceparent: str = "",
) -> dict[str, Any]:
    """What a line is about: `log.info(..., extra=about(run=3))`. What is not known is left out."""
    values = {"job": job, "run": run, "task": task, "worker": worker, "traceparent": traceparent}
    return {name: value for name, value in values.items() if value not in ("", None)}


def about_run(run: RunLike, task: int | None = None, worker: str = "") -> dict[str, Any]:
    """What a line of the master's is about: a run, perhaps one of its tasks or workers."""
    return about(run=run.id, task=task, worker=worker, job=run.job, traceparent=run.traceparent)
