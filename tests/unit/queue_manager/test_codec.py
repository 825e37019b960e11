"""The codec: plain data comes back as it went, anything else is named and refused."""

import contextlib
import datetime
import decimal
import enum
import io
import pickle
import tracemalloc
import uuid
from collections import namedtuple
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_manager import codec
from queue_manager.errors import NotPlainDataError, ProtocolError, TooLargeError

TEXT = st.text(st.characters())  # with lone surrogates
ATOMS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | TEXT
    | st.binary()
)
ZONES = st.none() | st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23)).map(
    datetime.timezone
)
HASHABLE = (
    ATOMS
    | st.datetimes(timezones=ZONES)
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
)
HASHABLE = HASHABLE | st.tuples(HASHABLE, HASHABLE) | st.frozensets(HASHABLE, max_size=3)
PLAIN = st.recursive(
    HASHABLE,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(HASHABLE, inner, max_size=4)
        | st.sets(HASHABLE, max_size=4)
    ),
    max_leaves=10,
)


def shape(value: Any) -> Any:
    """The value with its exact types, so that 1, True and 1.0 differ."""
    if isinstance(value, list | tuple):
        return type(value), [shape(part) for part in value]
    if isinstance(value, dict):
        return dict, [(shape(k), shape(v)) for k, v in value.items()]
    return type(value), value


@given(PLAIN)
def test_plain_data_comes_back_with_its_exact_types(value: Any) -> None:
    assert shape(codec.decode(codec.encode(value))) == shape(value)
    assert shape(codec.decode(codec.encode(value))) == shape(value)


@given(st.lists(PLAIN, max_size=6))
def test_a_batch_comes_back_whole_and_in_parts(values: list[Any]) -> None:
    data = codec.encode_batch(values)
    assert shape(codec.decode_batch(data)) == shape(values)
    assert shape(codec.decode_batch(data, 1, 3)) == shape(values[1:3])
    assert codec.batch_length(data) == len(values)
    frozen = codec.encode_batch([codec.freeze(value) for value in values])
    assert shape(codec.decode_batch(frozen)) == shape(values)


@given(st.lists(ATOMS, max_size=40), st.data())
def test_values_are_picked_from_any_batch_without_decoding(
    values: list[Any], data: st.DataObject
) -> None:
    kept = [i for i in range(len(values)) if data.draw(st.booleans())]
    for batch in (
        codec.encode_batch(values),
        codec.encode_items([codec.encode(value) for value in values]),
    ):
        picked = codec.pick(batch, kept)
        assert shape(codec.decode_batch(picked)) == shape([values[i] for i in kept])


@pytest.mark.parametrize("count", [0, 1, 15, 16, 1_000, 70_000])
def test_the_length_of_a_batch_is_read_from_its_first_bytes(count: int) -> None:
    assert codec.batch_length(codec.encode_batch([0] * count)) == count
    assert codec.batch_length(codec.encode_items([b"\x00"] * count)) == count


def test_atoms_travel_as_one_array_and_others_as_items() -> None:
    assert codec.encode_batch([1, "a", b"b", 1.5, True, None])[:1] == b"L"
    assert codec.encode_batch([1, [2]])[:1] == b"S"
    assert codec.encode_batch([2**64])[:1] == b"S"


def test_a_frozen_value_does_not_see_later_changes() -> None:
    value = [1]
    frozen = codec.freeze(value)
    value.append(2)
    assert codec.decode_batch(codec.encode_batch([frozen, 3])) == [[1], 3]


def test_nan_and_a_list_inside_itself_come_back() -> None:
    nan = codec.decode(codec.encode(float("nan")))
    assert nan != nan
    value: list[Any] = []
    value.append(value)
    again = codec.decode(codec.encode(value))
    assert again[0] is again


class Colour(enum.IntEnum):
    RED = 1


class Name(str):
    pass


