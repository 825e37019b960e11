"""Payloads and results for people and for programs, bounded: one may take 8 MiB."""

from __future__ import annotations

import pprint
from typing import Any

import msgspec

from queue_manager import codec
from queue_manager.plain.as_json import shown, to_json
from queue_manager.plain.bounded import Most, beginning, fits
from queue_manager.wire.stock.opcodes import SHOWN_ITEM

DECODED_BYTES = 256 * 1024
"""The largest batch that is decoded here. A value takes up to a hundred times its bytes."""

SHOWN_CHARS = 20_000
_PRETTY_PARTS = 1_000
"""The largest value that is laid out in lines. `pprint` looks at a nested value again and again."""

_JSON = Most(DECODED_BYTES, 4 * DECODED_BYTES)
"""The largest value that is told as JSON. One without shared parts is not larger."""

_ITEM = SHOWN_ITEM._replace(entries=2_048)
"""Whole numbers can be made to collide in a set, and all pages wait for the one that decodes it."""

_WIDTH = 96


class Value(msgspec.Struct, frozen=True):
    """A value.

    text: as Python writes it, its beginning at least; empty if the value was too large to be
    decoded. whole: whether that is all. bytes: of the batch that has it. value: the same as JSON,
    exactly, or `{"$repr": ...}` if that would be too long; None for a page, or if
    it was too large.
    """

    text: str
    whole: bool
    bytes: int
    value: Any = None


def value_of(
    body: bytes, position: int, *, is_data: bool = False, chars: int = SHOWN_CHARS
) -> Value:
    """The value at a position of a batch. is_data: also as JSON, which takes its time.

    chars: how much of its text there is at most.
    """
    if len(body) > DECODED_BYTES:
        return Value("", False, len(body))
    (value,) = codec.decode_each(body, position, position + 1, _ITEM)
    text = _text(value, chars)
    told = to_json(value, _JSON) if is_data else None
    return Value(text[:chars], len(text) <= chars, len(body), told)


def _text(value: Any, chars: int) -> str:
    """All of it, or more than is shown."""
    if isinstance(value, codec.Undecodable):
        return shown(value)
    if isinstance(value, dict | list | tuple) and fits(value, Most(_PRETTY_PARTS, chars)):
        try:
            return pprint.pformat(value, width=_WIDTH, sort_dicts=False)
        except (RecursionError, ValueError):
            pass
    return beginning(value, chars + 1)
