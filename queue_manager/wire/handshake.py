"""The first frames of a connection, as bytes, without any connection.

There are two ways to prove the key in clear: that of the standard library, for its clients, and our
own. Source of the first: `deliver_challenge` and `answer_challenge` of CPython's
`Lib/multiprocessing/connection.py`, 3.8 to 3.14. Clients up to 3.11 have HMAC-MD5 only. They
compute it over the whole message, with the prefix `{sha256}`. Later clients answer with
HMAC-SHA-256 and put that prefix in front. Such an answer is bound to no role and no connection:
somebody in between can get it from one client and show it on another connection. So our own
sessions neither give nor accept such an answer.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass
from typing import Literal

from ..errors import ProtocolError, StandbyError, WrongKeyError

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"
STANDBY = b"#STANDBY#"
STANDS_BY = STANDBY + b" this master stands by; ask the active one"
"""The first and only frame of a master that stands by. It tells nobody who is the active one."""
HANDSHAKE_BYTES = 256
"""The standard library refuses a longer message during the handshake."""

SALT_BYTES = 16
_KEY_BYTES = 32

_PREFIX = b"{sha256}"
_MD5_MESSAGE_BYTES = 20
_NONCE_BYTES = 32
_OURS = b"QM2"  # after the prefix: this server knows our proof, and a salt follows
_PLAIN, _ENCRYPTS = b"\0", b"\1"
_MESSAGE_BYTES = len(_PREFIX + _OURS) + 1 + SALT_BYTES + _NONCE_BYTES

_REFUSAL = (
    b"This master takes encrypted connections only (QUEUE_TLS=required): connect with the"
    b" QueueManager of Quartermaster on Python 3.13, or set QUEUE_TLS=auto on the master"
)
_SHORT_NONCE_BYTES = 16  # in a refusal, which has it in hex within HANDSHAKE_BYTES
_SALT_AND_NONCE = re.compile(rb" \[QM2 ([0-9a-f]{32}) [0-9a-f]{32}\]\Z")

_HELLO = b"#QUARTERMASTER#"  # an answer of the standard library has 16 or 40 bytes
_DOMAIN = b"quartermaster proof 1"

Role = Literal["server", "client"]


# --- the server's first frame ---


@dataclass(frozen=True)
class Greeting:
    """What the server's first frame says to our client.

    encrypts: whether the server has TLS. clear: whether it accepts clients in clear.
    """

    salt: bytes
    encrypts: bool
    clear: bool


def new_challenge(salt: bytes, *, encrypts: bool) -> bytes:
    """A challenge for clients of every version, without `CHALLENGE` in front."""
    flag = _ENCRYPTS if encrypts else _PLAIN
    return _PREFIX + _OURS + flag + salt + os.urandom(_NONCE_BYTES)


def refusal(salt: bytes) -> bytes:
    """The first frame of a server that accepts encrypted connections only.

    It is no challenge, so no client answers it with an HMAC under the authkey itself. A client of
    the standard library raises an error that shows this text. The nonce makes the frame different
    on each connection: see `tls.identity`.
    """
    nonce = os.urandom(_SHORT_NONCE_BYTES)
    return _REFUSAL + f" [QM2 {salt.hex()} {nonce.hex()}]".encode()


def read_greeting(frame: bytes) -> Greeting:
    """Read the server's first frame for our client.

    Raises:
        StandbyError: the server stands by, so another one is the active master.
        ProtocolError: the server is not ours.
    """
    if frame.startswith(STANDBY):
        raise StandbyError(frame.removeprefix(STANDBY).decode("utf-8", "replace").strip())
    refused = _SALT_AND_NONCE.search(frame)
    if refused:
        return Greeting(bytes.fromhex(refused[1].decode()), encrypts=True, clear=False)
    message = frame.removeprefix(CHALLENGE)
    start = len(_PREFIX + _OURS)
    if message[:start] != _PREFIX + _OURS or len(message) != _MESSAGE_BYTES or message == frame:
        raise ProtocolError("the other side is no master of Quartermaster, or has another version")
    salt = message[start + 1 : start + 1 + SALT_BYTES]
    return Greeting(salt, encrypts=message[start : start + 1] == _ENCRYPTS, clear=True)


# --- the key, stretched ---


@dataclass(frozen=True)
class Keys:
    """Two keys of 32 bytes that are made of the authkey: for TLS, and for our proof in clear."""

    psk: bytes
    proof: bytes


_known: dict[tuple[bytes, bytes], Keys] = {}
_MOST_KNOWN = 8


def stretched(authkey: bytes, salt: bytes) -> Keys:
    """The keys of an installation, made with scrypt (50 ms and 16 MiB: not in an event loop).

    scrypt makes each guess at a recorded handshake slow, and the salt makes guesses good for one
    installation only. The standard library never uses either key.
    """
    known = _known.get((authkey, salt))
    if known is not None:
        return known
    made = hashlib.scrypt(
        authkey, salt=b"quartermaster" + salt, n=2**14, r=8, p=1, dklen=2 * _KEY_BYTES
    )
    return _know(authkey, salt, Keys(made[:_KEY_BYTES], made[_KEY_BYTES:]))


def _know(authkey: bytes, salt: bytes, keys: Keys) -> Keys:
    if len(_known) >= _MOST_KNOWN:
        del _known[next(iter(_known))]
    _known[authkey, salt] = keys
    return keys


def told(salt: bytes, keys: Keys) -> str:
    """One word by which `learn` knows keys that are made already. As secret as the keys are."""
    return (salt + keys.psk + keys.proof).hex()


def learn(authkey: bytes, word: str) -> None:
    """Take over the keys that the process which started this one has made, as `told` has them."""
    salt, rest = bytes.fromhex(word)[:SALT_BYTES], bytes.fromhex(word)[SALT_BYTES:]
    _know(authkey, salt, Keys(rest[:_KEY_BYTES], rest[_KEY_BYTES:]))


# --- our own proof ---


def new_hello() -> bytes:
    """Our client's first frame on a connection in clear. It asks the server to prove the key."""
    return _HELLO + os.urandom(_NONCE_BYTES)


