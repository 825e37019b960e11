"""The elements of an array as Python's own values, without numpy, for commands that print them.

A complex number is the list of its two parts. A datetime64 is a text as ISO 8601 has it, or its
number where Python has no such date. A timedelta64 is its number. Both are None for NaT. An element
of a structured array is the list of its fields.
"""

from __future__ import annotations

import datetime
import math
import struct
from collections.abc import Callable
from typing import Any

from .dtypes import Dtype, Element, Field, Layout, element

_CODES = {
    ("i", 1): "b", ("i", 2): "h", ("i", 4): "i", ("i", 8): "q",
    ("u", 1): "B", ("u", 2): "H", ("u", 4): "I", ("u", 8): "Q",
    ("f", 2): "e", ("f", 4): "f", ("f", 8): "d", ("c", 8): "f", ("c", 16): "d",
    ("m", 8): "q", ("M", 8): "q", ("b", 1): "?",
}  # fmt: skip
_NAT = -(2**63)
_EPOCH = datetime.datetime(1970, 1, 1)
_PER_SECOND = {"s": 0, "ms": 3, "us": 6, "ns": 9, "ps": 12, "fs": 15, "as": 18}
"""By unit: the digits behind the second."""
_SECONDS = {"W": 7 * 86_400, "D": 86_400, "h": 3_600, "m": 60}


def values(dtype: Dtype, data: memoryview) -> list[Any]:
    """The elements one after the other. data: whole elements of that dtype, which is checked."""
    if isinstance(dtype, Layout):
        size_bytes = dtype.size_bytes
        rows = range(0, len(data), size_bytes)
        return [
            [_of_field(field, data[at : at + size_bytes]) for field in dtype.fields] for at in rows
        ]
    of = element(dtype)
    if of.kind in "SU":
        chunks = (bytes(data[at : at + of.size_bytes]) for at in range(0, len(data), of.size_bytes))
        return [_text(of, chunk) for chunk in chunks]
    code = _CODES[of.kind, of.size_bytes]
    order = of.order if of.order in "<>" else "="
    found = list(struct.unpack(f"{order}{len(data) // struct.calcsize('=' + code)}{code}", data))
    if of.kind == "c":
        return _pairs(found)
    if of.kind in "mM":
        show = _date(of) if of.kind == "M" else _same
        return [None if number == _NAT else show(number) for number in found]
    return found


def nested(flat: list[Any], shape: tuple[int, ...], fortran: bool) -> Any:
    """Elements as lists in lists. An array without elements is an empty list, of any shape."""
    if math.prod(shape) == 0:
        return []
    strides = [
        math.prod(shape[:axis] if fortran else shape[axis + 1 :]) for axis in range(len(shape))
    ]
    return _nested(flat, shape, strides, 0)


def _nested(flat: list[Any], shape: tuple[int, ...], strides: list[int], at: int) -> Any:
    if not shape:
        return flat[at]
    length, stride = shape[0], strides[0]
    starts = range(at, at + length * stride, stride)
    if len(shape) == 1:
        return [flat[start] for start in starts]
    return [_nested(flat, shape[1:], strides[1:], start) for start in starts]


def _of_field(field: Field, data: memoryview) -> Any:
    size_bytes = element(field.dtype).size_bytes * math.prod(field.shape)
    flat = values(field.dtype, data[field.offset : field.offset + size_bytes])
    return nested(flat, field.shape, fortran=False)


def _text(of: Element, chunk: bytes) -> str | bytes:
    if of.kind == "S":
        return chunk.rstrip(b"\0")
    coding = "utf-32-be" if of.order == ">" else "utf-32-le"
    return chunk.decode(coding, "replace").rstrip("\0")


def _pairs(parts: list[Any]) -> list[Any]:
    return [list(pair) for pair in zip(parts[::2], parts[1::2], strict=True)]


def _same(number: int) -> int:
    return number


def _date(of: Element) -> Callable[[int], Any]:
    """What shows a datetime64 of this step and unit."""

    def show(number: int) -> Any:
        try:
            return _iso(number * of.step, of.unit)
        except (OverflowError, ValueError):  # before the year 1 or after 9999, or no unit
            return number

    return show


def _iso(number: int, unit: str) -> str:
    if unit == "Y":
        return f"{datetime.date(1970 + number, 1, 1).year:04}"
    if unit == "M":
        return datetime.date(1970 + number // 12, number % 12 + 1, 1).isoformat()[:7]
    if unit in _SECONDS:
        at = _EPOCH + datetime.timedelta(seconds=number * _SECONDS[unit])
        return at.date().isoformat() if unit in "WD" else at.isoformat(timespec="minutes")
    if unit not in _PER_SECOND:
        raise ValueError(unit)
    digits = _PER_SECOND[unit]
    seconds, rest = divmod(number, 10**digits)
    text = (_EPOCH + datetime.timedelta(seconds=seconds)).isoformat()
    return f"{text}.{rest:0{digits}}" if digits else text
