"""The messages that our own sessions and the master exchange, and their encoding.

Has the messages of both directions, `requests` and `replies`, under one name.
Messages are MessagePack arrays `[tag, field, ...]`; a pickle's first byte, 0x80, never starts one.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ..errors import ProtocolError
from .limits import printable
from .measuring import measure
from .replies import *  # noqa: F403 - a new message is one line in its own module, not in two
from .replies import Reply
from .requests import *  # noqa: F403
from .requests import Request

_encoder = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[Request] = msgspec.msgpack.Decoder(Request)
_replies: msgspec.msgpack.Decoder[Reply] = msgspec.msgpack.Decoder(Reply)


def encode(message: Any) -> bytes:
    """Encode one message (a frame's body)."""
    return _encoder.encode(message)


def decode_request(body: bytes) -> Request:
    """Decode what a session sent to the master. Raises ProtocolError on anything else."""
    measure(body)
    try:
        return _requests.decode(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not a request of ours: {printable(str(error))}") from None


def decode_reply(body: bytes) -> Reply:
    """Decode what the master sent. Raises ProtocolError on anything else."""
    try:
        return _replies.decode(body)
    except msgspec.MsgspecError as error:
        raise ProtocolError(f"not an answer of the master's: {printable(str(error))}") from None