def is_hello(body: bytes) -> bool:
    """Whether a frame is our client's first one, not an answer of the standard library."""
    return body.startswith(_HELLO) and len(body) == len(_HELLO) + _NONCE_BYTES


def proof(key: bytes, role: Role, greeting: bytes, hello: bytes) -> bytes:
    """The proof that one side has the key. The server proves it first.

    The proof covers the role and both first frames. So it can't be reflected or taken from another
    connection, and a change of the greeting on the way (such as its TLS flag) shows.

    Args:
        key: `Keys.proof`.
        role: the side whose proof it is.
        greeting: the server's first frame.
        hello: the client's first frame.
    """
    parts = (_DOMAIN, role.encode(), greeting, hello)
    text = b"".join(len(part).to_bytes(2, "big") + part for part in parts)
    return hmac.digest(key, text, "sha256")


def is_proof(shown: bytes, key: bytes, role: Role, greeting: bytes, hello: bytes) -> bool:
    """Whether `shown` is the proof of this role on this connection."""
    return hmac.compare_digest(shown, proof(key, role, greeting, hello))


# --- the handshake of the standard library: the server's side ---


def is_answer(authkey: bytes, challenge: bytes, answer: bytes) -> bool:
    """Whether an answer proves that a client of the standard library has the key."""
    if answer.startswith(_PREFIX):
        expected = _PREFIX + hmac.digest(authkey, challenge, "sha256")
    else:
        expected = hmac.digest(authkey, challenge, "md5")
    return hmac.compare_digest(expected, answer)


def answer_to(authkey: bytes, message: bytes) -> bytes:
    """The server's answer to the challenge of a client that has proved the key.

    Raises:
        WrongKeyError: the message is no challenge, or asks for an unknown digest.
    """
    if not message.startswith(CHALLENGE):
        raise WrongKeyError("the other side does not speak multiprocessing's handshake")
    challenge = message[len(CHALLENGE) :]
    if challenge.startswith(_PREFIX):
        return _PREFIX + hmac.digest(authkey, challenge, "sha256")
    if len(challenge) == _MD5_MESSAGE_BYTES:
        return hmac.digest(authkey, challenge, "md5")
    raise WrongKeyError("the other side asks for a digest that is not spoken here")
