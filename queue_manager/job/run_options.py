"""The part of a job's options that the master acts on, made of those of its module."""

from __future__ import annotations

from ..wire.records import GroupLimit, RunOptions
from .contract import Options

ATTEMPTS = 3
"""How often a task is tried if its options do not say it."""


def run_options(options: Options, *, finish: bool = False) -> RunOptions:
    """What travels of a job's options. finish: whether it has a `finish()`."""
    limit = options.per_group
    return RunOptions(
        ATTEMPTS if options.attempts is None else options.attempts,
        options.losses,
        options.timeout_s,
        None if limit is None else GroupLimit(limit.at_once, limit.every_s),
        sorted(options.needs),
        finish,
    )
