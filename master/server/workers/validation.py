"""Checks what workers report and hold, before anything of it is staged."""

from __future__ import annotations

import math

from queue_manager import codec
from queue_manager.errors import ProtocolError
from queue_manager.job.contract import LARGEST, LONGEST_S
from queue_manager.job.tags import is_tag
from queue_manager.wire.limits import is_name, printable
from queue_manager.wire.messages import Hello
from queue_manager.wire.records import Done, Failed, GroupLimit, HeldLease, Outcome

from ..runs.admission import check as check_block
from ..runs.admission import check_keys


def check_held(held: list[HeldLease]) -> None:
    """Raise ProtocolError unless each lease is named once, with ranges in order that are apart."""
    if len({one.number for one in held}) != len(held):
        raise ProtocolError("a lease is held twice")
    for one in held:
        behind = 0
        for start, stop in one.ranges:
            if not behind <= start < stop:
                break
            behind = stop
        else:
            if behind:
                continue
        raise ProtocolError(f"lease {one.number} is held in ranges that make no sense")


def check_names(hello: Hello) -> None:
    """Raise ProtocolError unless logs and terminals can show what a session calls itself."""
    for what, name in (("host", hello.host), ("version", hello.version), ("id", hello.worker)):
        if not is_name(name):
            raise ProtocolError(f"the {what} of a session is not printable: {printable(name)}")


def check_tags(tags: list[str]) -> None:
    """Raise ProtocolError unless all of them are tags: people read them."""
    for tag in tags:
        if not is_tag(tag):
            raise ProtocolError(f"{printable(tag)!r} is no tag")


def check(outcome: Outcome) -> None:
    """Raise ProtocolError unless an outcome is what it says, and what the store can hold."""
    if isinstance(outcome, Done):
        count = outcome.stop - outcome.start
        if codec.batch_length(outcome.results) != count:
            raise ProtocolError(f"{count} results are reported in a batch of another length")
        if (outcome.follow or outcome.limits) and count != 1:
            raise ProtocolError("what follows belongs to one result")
        _check_time(outcome.took_s)
        for block in outcome.follow:
            check_block(block)
        check_keys(outcome.limits)
        for group, limit in outcome.limits.items():
            _check_limit(group, limit)
    elif isinstance(outcome, Failed):
        _check_time(outcome.took_s)
        if not 0 <= (outcome.delay_s or 0.0) <= LONGEST_S:
            raise ProtocolError(f"a delay of {outcome.delay_s} s")
        if outcome.whole_group and outcome.delay_s is None:
            raise ProtocolError("a whole group waits, and nobody says for how long")


def _check_time(took_s: float) -> None:
    if not 0 <= took_s < math.inf:
        raise ProtocolError(f"tasks took {took_s} s")


def _check_limit(group: str, limit: GroupLimit) -> None:
    at_once = 1 if limit.at_once is None else limit.at_once
    if not (group and 1 <= at_once <= LARGEST and 0 <= limit.every_s <= LONGEST_S):
        raise ProtocolError(f"{limit} for the group {printable(group)!r}")
