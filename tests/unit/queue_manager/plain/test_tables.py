"""Tables of pandas and pyarrow: each comes back as it went, and hostile ones take nothing."""

from __future__ import annotations

import contextlib
import datetime
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_manager import codec
from queue_manager.errors import NotPlainDataError, ProtocolError, QueueError, TooLargeError
from queue_manager.plain import arrow_ipc, foreign
from queue_manager.plain.packed import TABLE, PackedTable
from queue_manager.wire.stock.opcodes import SERVED_ITEM, SHOWN_ITEM

REPO = Path(__file__).resolve().parents[4]

FRAME = pd.DataFrame(
    {
        "n": [1, 2],
        "x": [0.5, None],
        "text": ["a", None],
        "at": pd.to_datetime(["2026-01-01", "2026-02-01"], utc=True),
        "kind": pd.Categorical(["p", "q"]),
        "day": [datetime.date(2026, 1, 1), None],
    },
    index=["first", "second"],
)
FRAMES = {
    "usual": FRAME,
    "empty": pd.DataFrame(),
    "no rows": FRAME[["n", "x", "text"]].iloc[:0],
    "a part": FRAME.iloc[1:],
    "numbers for names": pd.DataFrame({0: [1], 1: [2]}),
    "two levels": FRAME.set_index(["n", "text"]),
    "nulls": pd.DataFrame({"a": [None] * 1_000}),
    "two ranges": pd.DataFrame(
        {"a": range(4)}, pd.MultiIndex.from_arrays([range(4), range(0, 8, 2)])
    ),
    "one column twice": pd.DataFrame({"a": [1, 2], "b": [1, 2]}).assign(c=lambda frame: frame["a"]),
    "periods": pd.DataFrame(
        {"p": pd.period_range("2026-01-01", periods=2), "i": pd.interval_range(0, 2)}
    ),
    "times for names": pd.DataFrame([[1, 2]], columns=pd.to_datetime(["2026-01-01", "2026-02-01"])),
    "zoned names": pd.DataFrame([[1]], columns=pd.to_datetime(["2026-01-01"], utc=True)),
    "levels for names": pd.DataFrame(
        [[1, 2]], columns=pd.MultiIndex.from_tuples([("a", 1), ("b", 2)])
    ),
    "bytes for names": pd.DataFrame([[1]], columns=[b"a"]),
}
SERIES = {
    "usual": FRAME["x"],
    "no name": FRAME["n"].rename(None),
    "a number for a name": FRAME["at"].rename(3),
}
TABLE_OF_ALL = pa.table(
    {
        "n": pa.array([1, None], pa.int8()),
        "list": pa.array([[1, 2], []]),
        "struct": pa.array([{"a": 1}, None]),
        "map": pa.array([[("k", 1)], []], pa.map_(pa.string(), pa.int64())),
        "at": pa.array([1, 2], pa.timestamp("ns", "Europe/Berlin")),
        "dictionary": pa.array(["a", "b"]).dictionary_encode(),
        "nested": pa.StructArray.from_arrays([pa.array(["a", "b"]).dictionary_encode()], ["f"]),
        "null": pa.nulls(2),
    },
    metadata={"made": "here"},
)


def back(value: Any) -> Any:
    """The value after it has travelled within another one."""
    return codec.decode(codec.encode([1, {"a": value}]))[1]["a"]


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_data_frame_comes_back_as_it_went(frame: Any) -> None:
    for found in (codec.decode(codec.encode(frame)), back(frame)):
        pd.testing.assert_frame_equal(found, frame)


@pytest.mark.parametrize("series", SERIES.values(), ids=SERIES)
def test_a_series_comes_back_as_it_went(series: Any) -> None:
    for found in (codec.decode(codec.encode(series)), back(series)):
        pd.testing.assert_series_equal(found, series)


@pytest.mark.parametrize("table", [TABLE_OF_ALL, TABLE_OF_ALL.slice(1), TABLE_OF_ALL.slice(2)])
def test_a_table_and_a_record_batch_come_back_as_they_went(table: Any) -> None:
    for found in (codec.decode(codec.encode(table)), back(table)):
        assert found.equals(table, check_metadata=True)
    for batch in table.to_batches():
        found = back(batch)
        assert type(found) is pa.RecordBatch
        assert found.equals(batch)


