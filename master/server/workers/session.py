"""A worker's connection: what the worker said, what it will be sent, whether it is full."""

from __future__ import annotations

from dataclasses import dataclass, field

from queue_manager.server.connection import Peer
from queue_manager.wire.messages import Hello
from queue_manager.wire.records import FRAME_BYTES
from queue_manager.wire.records import Lease as LeaseMessage
from queue_manager.wire.usage import Usage

from ...broker.leases.lease import Session
from ...turn.steps import Step


@dataclass(slots=True)
class WorkerSession:
    """A worker's connection.

    granted: leases that were not sent yet; granted_bytes: what they take in a frame. replies_due:
    how many exchanges the end of this turn answers; the first answer takes the leases along.
    sent: how many leases were given in this session. lacks_at: when it last said that it can't run
    a job (monotonic). complaint: what it said then, so that the log has it once. unread: bytes that
    were on their way to it at the last look. part: bytes of a message that had come by then. gone:
    its connection has ended. coming: the step that stages that it has come. usage: what it takes of
    its machine, as it has said last.
    """

    peer: Peer
    session: Session
    hello: Hello
    since: float
    heard: float
    draining: bool = False
    granted: list[LeaseMessage] = field(default_factory=list)
    granted_bytes: int = 0
    unread: int = 0
    part: int = 0
    replies_due: int = 0
    lacks_at: float = 0.0
    complaint: str = ""
    sent: int = 0
    gone: bool = False
    coming: Step | None = None
    usage: Usage | None = None

    @property
    def name(self) -> str:
        """The name of the worker in logs and in `status`."""
        return self.session.name

    @property
    def is_full(self) -> bool:
        """Whether a frame of leases is on its way. The next one waits until the worker reads on."""
        return self.granted_bytes + self.peer.unread_bytes >= FRAME_BYTES

    def bytes_flow(self) -> bool:
        """Whether it has read or sent something since the last look.

        A worker is not silent while it still reads what it was sent, or sends a large message over
        a slow line, with its beats behind that.
        """
        unread, self.unread = self.unread, self.peer.unread_bytes
        part, self.part = self.part, self.peer.part_bytes
        return self.unread < unread or self.part > part
