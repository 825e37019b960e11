"""Calls that are like one before, except for one short value: what is read of them."""

from __future__ import annotations

import pickle
import string
from typing import Any

import pytest

from queue_manager.wire.stock import pickles
from queue_manager.wire.stock.one_value import OneValue

IDENT, METHOD = "get_task_queue", "put"


def call(value: Any, protocol: int = 4) -> bytes:
    return pickle.dumps((IDENT, METHOD, (value,), {}), protocol)


@pytest.fixture(params=[7, "seven", "", None, {"a": [1]}], ids=str)
def known(request: pytest.FixtureRequest) -> OneValue:
    """What is the same in all calls, as the first of them tells it."""
    found = OneValue.of(call(request.param), IDENT, METHOD)
    assert found is not None
    return found


@pytest.mark.parametrize(
    "value",
    [0, 255, 256, 65_535, 65_536, 2**31 - 1, -1, -(2**31), "", "a", "é\ud800\0", "x" * 255],
)
def test_short_values_are_read_as_the_whole_call_would_be(known: OneValue, value: Any) -> None:
    found = known.values(call(value))
    assert found == (value,)
    assert type(found[0]) is type(value)
    assert pickles.loads(call(value)) == (IDENT, METHOD, found, {})


@pytest.mark.parametrize("protocol", [4, 5])
def test_each_protocol_is_known_by_a_call_of_its_own(protocol: int) -> None:
    known = OneValue.of(call(1, protocol), IDENT, METHOD)
    assert known is not None
    assert [known.values(call(2, each)) is not None for each in (4, 5)] == [
        protocol == 4,
        protocol == 5,
    ]


@pytest.mark.parametrize(
    "frame",
    [
        call(None),
        call(True),
        call(1.5),
        call(2**31),
        call("x" * 256),
        call(b"bytes"),
        call([1]),
        call(METHOD),  # it is the text that is there already
        call(1, 2),
        call(1, 3),
        pickle.dumps((IDENT, METHOD, (), {}), 4),
        pickle.dumps((IDENT, METHOD, (1, 2), {}), 4),
        pickle.dumps((IDENT, METHOD, (1,), {"block": True}), 4),
        pickle.dumps((IDENT, "get", (1,), {}), 4),
        pickle.dumps(("get_result_queue", METHOD, (1,), {}), 4),
        b"",
        b"\x80",
    ],
)
def test_other_calls_have_to_be_read(known: OneValue, frame: bytes) -> None:
    assert known.values(frame) is None


@pytest.mark.parametrize("value", [7, 70_000, "text"])
def test_what_a_strangers_frame_says_is_said_by_its_pickle_too(value: Any) -> None:
    """Each byte of a call is changed, left out or said twice: nothing else is ever read of it."""
    whole = call(value)
    known = OneValue.of(whole, IDENT, METHOD)
    assert known is not None
    changed = [
        whole[:at] + bytes([byte]) + whole[at + 1 :]
        for at in range(len(whole))
        for byte in range(256)
    ]
    changed += [whole[:at] + whole[at + 1 :] for at in range(len(whole))]
    changed += [whole[:at] + whole[at:][:1] + whole[at:] for at in range(len(whole))]
    read = [(frame, values) for frame in changed if (values := known.values(frame)) is not None]
    assert [pickles.loads(frame) for frame, _ in read] == [
        (IDENT, METHOD, values, {}) for _, values in read
    ]
    assert len({values for _, values in read}) > 200


def test_a_call_that_no_pickler_of_cpython_has_written_is_not_known() -> None:
    body = call(1)[11:].replace(b"\x94t\x94.", b"\x94t.")  # it does not memoize the tuple
    frame = b"\x80\x04\x95" + len(body).to_bytes(8, "little") + body
    assert pickles.loads(frame) == (IDENT, METHOD, (1,), {})
    assert OneValue.of(frame, IDENT, METHOD) is None
    assert OneValue.of(call(1, 2), IDENT, METHOD) is None
    long = string.ascii_letters * 10
    assert OneValue.of(pickle.dumps((long, METHOD, (1,), {}), 4), long, METHOD) is None
