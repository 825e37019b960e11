"""What jobs have printed in their runners: the end of it, in memory."""

from __future__ import annotations

from collections import OrderedDict

from queue_manager.wire.messages import Printed

from ..changes import Changes
from ..turn.answer import PeerReply

_MOST_RUNS = 1_000
"""Of how many runs it is kept, 4,096 characters each: of those that have printed last."""


class PrintedTexts:
    """Answers `Printed`, which has no answer, and is asked by pages."""

    def __init__(self) -> None:
        self._texts: OrderedDict[int, str] = OrderedDict()

    def take(self, reply: PeerReply, message: Printed) -> None:
        """A runner says what its job has printed. Nobody else has a word in this."""
        if not reply.peer.name.startswith("runner "):
            return
        self._texts[message.run] = message.text
        self._texts.move_to_end(message.run)
        while len(self._texts) > _MOST_RUNS:
            self._texts.popitem(last=False)

    def of(self, run: int) -> str:
        """What the job of a run has printed; empty if it has not, or before this start."""
        return self._texts.get(run, "")

    def after_commit(self, changes: Changes, now: float) -> None:
        """Forget those of runs that are no more."""
        for run in changes.forgotten:
            self._texts.pop(run, None)
