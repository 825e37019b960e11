"""The handshake: whoever has the key gets in, with any version of the standard library."""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Callable
from multiprocessing import AuthenticationError, connection
from typing import Any

import pytest

from queue_manager.errors import ProtocolError, WrongKeyError
from queue_manager.wire import handshake

KEY = "痛点就是起点".encode()


STOCK: Any = connection  # typeshed wants a real connection
SALT = b"the salt, 16 long"[:16]


def new_challenge(encrypts: bool = True) -> bytes:
    return handshake.new_challenge(SALT, encrypts=encrypts)


class Wire:
    """A connection of the standard library's whose other end is a function of what it sent."""

    def __init__(self, reply: Callable[[bytes], bytes], first: bytes | None = None) -> None:
        self._reply = reply
        self._waiting = [] if first is None else [first]
        self.sent: list[bytes] = []

    def send_bytes(self, body: bytes) -> None:
        self.sent.append(body)
        self._waiting.append(self._reply(body))

    def recv_bytes(self, maxlength: int | None = None) -> bytes:
        body = self._waiting.pop(0)
        assert maxlength is None or len(body) <= maxlength
        return body


def test_our_challenge_is_answered_by_the_standard_library() -> None:
    challenge = new_challenge()
    taken: list[bool] = []

    def judge(answer: bytes) -> bytes:
        taken.append(handshake.is_answer(KEY, challenge, answer))
        return handshake.WELCOME if taken[-1] else handshake.FAILURE

    STOCK.answer_challenge(Wire(judge, handshake.CHALLENGE + challenge), KEY)
    assert taken == [True]


def test_a_wrong_key_does_not_answer_our_challenge() -> None:
    challenge = new_challenge()

    def judge(answer: bytes) -> bytes:
        assert not handshake.is_answer(KEY, challenge, answer)
        return handshake.FAILURE

    with pytest.raises(AuthenticationError):
        STOCK.answer_challenge(Wire(judge, handshake.CHALLENGE + challenge), b"wrong")


def test_we_answer_the_standard_librarys_challenge() -> None:
    def reply(message: bytes) -> bytes:
        return b"" if message == handshake.WELCOME else handshake.answer_to(KEY, message)

    wire = Wire(reply)
    STOCK.deliver_challenge(wire, KEY)
    assert wire.sent[-1] == handshake.WELCOME


def test_the_standard_library_refuses_our_answer_with_another_key() -> None:
    wire = Wire(lambda message: handshake.answer_to(b"other", message) if b"#C" in message else b"")
    with pytest.raises(AuthenticationError):
        STOCK.deliver_challenge(wire, KEY)
    assert wire.sent[-1] == handshake.FAILURE


def test_clients_up_to_3_11_and_from_3_12_on_are_both_understood() -> None:
    """What `answer_challenge` of each sends: CPython's `connection.py`, 3.11 and 3.12."""
    challenge = new_challenge()
    old = hmac.new(KEY, challenge, "md5").digest()
    new = b"{sha256}" + hmac.new(KEY, challenge, "sha256").digest()
    assert handshake.is_answer(KEY, challenge, old)
    assert handshake.is_answer(KEY, challenge, new)


def test_both_forms_of_challenge_are_answered_as_their_senders_expect() -> None:
    old = b"m" * 20
    new = b"{sha256}" + b"m" * 40
    assert handshake.answer_to(KEY, handshake.CHALLENGE + old) == hmac.digest(KEY, old, "md5")
    expected = b"{sha256}" + hmac.digest(KEY, new, "sha256")
    assert handshake.answer_to(KEY, handshake.CHALLENGE + new) == expected


@pytest.mark.parametrize("answer", [b"", b"{sha256}", b"x" * 16, b"{md5}" + b"x" * 16])
def test_what_is_no_answer_is_none(answer: bytes) -> None:
    assert not handshake.is_answer(KEY, new_challenge(), answer)


def test_an_answer_is_good_for_its_own_challenge_only() -> None:
    one, two = new_challenge(), new_challenge()
    answer = handshake.answer_to(KEY, handshake.CHALLENGE + one)
    assert handshake.is_answer(KEY, one, answer)
    assert not handshake.is_answer(KEY, two, answer)


@pytest.mark.parametrize(
    "message", [b"", b"HTTP/1.1 400", handshake.CHALLENGE, handshake.CHALLENGE + b"{sha3}xxxx"]
)
def test_a_message_that_is_no_challenge_is_refused(message: bytes) -> None:
    with pytest.raises(WrongKeyError):
        handshake.answer_to(KEY, message)


def test_challenges_are_new_each_time_and_short_enough_for_the_standard_library() -> None:
    challenges = {new_challenge() for _ in range(100)}
    assert len(challenges) == 100
    for left, right in itertools.pairwise(challenges):
        assert left[:8] == right[:8] == b"{sha256}"
    assert len(handshake.CHALLENGE) + len(challenges.pop()) <= handshake.HANDSHAKE_BYTES


@pytest.mark.parametrize("encrypts", [True, False])
def test_our_client_reads_the_salt_and_whether_the_server_encrypts(encrypts: bool) -> None:
    greeting = handshake.read_greeting(handshake.CHALLENGE + new_challenge(encrypts))
    assert greeting == handshake.Greeting(SALT, encrypts, clear=True)


