"""Somebody without the key, who listens where a master should be, or sits between.

He hears what our clients and those of the standard library say, and passes on what helps him.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import connection

import pytest

from queue_manager.names import EXCHANGE
from queue_manager.wire import handshake
from queue_manager.wire.framing import frame
from queue_manager.wire.messages import Hello, encode
from queue_manager.wire.stock import pickles
from tests.integration.processes import KEY, Ended, Master, Place, eventually
from tests.integration.stock import stock_pythons

CHALLENGES = {
    "MD5": bytes(20),
    "SHA-256": b"{sha256}" + bytes(40),
    "ours": handshake.new_challenge(bytes(16), encrypts=False),
    "ours, encrypted": handshake.new_challenge(bytes(16), encrypts=True),
}
MODES = ("auto", "off")


def read(sock: socket.socket) -> bytes:
    """A frame; empty when there is no more."""
    try:
        size = int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "big")
        return sock.recv(size, socket.MSG_WAITALL) if 0 < size < 300 else b""
    except OSError:
        return b""


class Impostor:
    """Listens as a master would; a function says what happens to each two clients, or each one."""

    def __init__(self, deceive: Callable[..., None], clients: int = 2) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._deceive, self._clients = deceive, clients
        self.pairs = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                with contextlib.ExitStack() as stack:
                    accepted = [self._listener.accept()[0] for _ in range(self._clients)]
                    for sock in accepted:
                        stack.enter_context(sock)
                        sock.settimeout(3.0)
                    with contextlib.suppress(OSError):
                        self._deceive(*accepted)
                self.pairs += 1

    def close(self) -> None:
        self._listener.close()


@pytest.fixture
def impostor() -> Iterator[Callable[..., Impostor]]:
    made: list[Impostor] = []

    def make(deceive: Callable[[socket.socket, socket.socket], None]) -> Impostor:
        made.append(Impostor(deceive))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("mode", MODES)
def test_two_workers_are_not_played_off_against_each_other(
    impostor: Callable[..., Impostor], place: Place, mode: str
) -> None:
    """The master is down. Worker 2 is to say what worker 1 wants to hear, in every way there is."""
    greeting = handshake.CHALLENGE + CHALLENGES["ours"]
    heard: list[bytes] = []

    def hear(sock: socket.socket) -> bytes:
        heard.append(read(sock))
        return heard[-1]

    def stock(one: socket.socket, two: socket.socket) -> None:
        for sock in (one, two):
            sock.sendall(frame(handshake.CHALLENGE + CHALLENGES["MD5"]))
            hear(sock)

    def reflect(one: socket.socket, two: socket.socket) -> None:
        for sock in (one, two):
            sock.sendall(frame(greeting))
        hello = hear(one)
        hear(two)
        two.sendall(frame(hello))  # as if it were a proof; what it answers is shown to worker 1
        one.sendall(frame(hear(two)))
        hear(one)
        one.sendall(frame(handshake.WELCOME))

    def deceive(one: socket.socket, two: socket.socket) -> None:
        (stock, reflect)[bad.pairs % 2](one, two)

    bad = impostor(deceive)
    workers = [
        place.start(f"w{n}.log", "worker", QUEUE_PORT=str(bad.port), QUEUE_TLS=mode,
                    HEALTH_FILE=str(place.folder / f"health-{n}"))
        for n in (1, 2)
    ]  # fmt: skip
    eventually(lambda: bad.pairs >= 4, what="each way is tried twice")
    for worker in workers:
        assert "connected to" not in worker.log
        assert worker.popen.poll() is None
    # All that they ever say: nothing, a nonce, and that they do not believe it.
    assert {body for body in heard if not handshake.is_hello(body)} <= {b"", handshake.FAILURE}
    assert any(handshake.is_hello(body) for body in heard)


Answered = tuple[Ended, list[bytes]]
"""How a command ended, and what the impostor heard of it."""


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Answered]:
    """A command for each challenge and mode, all at once: each waits some seconds for a master."""
    place = Place(tmp_path_factory.mktemp("commands"), [])

    def one(case: tuple[str, str]) -> Answered:
        name, mode = case
        heard: list[bytes] = []

        def deceive(sock: socket.socket) -> None:
            sock.sendall(frame(handshake.CHALLENGE + CHALLENGES[name]))
            heard.append(read(sock))
            sock.sendall(frame(handshake.WELCOME))
            heard.append(read(sock))

        with contextlib.closing(Impostor(deceive, clients=1)) as bad:
            return place.command("status", QUEUE_PORT=str(bad.port), QUEUE_TLS=mode), heard

    cases = [(name, mode) for name in CHALLENGES for mode in MODES]
    with ThreadPoolExecutor(len(cases)) as pool:
        return dict(zip(cases, pool.map(one, cases), strict=True))


@pytest.mark.parametrize("name", CHALLENGES)
@pytest.mark.parametrize("mode", MODES)
def test_a_command_hands_out_nothing_that_was_made_with_the_key_alone(
    answered: dict[tuple[str, str], Answered], name: str, mode: str
) -> None:
    ended, heard = answered[name, mode]
    assert ended.code != 0
    assert "Traceback" not in ended.err
    # A ClientHello is no frame: `read` gives nothing of it.
    said = {body for body in heard if not handshake.is_hello(body)}
    assert heard
    assert said <= {b"", handshake.FAILURE}


def stock_session(port: int) -> connection.Connection:
    """What somebody gets who relays the handshake of a client of the standard library."""
    return connection.Client(("127.0.0.1", port), authkey=KEY.encode())


def test_a_relayed_stock_handshake_becomes_no_worker(master: Master) -> None:
    with stock_session(master.port) as session:
        session.send((None, "accept_connection", (EXCHANGE,), {}))
        assert session.recv() == ("#RETURN", None)
        session.send_bytes(encode(Hello("worker", "relay", 1, 1)))
        kind, error = pickles.loads_reply(session.recv_bytes())
        assert kind == "#ERROR"
        assert "sessions of Quartermaster begin encrypted, or with a proof" in str(error)
        with pytest.raises((EOFError, ConnectionError)):
            session.recv_bytes()
    master.process.says("a session of ours by the handshake of the standard library")
    assert "relay" not in master.status()


@pytest.mark.parametrize("request_", [("create", (EXCHANGE,)), ("accept_connection", ("x",))])
def test_the_exchange_is_not_there_for_a_stock_client(master: Master, request_: tuple) -> None:  # type: ignore[type-arg]
    with stock_session(master.port) as session:
        session.send((None, *request_, {}))
        kind, answer = session.recv()
        if kind == "#RETURN":
            session.send((EXCHANGE, "call", (), {}))
            kind, answer = session.recv()
    assert kind == "#ERROR"
    assert isinstance(answer, ValueError)


SCRIPT = """
import sys
from multiprocessing.managers import BaseManager
BaseManager(("127.0.0.1", int(sys.argv[1])), b"the key").connect()
"""


@pytest.mark.parametrize(("name", "python"), list(stock_pythons()))
def test_a_stock_client_shows_why_it_is_refused_and_says_nothing(name: str, python: str) -> None:
    """What a master says first under QUEUE_TLS=required."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60.0)
        with subprocess.Popen(
            [python, "-I", "-c", SCRIPT, str(server.getsockname()[1])],
            stderr=subprocess.PIPE, text=True,
        ) as client:  # fmt: skip
            sock, _ = server.accept()
            with sock:
                sock.settimeout(60.0)
                sock.sendall(frame(handshake.refusal(bytes(16))))
                assert sock.recv(100) == b""
            _, err = client.communicate(timeout=60)
    last = err.strip().splitlines()[-1]
    assert "takes encrypted connections only (QUEUE_TLS=required)" in last
    assert "set QUEUE_TLS=auto on the master" in last


def test_the_attacker_of_these_tests_gets_a_stock_client_to_answer() -> None:
    """Else the tests above could not fail."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60.0)
        with subprocess.Popen(
            [sys.executable, "-I", "-c", SCRIPT, str(server.getsockname()[1])],
            stderr=subprocess.DEVNULL,
        ) as client:
            sock, _ = server.accept()
            with sock:
                sock.sendall(frame(handshake.CHALLENGE + CHALLENGES["MD5"]))
                answer = read(sock)
            client.wait(60)
    assert handshake.is_answer(b"the key", CHALLENGES["MD5"], answer)
