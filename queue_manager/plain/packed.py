"""Arrays and tables as they travel: the records, and the checks of what a stranger wrote.

This module needs neither numpy nor pyarrow. A command that shows a value decodes it into these
records and no further.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec

from ..errors import ProtocolError
from . import arrow_ipc, dtypes, elements

ARRAY, TABLE = 1, 2
"""The codes of the two kinds, in stored data and on the wire."""

_SHOWN = 6
_encoder = msgspec.msgpack.Encoder()


def _head(fields: tuple[Any, ...], data: memoryview) -> bytes:
    """The MessagePack of a list of these fields and the data, up to the data."""
    size = len(data)
    header = b"\xc4" + bytes((size,)) if size < 256 else b"\xc6" + size.to_bytes(4, "big")
    return bytes((0x91 + len(fields),)) + b"".join(map(_encoder.encode, fields)) + header


class PackedArray(msgspec.Struct, array_like=True, frozen=True):
    """An array or a scalar of numpy.

    shape: None is a scalar. fortran: whether the first axis changes fastest in `data`. A scalar
    text has the dtype `U` and its UTF-8 as data, scalar bytes have the dtype `S`.
    """

    dtype: dtypes.Dtype
    shape: dtypes.Shape | None
    fortran: bool
    data: memoryview

    def check(self) -> None:
        """Raise ProtocolError unless the data are as long as dtype and shape say."""
        if self.is_text:
            return
        count = 1 if self.shape is None else math.prod(self.shape)
        if count * dtypes.size_of(self.dtype) != len(self.data):
            raise ProtocolError(
                f"an array has {len(self.data):,} bytes, and its dtype and shape say otherwise"
            )

    def head(self) -> bytes:
        """All that travels before the data."""
        return _head((self.dtype, self.shape, self.fortran), self.data)

    @property
    def is_text(self) -> bool:
        """Whether it is a scalar text or scalar bytes, of any length."""
        return self.shape is None and self.dtype in ("U", "S")

    def values(self) -> Any:
        """The elements as lists in lists, or the value of a scalar, as `elements` tells them."""
        if self.is_text:
            data = bytes(self.data)
            return data if self.dtype == "S" else data.decode("utf-8", "replace")
        flat = elements.values(self.dtype, self.data)
        if self.shape is None:
            return flat[0]
        return elements.nested(flat, self.shape, self.fortran)

    def __repr__(self) -> str:
        dtype = self.dtype
        named = dtype if isinstance(dtype, str) else [(f.name, f.dtype) for f in dtype.fields]
        if self.shape is None:
            return f"scalar({self.values()!r}, dtype={named!r})"
        size_bytes = dtypes.size_of(dtype)
        first = elements.values(dtype, self.data[: _SHOWN * size_bytes])
        more = ", ..." if len(self.data) > _SHOWN * size_bytes else ""
        text = ", ".join(map(repr, first)) + more
        return f"array([{text}], dtype={named!r}, shape={self.shape!r})"


class PackedTable(msgspec.Struct, array_like=True, frozen=True):
    """A table of Arrow or pandas. data: an Arrow IPC stream. name: that of a Series."""

    kind: Literal["table", "batch", "frame", "series"]
    name: Annotated[str, msgspec.Meta(max_length=65_536)] | int | float | bool | None
    data: memoryview

    def head(self) -> bytes:
        """All that travels before the data."""
        return _head((self.kind, self.name), self.data)

    def check(self) -> None:
        """Raise ProtocolError if reading the stream would take too much."""
        arrow_ipc.check(self.data, self.kind in OF_PANDAS)

    def __repr__(self) -> str:
        return f"{NAMES[self.kind]}({len(self.data):,} bytes)"


NAMES = {
    "table": "pyarrow.Table",
    "batch": "pyarrow.RecordBatch",
    "frame": "pandas.DataFrame",
    "series": "pandas.Series",
}
"""By kind of a table: the class that it has where it is used."""

OF_PANDAS = frozenset({"frame", "series"})
"""The kinds that pandas makes of an Arrow table."""

Packed = PackedArray | PackedTable

_DECODERS: dict[int, msgspec.msgpack.Decoder[Any]] = {
    ARRAY: msgspec.msgpack.Decoder(PackedArray),
    TABLE: msgspec.msgpack.Decoder(PackedTable),
}


def packed(code: Any, body: Any) -> Packed:
    """Read an array or a table, also one that a stranger wrote, and check it.

    The data are a view of `body`.

    Raises:
        ProtocolError: it is none, or does not hold what it says.
    """
    decoder = _DECODERS.get(code) if type(code) is int else None
    if decoder is None or not isinstance(body, bytes | memoryview):
        raise ProtocolError("an item has an extension that is not known")
    found: Packed = decoder.decode(body)
    found.check()
    return found
