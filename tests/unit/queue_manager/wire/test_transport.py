"""Our Listener and Client: the standard library's handshake, with deadlines and limits."""

from __future__ import annotations

import contextlib
import pickle
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection, managers
from typing import Any

import pytest

from queue_manager.errors import (
    ConnectionLostError,
    NotPlainDataError,
    ProtocolError,
    TlsError,
    WrongKeyError,
)
from queue_manager.names import SERIALIZERS
from queue_manager.wire import framing, handshake
from queue_manager.wire.reach import attempt
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.transport import Connection, Listener, connect

KEY = "痛点就是起点".encode()
SALT = bytes(16)
LOOPBACK = ("127.0.0.1", 0)


@contextlib.contextmanager
def serving(serve: Callable[[socket.socket], None]) -> Iterator[tuple[str, int]]:
    """A server that treats each connection with a function; gives its address."""
    listener = Listener(LOOPBACK)
    listener.socket.settimeout(10)

    def run() -> None:
        with contextlib.suppress(OSError):
            while True:
                accepted, _ = listener.socket.accept()
                with accepted, contextlib.suppress(OSError):
                    accepted.settimeout(10)
                    serve(accepted)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.address
    finally:
        listener.socket.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def greet(sock: socket.socket, encrypts: bool = False) -> bytes:
    """A master's first frame; gives it."""
    challenge = handshake.new_challenge(SALT, encrypts=encrypts)
    sock.sendall(framing.frame(handshake.CHALLENGE + challenge))
    return handshake.CHALLENGE + challenge


def read(sock: socket.socket) -> bytes:
    """A frame of the client's; empty when it has closed."""
    size = int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "big")
    return sock.recv(size, socket.MSG_WAITALL) if size else b""


def prove(sock: socket.socket, key: bytes = KEY) -> bool:
    """A master's part of our proof; whether the client has the key."""
    proof, greeting, hello = handshake.stretched(key, SALT).proof, greet(sock), read(sock)
    sock.sendall(framing.frame(handshake.proof(proof, "server", greeting, hello)))
    return handshake.is_proof(read(sock), proof, "client", greeting, hello)


@pytest.fixture
def master() -> Iterator[tuple[str, int]]:
    """It takes our proof in clear, and echoes one message a connection."""

    def serve(sock: socket.socket) -> None:
        if prove(sock):
            sock.sendall(framing.frame(handshake.WELCOME))
            sock.sendall(framing.frame(read(sock)))
            sock.recv(1)

    with serving(serve) as address:
        yield address


def test_our_client_is_the_managers_client_behind_its_own_name() -> None:
    for mode, name in SERIALIZERS.items():
        listener, client = managers.listener_client[name]  # type: ignore[attr-defined]
        assert (listener, client.func, client.keywords) == (Listener, connect, {"mode": mode})


def test_our_client_proves_the_key_in_clear(master: tuple[str, int]) -> None:
    with connect(master, authkey=KEY, mode="off") as client:
        client.send({"n": [1, 2]})
        assert client.recv() == {"n": [1, 2]}


def test_a_wrong_key_is_named_with_the_address(master: tuple[str, int]) -> None:
    with pytest.raises(WrongKeyError, match=f"wrong authkey for 127.0.0.1:{master[1]}"):
        Masters([master]).open(b"another", "off")
    with pytest.raises(WrongKeyError, match="needed"):
        connect(master)


def test_a_server_that_does_not_know_the_key_itself_is_refused() -> None:
    """It gets no proof either: ours is given after its own was seen."""
    got: list[bytes] = []

    def impostor(sock: socket.socket) -> None:
        greet(sock)
        got.append(read(sock))
        sock.sendall(framing.frame(got[0][-32:]))
        got.append(read(sock))

    with serving(impostor) as address, pytest.raises(WrongKeyError):
        Masters([address]).open(KEY, "off")
    assert handshake.is_hello(got[0])
    assert got[1:] == [handshake.FAILURE]


@pytest.mark.parametrize("message", [bytes(20), b"{sha256}" + bytes(40), b"{md5}" + bytes(40)])
@pytest.mark.parametrize("mode", ["auto", "off"])
def test_our_client_answers_no_challenge_of_the_standard_librarys_kind(
    message: bytes, mode: Any
) -> None:
    """Its answer would be worth something to who relays it, and MD5 of it can be guessed fast."""
    got: list[bytes] = []

    def stock(sock: socket.socket) -> None:
        sock.sendall(framing.frame(handshake.CHALLENGE + message))
        got.append(sock.recv(100))

    with (
        serving(stock) as address,
        pytest.raises(ProtocolError, match="no master of Quartermaster"),
    ):
        Masters([address]).open(KEY, mode)
    assert got == [b""]


def test_whoever_takes_the_servers_tls_away_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """On loopback a master without TLS is believed in clear, but not one whose word was changed."""
    monkeypatch.setattr(ssl, "HAS_PSK", True, raising=False)
    got: list[bytes] = []

    def between(sock: socket.socket) -> None:
        challenge = handshake.new_challenge(SALT, encrypts=True)
        changed = challenge.replace(b"QM2\1", b"QM2\0")
        sock.sendall(framing.frame(handshake.CHALLENGE + changed))
        hello, proof = read(sock), handshake.stretched(KEY, SALT).proof
        # What the real master says to that hello; he only passes it on.
        said = handshake.proof(proof, "server", handshake.CHALLENGE + challenge, hello)
        sock.sendall(framing.frame(said))
        got.append(read(sock))

    with serving(between) as address, pytest.raises(WrongKeyError):
        Masters([address]).open(KEY, "auto")
    assert got == [handshake.FAILURE]


