"""The records about dead letters that are chosen and tried again.

This module owns their fields alone. `job.failures` says which dead letters a filter chooses.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from .limits import NAME_CHARS, PATH_CHARS, REASON_CHARS, RETRY_RANGES

Reason = Annotated[str, Meta(max_length=REASON_CHARS)]
TaskRanges = Annotated[tuple[tuple[int, int], ...], Meta(max_length=RETRY_RANGES)]


class FailureFilter(msgspec.Struct, frozen=True, array_like=True):
    """Chooses dead letters of one run. A letter is chosen when all that is given holds for it.

    tasks: ranges of task numbers; none: any task. exception: the name of the class that its last
    try raised, with or without its module; empty: any. place: where that was raised, as
    `lines.py:12`; empty: anywhere. worker: who reported the last try, as `HOST/PID`, or the host
    alone; empty: any. since, until: it died at this time or later, and before this time (UTC epoch
    in seconds).
    """

    tasks: TaskRanges = ()
    exception: Annotated[str, Meta(max_length=PATH_CHARS)] = ""
    place: Annotated[str, Meta(max_length=PATH_CHARS)] = ""
    worker: Annotated[str, Meta(max_length=2 * NAME_CHARS)] = ""
    since: float | None = None
    until: float | None = None


class RetryNote(msgspec.Struct, frozen=True, array_like=True):
    """Somebody had a dead letter tried again.

    at: when (UTC epoch in seconds). by: the role and the name of the session that asked for it.
    reason: what that person said about it; empty: nothing.
    """

    at: float
    by: str = ""
    reason: str = ""
