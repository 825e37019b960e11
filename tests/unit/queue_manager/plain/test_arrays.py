"""Arrays and scalars of numpy: each comes back as it went, and hostile ones take nothing."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as some

from queue_manager import codec
from queue_manager.errors import (
    MissingLibraryError,
    NotPlainDataError,
    ProtocolError,
    TooLargeError,
)
from queue_manager.plain.packed import ARRAY, PackedArray
from queue_manager.wire.stock.opcodes import SERVED_ITEM, SHOWN_ITEM
from worker.slot.work_loop import careful

REPO = Path(__file__).resolve().parents[4]

PLAIN = (
    some.boolean_dtypes()
    | some.integer_dtypes(endianness="?")
    | some.unsigned_integer_dtypes(endianness="?")
    | some.floating_dtypes(endianness="?", sizes=(16, 32, 64))
    | some.complex_number_dtypes(endianness="?", sizes=(64, 128))
    | some.datetime64_dtypes(endianness="?")
    | some.timedelta64_dtypes(endianness="?")
    | some.byte_string_dtypes(min_len=1)
    | some.unicode_string_dtypes(endianness="?", min_len=1)
)
FIELDS = st.lists(st.tuples(PLAIN, st.sampled_from([(), (2,), (1, 3)])), min_size=1, max_size=3)
STRUCTURED = st.tuples(FIELDS, st.booleans()).map(
    lambda made: np.dtype([(f"{n}", *one) for n, one in enumerate(made[0])], align=made[1])
)
DTYPES = PLAIN | STRUCTURED
ARRAYS = DTYPES.flatmap(
    lambda dtype: some.arrays(dtype, some.array_shapes(min_dims=0, min_side=0, max_side=4))
)


def same(found: Any, value: Any) -> bool:
    """Whether two arrays or scalars have the same dtype, shape and bytes, padding left out."""
    fields = value.dtype.names
    return (
        type(found) is type(value)
        and found.dtype == value.dtype
        and found.shape == value.shape
        and all(found[name].tobytes() == value[name].tobytes() for name in fields or ())
        and (bool(fields) or found.tobytes() == value.tobytes())
    )


@given(ARRAYS)
@example(np.zeros((0, 3), "M8[as]"))
def test_an_array_comes_back_alone_and_within_other_values(array: Any) -> None:
    assert same(codec.decode(codec.encode(array)), array)
    found = codec.decode(codec.encode([{"a": array}, array]))
    assert same(found[0]["a"], array)
    assert found[0]["a"] is found[1]
    assert same(codec.decode_batch(codec.encode_batch([1, array]))[1], array)


@given(ARRAYS, st.data())
def test_any_view_comes_back_as_what_it_shows(array: Any, data: st.DataObject) -> None:
    view = array.T if array.ndim else array
    if array.ndim:
        view = array[data.draw(some.basic_indices(array.shape, allow_ellipsis=False))]
    if isinstance(view, np.ndarray):
        assert same(codec.decode(codec.encode(view)), view)


@given(ARRAYS.filter(lambda array: array.size))
def test_a_scalar_keeps_its_type(array: Any) -> None:
    scalar = array.reshape(-1)[0]
    for found in (codec.decode(codec.encode(scalar)), codec.decode(codec.encode([scalar]))[0]):
        assert same(found, scalar)


@pytest.mark.parametrize("value", [np.str_(""), np.str_("a\0"), np.bytes_(b""), np.bytes_(b"x\0")])
def test_a_scalar_text_keeps_its_length(value: Any) -> None:
    found = codec.decode(codec.encode(value))
    assert type(found) is type(value)
    assert len(found) == len(value)
    assert str(found) == str(value)


def test_the_order_of_fortran_is_kept() -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3))
    found = codec.decode(codec.encode(array))
    assert found.flags.f_contiguous
    assert not found.flags.c_contiguous
    assert (found == array).all()


def test_a_receiver_may_change_the_array() -> None:
    data = codec.encode(np.zeros(3))
    for found in (codec.decode(data), codec.decode(codec.encode([np.zeros(3)]))[0]):
        found[0] = 1
    assert codec.decode(data)[0] == 0


def test_a_number_of_numpy_can_be_a_key() -> None:
    counts = {np.int64(3): 2, np.str_("a"): 1}
    found = codec.decode(codec.encode(counts))
    assert found == counts
    assert list(map(type, found)) == [np.int64, np.str_]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.array([{}], object), r"dtype object cannot travel: send a\.tolist"),
        (np.zeros(1, [("a", "O")]), "cannot travel"),
        (np.zeros(1, [("a", [("b", "i4")])]), "cannot travel"),
        (np.zeros(1, [(("title", "a"), "i4")]), "cannot travel"),
        (np.longdouble(1), "cannot travel"),
        (np.zeros(1, "V3"), "cannot travel"),
        (np.ma.array([1], mask=[True]), r"MaskedArray cannot travel: send numpy\.asarray"),
        (np.dtype("f8"), r"cannot travel: send str\(d\);"),
        (np.random.default_rng(), r"Generator cannot travel: send a seed, and make it where"),
        (np.rec.array([(1,)], [("a", "i4")]), r"recarray cannot travel: send numpy\.asarray\(a\);"),
        (np.float64, "cannot travel"),
    ],
    ids=str,
)
def test_what_is_not_plain_is_refused_in_one_line(value: Any, says: str) -> None:
    for inside in (value, [value]):
        with pytest.raises(NotPlainDataError, match=says) as caught:
            codec.encode(inside)
        assert "\n" not in str(caught.value)


def test_a_large_array_is_refused_before_it_is_copied() -> None:
    huge = np.broadcast_to(np.float64(0), (1 << 20, 1 << 20))  # 8 TiB, of 8 bytes
    for value in (huge, [huge]):
        tracemalloc.start()
        try:
            with pytest.raises(TooLargeError):
                codec.encode(value)
            assert tracemalloc.get_traced_memory()[1] < 1_000_000
        finally:
            tracemalloc.stop()


# --- hostile bytes ---------------------------------------------------------------------------


def item(*fields: Any, code: int = ARRAY) -> bytes:
    return msgspec.msgpack.encode(msgspec.msgpack.Ext(code, msgspec.msgpack.encode(fields)))


HUGE = 2**62
HOSTILE = {
    "more than it has": item("<f8", (1 << 40,), False, b"12345678"),
    "a product that wraps": item("<f8", (1 << 32, 1 << 32), False, b""),
    "many axes": item("<i1", (1,) * 65, False, b"x"),
    "a negative side": item("<i1", (-1,), False, b""),
    "two negative sides": item("<i1", (-1, -1), False, b"x"),
    "objects": item("|O", (1,), False, b"12345678"),
    "objects in a field": item([8, [["a", "|O", 0]]], (1,), False, b"12345678"),
    "a field within a field": item([8, [["a", [8, [["b", "<f8", 0]]], 0]]], (1,), False, b"1" * 8),
    "a field outside": item([8, [["a", "<f8", 1]]], (1,), False, b"12345678"),
    "a field before": item([8, [["a", "<f8", -8]]], (1,), False, b"12345678"),
    "a huge field": item([8, [["a", "<f8", 0, [HUGE, HUGE]]]], (1,), False, b"12345678"),
    "an empty field": item([8, [["a", "<f8", 0, [0]]]], (1,), False, b"12345678"),
    "no fields": item([8, []], (1,), False, b"12345678"),
    "many fields": item([8, [["a", "|i1", 0]] * 2_000], (1,), False, b"12345678"),
    "two fields of one name": item([8, [["a", "|i1", 0]] * 2], (1,), False, b"12345678"),
    "elements of no size": item("<U0", (HUGE,), False, b""),
    "a comma": item("f8,f8", (1,), False, b"1" * 16),
    "a name": item("object", (1,), False, b"12345678"),
    "a void": item("|V8", (1,), False, b"12345678"),
    "a scalar of two": item("<f8", None, False, b"1" * 16),
    "no dtype": item(None, (1,), False, b"12345678"),
    "a text for a shape": item("<f8", "1", False, b"12345678"),
    "a text for data": item("<f8", (1,), False, "12345678"),
    "too few fields": item("<f8", (1,)),
    "another code": item("<f8", (1,), False, b"12345678", code=99),
    "too long": item("<f8", (1,), False, b"12345678")[:1] + b"\xff" * 4,
}


def nested(data: bytes) -> bytes:
    """A pickle that has the body of this item in a list."""
    extension = msgspec.msgpack.decode(data)
    found = codec.encode([np.float64(1)])
    body = codec.encode(np.float64(1))[3:]
    at = found.index(b"C" + bytes([len(body)]) + body)
    size = len(extension.data).to_bytes(4, "little")
    changed = found[:at] + b"B" + size + extension.data + found[at + 2 + len(body) :]
    return changed[:2] + b"\x95" + (len(changed) - 11).to_bytes(8, "little") + changed[11:]


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_array_is_an_error_and_takes_no_memory(data: bytes) -> None:
    alone = data in (HOSTILE["another code"], HOSTILE["too long"])
    for one in [data] if alone else [data, nested(data)]:
        for bounds in (codec.ITEM, SHOWN_ITEM, SERVED_ITEM):
            tracemalloc.start()
            try:
                with pytest.raises(ProtocolError) as caught:
                    codec.decode(one, bounds)
                assert tracemalloc.get_traced_memory()[1] < 4_000_000
            finally:
                tracemalloc.stop()
            assert "\n" not in str(caught.value)


def test_the_pickle_of_these_tests_is_one() -> None:
    assert codec.decode(nested(item("<f8", (1,), False, b"12345678")))[0].shape == (1,)


class Often(pickle.Pickler):
    """Names one body in the place of each object."""

    body = msgspec.msgpack.encode(("|i1", (1_000_000,), False, bytes(1_000_000)))

    def reducer_override(self, value: Any) -> Any:
        return (codec._foreign, (ARRAY, self.body)) if type(value) is object else NotImplemented


def test_a_pickle_that_names_one_body_often_takes_no_memory() -> None:
    buffer = io.BytesIO()
    Often(buffer, 4).dump([object() for _ in range(1_000)])
    tracemalloc.start()
    try:
        with pytest.raises(ProtocolError, match="exhaust memory"):
            codec.decode(buffer.getvalue())
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=80), st.integers(0, 80))
def test_random_bytes_never_do_more_than_a_protocol_error(noise: bytes, at: int) -> None:
    good = codec.encode(np.arange(3, dtype="<i2"))
    for data in (good[:at] + noise + good[at + len(noise) :], good[:7] + noise):
        for bounds in (codec.ITEM, SHOWN_ITEM):
            try:
                found = codec.decode(data, bounds)
            except ProtocolError:
                continue
            repr(found)


# --- shown, refused, missing -----------------------------------------------------------------


@given(ARRAYS.filter(lambda array: array.dtype.kind in "biufSU" and array.size))
def test_a_command_reads_the_elements_without_numpy(array: Any) -> None:
    shown = codec.decode(codec.encode(array), SHOWN_ITEM)
    assert type(shown) is PackedArray
    assert len(repr(shown)) < 10_000
    values = np.array(shown.values(), array.dtype).reshape(array.shape)
    assert values.tobytes() == array.tobytes() or np.array_equal(values, array, equal_nan=True)


@given(some.arrays(some.datetime64_dtypes(), 3))
def test_a_date_is_shown_as_numpy_shows_it(array: Any) -> None:
    shown = codec.decode(codec.encode(array), SHOWN_ITEM).values()
    for found, value in zip(shown, array, strict=True):
        if isinstance(found, str):
            assert np.datetime64(found) == value
        elif found is None:
            assert np.isnat(value)
        else:
            assert found == value.view("i8")


def test_a_master_does_not_read_arrays_for_stock_clients() -> None:
    for value in (np.zeros(3), [np.zeros(3)], np.float64(1), [np.float64(1)]):
        with pytest.raises(ProtocolError, match="only programs of Quartermaster can read"):
            codec.decode(codec.encode(value), SERVED_ITEM)


def without(name: str, code: str) -> str:
    """What Python prints where this package is not installed."""
    program = f"import sys; sys.modules[{name!r}] = None\n{code}"
    words = [sys.executable, "-c", program]
    return subprocess.run(
        words, cwd=REPO, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def test_without_numpy_one_line_says_what_to_install() -> None:
    for value in (np.zeros(3), [np.float64(1)]):
        code = (
            "from queue_manager import codec\n"
            f"try: codec.decode({codec.encode(value)!r})\n"
            "except Exception as error: print(error)"
        )
        assert without("numpy", code).count("\n") == 1
        assert "has no numpy: pip install numpy" in without("numpy", code)


def test_numpy_is_imported_when_an_array_arrives_and_not_before() -> None:
    code = (
        "import sys\nfrom queue_manager import codec\ncodec.encode([1, (2,)])\n"
        "print('numpy' in sys.modules)\n"
        f"codec.decode({codec.encode(np.zeros(3))!r})\nprint('numpy' in sys.modules)"
    )
    assert without("pyarrow", code).split() == ["False", "True"]


@pytest.mark.alone
def test_an_array_costs_what_its_bytes_cost() -> None:
    array = np.random.default_rng(1).random(131_072)
    flat = array.tobytes()
    freed = bytes(16_000_000)  # malloc keeps freed pages from now on
    del freed

    def best_s(value: Any) -> float:
        times = []
        for _ in range(30):
            began = time.perf_counter()
            codec.decode(codec.encode(value))
            times.append(time.perf_counter() - began)
        return min(times)

    assert best_s(array) < 4 * best_s(flat) + 0.0002


@pytest.mark.parametrize(("value", "kind"), [(np.zeros(3), "array"), (np.float64(1), "number")])
def test_a_process_without_numpy_says_what_it_lacks(
    value: Any, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = codec.encode_batch([value])
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(ProtocolError) as in_worker:
        careful(lambda payload: payload)(codec.decode_each(batch, 0, 1)[0])
    assert str(in_worker.value) == (
        f"the input is a numpy {kind}, and this worker has no numpy:"
        " pip install numpy where the worker runs"
    )
    (one,) = codec.decode_each(batch, 0, 1)
    assert str(one.told("the result", "program")) == (
        f"the result is a numpy {kind}, and this program has no numpy:"
        " pip install numpy where the program runs"
    )
    with pytest.raises(MissingLibraryError, match="a value is a numpy"):
        codec.decode_batch(batch)