def test_a_record_batch_without_rows_comes_back() -> None:
    batch = pa.record_batch({"a": pa.array([], pa.int64())})
    assert back(batch).equals(batch)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (pd.DataFrame({"a": [object()]}), "DataFrame cannot travel as an Arrow table"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "DataFrame cannot travel as an Arrow table"),
        (pd.Series([1], name=("a", "b")), "name that is neither text nor number"),
        (pd.Timestamp("2026-01-01"), r"t\.to_pydatetime\(\)"),
        (pd.RangeIndex(3), r"cannot travel: send i\.tolist\(\), or a Series"),
        (pa.array([1]), r"cannot travel: send a Table, or a\.to_pylist\(\)"),
        (pa.table({"a": pa.array(["a"], pa.string_view())}), "cast it first"),
        (pa.table({"a": pa.nulls(10_000_000)}), "a column of nulls"),
    ],
    ids=["objects", "names", "a tuple", "Timestamp", "Index", "Array", "views", "nulls"],
)
def test_what_cannot_travel_is_refused_in_one_line(value: Any, says: str) -> None:
    for inside in (value, [value]):
        with pytest.raises(NotPlainDataError, match=says) as caught:
            codec.encode(inside)
        assert "\n" not in str(caught.value)


def test_a_large_table_is_refused() -> None:
    with pytest.raises(TooLargeError):
        codec.encode(pa.table({"a": pa.array(range(10_000))}), 10_000)


def test_a_command_shows_a_table_without_its_libraries() -> None:
    shown = codec.decode(codec.encode(FRAME), SHOWN_ITEM)
    assert repr(shown).startswith("pandas.DataFrame(")
    with pytest.raises(ProtocolError, match="only programs of Quartermaster"):
        codec.decode(codec.encode(FRAME), SERVED_ITEM)


def without(name: str, code: str) -> str:
    """What Python prints where this package is not installed."""
    program = (
        f"import sys\nsys.modules[{name!r}] = None\nfrom queue_manager import codec\n"
        f"try: {code}\nexcept Exception as error: print(type(error).__name__, error)"
    )
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, cwd=REPO, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout


@pytest.mark.parametrize("name", ["pyarrow", "pandas"])
def test_without_a_library_one_line_says_what_to_install(name: str) -> None:
    found = without(name, f"codec.decode({codec.encode(FRAME)!r})")
    assert found.startswith("MissingLibraryError a value is a pandas.DataFrame, and this program")
    assert f" has no {name}: pip install {name} where " in found
    assert found.count("\n") == 1


def test_a_frame_cannot_be_sent_without_pyarrow() -> None:
    found = without("pyarrow", "import pandas; codec.encode(pandas.DataFrame())")
    assert found.startswith("NotPlainDataError pandas.DataFrame travels as an Arrow table")
    assert found.endswith("pip install pyarrow\n")


# --- hostile bytes ---------------------------------------------------------------------------


