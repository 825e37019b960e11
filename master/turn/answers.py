"""How requests of our own sessions are answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from queue_manager.server.connection import Peer
from queue_manager.wire.limits import FRAME_BYTES
from queue_manager.wire.messages import Refused, encode
from queue_manager.wire.records import Message

log = logging.getLogger("quartermaster.master")

_OURS = "the master can't do that because of an error of its own: its log tells which"


def send(peer: Peer, message: Message) -> None:
    """Send a message of ours; in the place of one that cannot travel, one that says so."""
    body = encode(message)
    if len(body) > 2 * FRAME_BYTES and not isinstance(message, Refused):
        most = 2 * FRAME_BYTES
        error = f"the answer takes {len(body):,} bytes, and a frame {most:,} at most"
        body = encode(Refused(getattr(message, "seq", 0), error))
    peer.send_frame(body)


def refuse(peer: Peer, seq: int, error: str) -> None:
    """Say in one line why a request is not granted."""
    send(peer, Refused(seq, error))


def told(task: asyncio.Task[Any]) -> BaseException | None:
    """For the end of a task that nobody waits for: an error in it goes to the log."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("an error of ours", exc_info=error)
    return error


def or_refuse(peer: Peer, seq: int) -> Callable[[asyncio.Task[Any]], None]:
    """For the end of a task that answers a request: whoever asked is answered in any case.

    Until then the answer is owed: of who asks for many at a time no more is heard.
    """
    peer.owe()

    def ended(task: asyncio.Task[Any]) -> None:
        peer.settled()
        if told(task) is not None:
            refuse(peer, seq, _OURS)

    return ended
