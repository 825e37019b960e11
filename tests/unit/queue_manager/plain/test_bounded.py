"""Plain data is written out within bounds, however it is nested."""

from __future__ import annotations

from typing import Any

import numpy
import pytest

from queue_manager import codec
from queue_manager.plain.as_json import shown, to_json
from queue_manager.plain.bounded import Most, beginning, fits
from queue_manager.plain.packed import PackedArray
from queue_manager.wire.stock.opcodes import SHOWN_ITEM


def doubled(value: Any, times: int) -> Any:
    for _ in range(times):
        value = [value, value]
    return value


def cycle() -> Any:
    value: list[Any] = [1]
    value.append(value)
    return value


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [None, 1, "it's", b"x", [], (), {}, set(), frozenset(), (1,), {1}, frozenset([2]), 1.5, [[]]],
    ids=repr,
)
def test_a_value_begins_as_python_writes_it(value: Any) -> None:
    assert beginning(value, 1_000) == repr(value)
    assert beginning(value, 3) == repr(value)[:3]
    assert beginning([1, {"a": (value,)}], 1_000) == repr([1, {"a": (value,)}])


def test_the_beginning_of_what_nobody_could_write_takes_a_moment() -> None:
    assert beginning(doubled("ab", 80), 200).startswith("[" * 80 + "'ab', 'ab']")
    assert len(beginning(doubled("ab", 80), 200)) == 200
    assert beginning(cycle(), 20) == "[1, [1, [1, [1, [1, "
    assert beginning(deep(100_000), 50) == "[" * 50
    assert beginning([16**5_000], 6) == "[0x100"


@pytest.mark.parametrize(
    "value",
    [
        doubled("a", 80),
        doubled({"a": 1, "b": ("x", 2)}, 80),
        cycle(),
        deep(100_000),
        ["x" * 99] * 20,
        [10**400] * 10,
        [0] * 1_001,
        {n: None for n in range(600)},
    ],
    ids=["lists", "dicts", "cycle", "deep", "texts", "numbers", "long", "entries"],
)
def test_what_takes_too_much_does_not_fit(value: Any) -> None:
    assert not fits(value, Most(1_000, 1_000))


def test_each_part_counts_as_often_as_it_is_written() -> None:
    part = ["ab", 1.5, None]
    assert fits([part, part, part], Most(12, 1_000))
    assert not fits([part, part, part], Most(11, 1_000))


def test_fields_that_lie_on_one_another_count_each() -> None:
    """Each of them is told by itself, so an array of 8 KiB would be half a million numbers."""
    names = [f"f{n}" for n in range(64)]
    layout = {"names": names, "formats": ["(8192,)u1"] * 64, "offsets": [0] * 64}
    array = numpy.zeros(1, numpy.dtype({**layout, "itemsize": 8192}))
    packed = codec.decode(codec.encode(array), SHOWN_ITEM)
    assert type(packed) is PackedArray
    assert fits(packed, Most(64 * 8192, 10_000))
    assert not fits(packed, Most(64 * 8192 - 1, 10_000))
    assert beginning(packed, 100) == "array(8,192 bytes, dtype=64 fields)"


def test_commands_show_a_value_that_holds_itself_many_times_by_its_beginning() -> None:
    value = doubled("a", 80)
    assert shown(value).startswith("[[[[")
    assert len(shown(value)) < 30_000
    found = to_json({"a": value})
    assert list(found) == ["$repr"]
    assert len(found["$repr"]) < 300


def test_a_value_that_is_shared_a_little_stays_exact() -> None:
    row = {"name": "x" * 1_000, "sizes": [1, 2, 3]}
    assert to_json([row] * 1_000) == [row] * 1_000
    assert shown([row] * 1_000) == repr([row] * 1_000)