def stream_of(table: Any, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    options = {"options": pa.ipc.IpcWriteOptions(**options)} if options else {}
    with pa.ipc.new_stream(sink, table.schema, **options) as writer:
        writer.write(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def item(stream: bytes, kind: Any = "table") -> bytes:
    data = memoryview(stream)
    return foreign.Body(TABLE, PackedTable(kind, None, data).head(), data).item()


GOOD = stream_of(TABLE_OF_ALL.drop_columns(["nested"]))
ZEROS = pa.table({"a": pa.array([0] * 1_000_000)})


@pytest.mark.parametrize(
    ("stream", "says"),
    [
        (b"", "not a whole"),
        (b"ARROW1", "not a whole"),
        (GOOD + b"x", "goes on behind"),
        (GOOD[:-30], "whole"),
        (GOOD * 2, "goes on behind"),
        (stream_of(ZEROS, compression="zstd"), "compressed"),
        (stream_of(ZEROS, compression="lz4"), "compressed"),
        (stream_of(pa.table({"a": pa.nulls(10_000_000)})), "column of nulls"),
        (stream_of(pa.table({"a": pa.array([[None] * 10_000_000])})), "column of nulls"),
        (stream_of(pa.table({"a": pa.array(["a"], pa.string_view())})), "views"),
    ],
    ids=["nothing", "a file", "more", "cut", "two", "zstd", "lz4", "nulls", "within", "views"],
)
def test_a_stream_that_takes_more_than_its_bytes_is_refused_before_it_is_read(
    stream: bytes, says: str
) -> None:
    with pytest.raises(ProtocolError, match=says):
        arrow_ipc.check(stream)
    for kind in ("table", "frame"):
        with pytest.raises(ProtocolError, match=says):
            codec.decode(item(stream, kind))


def test_a_schema_that_names_one_text_often_is_refused() -> None:
    metadata = {"0": "x" * 50_000} | {f"small {n}": "x" for n in range(400)}
    schema = pa.schema([], metadata=metadata)
    stream = bytearray(stream_of(pa.Table.from_batches([], schema)))
    arrow_ipc.check(stream)
    pairs = stream.index((401).to_bytes(4, "little")) + 4
    first = pairs + int.from_bytes(stream[pairs : pairs + 4], "little")
    for place in range(pairs, pairs + 4 * 401, 4):
        stream[place : place + 4] = (first - place).to_bytes(4, "little")
    with pytest.raises(ProtocolError, match="exhaust memory"):
        arrow_ipc.check(stream)


@pytest.mark.parametrize("kind", ["pickle", "", None, 5])
def test_a_table_of_another_kind_is_refused(kind: Any) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(item(GOOD, kind))


TEXTS = pa.array(["x" * 1_000] * 1_000).dictionary_encode()
NESTED = {
    "list": pa.ListArray.from_arrays(pa.array([0, 1_000], pa.int32()), TEXTS),
    "struct": pa.StructArray.from_arrays([TEXTS], ["f"]),
    "map": pa.MapArray.from_arrays(
        pa.array([0, 1_000], pa.int32()), pa.array(["k"] * 1_000), TEXTS
    ),
    "dictionary": pa.DictionaryArray.from_arrays(
        pa.array([0], pa.int8()), pa.StructArray.from_arrays([TEXTS[:1]], ["f"])
    ),
}


@pytest.mark.parametrize("column", NESTED.values(), ids=NESTED)
def test_pandas_does_not_spread_a_dictionary_within_a_column(column: Any) -> None:
    """pandas makes a text of its own for each value there, so a few bytes become any number."""
    table = pa.table({"a": column})
    assert codec.decode(item(stream_of(table))).equals(table)
    for kind in ("frame", "series"):
        with pytest.raises(ProtocolError, match="dictionary within lists, structs or maps"):
            codec.decode(item(stream_of(table), kind))


def test_a_frame_with_a_dictionary_within_a_column_is_refused_where_it_is_sent() -> None:
    kind = pd.ArrowDtype(NESTED["struct"].type)
    frame = pd.DataFrame({"a": pd.Series(NESTED["struct"].to_pylist(), dtype=kind)})
    for value in (frame, frame["a"]):
        with pytest.raises(NotPlainDataError, match="dictionary within lists, structs or maps"):
            codec.encode(value)


def body_of(stream: bytes, kind: int) -> tuple[int, Any, int]:
    """Where the header of the first message of a kind begins, its batch, where its body begins."""
    at = 0
    while True:
        (size,) = struct.unpack_from("<i", stream, at + 4)
        header = memoryview(stream)[at + 8 : at + 8 + size]
        message = arrow_ipc._Table(header, struct.unpack_from("<I", header, 0)[0])
        if message.byte(1) == kind:
            return at + 8, message.table(2), at + 8 + size
        at += 8 + size + message.whole(3)


def with_buffers(table: Any, change: Any) -> bytes:
    """The stream of a table whose places of buffers are changed: a list of (at, length)."""
    stream = bytearray(stream_of(table))
    start, batch, _ = body_of(bytes(stream), 3)
    at, count = batch._vector(2)
    place = start + at
    pairs = list(struct.iter_unpack("<qq", stream[place : place + 16 * count]))
    for number, pair in enumerate(change(pairs)):
        struct.pack_into("<qq", stream, place + 16 * number, *pair)
    return bytes(stream)


MANY = pa.table({str(n): pa.array([b"x" * 100], pa.binary(100)) for n in range(50)})


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda pairs: pairs, None),
        (lambda pairs: [(0, size and 104) for _, size in pairs], None),  # within the room of all
        (lambda pairs: [(0, size and 4_000) for _, size in pairs], "share their bytes"),
        (lambda pairs: [(0, size and 10**6) for _, size in pairs], "not a whole"),
        (lambda pairs: [(-8, size) for _, size in pairs], "not a whole"),
        (lambda pairs: [(at, -size) for at, size in pairs], "not a whole"),
    ],
    ids=["as it was", "the same", "more", "outside", "before", "negative"],
)
def test_columns_do_not_take_more_bytes_than_the_body_has(change: Any, says: str | None) -> None:
    stream = with_buffers(MANY, change)
    if says is None:
        return arrow_ipc.check(stream)
    for kind in ("table", "frame"):
        with pytest.raises(ProtocolError, match=says):
            codec.decode(item(stream, kind))


