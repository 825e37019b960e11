"""Reads outcomes once more that a map had no room for, in the order of their tasks."""

from __future__ import annotations

from bisect import bisect_right
from functools import partial

from ...wire.messages import AskResults, Results
from ..connection.session import Session
from .ordering import NONE_LEFT
from .outcomes import Outcome, Part, Reread, count_of
from .reading import letters_of


class Rereading:
    """The outcomes of one run, from any task on.

    The master's pages begin at places, not at tasks. So this notes which tasks are behind a place
    for certain: the first one that a page has, and all behind that one.
    """

    def __init__(self, session: Session, run: int) -> None:
        self._session, self._run = session, run
        self._places = [(1, 0)]

    async def read(self, first: int) -> Reread:
        """Outcomes that there are now of the tasks from number `first` on: about a page of them.

        Raises RefusedError if the run is no more.
        """
        place = self._places[bisect_right(self._places, (first, NONE_LEFT)) - 1][1]
        while True:
            make = partial(AskResults, run=self._run, after=place)
            page = await self._session.call_idempotent(make, Results)
            outcomes = await self._outcomes(page, place)
            if outcomes and outcomes[0].task > self._places[-1][0]:
                self._places.append((outcomes[0].task, place))
            wanted = [one for one in outcomes if one.task + count_of(one) > first]
            if page.complete:
                return Reread(wanted, NONE_LEFT)
            if wanted:
                return Reread(wanted, wanted[-1].task + count_of(wanted[-1]))
            place = page.last

    async def _outcomes(self, page: Results, place: int) -> list[Outcome]:
        """What a page behind a place has, in the order of tasks."""
        found: list[Outcome] = [
            Part(part.first + part.start, part.stop - part.start, part.results)
            for block in page.blocks
            for part in block.ended
        ]
        dead = [letter.task for block in page.blocks for letter in block.dead]
        if dead:  # a page of results has no evidence
            known = await letters_of(self._session, self._run, max(dead), place)
            found += [known[task] for task in dead if task in known]  # others are tried again
        return sorted(found, key=lambda one: one.task)
