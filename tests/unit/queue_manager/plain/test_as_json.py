"""Plain data as JSON: exact, and every value tells its type."""

from __future__ import annotations

import base64
import datetime
import decimal
import json
import uuid
from typing import Any

import numpy
import pyarrow
import pytest

from queue_manager import codec
from queue_manager.plain.as_json import dumped, shown, to_json
from queue_manager.wire.stock.opcodes import SHOWN_ITEM

ZONE = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (2**200, 2**200),
        (0.1, 0.1),
        ("痛点", "痛点"),
        ([1, [2]], [1, [2]]),
        ({"a": {"b": 1}}, {"a": {"b": 1}}),
        ({}, {}),
        (b"\x00\xff", {"$bytes": "AP8="}),
        ((1, b"x"), {"$tuple": [1, {"$bytes": "eA=="}]}),
        ({1}, {"$set": [1]}),
        (frozenset([1]), {"$frozenset": [1]}),
        (datetime.datetime(2026, 1, 2, 3, tzinfo=ZONE), {"$datetime": "2026-01-02T03:00:00+02:00"}),
        (datetime.date(2026, 1, 2), {"$date": "2026-01-02"}),
        (datetime.time(1, 2), {"$time": "01:02:00"}),
        (datetime.timedelta(-1, 2, 3), {"$timedelta": [-1, 2, 3]}),
        (decimal.Decimal("1.10"), {"$decimal": "1.10"}),
        (uuid.UUID(int=5), {"$uuid": "00000000-0000-0000-0000-000000000005"}),
        (float("inf"), {"$float": "inf"}),
        ({1: 2}, {"$dict": [[1, 2]]}),
        ({"$set": [1]}, {"$dict": [["$set", [1]]]}),
        ({"$set": 1, "b": 2}, {"$set": 1, "b": 2}),
    ],
    ids=repr,
)
def test_a_value_has_one_exact_form(value: Any, expected: Any) -> None:
    found = to_json(value)
    assert found == expected
    assert type(found) is type(expected)
    json.loads(json.dumps(found, allow_nan=False))


def shown_json(value: Any) -> Any:
    """What `qm results` shows of a value."""
    return json.loads(json.dumps(to_json(codec.decode(codec.encode(value), SHOWN_ITEM))))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (
            numpy.arange(6.0).reshape(2, 3),
            {"dtype": "<f8", "shape": [2, 3], "values": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]},
        ),
        (
            numpy.array(["2026-01-02T03", "NaT"], "M8[ns]"),
            {"dtype": "<M8[ns]", "shape": [2], "values": ["2026-01-02T03:00:00.000000000", None]},
        ),
        (
            numpy.array([1 + 2j, float("nan")], "c16"),
            {"dtype": "<c16", "shape": [2], "values": [[1.0, 2.0], [{"$float": "nan"}, 0.0]]},
        ),
        (
            numpy.array([(1, b"x")], [("n", "<i2"), ("s", "S2")]),
            {
                "dtype": [4, [["n", "<i2", 0, []], ["s", "|S2", 2, []]]],
                "shape": [1],
                "values": [[1, {"$bytes": "eA=="}]],
            },
        ),
        (numpy.zeros((1_000_000_000, 0)), {"dtype": "<f8", "shape": [10**9, 0], "values": []}),
    ],
    ids=["floats", "dates", "complex", "fields", "empty"],
)
def test_an_array_is_its_dtype_its_shape_and_all_its_values(value: Any, expected: Any) -> None:
    assert shown_json(value) == {"$array": expected}
    assert shown_json({"a": [value]}) == {"a": [{"$array": expected}]}


def test_a_scalar_of_numpy_is_its_dtype_and_its_value() -> None:
    assert shown_json(numpy.float64(0.5)) == {"$scalar": {"dtype": "<f8", "value": 0.5}}
    assert shown_json(numpy.str_("x")) == {"$scalar": {"dtype": "U", "value": "x"}}
    assert shown_json({numpy.int8(1): 2}) == {
        "$dict": [[{"$scalar": {"dtype": "|i1", "value": 1}}, 2]]
    }


def test_a_table_is_its_arrow_stream() -> None:
    table = pyarrow.table({"a": [1, 2]})
    found = shown_json(table)["$arrow"]
    assert (found["kind"], found["name"]) == ("table", None)
    stream = base64.b64decode(found["stream"])
    assert pyarrow.ipc.open_stream(stream).read_all().equals(table)


def test_a_large_array_is_shown_by_its_first_values() -> None:
    array = codec.decode(codec.encode(numpy.zeros(100_000)), SHOWN_ITEM)
    assert shown(array).startswith("array([0.0, 0.0,")
    assert len(shown(array)) < 100


@pytest.mark.parametrize("kind", ["cycle", "deep", "deep dicts"])
def test_what_json_can_not_hold_is_described(kind: str) -> None:
    """One such value must not take the other lines away."""
    value: Any = []
    if kind == "cycle":
        value += [1, value]
    for _ in range(5_000 if "deep" in kind else 0):
        value = {1: value} if "dicts" in kind else [value]
    found = to_json([1, value, 2])
    assert set(found) == {"$repr"}
    assert len(json.dumps(found)) < 500


def test_what_is_nested_a_little_stays_as_it_is() -> None:
    value: Any = 7
    for _ in range(150):
        value = [value]
    assert json.loads(json.dumps(to_json(value))) == value


LONG = 7 * 10**100_000 + 1


@pytest.mark.parametrize(
    "value",
    [LONG, -LONG, [1, {"n": LONG}], 10**4300],
    ids=["long", "minus", "inside", "shortest"],
)
def test_an_int_that_python_refuses_to_read_is_hexadecimal(value: Any) -> None:
    """`json.loads` of any Python reads the line, `int(text, 16)` the number."""
    line = dumped({"result": to_json(value)})
    assert json.loads(line)
    assert "$int" in line
    assert int(to_json(LONG)["$int"], 16) == LONG
    assert int(to_json(-LONG)["$int"], 16) == -LONG


def test_the_longest_int_that_python_reads_is_a_number() -> None:
    assert to_json(10**4300 - 1) == 10**4300 - 1
    assert json.loads(dumped({"n": to_json(1 - 10**4300)})) == {"n": 1 - 10**4300}


def test_a_dict_with_such_a_key_is_told_from_a_long_int() -> None:
    assert to_json({"$int": "0x1"}) == {"$dict": [["$int", "0x1"]]}


def test_what_is_shown_to_people_may_hold_an_int_of_any_size() -> None:
    assert shown([1, b"x"]) == "[1, b'x']"
    assert shown([LONG]).startswith('[{"$int": "0x')
