"""Counts, cuts and puts together batches of values without decoding a value.

`codec` knows what the values are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from ..errors import ProtocolError
from .limits import printable

_encoder = msgspec.msgpack.Encoder()
_raws = msgspec.msgpack.Decoder(list[msgspec.Raw])
_bins = msgspec.msgpack.Decoder(list[bytes])

NOTHING = b"S\x91\xc4\x00"
"""The results of one task that is done without a result. Its item is empty, and read as None."""


def encode_items(items: Iterable[bytes]) -> bytes:
    """Make a batch of items that are encoded already."""
    return b"S" + _encoder.encode(list(items))


def batch_items(data: bytes) -> list[bytes]:
    """The items of a batch, none of them decoded.

    Raises:
        ProtocolError: the data is no batch.
    """
    if data[:1] == b"S":
        items: list[bytes] = load_batch(_bins, data, b"S")
        return items
    return [bytes(raw) for raw in load_batch(_raws, data, b"L")]


def join(bodies: Iterable[bytes]) -> bytes:
    """One batch of the values of several, none of them decoded.

    Raises:
        ProtocolError: one of them is not a batch.
    """
    bodies = list(bodies)
    if all(body[:1] == b"L" for body in bodies):
        raws = [raw for body in bodies for raw in load_batch(_raws, body, b"L")]
        return b"L" + _encoder.encode(raws)
    return encode_items(item for body in bodies for item in batch_items(body))


def batch_length(data: bytes) -> int:
    """How many values a batch has by its header.

    Raises:
        ProtocolError: the data is no batch.
    """
    head = data[1:6]
    if data[:1] in (b"L", b"S") and head:
        if 0x90 <= head[0] <= 0x9F:
            return head[0] - 0x90
        if head[0] == 0xDC and len(head) >= 3:
            return int.from_bytes(head[1:3], "big")
        if head[0] == 0xDD and len(head) == 5:
            return int.from_bytes(head[1:5], "big")
    raise ProtocolError("not a batch of values")


def pick(data: bytes, kept: Iterable[int]) -> bytes:
    """Make a batch of the values at the indices `kept`.

    Raises:
        ProtocolError: the data is no batch, or has fewer values.
    """
    items = batch_items(data)
    try:
        return encode_items([items[index] for index in kept])
    except IndexError:
        raise ProtocolError("a batch has fewer values than was said") from None


def load_batch(decoder: msgspec.msgpack.Decoder[Any], data: bytes, tag: bytes) -> Any:
    """Decode the array of a batch with that tag. Raises ProtocolError if it is none."""
    if data[:1] != tag:
        raise ProtocolError("not a batch of values")
    try:
        return decoder.decode(memoryview(data)[1:])
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise ProtocolError(f"a batch cannot be decoded: {printable(str(error))}") from error
