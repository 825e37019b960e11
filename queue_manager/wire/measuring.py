"""Estimates what decoding a message would take, from its headers, before anything is decoded.

This module owns the walk over MessagePack, and knows nothing of what a message means. The types in
`records` bound each list and text by itself. This bounds all of them together. Source of the
format: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

from ..errors import ProtocolError
from .limits import MESSAGE_PARTS, SMALL_MESSAGE_BYTES, VALUE_FACTOR, VALUE_FREE_BYTES

_PLACE, _NUMBER, _TEXT, _BYTES, _LIST, _MAP, _ENTRY = 8, 40, 64, 48, 72, 80, 112
"""Bytes that each kind of part takes in memory, with its place in a list. _ENTRY: one of a map."""

_TEXT_FACTOR = 4
"""If one character of a text is beyond the basic plane, each of its characters takes four bytes."""

_HEADERS: list[tuple[int, int, int, int, int]] = [(0, 0, _PLACE, 0, 0)] * 256
"""By first byte: fixed bytes behind it, bytes of its length, and charges: fixed, a byte, an
entry."""

for _byte in range(0x80, 0x90):
    _HEADERS[_byte] = (0, 0, _MAP + _ENTRY * (_byte & 15), 0, 0)
for _byte in range(0x90, 0xA0):
    _HEADERS[_byte] = (0, 0, _LIST, 0, 0)
for _byte in range(0xA0, 0xC0):
    _length = _byte & 31
    _HEADERS[_byte] = (_length, 0, _TEXT + _TEXT_FACTOR * _length, 0, 0)
for _byte, _wide in ((0xC4, 1), (0xC5, 2), (0xC6, 4)):
    _HEADERS[_byte] = (0, _wide, _BYTES, 1, 0)
for _byte, _wide in ((0xC7, 1), (0xC8, 2), (0xC9, 4)):
    _HEADERS[_byte] = (1, _wide, _BYTES, 1, 0)
for _byte, _wide in ((0xCA, 4), (0xCB, 8)):
    _HEADERS[_byte] = (_wide, 0, _NUMBER, 0, 0)
for _byte, _wide in ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8)):
    _HEADERS[_byte] = _HEADERS[_byte + 4] = (_wide, 0, _NUMBER, 0, 0)
for _byte, _wide in ((0xD4, 1), (0xD5, 2), (0xD6, 4), (0xD7, 8), (0xD8, 16)):
    _HEADERS[_byte] = (_wide + 1, 0, _BYTES, 0, 0)
for _byte, _wide in ((0xD9, 1), (0xDA, 2), (0xDB, 4)):
    _HEADERS[_byte] = (0, _wide, _TEXT, _TEXT_FACTOR, 0)
for _byte, _wide in ((0xDC, 2), (0xDD, 4)):
    _HEADERS[_byte] = (_wide, 0, _LIST, 0, 0)
for _byte, _wide in ((0xDE, 2), (0xDF, 4)):
    _HEADERS[_byte] = (0, _wide, _MAP, 0, _ENTRY)


def measure(body: bytes) -> None:
    """Raise ProtocolError if decoding a message would take too much memory or time.

    The decoder finds out whether the message is whole and makes sense.
    """
    end = len(body)
    if end <= SMALL_MESSAGE_BYTES:
        return
    limit_bytes = VALUE_FACTOR * end + VALUE_FREE_BYTES
    headers = _HEADERS
    at = charge = 0
    for _ in range(MESSAGE_PARTS):
        if at >= end:
            return
        fixed, wide, cost, a_byte, an_entry = headers[body[at]]
        charge += cost
        at += 1 + fixed
        if wide:
            length = int.from_bytes(body[at - fixed : at - fixed + wide], "big")
            at += wide
            charge += a_byte * length + an_entry * length
            if not an_entry:
                at += length
        if charge > limit_bytes:
            raise ProtocolError(
                f"a message of {end:,} bytes would take more than {limit_bytes:,} in memory"
            )
    raise ProtocolError(f"a message has more than {MESSAGE_PARTS:,} parts")
