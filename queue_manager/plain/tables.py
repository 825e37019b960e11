"""Tables of Arrow and pandas as Arrow IPC streams, and back. Only this module imports them."""

from __future__ import annotations

from typing import Any

from ..errors import MissingLibraryError, NotPlainDataError, ProtocolError, TooLargeError
from ..wire.limits import printable
from . import arrow_ipc, frames
from .packed import NAMES, OF_PANDAS, PackedTable

_NAMES = (str, int, float, bool, type(None))
_COLUMN = "series"


def pack(value: Any, limit_bytes: int) -> PackedTable | None:
    """What of a table travels. None: the value is none.

    Args:
        value: an object of a class of pyarrow or pandas.
        limit_bytes: the most bytes of its data, which are looked at before they are copied.

    Raises:
        NotPlainDataError: Arrow has no such values, or pyarrow is not installed here.
        TooLargeError: it takes more bytes.
    """
    kind, name = _kind(value), None
    if kind is None:
        return None
    try:
        import pyarrow
    except ImportError:
        raise NotPlainDataError(
            f"{NAMES[kind]} travels as an Arrow table, and pyarrow is not installed here:"
            " pip install pyarrow"
        ) from None
    if kind == "series":
        name = value.name
        if type(name) not in _NAMES:
            raise NotPlainDataError("a pandas.Series has a name that is neither text nor number")
    try:
        table = _table(pyarrow, kind, value)
    except (pyarrow.ArrowException, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise NotPlainDataError(
            f"{NAMES[kind]} cannot travel as an Arrow table: {printable(str(error))}"
        ) from None
    stream = _stream(pyarrow, table, limit_bytes, kind in OF_PANDAS)
    return PackedTable(kind, name, memoryview(stream))  # type: ignore[arg-type]


def _kind(value: Any) -> str | None:
    kind = type(value)
    named = f"{kind.__module__.partition('.')[0]}.{kind.__qualname__}"
    for found, name in NAMES.items():
        if named == name:
            return found
    return None


def _table(pyarrow: Any, kind: str, value: Any) -> Any:
    """The value as pyarrow's table or record batch."""
    if kind in ("table", "batch"):
        return value
    frame = value.to_frame(_COLUMN) if kind == "series" else value
    return pyarrow.Table.from_pandas(frame, nthreads=1)


def _stream(pyarrow: Any, table: Any, limit_bytes: int, for_pandas: bool) -> bytes:
    if table.nbytes > limit_bytes:
        raise TooLargeError(f"a table takes {table.nbytes:,} bytes, above {limit_bytes:,}")
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write(table)
    stream: bytes = sink.getvalue().to_pybytes()
    try:
        arrow_ipc.check(stream, for_pandas)
        if for_pandas:
            _check_frame(pyarrow, table, len(stream))
    except ProtocolError as error:
        raise NotPlainDataError(str(error)) from None
    return stream


def _check_frame(pyarrow: Any, table: Any, size_bytes: int) -> None:
    """Raise ProtocolError if pandas would make too much of a table whose stream has this size."""
    schema = table.schema
    coded = {field.name for field in schema if pyarrow.types.is_dictionary(field.type)}
    frames.check(schema.pandas_metadata, table.num_rows, coded, arrow_ipc.most_cells(size_bytes))


def build(packed: PackedTable) -> Any:
    """The table, as the class that it was.

    Raises:
        MissingLibraryError: this machine lacks pyarrow or pandas.
        ProtocolError: the stream is wrong.
    """
    try:
        import pyarrow

        if packed.kind in OF_PANDAS:
            import pandas  # noqa: F401
    except ImportError as error:
        raise MissingLibraryError(f"a {NAMES[packed.kind]}", str(error.name)) from None
    try:
        return _built(pyarrow, packed)
    except pyarrow.ArrowException as error:
        raise ProtocolError(f"a table is no Arrow stream: {printable(str(error))}") from None


def _built(pyarrow: Any, packed: PackedTable) -> Any:
    # A copy of its own: Arrow wants its data aligned, and keeps it for as long as the table lives.
    with pyarrow.ipc.open_stream(pyarrow.py_buffer(bytes(packed.data))) as reader:
        table = reader.read_all()
    table.validate(full=True)
    if packed.kind == "table":
        return table
    if packed.kind == "batch":
        batches = table.to_batches()
        if len(batches) > 1:
            raise ProtocolError("a record batch has several parts")
        return batches[0] if batches else pyarrow.RecordBatch.from_pylist([], schema=table.schema)
    _check_frame(pyarrow, table, len(packed.data))
    frame = table.to_pandas(use_threads=False)
    return frame if packed.kind == "frame" else frame[_COLUMN].rename(packed.name)
