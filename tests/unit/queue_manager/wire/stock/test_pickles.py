"""Frames of standard-library clients: read safely, answered readably."""

import contextlib
import datetime
import decimal
import io
import pickle
import queue
import shutil
import struct
import subprocess
import sys
import time
import tracemalloc
import uuid
from multiprocessing.managers import Token
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_manager.errors import NotPlainDataError, ProtocolError, TooLargeError
from queue_manager.wire.limits import ENCODED_BYTES
from queue_manager.wire.stock import pickles

VALUES: list[Any] = [
    None, True, 5, -(2**100), 1.5, "痛点就是起点", b"\x00\xff" * 300, "x" * 70_000,
    [1, [2]], (1, (2, 3), 4, 5), {"a": {1: 2}}, {1, 2}, frozenset({1}), set(),
    datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC), datetime.date(2026, 1, 2),
    datetime.time(1, 2), datetime.timedelta(1, 2, 3), decimal.Decimal("1.50"),
    uuid.UUID(int=7), uuid.uuid1(), list(range(5_000)), [(i, i) for i in range(2_000)],
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=lambda v: f"{type(v).__name__}")
def test_requests_of_stock_clients_are_read(value: Any, protocol: int) -> None:
    request = ("7f0001", "put", (value,), {"block": True})
    assert pickles.loads(bytes(ForkingPickler.dumps(request, protocol))) == request


def test_a_token_is_read() -> None:
    token = Token("Queue", ("127.0.0.1", 5000), "7f")
    assert pickles.loads(pickle.dumps((None, "create", (token,), {})))[2][0].id == "7f"


@given(st.recursive(st.integers() | st.text() | st.none(), st.lists))
def test_whatever_is_pickled_plainly_is_read(value: Any) -> None:
    assert pickles.loads(pickle.dumps(value, 4)) == value


class Evil:
    def __reduce__(self) -> Any:
        return print, ("code of a stranger ran",)


class Point:
    pass


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_that_would_run_code_runs_none(
    protocol: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(NotPlainDataError, match=r"print cannot travel"):
        pickles.loads(pickle.dumps((None, "put", (Evil(),), {}), protocol))
    assert capsys.readouterr().out == ""


def test_an_object_of_the_users_is_refused_by_its_name() -> None:
    with pytest.raises(NotPlainDataError, match=r"Point cannot travel: plain data is") as caught:
        pickles.loads(pickle.dumps(Point(), 4))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [bytearray(b"x"), 1j, ValueError("x"), range(3), len])
def test_other_built_in_objects_are_refused(value: Any) -> None:
    with pytest.raises((NotPlainDataError, ProtocolError)):
        pickles.loads(pickle.dumps(value, 4))


