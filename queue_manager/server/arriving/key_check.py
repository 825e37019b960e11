"""The server's side of the two handshakes in clear: the standard library's, and our own.

This module owns the order of the frames and the answer to each. `handshake` makes and checks the
frames. `connection` has the connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ...errors import QueueError
from ...wire import handshake


class Visited(Protocol):
    """A connection whose other side has to prove the key."""

    def send_frame(self, body: bytes) -> None:
        """Send one frame."""

    def turn_away(self, why: str) -> None:
        """Close the connection after what was sent, and count it."""

    def let_in(self, *, ours: bool) -> None:
        """The other side has the key. ours: it has proved that as our own clients do."""


class KeyCheck:
    """One handshake. Each frame has a method, and `_next` is that of the next frame.

    greeting: the server's first frame on this connection.
    """

    def __init__(self, visited: Visited, authkey: bytes, proof_key: bytes, greeting: bytes) -> None:
        self._visited = visited
        self._authkey, self._proof_key, self._greeting = authkey, proof_key, greeting
        self._hello = b""
        self._next: Callable[[bytes], None] = self._first_received

    def frame_received(self, body: bytes) -> None:
        """Act on the other side's next frame."""
        self._next(body)

    def _first_received(self, body: bytes) -> None:
        if handshake.is_hello(body):
            self._prove(body)
            return
        challenge = self._greeting.removeprefix(handshake.CHALLENGE)
        if not handshake.is_answer(self._authkey, challenge, body):
            self._refuse()
            return
        self._visited.send_frame(handshake.WELCOME)
        self._next = self._challenge_received

    def _prove(self, hello: bytes) -> None:
        """Send our proof. Our own client checks it before it sends its own."""
        proof = handshake.proof(self._proof_key, "server", self._greeting, hello)
        self._visited.send_frame(proof)
        self._hello = hello
        self._next = self._proof_received

    def _proof_received(self, body: bytes) -> None:
        key, greeting = self._proof_key, self._greeting
        if not handshake.is_proof(body, key, "client", greeting, self._hello):
            self._refuse()
            return
        self._visited.send_frame(handshake.WELCOME)
        self._visited.let_in(ours=True)

    def _challenge_received(self, body: bytes) -> None:
        try:
            self._visited.send_frame(handshake.answer_to(self._authkey, body))
        except QueueError as error:
            self._visited.turn_away(str(error))
            return
        self._next = self._welcome_received

    def _welcome_received(self, body: bytes) -> None:
        if body != handshake.WELCOME:
            self._visited.turn_away("it does not take our answer to its challenge")
            return
        self._visited.let_in(ours=False)

    def _refuse(self) -> None:
        self._visited.send_frame(handshake.FAILURE)
        self._visited.turn_away("wrong authkey")
