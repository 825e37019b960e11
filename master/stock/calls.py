"""What both queues share: the calls of `queue.Queue`, who waits in them, and their errors."""

from __future__ import annotations

import asyncio
import logging
import math
import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from queue_manager import codec
from queue_manager.errors import QueueError
from queue_manager.names import QUEUE_METHODS
from queue_manager.server.connection import Peer

from ..turn.answer import StockReply
from ..turn.driver import RECENT_S
from ..turn.turn import Turn
from .delivery import Delivery
from .rounds import Rounds
from .sessions import StockSession, StockSessions, Waiting

log = logging.getLogger("quartermaster.master")

LONGEST_WAIT_S = 100 * 365 * 86_400.0


@dataclass(eq=False)
class QueueFace:
    """What both queues share: the calls of `queue.Queue`, and their errors."""

    exposed: ClassVar[tuple[str, ...]] = QUEUE_METHODS

    _turn: Turn
    _sessions: StockSessions
    _delivery: Delivery
    _max_bytes: int
    _rounds: Rounds
    _waiting: dict[Peer, Waiting] = field(default_factory=dict, init=False)

    def call(
        self, peer: Peer, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """One call of a stock client; bad arguments fail as they do at a local queue."""
        stock = self._sessions.of(peer)
        self._delivery.confirm(peer)  # a client that calls has read the answer to its last call
        try:
            getattr(self, f"_{method}")(stock, *args, **kwargs)
        except QueueError as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            peer.fail(kind(str(error)))
        except (TypeError, ValueError) as error:
            peer.fail(type(error)(str(error)))

    def frame(self, peer: Peer, body: bytes) -> None:
        """Our own messages go to another name."""
        peer.close()

    def ended(self, peer: Peer, reset: bool) -> None:
        """The connection is gone."""
        waiting = self._waiting.pop(peer, None)
        if waiting is not None:
            waiting.stop()
        self._sessions.drop(peer)

    def _encode(self, item: Any, what: str) -> bytes:
        body = codec.encode_batch([item])
        codec.check_size(body, self._max_bytes, what)
        return body

    def _wait(self, stock: StockSession, block: Any, timeout: Any) -> None:
        """Wait for something to get; queue.Empty when the time is over."""
        if timeout is not None and not isinstance(timeout, (int, float)):
            raise TypeError("timeout must be a number of seconds or None")
        if block and timeout is not None and not timeout >= 0:
            raise ValueError("'timeout' must be a non-negative number")
        waiting = Waiting(stock)
        wait_s = math.inf
        if not block or timeout is not None:
            # Without blocking the turn that is due still gets its chance: what waits is given.
            loop = asyncio.get_running_loop()
            wait_s = min(timeout, LONGEST_WAIT_S) if block and timeout else 0.0
            waiting.timers.append(loop.call_later(wait_s, self._empty_handed, stock.peer))
        self._waiting[stock.peer] = waiting
        if wait_s > RECENT_S and self._gathers():
            self._turn.gather(stock.peer)
        else:
            self._turn.wake()

    def _gathers(self) -> bool:
        """Whether the turn of a `get` may wait a moment for other clients, as a `put` does."""
        return False

    def _empty_handed(self, peer: Peer) -> None:
        waiting = self._waiting.pop(peer, None)
        if waiting is not None:
            waiting.stop()
            peer.fail(queue.Empty())

    def _guard(self, peer: Peer, answer: Callable[[], None]) -> None:
        """Answer who has waited; an error of ours must not leave it waiting for ever."""
        try:
            answer()
        except Exception as error:
            log.exception("an error of ours")
            StockReply(peer).refuse(f"the master failed at this: {error!r}")

    def _get_nowait(self, stock: StockSession) -> None:
        self._get(stock, False)

    def _put_nowait(self, stock: StockSession, item: Any) -> None:
        self._put(stock, item, False)

    def _get(self, stock: StockSession, block: Any = True, timeout: Any = None) -> None:
        raise NotImplementedError

    def _put(self, stock: StockSession, item: Any, block: Any = True, timeout: Any = None) -> None:
        raise NotImplementedError

    def _full(self, stock: StockSession) -> None:
        stock.peer.answer(False)
