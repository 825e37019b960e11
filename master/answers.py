"""How requests of our own sessions are answered."""

from __future__ import annotations

from queue_manager.messages import Refused, encode
from queue_manager.peer import Peer
from queue_manager.records import Message


def send(peer: Peer, message: Message) -> None:
    """Send a message of ours."""
    peer.send_frame(encode(message))


def refuse(peer: Peer, seq: int, error: str) -> None:
    """Say in one line why a request is not granted."""
    send(peer, Refused(seq, error))
