"""The dtypes that travel: their names, what an element of each takes, and which are refused.

This module needs no numpy. A dtype is a text, as `numpy.dtype.str` has it, or a `Layout` of named
fields. Source of the texts: numpy's "Array Interface".
"""

from __future__ import annotations

import functools
import math
import re
from typing import Annotated, NamedTuple

import msgspec

from ..errors import ProtocolError
from ..wire.limits import printable

MOST_AXES = 64
"""The most axes of an array, as in numpy 2."""

MOST_FIELDS = 1_024
"""The most fields of a structured dtype."""

Length = Annotated[int, msgspec.Meta(ge=0, le=2**62)]
Shape = Annotated[tuple[Length, ...], msgspec.Meta(max_length=MOST_AXES)]

_UNITS = "Y|M|W|D|h|m|s|ms|us|ns|ps|fs|as"
_TEXT = re.compile(
    r"([<>|])(?:(b)(1)|([iu])([1248])|(f)([248])|(c)(8|16)|([SU])([1-9]\d{0,8})"
    rf"|([mM])(8)(?:\[(\d{{0,9}})({_UNITS})\])?)"
)


class Element(NamedTuple):
    """One element of an array.

    order: `<`, `>` or `|`. kind: numpy's letter of it, such as `f`. size_bytes: its size. step and
    unit: how many of which unit a datetime64 or timedelta64 counts; the unit may be empty.
    """

    order: str
    kind: str
    size_bytes: int
    step: int = 1
    unit: str = ""


class Field(msgspec.Struct, array_like=True, frozen=True):
    """A field of a structured dtype. offset: in bytes. shape: () unless it is itself an array."""

    name: str
    dtype: str
    offset: Length
    shape: Shape = ()


class Layout(msgspec.Struct, array_like=True, frozen=True):
    """A structured dtype. size_bytes: of one element, with its padding."""

    size_bytes: Length
    fields: Annotated[tuple[Field, ...], msgspec.Meta(min_length=1, max_length=MOST_FIELDS)]


Dtype = str | Layout


@functools.lru_cache(256)
def element(text: str) -> Element:
    """What an element of this dtype is.

    Raises ProtocolError for a dtype that does not travel, such as `|O`.
    """
    found = _TEXT.fullmatch(text)
    if found is None:
        raise ProtocolError(f"an array has the dtype {printable(text)!r}, which is no plain one")
    order, *parts, step, unit = found.groups()
    kind, size = (part for part in parts if part)
    width = 4 if kind == "U" else 1
    return Element(order, kind, width * int(size), int(step or 1), unit or "")


def size_of(dtype: Dtype) -> int:
    """How many bytes an element of a dtype takes.

    Raises ProtocolError for a dtype that does not travel, or whose fields lie outside of it.
    """
    if isinstance(dtype, str):
        return element(dtype).size_bytes
    if len({field.name for field in dtype.fields}) < len(dtype.fields):
        raise ProtocolError("a structured array has two fields of one name")
    for field in dtype.fields:
        size_bytes = element(field.dtype).size_bytes * math.prod(field.shape)
        if not 0 < size_bytes <= dtype.size_bytes - field.offset:
            raise ProtocolError("a structured array has a field outside of its elements")
    return dtype.size_bytes