def test_a_refusal_is_no_challenge_and_our_client_reads_the_salt_in_it() -> None:
    """Else a standard-library client answers it, and who records that guesses without scrypt."""
    text = handshake.refusal(SALT)
    assert text != handshake.refusal(SALT)
    assert not text.startswith(handshake.CHALLENGE)
    assert len(text) <= handshake.HANDSHAKE_BYTES
    assert handshake.read_greeting(text) == handshake.Greeting(SALT, True, clear=False)
    wire = Wire(lambda message: b"", text)
    with pytest.raises((AuthenticationError, AssertionError), match="QUEUE_TLS=auto on the master"):
        STOCK.answer_challenge(wire, KEY)
    assert wire.sent == []


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"HTTP/1.1 400",
        handshake.CHALLENGE + b"{sha256}" + bytes(40),  # CPython's own, 3.12 and later
        handshake.CHALLENGE + bytes(20),  # ... and up to 3.11, which asks for MD5
        handshake.CHALLENGE + new_challenge()[:-1],
        new_challenge(),
    ],
    # Names that are no random bytes: two processes that share the tests must call them the same.
    ids=["nothing", "HTTP", "CPython 3.12", "CPython 3.8", "ours, cut short", "ours, no frame"],
)
def test_our_client_takes_no_other_servers_first_frame(frame: bytes) -> None:
    with pytest.raises(ProtocolError, match="no master of Quartermaster"):
        handshake.read_greeting(frame)


@pytest.fixture
def stretches(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The keys for which scrypt is called; none is known yet."""
    called: list[bytes] = []
    scrypt = hashlib.scrypt

    def counted(password: bytes, **more: Any) -> bytes:
        called.append(password)
        return scrypt(password, **more)

    monkeypatch.setattr(hashlib, "scrypt", counted)
    monkeypatch.setattr(handshake, "_known", {})
    return called


def test_the_key_is_stretched_once_for_each_installation(stretches: list[bytes]) -> None:
    """A recorded handshake can be guessed at: each guess shall cost scrypt."""
    one = handshake.stretched(b"some key", SALT)
    assert handshake.stretched(b"some key", SALT) is one
    assert stretches == [b"some key"]
    assert one != handshake.stretched(b"other key", SALT)
    other = handshake.stretched(b"some key", bytes(16))
    assert len({one.psk, one.proof, other.psk, other.proof}) == 4
    assert {len(one.psk), len(one.proof)} == {32}


def test_keys_that_another_process_has_made_are_not_made_again(
    monkeypatch: pytest.MonkeyPatch, stretches: list[bytes]
) -> None:
    made = handshake.stretched(b"some key", SALT)
    word = handshake.told(SALT, made)
    monkeypatch.setattr(handshake, "_known", {})
    handshake.learn(b"some key", word)
    assert handshake.stretched(b"some key", SALT) == made
    assert stretches == [b"some key"]
    assert handshake.stretched(b"other key", SALT) != made
    assert handshake.stretched(b"some key", bytes(16)) != made


def test_keys_of_few_installations_are_kept(
    monkeypatch: pytest.MonkeyPatch, stretches: list[bytes]
) -> None:
    monkeypatch.setattr(hashlib, "scrypt", lambda password, **_: bytes(64))
    for number in range(100):
        handshake.stretched(b"some key", number.to_bytes(16, "big"))
    assert len(handshake._known) < 20


def test_a_proof_is_one_roles_and_one_connections() -> None:
    """Neither reflected to who gave it, nor shown on another connection, nor after a change."""
    key = handshake.stretched(KEY, SALT).proof
    greeting, hello = handshake.CHALLENGE + new_challenge(), handshake.new_hello()
    server = handshake.proof(key, "server", greeting, hello)
    assert handshake.is_proof(server, key, "server", greeting, hello)
    assert not handshake.is_proof(server, key, "client", greeting, hello)
    assert not handshake.is_proof(server, KEY, "server", greeting, hello)
    for other in (handshake.CHALLENGE + new_challenge(), greeting.replace(b"QM2\1", b"QM2\0")):
        assert other != greeting
        assert not handshake.is_proof(server, key, "server", other, hello)
    assert not handshake.is_proof(server, key, "server", greeting, handshake.new_hello())
    assert not handshake.is_proof(b"", key, "server", greeting, hello)


def test_no_answer_of_the_standard_library_is_one_of_our_frames() -> None:
    """An oracle would be one that signs what we then take."""
    key = handshake.stretched(KEY, SALT).proof
    greeting, hello = handshake.CHALLENGE + new_challenge(), handshake.new_hello()
    for message in (b"m" * 20, new_challenge(), b"{sha256}" + hello):
        answer = handshake.answer_to(KEY, handshake.CHALLENGE + message)
        assert not handshake.is_hello(answer)
        for role in ("server", "client"):
            assert not handshake.is_proof(answer, key, role, greeting, hello)  # type: ignore[arg-type]
    assert handshake.is_hello(hello)
    assert not handshake.is_answer(KEY, greeting[len(handshake.CHALLENGE) :], hello)