def test_a_named_tuple_is_told_what_to_send() -> None:
    point = namedtuple("Point", "x y")(1, 2)
    for inside in (point, [point]):
        with pytest.raises(NotPlainDataError, match=r"Point cannot travel: send tuple\(t\) or t\."):
            codec.encode(inside)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (object(), "object"),
        (Colour.RED, "Colour"),
        (Name("x"), "Name"),
        (bytearray(b"x"), "bytearray"),
        (1j, "complex"),
        (datetime.date, "type"),
        (len, "builtin_function_or_method"),
        (codec.encode, "function"),
        (ValueError("x"), "ValueError"),
    ],
)
def test_what_is_not_plain_is_named_in_one_line(value: Any, name: str) -> None:
    for inside in (value, [value], {"a": (value,)}):
        with pytest.raises(NotPlainDataError) as caught:
            codec.encode_batch([1, inside])
        text = str(caught.value)
        assert text.partition(" cannot travel")[0].endswith(name)
        assert "plain data is None" in text
        assert "\n" not in text


def test_a_class_cannot_travel_behind_one_of_its_objects() -> None:
    with pytest.raises(NotPlainDataError):
        codec.encode([datetime.date(2026, 1, 1), datetime.date])


def test_a_value_nested_too_deeply_is_refused() -> None:
    value: list[Any] = []
    for _ in range(200_000):
        value = [value]
    with pytest.raises(NotPlainDataError, match="too deeply"):
        codec.encode(value)


def test_a_uuid_with_a_known_safety_travels() -> None:
    value = uuid.uuid1()
    assert codec.decode(codec.encode(value)) == value


# --- hostile bytes ---------------------------------------------------------------------------


class Evil:
    def __reduce__(self) -> Any:
        return print, ("code of a stranger ran",)


def test_an_item_that_would_run_code_runs_none(capsys: pytest.CaptureFixture[str]) -> None:
    data = pickle.dumps([Evil()], protocol=4)
    with pytest.raises(ProtocolError, match="print"):
        codec.decode(data)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("queue_manager.codec", "encode"),
        ("queue_manager.codec", "_Pickler"),
        ("queue_manager.codec", "pickle.loads"),
        ("elsewhere", "_date"),
    ],
)
def test_an_item_cannot_name_anything_but_the_builders(module: str, name: str) -> None:
    buffer = io.BytesIO()
    pickle.Pickler(buffer, 4).dump((module, name))
    data = buffer.getvalue()
    at = data.rindex(b"\x86")  # TUPLE2 becomes STACK_GLOBAL
    with pytest.raises(ProtocolError, match="no plain data"):
        codec.decode(data[:at] + b"\x93" + data[at + 1 :])


def test_nine_bytes_do_not_take_a_gigabyte() -> None:
    data = b"\x80\x04Nr\x00\x00\x00\x06."  # LONG_BINPUT 100,663,296
    assert len(data) == 9
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="not taken"):
            codec.decode(data)
        with pytest.raises(ProtocolError, match="not taken"):
            codec.decode_batch(codec.encode_items([data]))
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80",
        b"\x80\x04",
        b"\x91\x01",  # an array is no atom
        b"\x80\x04]\x94.x",
        b"\x80\x04.",
        b"\xc1",
        b"\x01\x01",
        b"\x80\x04P1\n.",
        b"\x80\x04\x82\x01.",
    ],
)
def test_nonsense_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"L", b"S", b"X\x90", b"L\x91\x91\x01", b"L\x01", b"S\x91\x01", b"L\xdd\xff\xff\xff\xff"],
)
def test_a_broken_batch_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        codec.decode_batch(data)


@given(st.binary(max_size=60), st.sampled_from([b"", b"\x80\x04", b"\x80\x04]\x94("]))
def test_random_bytes_never_do_more_than_a_protocol_error(data: bytes, start: bytes) -> None:
    for attempt in (
        lambda: codec.decode(start + data),
        lambda: codec.decode_batch(b"L" + data),
        lambda: codec.decode_batch(b"S" + data),
        lambda: codec.pick(b"L" + data, [0]),
    ):
        with contextlib.suppress(ProtocolError):
            attempt()


