"""The log of a process of ours: lines without a prefix, harmless for a terminal.

It is apart from `terminal`, because a slot and a look at a job start sooner without `logging`.
"""

from __future__ import annotations

import logging

from .terminal import harmless


class HarmlessFormatter(logging.Formatter):
    """Makes log lines harmless, because they contain text from others."""

    def format(self, record: logging.LogRecord) -> str:
        return harmless(super().format(record))


def log_to(handler: logging.Handler, level: int = logging.INFO) -> None:
    """Send the log of this process to a handler, as harmless lines without a prefix."""
    handler.setFormatter(HarmlessFormatter("%(message)s"))
    logging.basicConfig(level=level, handlers=[handler])
