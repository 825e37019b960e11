"""Our own sessions on the wire: a session says hello, and each of its messages has a handler."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from queue_manager.errors import ProtocolError, QueueError
from queue_manager.server.connection import Peer
from queue_manager.wire.messages import (
    Beat,
    Exchange,
    Hello,
    Ping,
    Pong,
    Request,
    Welcome,
    decode_request,
    encode,
)

from ..turn.answer import PeerReply
from .workers.session import WorkerSession
from .workers.validation import check_names
from .workers.workers import Workers

log = logging.getLogger("quartermaster.master")

Handlers = Mapping[type, Callable[[PeerReply, Any], None]]
"""By type of message, the function that handles it in a session that has said hello.

A handler sends the reply, has a turn or a task send it, or raises a QueueError.
"""


@dataclass(slots=True)
class OurSession:
    """A session of a runner or a command. address: of its end of the connection."""

    hello: Hello
    since: float
    address: str


class ExchangeFace:
    """The registered object behind our own frames.

    Args:
        handlers: for all messages but hello and those of workers.
        on_closed: is told of each session that has ended.
        welcome: the answer to each hello.
    """

    exposed = ("exchange",)

    def __init__(
        self,
        workers: Workers,
        next_id: Callable[[], int],
        handlers: Handlers,
        on_closed: Callable[[Peer], None],
        welcome: Welcome,
    ) -> None:
        self._workers = workers
        self._next_id = next_id
        self._handlers = handlers
        self._on_closed = on_closed
        self._welcome = welcome
        self.others: dict[Peer, OurSession] = {}

    def call(
        self, peer: Peer, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """A stock client can't use this name."""
        peer.fail(TypeError("get_exchange speaks Quartermaster's own frames: see docs/protocol.md"))

    def frame(self, peer: Peer, body: bytes) -> None:
        """One message of a session of ours."""
        reply = PeerReply(peer, 0)
        try:
            message = decode_request(body)
            reply.seq = getattr(message, "seq", 0)
            self._dispatch(reply, message)
        except ProtocolError as error:
            log.warning("%s: closed: %s", peer.name, error)
            reply.seq = 0  # the refusal is of the whole session
            reply.refuse(f"closed: {error}")
            peer.close()
        except QueueError as error:
            reply.refuse(str(error))

    def ended(self, peer: Peer, reset: bool) -> None:
        """The connection is gone."""
        self.others.pop(peer, None)
        if isinstance(peer.session, WorkerSession):
            self._workers.closed(peer.session)
        self._on_closed(peer)

    def _dispatch(self, reply: PeerReply, message: Request) -> None:
        peer = reply.peer
        if isinstance(message, Hello):
            self._hello(peer, message)
        elif peer.session is None:
            raise ProtocolError("the first message of a session must be a hello")
        elif isinstance(message, Ping):
            peer.send_frame(encode(Pong(message.seq)))
        elif isinstance(message, Exchange | Beat):
            if not isinstance(peer.session, WorkerSession):
                raise ProtocolError("only a worker takes and reports")
            self._workers.message(peer.session, message)
        else:
            self._handlers[type(message)](reply, message)

    def _hello(self, peer: Peer, hello: Hello) -> None:
        if peer.session is not None:
            raise ProtocolError("a second hello in one session")
        check_names(hello)
        peer.name = f"{hello.role} {hello.host}/{hello.pid}"
        if hello.role == "worker":
            # The welcome follows when the broker has recognized what the worker still holds.
            peer.session = self._workers.open(peer, self._next_id(), hello)
        else:
            peer.session = self.others[peer] = OurSession(hello, time.monotonic(), peer.where)
            peer.send_frame(encode(self._welcome))
