"""Payloads and results for people and for programs, bounded: one may take 8 MiB."""

from __future__ import annotations

import pprint
from typing import Any

import msgspec

from queue_manager import codec
from queue_manager.plain.as_json import shown, to_json
from queue_manager.wire.stock.opcodes import SHOWN_ITEM

DECODED_BYTES = 256 * 1024
"""The largest batch that is decoded here. A value takes up to a hundred times its bytes."""

PRETTY_BYTES = 8 * 1024
"""The largest batch of which a value is laid out in lines."""

SHOWN_CHARS = 20_000
_WIDTH = 96


class Value(msgspec.Struct, frozen=True):
    """A value.

    text: as Python writes it, its beginning at least; empty if the value was too large to be
    decoded. whole: whether that is all. bytes: of the batch that has it. value: the same as JSON,
    exactly; None if it was too large.
    """

    text: str
    whole: bool
    bytes: int
    value: Any = None


def value_of(body: bytes, position: int) -> Value:
    """The value at a position of a batch."""
    if len(body) > DECODED_BYTES:
        return Value("", False, len(body))
    (value,) = codec.decode_each(body, position, position + 1, SHOWN_ITEM)
    text = _text(value, len(body))
    return Value(text[:SHOWN_CHARS], len(text) <= SHOWN_CHARS, len(body), to_json(value))


def _text(value: Any, size_bytes: int) -> str:
    if isinstance(value, dict | list | tuple) and size_bytes <= PRETTY_BYTES:
        try:
            return pprint.pformat(value, width=_WIDTH, sort_dicts=False)
        except (RecursionError, ValueError):
            pass
    try:
        return shown(value)
    except RecursionError:
        return str(to_json(value)["$repr"])