@pytest.mark.parametrize(
    ("data", "bad"),
    [
        (codec.encode_batch([0, 1, 2, 3]), set()),
        (codec.encode_items([codec.encode(0), b"\x80", codec.encode(2), b""]), {1, 3}),
        (b"L\x94\x00\x90\x02\x80", {1, 3}),
        (b"L\x94\x00\x01", {0, 1, 2, 3}),
        (b"?", {0, 1, 2, 3}),
    ],
    ids=["good", "items", "atoms", "cut off", "no batch"],
)
def test_a_value_that_cannot_be_decoded_takes_no_other_along(data: bytes, bad: set[int]) -> None:
    for start, stop in ((0, 4), (1, 3)):
        found = codec.decode_each(data, start, stop)
        is_bad = {start + n for n, value in enumerate(found) if type(value) is codec.Undecodable}
        assert is_bad == bad & set(range(start, stop))
        assert len(found) == stop - start
        assert all(value == start + n for n, value in enumerate(found) if start + n not in bad)


def test_a_value_above_the_limit_is_told_to_use_the_shared_disk() -> None:
    codec.check_size(b"x" * 10, 10, "payload")
    with pytest.raises(TooLargeError, match=r"payload takes 11 bytes.*shared disk"):
        codec.check_size(b"x" * 11, 10, "payload")


def test_decimals_keep_their_digits() -> None:
    again = codec.decode(codec.encode(decimal.Decimal("1.500")))
    assert str(again) == "1.500"


FLAT = {
    "url": "https://example.org/",
    "depth": 3,
    "took_s": 0.5,
    "last": None,
    "raw": b"x",
    "ok": True,
}


def test_a_small_dict_of_texts_and_atoms_is_a_map_that_others_can_read() -> None:
    data = codec.encode(FLAT)
    assert msgspec.msgpack.decode(data) == FLAT
    assert shape(codec.decode(data)) == shape(FLAT)


@pytest.mark.parametrize(
    "value",
    [{}, {1: "a"}, {"a": [1]}, {"a": {}}, {"a": 2**64}, {"a": "\ud800"}, {"a": "x" * 20_000}],
    ids=["empty", "a key", "a list", "a dict", "a large int", "a surrogate", "long"],
)
def test_another_dict_is_a_pickle_and_comes_back_whole(value: dict[Any, Any]) -> None:
    data = codec.encode(value)
    assert data[0] == 0x80
    assert len(data) < codec.FLAT_BYTES or len(value["a"]) == 20_000
    assert shape(codec.decode(data)) == shape(value)


@pytest.mark.parametrize(
    "value",
    [{"a": [1]}, {"a": {"b": 1}}, {1: "a"}, {"a": "x" * codec.FLAT_BYTES}],
    ids=["a list", "a map", "a key", "long"],
)
def test_a_map_that_encode_does_not_write_is_no_item(value: dict[Any, Any]) -> None:
    with pytest.raises(ProtocolError):
        codec.decode(msgspec.msgpack.encode(value))


@pytest.mark.parametrize(
    "batches", [[[1], ["a", None]], [[(1,)], [{2}, 3]], [[1], [{"a": 1}], [2]]]
)
def test_joined_batches_hold_the_values_of_all(batches: list[list[Any]]) -> None:
    joined = codec.join([codec.encode_batch(values) for values in batches])
    assert codec.decode_batch(joined) == [value for values in batches for value in values]


def test_atoms_joined_are_a_batch_of_atoms() -> None:
    joined = codec.join([codec.encode_batch([n]) for n in range(100)])
    assert joined == codec.encode_batch(list(range(100)))
