"""Tables of pandas and pyarrow: each comes back as it went, and hostile ones take nothing."""

from __future__ import annotations

import contextlib
import datetime
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


GOOD = stream_of(TABLE_OF_ALL)
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
