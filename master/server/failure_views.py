"""Shows what has failed: groups of dead letters, and single letters of a group, in pages."""

from __future__ import annotations

import msgspec

from queue_manager.wire.failure_groups import (
    AskFailures,
    AskLetters,
    FailureGroup,
    Failures,
    Letters,
)
from queue_manager.wire.failures import FailureFilter
from queue_manager.wire.limits import LAST_NUMBER

from ..failures import GroupsSought, NewestSought
from ..turn.answer import PeerReply
from ..turn.run_lookup import find_run
from ..turn.turn import Turn
from .choosing import checked
from .letters import trimmed_letters

_MOST = 500


class FailureViews:
    """Answers `AskFailures` and `AskLetters`. Both raise RefusedError for a run that is none."""

    def __init__(self, turn: Turn) -> None:
        self._turn = turn

    def groups(self, reply: PeerReply, ask: AskFailures) -> None:
        """A page of groups."""
        run = None if ask.run is None else find_run(self._turn, ask.run).id
        only = msgspec.structs.replace(_checked(ask.only), tasks=())
        sought = GroupsSought(_after(ask.after), _limit(ask.limit), run, ask.job, only)
        page = self._turn.store.find_groups(sought)
        groups = [
            FailureGroup(
                group.run,
                job,
                group.exception,
                group.place,
                group.count,
                group.first_at,
                group.last_at,
                group.task,
                group.error,
                group.workers,
            )
            for group, job in page.groups
        ]
        reply.send(Failures(ask.seq, groups, page.place, page.complete))

    def letters(self, reply: PeerReply, ask: AskLetters) -> None:
        """A page of single letters."""
        run = find_run(self._turn, ask.run).id
        sought = NewestSought(run, _checked(ask.only), _after(ask.after), _limit(ask.limit))
        page = self._turn.store.find_letters(sought)
        letters = trimmed_letters(page.letters)
        reply.send(Letters(ask.seq, letters, page.place, page.complete))


def _checked(only: FailureFilter | None) -> FailureFilter:
    return FailureFilter() if only is None else checked(only)


def _after(place: int) -> int:
    return min(place, LAST_NUMBER) if place > 0 else LAST_NUMBER


def _limit(limit: int) -> int:
    return min(max(limit, 1), _MOST)