@pytest.mark.parametrize(("psk", "says"), [(False, r"Python 3\.13"), (True, "unset QUEUE_TLS")])
def test_a_client_in_clear_is_told_that_the_master_encrypts(
    monkeypatch: pytest.MonkeyPatch, psk: bool, says: str
) -> None:
    monkeypatch.setattr(ssl, "HAS_PSK", psk, raising=False)
    words = framing.frame(handshake.refusal(SALT))
    with (
        serving(lambda sock: sock.sendall(words)) as address,
        pytest.raises(TlsError, match=f"only \\(QUEUE_TLS=required\\): .*{says}"),
    ):
        Masters([address]).open(KEY, "off")


def test_a_silent_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "FRAME_S", 0.1)
    over = threading.Event()
    with serving(lambda sock: over.wait(10) and None) as address:
        with pytest.raises(TimeoutError):
            Masters([address]).open(KEY)
        over.set()


def test_a_server_that_lets_its_greeting_drip_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each byte came in time, and all together took twenty minutes, in which `qm` did not end."""
    monkeypatch.setattr(attempt, "FRAME_S", 0.3)
    gone = threading.Event()

    def drip(accepted: socket.socket) -> None:
        accepted.sendall((240).to_bytes(4, "big"))
        for _ in range(240):
            accepted.sendall(b"x")
            if gone.wait(0.05):
                return

    with serving(drip) as address:
        try:
            with pytest.raises(TimeoutError, match=r"longer than 0\.3 s"):
                Masters([address]).open(KEY)
        finally:
            gone.set()


def test_a_server_that_closes_in_the_handshake_is_a_lost_connection() -> None:
    with serving(lambda sock: None) as address, pytest.raises((ConnectionLostError, OSError)):
        Masters([address]).open(KEY)
    with (
        serving(lambda sock: sock.sendall(framing.frame(b"#CHALLENGE#")[:6])) as address,
        pytest.raises(ConnectionLostError, match="during the handshake"),
    ):
        Masters([address]).open(KEY)


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n"])
def test_a_server_of_another_kind_is_told(words: bytes) -> None:
    with (
        serving(lambda sock: sock.sendall(words)) as address,
        pytest.raises(ProtocolError, match="does not speak"),
    ):
        Masters([address]).open(KEY)


def test_a_failed_handshake_leaves_no_socket_open(
    monkeypatch: pytest.MonkeyPatch, master: tuple[str, int]
) -> None:
    made: list[socket.socket] = []
    begin = attempt.Attempt.__init__

    def remember(self: attempt.Attempt, *args: Any) -> None:
        begin(self, *args)
        made.append(self.sock)

    monkeypatch.setattr(attempt.Attempt, "__init__", remember)
    with pytest.raises(WrongKeyError):
        Masters([master]).open(b"another", "off")
    assert made[0].fileno() == -1


def test_hundreds_of_connections_wait_to_be_accepted() -> None:
    """The standard library's backlog of 16 makes clients hang for ever."""
    listener = Listener(LOOPBACK, backlog=1)
    with contextlib.ExitStack() as stack:
        stack.callback(listener.close)
        for _ in range(400):
            stack.enter_context(socket.create_connection(listener.address, timeout=0.9))


def test_both_sides_have_no_nagle_and_notice_when_the_other_vanishes(
    master: tuple[str, int],
) -> None:
    listener = Listener(LOOPBACK)
    with socket.create_connection(listener.address), listener.accept() as accepted:
        served = socket.socket(fileno=accepted.fileno())
        made = Masters([master]).open(KEY, "off")
        assert made.context is None
        opened = made.sock
        for sock, wait_s in ((served, 10), (opened, 20)):
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == wait_s * 1_000
        assert opened.gettimeout() is None
        served.detach()
        opened.close()
    listener.close()


def test_an_empty_host_listens_on_all_addresses() -> None:
    listener = Listener(("", 0))
    assert listener.address[0] == "0.0.0.0"
    assert listener.address[1] > 0
    listener.close()


def test_an_address_that_is_taken_is_an_error_and_leaves_no_socket_open() -> None:
    listener = Listener(LOOPBACK)
    with pytest.raises(OSError, match="in use"):
        Listener(listener.address)
    listener.close()


class Forbidden:
    """An object whose unpickling would run code."""

    def __reduce__(self) -> Any:
        return print, ("it ran",)


def test_a_connection_reads_plain_data_only(capsys: pytest.CaptureFixture[str]) -> None:
    ours, theirs = socket.socketpair()
    with Connection(ours.detach()) as reader, connection.Connection(theirs.detach()) as writer:
        writer.send_bytes(pickle.dumps(Forbidden()))
        writer.send(("#RETURN", {"plain": (1, b"2")}))
        with pytest.raises(NotPlainDataError, match="print"):
            reader.recv()
        assert reader.recv() == ("#RETURN", {"plain": (1, b"2")})
    assert "it ran" not in capsys.readouterr().out


def test_a_connection_takes_no_message_of_endless_size() -> None:
    ours, theirs = socket.socketpair()
    with Connection(ours.detach()) as reader, theirs:
        theirs.sendall((2**31 - 1).to_bytes(4, "big"))
        with pytest.raises(OSError, match="message length"):
            reader.recv()
