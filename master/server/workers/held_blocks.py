"""The blocks of the leases that a worker names in its hello, as the store has them.

Owns what is read for a hello, and which of these blocks the broker may recognize.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from queue_manager.wire.records import HeldLease

from ...broker.leases.recovery import parts_of
from ...broker.runs.run import Run
from ...changes import BlockState
from ...reads import ReadRequest
from ...turn.known import Known
from ...turn.read_ahead import groups_of
from ...turn.turn import Turn

log = logging.getLogger("quartermaster.master")


class HeldBlocks:
    """The blocks that one hello needs."""

    def __init__(self, turn: Turn, held: Sequence[HeldLease]) -> None:
        self._turn = turn
        self._parts = parts_of(held)
        self._unknown: dict[Run, list[str]] = {}

    def needs(self, known: Known) -> Iterator[ReadRequest]:
        """Ask for the blocks, and then for what their groups have of their own."""
        yield ReadRequest(blocks=self._parts)
        self._unknown = {
            run: run.groups.unknown(groups)
            for run, groups in groups_of(self._turn.broker, self._read(known).values()).items()
            if run.groups is not None
        }
        request = ReadRequest()
        for run, groups in self._unknown.items():
            request.add_groups(run.id, groups)
        yield request

    def states(self, wall: float) -> dict[int, BlockState]:
        """The state of each block that can be read; the broker learns what their groups have.

        wall: UTC epoch in seconds.
        """
        known, broker = self._turn.known, self._turn.broker
        unread = known.unread
        for run, groups in self._unknown.items():
            missing = unread.groups.get(run.id, set())
            # A step before this one may have told the broker of a group, and knows better.
            still = [] if run.groups is None else run.groups.unknown(set(groups) - missing)
            if still:
                broker.know_groups(run, known.own_groups(run.id, still), wall)
        read = self._read(known)
        states = {
            block: state
            for block, state in read.items()
            if state.group not in unread.groups.get(state.run, ())
        }
        count = len(unread.blocks.keys() & self._parts.keys()) + len(read) - len(states)
        if count:
            log.error("%s; what is held of %d block(s) is not recognized", known.error, count)
        return states

    def _read(self, known: Known) -> dict[int, BlockState]:
        return {block: known.blocks[block] for block in self._parts if block in known.blocks}
