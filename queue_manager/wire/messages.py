"""The messages between our own sessions and the master, and their encoding.

This module offers the messages of both directions (`requests`, `replies`). A message is a
MessagePack array `[tag, field, ...]`. It never begins with 0x80, the first byte of a pickle.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import ArgumentError, ProtocolError
from .limits import printable
from .measuring import measure
from .replies import *  # noqa: F403 - a new message needs no line here
from .replies import Reply
from .requests import *  # noqa: F403
from .requests import Request, SubmitTasks

NOT_OURS = "not a request of ours"
"""How the error of a message begins that no handler gets. It ends the session."""

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Any) -> bytes:
    """Encode one message (a frame's body)."""
    return _encoder.encode(message)


def check_request(message: Request, body: bytes) -> None:
    """Look at a request of ours before it is sent. body: what `encode` has made of it.

    The master ends the session at one that it can't read, and with it all else that is asked there.

    Raises ArgumentError.
    """
    if isinstance(message, SubmitTasks):  # there are many, and `job.contract` looks at each task
        return
    try:
        decode_request(body)
    except ProtocolError as error:
        why = str(error).removeprefix(f"{NOT_OURS}: ")
        what = type(message).__name__
        raise ArgumentError(f"this {what} is none that a master reads: {why}") from None


def decode_request(body: bytes) -> Request:
    """Decode a message from a session. Raises ProtocolError if it is none."""
    measure(body)
    try:
        return _requests.decode(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"{NOT_OURS}: {printable(str(error))}") from None


def decode_reply(body: bytes) -> Reply:
    """Decode a message from the master. Raises ProtocolError if it is none."""
    try:
        return _replies.decode(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not an answer of the master's: {printable(str(error))}") from None
