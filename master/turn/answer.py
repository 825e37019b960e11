"""The last step of a turn, and the one way to answer a request: its reply is sent once.

Owns the kinds of replies, one for each kind of sender. Whoever fills a reply decides what it says.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable, Coroutine
from typing import Any, Final, Generic, TypeVar

from queue_manager.errors import QueueError, RefusedError
from queue_manager.server.connection import Peer
from queue_manager.wire.limits import FRAME_BYTES
from queue_manager.wire.messages import Refused, encode
from queue_manager.wire.records import Message

log = logging.getLogger("quartermaster.master")

OURS = "the master can't do that because of an error of its own: its log tells which"
T = TypeVar("T")


class Later(enum.Enum):
    """What a step publishes instead of an answer when its reply is sent later."""

    LATER = enum.auto()


LATER: Final = Later.LATER


class Reply:
    """The answer to one request. It is sent once: an answer, or one line that refuses.

    This class itself is for a step that nobody asked for: a refusal goes to the log.
    """

    is_sent = False

    def send(self, answer: Any) -> None:
        """Answer. The changes that the answer speaks of are on disk."""
        if self._is_first():
            self._send(answer)

    def refuse(self, error: str) -> None:
        """Say in one line why the request is not granted."""
        if self._is_first():
            self._refuse(error)

    def _is_first(self) -> bool:
        if self.is_sent:
            log.error("an error of ours: a request was answered twice", stack_info=True)
            return False
        self.is_sent = True
        return True

    def _send(self, answer: Any) -> None:
        pass

    def _refuse(self, error: str) -> None:
        log.error("%s", error)


class Unasked(Reply):
    """The reply of a step that is posted again by itself: its refusal is no news."""

    def _refuse(self, error: str) -> None:
        log.debug("%s", error)


class PeerReply(Reply):
    """The answer to a message of a session of ours. seq: of the message."""

    def __init__(self, peer: Peer, seq: int) -> None:
        self.peer = peer
        self.seq = seq

    def _send(self, answer: Message) -> None:
        send(self.peer, answer)

    def _refuse(self, error: str) -> None:
        send(self.peer, Refused(self.seq, error))


class StockReply(Reply):
    """The answer to a call of a standard-library client: what the call returns or raises."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def _send(self, answer: Any) -> None:
        self.peer.answer(answer)

    def _refuse(self, error: str) -> None:
        self.peer.fail(RuntimeError(error))


class Awaited(Reply, Generic[T]):
    """The answer to a step that our own code posts and awaits: `await reply.answer`.

    Awaiting it raises RefusedError when the step is refused.
    """

    def __init__(self) -> None:
        self.answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def _send(self, answer: T) -> None:
        if not self.answer.done():  # nobody waits any more
            self.answer.set_result(answer)

    def _refuse(self, error: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(RefusedError(error))


class Replying:
    """Fills the replies of requests that wait for something besides a turn, in asyncio tasks."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, reply: PeerReply, answer: Coroutine[Any, Any, Any]) -> None:
        """Answer with what a coroutine returns, or refuse with what it raises.

        Until then the peer is owed an answer. A peer that is owed many answers is not read.
        """
        task = asyncio.get_running_loop().create_task(self._fill(reply, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _fill(self, reply: PeerReply, answer: Coroutine[Any, Any, Any]) -> None:
        reply.peer.owe()
        try:
            content = await answer
            if content is not LATER:
                reply.send(content)
        except QueueError as error:
            reply.refuse(str(error))
        except Exception:
            log.exception("an error of ours")
            reply.refuse(OURS)
        finally:
            reply.peer.settled()


def send(peer: Peer, message: Message) -> None:
    """Send a message of ours. If it is too large to travel, a refusal takes its place."""
    body = encode(message)
    if len(body) > 2 * FRAME_BYTES and not isinstance(message, Refused):
        limit = 2 * FRAME_BYTES
        error = f"the answer takes {len(body):,} bytes, and a frame {limit:,} at most"
        body = encode(Refused(getattr(message, "seq", 0), error))
    peer.send_frame(body)


def log_failure(task: asyncio.Task[Any]) -> None:
    """A callback for the end of a task that nobody awaits: its error goes to the log."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("an error of ours", exc_info=error)


def guarded(act: Callable[[], object]) -> bool:
    """Act, and log an error, so that one part does not stop the others. False: there was an error.

    Every kind of exception is logged: changes that are on disk must become visible in any case.
    """
    try:
        act()
    except BaseException:
        log.exception("an error of ours")
        return False
    return True
