"""`python -m bench.rig.load PORT COUNT [SLOTS]` opens COUNT worker sessions in one process.

Each session works on its leases at once, in the event loop. The process prints `ready`, connects
all sessions when it reads `go`, prints `up COUNT`, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys

from queue_manager.names import EXCHANGE
from queue_manager.wire import handshake
from queue_manager.wire.framing import FrameProtocol, tune
from queue_manager.wire.messages import Beat, Exchange, Hello, Leases, Welcome, decode_reply, encode
from queue_manager.wire.records import FRAME_BYTES, Done
from queue_manager.wire.stock import pickles

from .processes import AUTHKEY
from .session import squared

DEADLINE_S = 30.0
BEAT_S = 5.0


class WorkerSession(FrameProtocol):
    """A worker of so many slots, from the challenge to the last lease.

    Each frame of the handshake has a method, and `_receive` is that of the next frame.
    """

    def __init__(self, number: int, up: asyncio.Future[None], slots: int) -> None:
        super().__init__(2 * FRAME_BYTES)
        self._number = number
        self._up = up
        self._slots = slots
        self._seq = 0
        self._proof_key = self._greeting = self._hello = b""
        self._receive = self._challenge_received

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        tune(transport.get_extra_info("socket"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._up.done():
            self._up.set_exception(exc or ConnectionError("the master closed the connection"))

    def frame_received(self, body: bytes) -> None:
        self._receive(body)

    def oversized(self, size_bytes: int) -> None:
        raise RuntimeError(f"a frame of {size_bytes:,} bytes")

    def _challenge_received(self, body: bytes) -> None:
        salt = handshake.read_greeting(body).salt
        self._proof_key = handshake.stretched(AUTHKEY, salt).proof
        self._greeting, self._hello = body, handshake.new_hello()
        self.send_frame(self._hello)
        self._receive = self._proof_received

    def _proof_received(self, body: bytes) -> None:
        key, greeting, hello = self._proof_key, self._greeting, self._hello
        if not handshake.is_proof(body, key, "server", greeting, hello):
            raise RuntimeError("the master has another key")
        self.send_frame(handshake.proof(key, "client", greeting, hello))
        self._receive = self._welcome_received

    def _welcome_received(self, body: bytes) -> None:
        self.send_frame(pickles.dumps((None, "accept_connection", (EXCHANGE,), {})))
        self.send_frame(encode(Hello("worker", socket.gethostname(), self._number, self._slots)))
        self._receive = self._opened

    def _opened(self, body: bytes) -> None:
        self._receive = self._message_received

    def _message_received(self, body: bytes) -> None:
        message = decode_reply(body)
        if isinstance(message, Welcome):
            self._up.set_result(None)
            self._exchange([], self._slots)
        elif isinstance(message, Leases) and message.leases:
            self._exchange([squared(lease) for lease in message.leases], len(message.leases))

    def _exchange(self, outcomes: list[Done], want: int) -> None:
        self._seq += 1
        self.send_frame(encode(Exchange(self._seq, list(outcomes), want)))

    def beat(self) -> None:
        """Send a sign of life."""
        self.send_frame(encode(Beat()))


async def run(port: int, count: int, slots: int) -> None:
    """Connect all sessions at once, then work until standard input ends."""
    loop = asyncio.get_running_loop()
    ups: list[asyncio.Future[None]] = [loop.create_future() for _ in range(count)]

    async def connect(number: int, up: asyncio.Future[None]) -> WorkerSession:
        _, session = await loop.create_connection(
            lambda: WorkerSession(number, up, slots), "127.0.0.1", port
        )
        return session

    base = os.getpid() * 1_000
    sessions = await asyncio.wait_for(
        asyncio.gather(*(connect(base + n, up) for n, up in enumerate(ups))), DEADLINE_S
    )
    await asyncio.wait_for(asyncio.gather(*ups), DEADLINE_S)
    print("up", count, flush=True)
    stdin_ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), stdin_ended.set)
    while not stdin_ended.is_set():
        try:
            await asyncio.wait_for(stdin_ended.wait(), BEAT_S)
        except TimeoutError:
            for session in sessions:
                session.beat()


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.readline()
    port, count, slots = (int(word) for word in [*sys.argv[1:], "1"][:3])
    asyncio.run(run(port, count, slots))