HUGE = struct.pack("<Q", 2**40)


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04Nr\x00\x00\x00\x06.",  # LONG_BINPUT: a memo of 800 MB from 9 bytes
        b"Np100663296\n.",  # the same in text
        b"\x80\x04\x8e" + HUGE + b"x.",  # BINBYTES8
        b"\x80\x04\x8d" + HUGE + b"x.",  # BINUNICODE8
        b"\x80\x04B\xff\xff\xff\x7fx.",
        b"\x80\x04\x95" + HUGE + b"N.",  # FRAME
        b"\x80\x05\x96" + HUGE + b"x.",  # BYTEARRAY8
        b"\x80\x02\x8b\xff\xff\xff\x7f.",  # LONG4
        b"\x80\x02cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85R.",
        b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00xX\x04\x00\x00\x00zlib\x86R.",
    ],
)
def test_no_small_frame_takes_much_memory(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises((ProtocolError, NotPlainDataError)):
            pickles.loads(data)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_tuples_nested_to_overflow_the_c_stack_are_refused() -> None:
    data = b"\x80\x04})" + b"\x85" * 100_000 + b"Ns."  # as the key of a dict
    with pytest.raises(ProtocolError, match="too deeply"):
        pickles.loads(data)


def test_a_value_that_refers_to_itself_2_to_the_60_times_is_refused() -> None:
    data = b"\x80\x04})" + b"2\x86" * 60 + b"Ns."  # t = (t, t), as the key of a dict
    began = time.monotonic()
    with pytest.raises(ProtocolError, match="too often"):
        pickles.loads(data)
    assert time.monotonic() - began < 5


def test_a_large_list_that_shares_a_row_is_fine() -> None:
    row = ("a", "b", ("c", "d"))
    value = [row, "a"] * 3_000
    assert pickles.loads(pickle.dumps(value, 4)) == value


@pytest.mark.parametrize(
    "data",
    [b"", b".", b"\x80\x04", b"\x80\x04N", b"\x80\x04N.N.", b"\x80\x04h\x05.", b"GET / HTTP/1.1",
     b"\x80\x04\x82\x01.", b"\x80\x04Q.", b"\x80\x02(i", b"\x80\x04]a.", b"\x80\x02cdatetime"],
)  # fmt: skip
def test_nonsense_is_a_protocol_error(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        pickles.loads(data)


@given(st.binary(max_size=80), st.sampled_from([b"", b"\x80\x04", b"\x80\x02(cuuid\nUUID\n"]))
def test_random_bytes_never_do_more_than_an_error_of_ours(data: bytes, start: bytes) -> None:
    with contextlib.suppress(ProtocolError, NotPlainDataError):
        pickles.loads(start + data)


def test_classes_on_the_list_cannot_be_changed_by_a_frame() -> None:
    state = b"(N}X\x06\x00\x00\x00poisonNstb."
    for name in (b"uuid\nUUID\n", b"multiprocessing.managers\nToken\n"):
        with pytest.raises(ProtocolError):
            pickles.loads(b"\x80\x02c" + name + state)
    assert not hasattr(uuid.UUID, "poison")
    assert not hasattr(Token, "poison")


def old_pythons() -> list[str]:
    roots = sorted(Path.home().glob(".pyenv/versions/3.8.*/bin/python"))
    found = [str(path) for path in roots] + [shutil.which("python3.8") or ""]
    return [path for path in found if path][:1] or [sys.executable]


@pytest.mark.parametrize("python", old_pythons())
def test_replies_are_read_by_the_oldest_python_at_hand(python: str) -> None:
    replies = [
        ("#RETURN", ("id", ["get", "put"])),
        ("#ERROR", queue.Empty()),
        ("#ERROR", queue.Full()),
        ("#ERROR", ValueError("text")),
        *(("#RETURN", value) for value in VALUES),
    ]
    frame = pickles.dumps(replies)
    code = (
        "import pickle, queue, sys; r = pickle.load(sys.stdin.buffer);"
        "assert type(r[1][1]) is queue.Empty and type(r[2][1]) is queue.Full;"
        "assert r[3][1].args == ('text',); print(len(r))"
    )
    done = subprocess.run([python, "-c", code], input=frame, capture_output=True, check=False)
    assert done.stdout.split() == [str(len(replies)).encode()], done.stderr


@pytest.mark.parametrize("python", old_pythons())
def test_requests_of_the_oldest_python_at_hand_are_read(python: str) -> None:
    code = (
        "import sys, datetime, decimal, uuid; from multiprocessing.reduction import ForkingPickler;"
        "v = (None, 'put', ([1, b'x', {2}, datetime.date(2026, 1, 2), decimal.Decimal('1.5'),"
        "uuid.UUID(int=7)],), {}); sys.stdout.buffer.write(ForkingPickler.dumps(v))"
    )
    frame = subprocess.run([python, "-c", code], capture_output=True, check=True).stdout
    value = [1, b"x", {2}, datetime.date(2026, 1, 2), decimal.Decimal("1.5"), uuid.UUID(int=7)]
    assert pickles.loads(frame) == (None, "put", (value,), {})


@pytest.mark.parametrize("value", [None, True, 5, -(2**100), 1.5, "é\ud800", b"\xff" * 70_000])
def test_a_reply_of_one_number_or_text_is_written_at_once(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It needs no buffer that counts its bytes, and has those that every reply has."""
    buffer = io.BytesIO()
    pickle.Pickler(buffer, 4).dump(("#RETURN", value))
    monkeypatch.delattr(pickles, "Bounded")
    assert pickles.dumps(("#RETURN", value)) == buffer.getvalue()


TOO_LARGE = ["x" * ENCODED_BYTES, 1 << 8 * ENCODED_BYTES]


@pytest.mark.parametrize("value", TOO_LARGE, ids=["text", "int"])
def test_a_reply_that_is_too_large_is_refused(value: Any) -> None:
    with pytest.raises(TooLargeError, match="bytes"):
        pickles.dumps(("#RETURN", value))


@pytest.mark.parametrize("error", [queue.Empty(), queue.Full(), TypeError("t"), ValueError("v")])
def test_a_reply_may_raise_a_built_in_class_and_a_request_may_not(error: Exception) -> None:
    data = pickles.dumps(("#ERROR", error))
    kind, raised = pickles.loads_reply(data)
    assert kind == "#ERROR"
    assert type(raised) is type(error)
    assert raised.args == error.args
    with pytest.raises(NotPlainDataError):
        pickles.loads(data)
