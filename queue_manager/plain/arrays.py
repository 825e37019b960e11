"""Arrays and scalars of numpy as bytes, and back. Only this module imports numpy."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from ..errors import MissingLibraryError, NotPlainDataError, ProtocolError, TooLargeError
from ..wire.limits import printable
from .dtypes import MOST_FIELDS, Dtype, Field, Layout, element
from .packed import PackedArray

if TYPE_CHECKING:
    import numpy as np

_PLAIN = "bool, int, float, complex, datetime64, timedelta64, S and U"


def pack(value: Any, limit_bytes: int) -> PackedArray | None:
    """What of an array or a scalar of numpy travels. None: the value is neither.

    Args:
        value: an object of a class of numpy.
        limit_bytes: the most bytes of its data, which are looked at before they are copied.

    Raises:
        NotPlainDataError: its dtype is no plain one.
        TooLargeError: it takes more bytes.
    """
    numpy = sys.modules.get("numpy")
    if numpy is None:
        return None
    if type(value) is numpy.ndarray:
        return _array(value, limit_bytes)
    if isinstance(value, numpy.str_):
        return PackedArray("U", None, False, memoryview(value.encode("utf-8", "surrogatepass")))
    if isinstance(value, numpy.bytes_):
        return PackedArray("S", None, False, memoryview(bytes(value)))
    if isinstance(value, numpy.generic):
        return PackedArray(_dtype(value.dtype), None, False, memoryview(value.tobytes()))
    return None


def _array(array: np.ndarray[Any, Any], limit_bytes: int) -> PackedArray:
    import numpy

    dtype = _dtype(array.dtype)
    if array.nbytes > limit_bytes:
        raise TooLargeError(f"an array takes {array.nbytes:,} bytes, above {limit_bytes:,}")
    fortran = array.flags.f_contiguous and not array.flags.c_contiguous
    inner = numpy.ascontiguousarray(array.T if fortran else array)
    data = memoryview(inner.reshape(-1).view(numpy.uint8))
    return PackedArray(dtype, array.shape, bool(fortran), data)


@functools.lru_cache(256)
def _dtype(dtype: np.dtype[Any]) -> Dtype:
    """The dtype as it travels. Raises NotPlainDataError for one that is not plain."""
    try:
        if dtype.names is None:
            element(dtype.str)
            return dtype.str
        if len(dtype.names) > MOST_FIELDS:
            raise ProtocolError("too many fields")
        fields, described = [], dict(dtype.fields or {})
        for name in dtype.names:
            inner, offset, *title = described[name]
            element("titled" if title else inner.base.str)
            fields.append(Field(name, inner.base.str, offset, inner.shape))
        return Layout(dtype.itemsize, tuple(fields))
    except ProtocolError:
        raise NotPlainDataError(
            f"an array or a scalar of dtype {printable(str(dtype))} cannot travel: send"
            f" a.tolist(), or a plain dtype ({_PLAIN}, also as fields)"
        ) from None


class _Numbers(NamedTuple):
    """Scalars whose class tells their dtype. A list may have many, so they take a shorter way."""

    heads: dict[type, bytes]
    dtypes: dict[bytes, np.dtype[Any]]
    read: Callable[..., Any]


_HEAD_BYTES = 9
_LETTERS = ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8")


@functools.cache
def _numbers() -> _Numbers:
    import numpy

    heads, dtypes = {}, {}
    for dtype in map(numpy.dtype, _LETTERS):
        head = PackedArray(dtype.str, None, False, memoryview(bytes(dtype.itemsize))).head()
        heads[dtype.type], dtypes[head] = head, dtype
    return _Numbers(heads, dtypes, numpy.frombuffer)


def heads() -> dict[type, bytes]:
    """By class of a scalar: what travels of it before its bytes."""
    return _numbers().heads if sys.modules.get("numpy") else {}


def number(body: Any) -> Any:
    """The scalar of a body, if it is of a usual class. None: it needs a closer look."""
    if type(body) is not bytes or len(body) > _HEAD_BYTES + 8 or not sys.modules.get("numpy"):
        return None
    numbers = _numbers()
    dtype = numbers.dtypes.get(body[:_HEAD_BYTES])
    if dtype is None or len(body) != _HEAD_BYTES + dtype.itemsize:
        return None
    return numbers.read(body, dtype, 1, _HEAD_BYTES)[0]


def build(packed: PackedArray) -> Any:
    """The array or the scalar. An array is a copy, which its receiver may change.

    Raises:
        MissingLibraryError: this machine has no numpy.
    """
    try:
        import numpy
    except ImportError:
        kind = "number" if packed.shape is None else "array"
        raise MissingLibraryError(f"a numpy {kind}", "numpy") from None
    if packed.is_text:
        data = bytes(packed.data)
        if packed.dtype == "S":
            return numpy.bytes_(data)
        return numpy.str_(data.decode("utf-8", "surrogatepass"))
    dtype = _known(packed.dtype)
    order: Literal["C", "F"] = "F" if packed.fortran else "C"
    array: Any = numpy.ndarray(packed.shape or (), dtype, packed.data, order=order).copy(order)
    return array[()] if packed.shape is None else array


@functools.lru_cache(256)
def _known(dtype: Dtype) -> np.dtype[Any]:
    import numpy

    if isinstance(dtype, str):
        return numpy.dtype(dtype)
    fields = dtype.fields
    return numpy.dtype(
        {
            "names": [field.name for field in fields],
            "formats": [(field.dtype, field.shape) for field in fields],
            "offsets": [field.offset for field in fields],
            "itemsize": dtype.size_bytes,
        }
    )
