"""Thousands who have no key: they cost little, and nobody else waits.

With TLS, which takes the most for a connection, this is run by tests/docker/test_images_python.py.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queue_manager.errors import QueueError
from queue_manager.server.arriving.client_hello import RECORD_HEADER_BYTES
from queue_manager.wire import handshake, tls
from queue_manager.wire.framing import frame
from queue_manager.wire.transport import connect
from tests.chaos.ground.canary import slowness
from tests.integration.processes import KEY, Master, eventually

MIB = 1024 * 1024
STRANGERS = 2_000
SERVER_HELLO = b"\x16"


@pytest.fixture
def many_files() -> Iterator[None]:
    """This process holds the other ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def client_hello(greeting: bytes = b"", psk: bytes = bytes(32)) -> bytes:
    """The first flight of a TLS client; without TLS-PSK here one of another kind."""
    sent, received = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = tls.client_context(psk, greeting) if tls.has_psk() else ssl.create_default_context()
    client = context.wrap_bio(received, sent, server_hostname=tls.SERVER_NAME)
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return sent.read()


def good_client_s(port: int) -> float:
    """How long one that has the key takes to be let in."""
    began = time.monotonic()
    with contextlib.closing(connect(("127.0.0.1", port), authkey=KEY.encode())) as connection:
        connection.send((None, "dummy", (), {}))
        assert connection.recv() == ("#RETURN", None)
    return time.monotonic() - began


def test_two_thousand_strangers_cost_little_and_keep_nobody_waiting(
    many_files: None, start_master: Callable[..., Master]
) -> None:
    master = start_master(QUEUE_TLS="auto")
    pid, hello = master.process.popen.pid, client_hello()
    good_client_s(master.port)  # what is loaded once, is
    before_bytes, before = resident_bytes(pid), descriptors(pid)
    said = [b"\x16", b"", hello[: len(hello) // 2], b"\0\0", b"\x16\x03\x01\x40\x00\x01"]
    most, waits = 0, []
    with contextlib.ExitStack() as stack:
        for number in range(STRANGERS):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), 10))
            with contextlib.suppress(ConnectionError):
                sock.sendall(said[number % len(said)])
            if number % 250 == 249:
                most = max(most, resident_bytes(pid))
                waits.append(good_client_s(master.port))
        most = max(most, resident_bytes(pid))
    assert most - before_bytes < 40 * MIB, f"{(most - before_bytes) / MIB:.1f} MiB"
    assert max(waits) < slowness(), waits
    eventually(lambda: descriptors(pid) < before + 10, what="all are gone")
    assert len(master.process.lines("refused a connection")) < 100


@pytest.mark.skipif(not tls.has_psk(), reason="tests/docker runs this on the image's Python")
def test_handshakes_with_another_key_hold_nobody_up(
    many_files: None, start_master: Callable[..., Master]
) -> None:
    """They name the greeting that they answer, as anybody can, so each must be checked."""
    master = start_master(QUEUE_TLS="required")
    pid = master.process.popen.pid
    good_s = good_client_s(master.port)
    before_bytes, waits = resident_bytes(pid), []
    for _ in range(10):
        with contextlib.ExitStack() as stack:
            for _ in range(100):
                sock = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), 10))
                with contextlib.suppress(ConnectionError):
                    sock.sendall(client_hello(sock.recv(1000)[4:], bytes(32)))
            waits.append(good_client_s(master.port))
    assert max(waits) < slowness() + good_s, waits
    assert resident_bytes(pid) - before_bytes < 40 * MIB


def caught_client_hello(greeting: bytes) -> bytes:
    """What a client of ours says to a false master that shows it a greeting of the real one."""
    with socket.create_server(("127.0.0.1", 0)) as false_master:
        address = false_master.getsockname()[:2]
        client = threading.Thread(target=lambda: _try_to_connect(address), daemon=True)
        client.start()
        sock, _ = false_master.accept()
        with sock:
            sock.sendall(greeting)
            caught = sock.recv(RECORD_HEADER_BYTES, socket.MSG_WAITALL)
            caught += sock.recv(int.from_bytes(caught[3:5], "big"), socket.MSG_WAITALL)
        client.join(60.0)
    return caught


def _try_to_connect(address: tuple[str, int]) -> None:
    with contextlib.suppress(OSError, QueueError):
        connect(address, authkey=KEY.encode(), mode="required").close()


@pytest.mark.skipif(not tls.has_psk(), reason="tests/docker runs this on the image's Python")
def test_a_caught_client_hello_opens_no_handshake_on_another_connection(
    start_master: Callable[..., Master],
) -> None:
    """Somebody without the key would take all handshake places of the master with it."""
    master = start_master(QUEUE_TLS="required")
    with socket.create_connection(("127.0.0.1", master.port), 10) as sock:
        caught = caught_client_hello(sock.recv(1000))
        sock.sendall(caught)
        assert sock.recv(1) == SERVER_HELLO  # that is the connection that it answers
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(100):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", master.port), 10))
            sock.recv(1000)
            sock.sendall(caught)
            socks.append(sock)
        waited_s = good_client_s(master.port)
        assert [sock.recv(100) for sock in socks] == [tls.WRONG_KEY_ALERT] * len(socks)
    assert waited_s < slowness()


def test_a_client_hello_that_comes_in_pieces_is_waited_for(
    start_master: Callable[..., Master],
) -> None:
    """Byte by byte: what is half there costs nothing, and what is whole is answered."""
    master = start_master(QUEUE_TLS="auto")
    with socket.create_connection(("127.0.0.1", master.port), 10) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.recv(1000)
        for byte in client_hello():
            sock.sendall(bytes([byte]))
        assert sock.recv(100)[:1] == b"\x15"  # an alert: it proves no key of this master
    assert good_client_s(master.port) < 2.0 * slowness()


def test_nonsense_behind_a_first_byte_of_tls_ends_the_connection_at_once(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_TLS="auto")
    for words in (b"\x16 is no TLS", b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x00"):
        with socket.create_connection(("127.0.0.1", master.port), 10) as sock:
            sock.recv(1000)
            sock.sendall(words)
            sock.settimeout(4.5)  # under the time that a silent one is given
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(100) == b""


def test_a_master_may_open_as_many_files_as_the_system_lets_it(
    start_master: Callable[..., Master],
) -> None:
    master = start_master()
    limits = Path(f"/proc/{master.process.popen.pid}/limits").read_text().splitlines()
    (line,) = (line for line in limits if line.startswith("Max open files"))
    soft, hard = line.split()[3:5]
    assert soft == hard


def test_a_session_in_clear_that_stops_in_the_middle_of_its_proof_is_ended(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(QUEUE_TLS="off")
    with socket.create_connection(("127.0.0.1", master.port), 10) as sock:
        sock.recv(1000)
        sock.sendall(frame(handshake.new_hello()))
        assert len(sock.recv(100)) == 36
        assert sock.recv(100) == b""
    master.process.says("silent during the handshake")
