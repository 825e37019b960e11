"""Encryption from the authkey alone, on the port that plain clients use too.

It needs pre-shared keys, which Python has from 3.13 on. Where they are missing these tests are
run on the images' Python by tests/docker/test_images_python.py.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from multiprocessing import AuthenticationError
from pathlib import Path

import pytest

from queue_manager import QueueManager
from queue_manager.client.connection.link import Link
from queue_manager.errors import ConnectionLostError, TlsError, WrongKeyError
from queue_manager.wire import handshake, tls
from queue_manager.wire.framing import frame
from queue_manager.wire.messages import AskStatus, Hello, Status
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.transport import SecureConnection
from tests.chaos.ground.processes import wait_for
from tests.integration.processes import KEY, Master, Place

pytestmark = pytest.mark.skipif(
    not tls.has_psk(), reason="no pre-shared keys here: tests/docker runs this on the image's"
)

SECRET = "attack at dawn"
GREETING = handshake.CHALLENGE + handshake.new_challenge(bytes(16), encrypts=True)


class Relay:
    """Passes on what one client and the master say, and remembers it; may flip a bit."""

    def __init__(self, port: int, flip_at: int = -1) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._far, self._flip_at = port, flip_at
        self.seen = bytearray()
        self.connections = 0
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self.connections += 1
                far = socket.create_connection(("127.0.0.1", self._far))
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := bytearray(source.recv(65536)):
                place = self._flip_at - len(self.seen)
                self.seen += data
                if 0 <= place < len(data):
                    data[place] ^= 1
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()


@pytest.fixture
def relay() -> Iterator[Callable[..., Relay]]:
    made: list[Relay] = []

    def make(port: int, flip_at: int = -1) -> Relay:
        made.append(Relay(port, flip_at))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def encrypted(start_master: Callable[..., Master]) -> Master:
    """A master that takes encrypted connections only."""
    return start_master(QUEUE_TLS="required")


def manager_of(port: int, mode: tls.Mode = "required", key: str = KEY) -> QueueManager:
    manager = QueueManager(("127.0.0.1", port), key.encode(), tls=mode)
    manager.connect()
    return manager


def test_a_whole_run_goes_through_an_encrypted_master(encrypted: Master) -> None:
    """Its runner, a worker and the commands, none of which says a word in clear."""
    worker = encrypted.worker()
    run = encrypted.submit("square", "count=50")
    done = encrypted.ended_tasks(run, 50)
    assert all(t["result"] == t["payload"] ** 2 for t in done)
    assert "refused a connection" not in encrypted.process.log
    assert worker.popen.poll() is None


def test_nothing_can_be_read_on_the_way(encrypted: Master, relay: Callable[..., Relay]) -> None:
    spy = relay(encrypted.port)
    tasks = manager_of(spy.port).get_task_queue()
    tasks.put(SECRET)
    assert tasks.get(timeout=30) == SECRET
    tasks.put(SECRET * 20_000)
    assert tasks.get(timeout=30) == SECRET * 20_000
    assert len(spy.seen) > 300_000
    assert SECRET.encode() not in spy.seen
    assert KEY.encode() not in spy.seen


def test_the_spy_of_these_tests_reads_what_is_plain(
    master: Master, relay: Callable[..., Relay]
) -> None:
    """Else the test before this one could not fail."""
    spy = relay(master.port)
    manager_of(spy.port, "off").get_task_queue().put(SECRET)
    assert SECRET.encode() in spy.seen


def test_our_manager_works_over_tls_as_in_clear(encrypted: Master) -> None:
    manager = manager_of(encrypted.port)
    tasks, results = manager.get_task_queue(), manager.get_result_queue()
    tasks.put({"n": 7})
    assert tasks.get(timeout=30) == {"n": 7}
    results.put(b"x" * 700_000)
    assert results.get(timeout=30) == b"x" * 700_000
    connection = tasks._tls.connection
    assert isinstance(connection, SecureConnection)
    assert not connection.poll(0.0)


def test_plain_clients_are_told_why_they_are_refused(encrypted: Master, place: Place) -> None:
    """A stock client by what it shows of the first frame, ours by one line.

    Neither has said anything, least of all an HMAC under the key.
    """
    with pytest.raises((AuthenticationError, AssertionError), match="QUEUE_TLS=auto on the master"):
        encrypted.client()
    ended = place.command("status", QUEUE_PORT=str(encrypted.port), QUEUE_TLS="off")
    assert ended.code != 0
    assert "QUEUE_TLS=required" in ended.err
    assert "Traceback" not in ended.err
    encrypted.process.says("not encrypted, and QUEUE_TLS=required")


def test_a_challenge_is_never_seen_under_required(
    encrypted: Master, relay: Callable[..., Relay]
) -> None:
    """With one, a misdirected client would hand out what saves a guesser the scrypt."""
    spy = relay(encrypted.port)
    with pytest.raises((AuthenticationError, AssertionError)):
        encrypted.client_at(spy.port)
    assert manager_of(spy.port).get_task_queue().qsize() == 0
    assert handshake.CHALLENGE not in spy.seen


def test_on_loopback_our_sessions_are_encrypted_by_default(
    master: Master, relay: Callable[..., Relay]
) -> None:
    spy = relay(master.port)
    manager = QueueManager(("127.0.0.1", spy.port), KEY.encode())
    manager.connect()
    manager.get_task_queue().put(SECRET)
    worker = master.worker(QUEUE_PORT=str(spy.port))
    run = master.submit("square", "count=3")
    assert len(master.ended_tasks(run, 3)) == 3
    assert worker.popen.poll() is None
    for word in (SECRET.encode(), b"accept_connection", b"welcome", b"square"):
        assert word not in spy.seen


def test_a_proof_in_clear_is_of_no_use_where_tls_is_required(encrypted: Master) -> None:
    """Also if it begins without having been asked for."""
    with socket.create_connection(("127.0.0.1", encrypted.port), timeout=60) as sock:
        sock.sendall(frame(handshake.new_hello()))
        words = b""
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(1000):
                words += part
    assert words[4:].startswith(b"This master takes encrypted connections only")
    assert len(words) < 4 + handshake.HANDSHAKE_BYTES


def test_a_master_without_tls_is_used_in_clear_on_loopback(
    start_master: Callable[..., Master],
) -> None:
    plain = start_master(QUEUE_TLS="off")
    manager = QueueManager(("127.0.0.1", plain.port), KEY.encode())
    manager.connect()
    manager.get_task_queue().put("x")
    assert plain.command("status").code == 0
    plain.worker()


def test_auto_takes_both_on_one_port(master: Master) -> None:
    client = master.client()
    client("tasks.put(x)", x=1)
    tasks = manager_of(master.port, "required").get_task_queue()
    assert tasks.get(timeout=30) == 1
    assert manager_of(master.port, "auto").get_task_queue().qsize() == 0


def test_a_wrong_key_is_refused_in_the_handshake(encrypted: Master) -> None:
    """And said as such on both sides."""
    wrong = f"wrong authkey for 127.0.0.1:{encrypted.port}"
    with pytest.raises(WrongKeyError, match=wrong):
        manager_of(encrypted.port, key="not the key at all")
    ended = encrypted.command("status", QUEUE_AUTHKEY="not the key", QUEUE_TLS="required")
    assert (ended.code, ended.err.strip().splitlines()) == (1, [f"qm: {wrong}"]) or (
        wrong in ended.err and "Traceback" not in ended.err
    )
    encrypted.process.says(r"refused a connection from 127.0.0.1:\d+: wrong authkey")


def test_a_worker_with_a_wrong_key_says_so_once_and_goes_on_trying(
    encrypted: Master, place: Place
) -> None:
    worker = place.start(
        "lost.log", "worker", QUEUE_AUTHKEY="not the key", QUEUE_TLS="required",
        QUEUE_PORT=str(encrypted.port),
    )  # fmt: skip
    tries = "refused a connection from"
    assert wait_for(lambda: len(encrypted.process.lines(tries)) >= 3, 60.0)
    assert worker.log.count(f"wrong authkey for 127.0.0.1:{encrypted.port}") == 1
    assert worker.popen.poll() is None


def test_a_master_that_takes_plain_clients_only_says_so(
    start_master: Callable[..., Master],
) -> None:
    plain = start_master(QUEUE_TLS="off")
    with pytest.raises(TlsError, match="takes no encrypted connections: see QUEUE_TLS"):
        manager_of(plain.port)
    plain.process.says("it wants to encrypt: QUEUE_TLS=off")


async def _status_over(port: int) -> Exception | None:
    """Ask through a link that encrypts; the first trouble that it met, if any."""
    hello = Hello("client", "test", 1)
    link = Link(
        Masters([("127.0.0.1", port)]), KEY.encode(), lambda: hello, mode="required", quiet=True
    )
    running = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(60.0):
            while not link.up and link.failure is None:
                await asyncio.sleep(0.01)
            if link.failure is not None:
                return link.failure
            await link.request(AskStatus, Status)
    except ConnectionLostError as error:
        return error
    finally:
        link.close()
        await running
    return None


# The first frame is 208 bytes, the ClientHello some 280, then comes the server's part and what is
# said: a bit in each of them.
@pytest.mark.parametrize("place", [190, 230, 300, 420, 560, 650, 700])
def test_a_bit_that_is_flipped_on_the_way_ends_the_connection(
    encrypted: Master, relay: Callable[..., Relay], place: int
) -> None:
    """The link is told, or has connected once more."""
    fine = relay(encrypted.port)
    assert asyncio.run(_status_over(fine.port)) is None
    assert fine.connections == 1
    assert len(fine.seen) > place
    bad = relay(encrypted.port, flip_at=place)
    failure = asyncio.run(_status_over(bad.port))
    assert failure is not None or bad.connections == 2
    assert encrypted.command("status", QUEUE_TLS="required").code == 0


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Somebody's certificate and its key."""
    made = tmp_path / "somebody.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=somebody",
         "-days", "2", "-keyout", str(made), "-out", str(tmp_path / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    made.write_text(made.read_text() + (tmp_path / "cert.pem").read_text())
    return made


def test_a_certificate_is_no_substitute_for_the_key(certificate: Path) -> None:
    """A man in the middle has many; with them alone he must not be believed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    got = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def impostor() -> None:
            sock, _ = server.accept()
            with contextlib.suppress(OSError), sock:
                sock.sendall(frame(GREETING))
                with context.wrap_socket(sock, server_side=True) as secure:
                    got.append(secure.recv(100))

        thread = threading.Thread(target=impostor, daemon=True)
        thread.start()
        with pytest.raises(WrongKeyError, match="shows a certificate"):
            manager_of(server.getsockname()[1])
        thread.join(10.0)
    assert got in ([], [b""])


def test_a_client_never_falls_back_to_plain(master: Master) -> None:
    """Whoever takes its TLS away gets nothing: after a failed handshake there is no second way."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen = []

        def deaf() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    with sock:
                        sock.sendall(frame(GREETING))
                        seen.append(sock.recv(1))
                        sock.sendall(frame(handshake.WELCOME))

        threading.Thread(target=deaf, daemon=True).start()
        where = server.getsockname()[1]
        failure = asyncio.run(_status_over(where))
        assert failure is not None
        with pytest.raises((OSError, ConnectionLostError)):
            manager_of(where)
    assert set(seen) == {bytes([tls.CLIENT_HELLO])}


def test_silence_in_a_tls_handshake_ends_in_time(encrypted: Master) -> None:
    """A connection that began as TLS and says no more holds nothing for long."""
    opened = Masters([("127.0.0.1", encrypted.port)]).open(KEY.encode(), "required")
    assert opened.context is not None
    with opened.sock as sock:
        sock.sendall(b"\x16\x03\x01")
        sock.settimeout(12.0)
        with contextlib.suppress(ConnectionResetError):  # what has not been read resets
            assert sock.recv(100) == b""
