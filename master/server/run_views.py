"""Shows how one run is, by its number or by its key."""

from __future__ import annotations

from msgspec.structs import replace

from queue_manager.wire.messages import AskRun, RunShown

from ..observe.status import StatusBuilder
from ..turn.answer import PeerReply, Replying
from .printed import PrintedTexts
from .runs.runs import Runs


class RunViews:
    """Answers `AskRun`."""

    def __init__(self, status: StatusBuilder, runs: Runs, printed: PrintedTexts) -> None:
        self._status, self._runs, self._printed = status, runs, printed
        self._replying = Replying()

    def show(self, reply: PeerReply, message: AskRun) -> None:
        """How a run is. A key is looked for on disk."""
        if message.key is None:
            reply.send(self._shown(message))
        else:
            self._replying.begin(reply, self._with_key(message.seq, message.key))

    async def _with_key(self, seq: int, key: str) -> RunShown:
        run = await self._runs.with_key(key)
        return self._shown(AskRun(seq, run.id))

    def _shown(self, message: AskRun) -> RunShown:
        shown = self._status.run(message)
        return replace(shown, printed=self._printed.of(message.run))
