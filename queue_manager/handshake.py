"""The challenge and its answer, as bytes, without any connection.

Source: `deliver_challenge` and `answer_challenge` of CPython's `Lib/multiprocessing/connection.py`,
3.8 to 3.14. Clients up to 3.11 know HMAC-MD5 only and take it of the whole message, the prefix
`{sha256}` included; later ones answer in kind with that prefix in front of the digest.
"""

from __future__ import annotations

import hmac
import os

from .errors import WrongKeyError

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"
HANDSHAKE_BYTES = 256
"""The standard library refuses a longer message before both sides know each other."""

_PREFIX = b"{sha256}"
_MD5_MESSAGE_BYTES = 20


def new_challenge() -> bytes:
    """A challenge that clients of every version can answer, without `CHALLENGE` in front."""
    return _PREFIX + os.urandom(40)


def is_answer(authkey: bytes, challenge: bytes, answer: bytes) -> bool:
    """Tell whether an answer proves that the other side has the key."""
    if answer.startswith(_PREFIX):
        expected = _PREFIX + hmac.digest(authkey, challenge, "sha256")
    else:
        expected = hmac.digest(authkey, challenge, "md5")
    return hmac.compare_digest(expected, answer)


def answer_to(authkey: bytes, message: bytes) -> bytes:
    """The answer to a peer's `#CHALLENGE#` message.

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