def test_a_dictionary_in_parts_is_refused() -> None:
    """Each part becomes a whole dictionary in memory, with all before it."""
    texts = ["x" * 1_000] + ["y"] * 50
    batches = [
        pa.record_batch(
            {"a": pa.DictionaryArray.from_arrays(pa.array([n - 1], pa.int8()), texts[:n])}
        )
        for n in range(1, 50)
    ]
    table = pa.Table.from_batches(batches)
    assert codec.decode(codec.encode(table)).equals(table)
    with pytest.raises(ProtocolError, match="dictionary in parts"):
        codec.decode(item(stream_of(table, emit_dictionary_deltas=True)))


def test_columns_that_share_a_dictionary_are_refused() -> None:
    """Each column of pandas gets a copy of it."""
    stream = bytearray(stream_of(pa.table({"a": TEXTS, "b": TEXTS})))
    start, schema, _ = body_of(bytes(stream), 1)
    numbers = [field.table(4) for field in schema.tables(1)]
    assert [one.whole(0) for one in numbers] == [0, 1]
    struct.pack_into("<q", stream, start + numbers[1]._place(0), 0)
    with pytest.raises(ProtocolError, match="share a dictionary"):
        arrow_ipc.check(bytes(stream))


def metadata(**changed: Any) -> bytes:
    """The stream of a table with metadata of pandas."""
    told = {"columns": [], "index_columns": [], "column_indexes": [], **changed}
    columns = {"a": TEXTS, "b": pa.nulls(1_000)}
    return stream_of(pa.table(columns, metadata={"pandas": json.dumps(told)}))


RANGE = {"kind": "range", "name": None, "start": 0, "stop": 1_000, "step": 1}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"index_columns": [RANGE] * 4_000}, "index of ranges that is too large"),
        (
            {"column_indexes": [{"pandas_type": "U9000", "numpy_type": "object"}]},
            "not plain",
        ),
        (
            {"column_indexes": [{"pandas_type": "unicode", "numpy_type": "S9000"}]},
            "not plain",
        ),
        (
            {"column_indexes": [{"pandas_type": "unicode", "numpy_type": "i8,9000i8"}]},
            "not plain",
        ),
        ({"columns": [{"name": "a", "numpy_type": "binary[pyarrow]"}]}, "no category"),
        (
            {"columns": [{"field_name": "a", "name": "b", "numpy_type": "string"}]},
            "no category",
        ),
        ({"columns": [5]}, "no metadata of pandas"),
        ({"column_indexes": [{}]}, "no metadata of pandas"),
    ],
)
def test_metadata_do_not_have_pandas_make_more_than_there_is(changed: Any, says: str) -> None:
    stream = metadata(**changed)
    assert codec.decode(item(stream)).num_rows == 1_000
    with pytest.raises(ProtocolError, match=says):
        codec.decode(item(stream, "frame"))


def test_metadata_that_ask_for_little_are_fine() -> None:
    assert codec.decode(item(metadata(index_columns=[RANGE] * 2), "frame")).shape == (1_000, 2)


@pytest.mark.parametrize("column", [pa.array(["x"]).dictionary_encode(), pa.array(["x"])])
def test_a_frame_has_no_extension_types_but_those_of_pandas(column: Any) -> None:
    """pyarrow 26 ended the process where such a type was one of dictionaries."""
    kind = pa.opaque(column.type, "some", "where")
    stream = stream_of(pa.table({"a": pa.ExtensionArray.from_storage(kind, column)}))
    assert codec.decode(item(stream)).schema.field("a").type == kind
    with pytest.raises(ProtocolError, match="extension type"):
        codec.decode(item(stream, "frame"))


@given(st.integers(0, len(GOOD) - 1), st.binary(min_size=1, max_size=12))
def test_a_changed_stream_is_a_table_or_one_line(at: int, noise: bytes) -> None:
    changed = GOOD[:at] + noise + GOOD[at + len(noise) :]
    for kind in ("table", "frame"):
        with contextlib.suppress(QueueError):
            codec.decode(item(changed, kind))


@given(st.binary(max_size=200))
def test_random_bytes_are_no_stream(data: bytes) -> None:
    for one in (data, GOOD[:8] + data, GOOD[:100] + data):
        with contextlib.suppress(ProtocolError):
            arrow_ipc.check(one)
