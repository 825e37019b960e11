"""The first frames of a connection, as bytes, without any connection.

Two ways to prove the key in clear: that of the standard library, for its clients, and our own.

Source of the first: `deliver_challenge` and `answer_challenge` of CPython's
`Lib/multiprocessing/connection.py`, 3.8 to 3.14. Clients up to 3.11 know HMAC-MD5 only and take it
of the whole message, the prefix `{sha256}` included; later ones answer in kind with that prefix in
front of the digest. It is not bound to a role: an answer can be had from one client and shown to
another. Our own sessions therefore neither give nor take it.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from typing import Literal

from ..errors import ProtocolError, WrongKeyError

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"
HANDSHAKE_BYTES = 256
"""The standard library refuses a longer message before both sides know each other."""

SALT_BYTES = 16

_PREFIX = b"{sha256}"
_MD5_MESSAGE_BYTES = 20
_NONCE_BYTES = 32
_OURS = b"QM2"  # behind the prefix: this server knows our proof, and a salt follows
_PLAIN, _ENCRYPTS = b"\0", b"\1"
_MESSAGE_BYTES = len(_PREFIX + _OURS) + 1 + SALT_BYTES + _NONCE_BYTES

_REFUSAL = (
    b"This master takes encrypted connections only (QUEUE_TLS=required): connect with the"
    b" QueueManager of Quartermaster on Python 3.13, or set QUEUE_TLS=auto on the master"
)
_SHORT_NONCE_BYTES = 16  # in a refusal, which has it in hex and at most HANDSHAKE_BYTES
_SALT_AND_NONCE = re.compile(rb" \[QM2 ([0-9a-f]{32}) [0-9a-f]{32}\]\Z")

_HELLO = b"#QUARTERMASTER#"  # no answer of the standard library's: those are 16 or 40 bytes
_DOMAIN = b"quartermaster proof 1"

Role = Literal["server", "client"]


# --- the server's first frame ---


@dataclass(frozen=True)
class Greeting:
    """What our client reads in the server's first frame.

    encrypts: whether the server has TLS. clear: whether it takes anybody in clear.
    """

    salt: bytes
    encrypts: bool
    clear: bool


def new_challenge(salt: bytes, *, encrypts: bool) -> bytes:
    """A challenge that clients of every version can answer, without `CHALLENGE` in front."""
    flag = _ENCRYPTS if encrypts else _PLAIN
    return _PREFIX + _OURS + flag + salt + os.urandom(_NONCE_BYTES)


def refusal(salt: bytes) -> bytes:
    """The first frame of a server that takes encrypted connections only.

    It is no challenge, so that nobody answers it with an HMAC under the bare key; a client of the
    standard library raises an error that shows it. The nonce makes it the greeting of one
    connection: see `tls.identity`.
    """
    nonce = os.urandom(_SHORT_NONCE_BYTES)
    return _REFUSAL + f" [QM2 {salt.hex()} {nonce.hex()}]".encode()


def read_greeting(frame: bytes) -> Greeting:
    """What our client makes of the server's first frame.

    Raises:
        ProtocolError: it is none of ours.
    """
    words = _SALT_AND_NONCE.search(frame)
    if words:
        return Greeting(bytes.fromhex(words[1].decode()), encrypts=True, clear=False)
    message = frame.removeprefix(CHALLENGE)
    start = len(_PREFIX + _OURS)
    if message[:start] != _PREFIX + _OURS or len(message) != _MESSAGE_BYTES or message == frame:
        raise ProtocolError("the other side is no master of Quartermaster, or has another version")
    salt = message[start + 1 : start + 1 + SALT_BYTES]
    return Greeting(salt, encrypts=message[start : start + 1] == _ENCRYPTS, clear=True)


# --- the key, stretched ---


@dataclass(frozen=True)
class Keys:
    """What is made of the authkey, 32 bytes each: for TLS, and for our proof in clear."""

    psk: bytes
    proof: bytes


@functools.lru_cache(maxsize=8)
def stretched(authkey: bytes, salt: bytes) -> Keys:
    """The keys of an installation, made with scrypt (50 ms and 16 MiB: not in an event loop).

    Whoever has recorded a handshake guesses slowly, and anew for each installation. Neither key is
    one that a client or server of the standard library ever uses.
    """
    made = hashlib.scrypt(authkey, salt=b"quartermaster" + salt, n=2**14, r=8, p=1, dklen=64)
    return Keys(made[:32], made[32:])


# --- our own proof ---


def new_hello() -> bytes:
    """Our client's first frame on a connection in clear: it asks the server to prove the key."""
    return _HELLO + os.urandom(_NONCE_BYTES)


def is_hello(body: bytes) -> bool:
    """Tell our client's first frame from an answer of the standard library's."""
    return body.startswith(_HELLO) and len(body) == len(_HELLO) + _NONCE_BYTES


def proof(key: bytes, role: Role, greeting: bytes, hello: bytes) -> bytes:
    """What shows that one side has the key; the server's comes first.

    Bound to the role and to both first frames, whole: it can't be reflected, nor be had of another
    connection, and whoever changes on the way what the server can do (TLS) is found out.

    Args:
        key: `Keys.proof`.
        role: whose proof it is.
        greeting: the server's first frame.
        hello: the client's.
    """
    parts = (_DOMAIN, role.encode(), greeting, hello)
    text = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return hmac.digest(key, text, "sha256")


def is_proof(shown: bytes, key: bytes, role: Role, greeting: bytes, hello: bytes) -> bool:
    """Tell whether it is the proof of that role on this connection."""
    return hmac.compare_digest(shown, proof(key, role, greeting, hello))


# --- the standard library's, for its clients: the server's side ---


def is_answer(authkey: bytes, challenge: bytes, answer: bytes) -> bool:
    """Tell whether an answer proves that a client of the standard library has the key."""
    if answer.startswith(_PREFIX):
        expected = _PREFIX + hmac.digest(authkey, challenge, "sha256")
    else:
        expected = hmac.digest(authkey, challenge, "md5")
    return hmac.compare_digest(expected, answer)


def answer_to(authkey: bytes, message: bytes) -> bytes:
    """The server's answer to the challenge of a client that has proved the key.

    Raises:
        WrongKeyError: the message is no challenge, or asks for a digest that we do not speak.
    """
    if not message.startswith(CHALLENGE):
        raise WrongKeyError("the other side does not speak multiprocessing's handshake")
    challenge = message[len(CHALLENGE) :]
    if challenge.startswith(_PREFIX):
        return _PREFIX + hmac.digest(authkey, challenge, "sha256")
    if len(challenge) == _MD5_MESSAGE_BYTES:
        return hmac.digest(authkey, challenge, "md5")
    raise WrongKeyError("the other side asks for a digest that is not spoken here")
