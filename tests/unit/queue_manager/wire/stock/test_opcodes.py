"""What a pickle would take is told before it is loaded: memory, and time."""

from __future__ import annotations

import contextlib
import datetime
import decimal
import io
import pickle
import random
import struct
import subprocess
import sys
import time
import tracemalloc
import uuid
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from queue_manager import codec
from queue_manager.errors import NotPlainDataError, ProtocolError, TooLargeError
from queue_manager.wire.limits import HASHED_ENTRIES, VALUE_FACTOR, VALUE_FREE_BYTES
from queue_manager.wire.stock import opcodes, pickles

MIB = 1024 * 1024
MODULUS = 2**61 - 1
"""Of the hashes of numbers: multiples of it have the hash 0."""

MULTIPLES = [k * MODULUS for k in range(32_000)]

# Each tuple holds the one before it twelve times: 12^15 parts written out, 452 bytes.
NESTED = b"\x80\x04})" + b"".join(
    b"\x94(" + bytes([ord("h"), i]) * 12 + b"t" for i in range(15)
) + b"Ns."  # fmt: skip


class Unhashed:
    """Stands for a set, a frozenset or the keys of a dict in a pickle that `request` writes.

    Python itself takes minutes to hash members of one hash, so no such set is made here.
    """

    def __init__(self, kind: type, members: Iterable[Any]) -> None:
        self.kind, self.members = kind, list(members)

    def __reduce__(self) -> tuple[Any, ...]:
        """As protocol 2 has a set."""
        return self.kind, (self.members,)


class _Pickler(pickle._Pickler):  # type: ignore[name-defined, misc]
    """Writes what the standard library's pickler writes for the real thing (Lib/pickle.py)."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_unhashed(self, value: Unhashed) -> None:
        if value.kind is not frozenset:
            self.write(pickle.EMPTY_SET if value.kind is set else pickle.EMPTY_DICT)
            self.memoize(value)
        size = len(value.members) if value.kind is frozenset else 1_000
        for first in range(0, len(value.members), size):
            self.write(pickle.MARK)
            for member in value.members[first : first + size]:
                self.save(member)
                if value.kind is dict:
                    self.save(None)
            ends = {set: pickle.ADDITEMS, dict: pickle.SETITEMS, frozenset: pickle.FROZENSET}
            self.write(ends[value.kind])
        if value.kind is frozenset:
            self.memoize(value)

    dispatch[Unhashed] = save_unhashed


def request(value: Any) -> bytes:
    """As a stock client puts it."""
    call = ("get_task_queue", "put", (value,), {})
    if not isinstance(value, Unhashed):
        return pickle.dumps(call, 4)
    buffer = io.BytesIO()
    _Pickler(buffer, 4).dump(call)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [set, frozenset, dict])
def test_what_stands_for_a_set_is_written_as_one(kind: type) -> None:
    members = range(2_500) if kind is not frozenset else range(10)
    real = dict.fromkeys(members) if kind is dict else kind(members)
    assert request(Unhashed(kind, real)) == request(real)


def peak_bytes(data: bytes) -> int:
    """The most memory that reading a frame takes beside its bytes."""
    tracemalloc.start()
    try:
        with contextlib.suppress(ProtocolError, NotPlainDataError):
            pickles.loads(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


HARMFUL = {
    "tuples that hold one another": NESTED,
    "the same behind much else": NESTED[:2] + b"X" + struct.pack("<I", MIB) + b"x" * MIB + b"0"
    + NESTED[2:],
    "32,000 keys of one hash": request(Unhashed(dict, MULTIPLES)),
    "32,000 members of one hash": request(Unhashed(set, MULTIPLES)),
    "a frozenset of them": request(Unhashed(frozenset, MULTIPLES)),
    "tuples of one hash": request(Unhashed(set, ((k, 1) for k in MULTIPLES))),
    "fractions of one hash": request(Unhashed(set, map(decimal.Decimal, MULTIPLES))),
    "durations": request({datetime.timedelta(days=k) for k in range(32_000)}),
    "the same of protocol 2": pickle.dumps(Unhashed(set, MULTIPLES), 2),
    "a megabyte of empty sets": b"\x80\x04(" + b"\x8f" * MIB + b"l.",
    "a megabyte of empty dicts": b"\x80\x04(" + b"}" * MIB + b"l.",
    "a megabyte of memo": b"\x80\x04N" + b"\x94" * MIB + b".",
    "one set of many, made often": b"\x80\x02](" + b"K\x01" * 100_000 + b"e\x94(" + (
        b"cbuiltins\nset\nh\x00\x85R") * 20_000 + b"l.",
    "one text made to bytes often": b"\x80\x02X" + struct.pack("<I", MIB) + b"x" * MIB
    + b"\x94X\x06\x00\x00\x00latin1\x94(" + b"c_codecs\nencode\nh\x00h\x01\x86R" * 500 + b"l.",
    "one text made to numbers often": b"\x80\x02X" + struct.pack("<I", MIB) + b"1" * MIB
    + b"\x94(" + b"cdecimal\nDecimal\nh\x00\x85R" * 100 + b"l.",
}  # fmt: skip


@pytest.mark.parametrize("data", HARMFUL.values(), ids=HARMFUL)
def test_a_frame_made_to_do_harm_is_refused_without_harm(data: bytes) -> None:
    began = time.thread_time()
    with pytest.raises(ProtocolError) as caught:
        pickles.loads(data)
    assert time.thread_time() - began < 2.0
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("data", HARMFUL.values(), ids=HARMFUL)
def test_a_frame_made_to_do_harm_takes_little_memory(data: bytes) -> None:
    """In a process of its own, where one thing more than that would fail."""
    extra = VALUE_FACTOR * len(data) + 2 * VALUE_FREE_BYTES
    code = (
        "import resource, sys\n"
        "from queue_manager.wire.stock import pickles\n"
        "from queue_manager.errors import ProtocolError\n"
        "data = sys.stdin.buffer.read()\n"
        "has = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        f"resource.setrlimit(resource.RLIMIT_AS, (has + {extra},) * 2)\n"
        "try: pickles.loads(data)\n"
        "except ProtocolError: print('refused')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=data, capture_output=True, check=False
    )
    assert done.stdout == b"refused\n", done.stderr[-500:]


HARMLESS = {
    "ints": list(range(100_000)),
    "a million of nothing": [None] * 900_000,
    "a set of counts": set(range(50_000)),
    "records": [{"url": f"http://a.example/{n}", "depth": n % 9} for n in range(20_000)],
    "pairs": [(n, n + 1) for n in range(50_000)],
    "places": {(n, -n) for n in range(1_000)},
    "words": [f"{n:03x}" for n in range(100_000)],
    "one int for all": [2**70] * 10_000,
    "a large text": "x" * MIB,
    "deep lists": [[[[[[[[[[1]]]]]]]]]] * 1_000,
    "times": [datetime.datetime(2026, 1, 1, second=n % 60) for n in range(5_000)],
    "ids": [uuid.UUID(int=n) for n in range(2_000)],
}  # fmt: skip


@pytest.mark.parametrize("value", HARMLESS.values(), ids=HARMLESS)
def test_plain_data_below_the_limit_is_read(value: Any) -> None:
    assert pickles.loads(request(value))[2][0] == value
    assert codec.decode(codec.encode(value)) == value


@pytest.mark.parametrize("value", HARMLESS.values(), ids=HARMLESS)
def test_a_large_frame_is_read_in_portions_that_hold_nobody_up(value: Any) -> None:
    data = request(value)
    slowest: list[float] = []
    for _ in range(3):  # a busy machine takes its time now and then
        times = [time.thread_time()]
        for _ in pickles.reading(data):
            times.append(time.thread_time())
        slowest.append(max(b - a for a, b in pairwise(times)))
    assert min(slowest) < 0.1


def test_so_many_foreseeable_hashes_are_taken_and_no_more() -> None:
    for kind in (float, lambda n: n + 2**40, lambda n: (n,)):
        most = {kind(n): None for n in range(HASHED_ENTRIES)}
        assert pickles.loads(request(most))[2][0] == most
        most[kind(-1)] = None
        with pytest.raises(ProtocolError, match="send a list"):
            pickles.loads(request(most))


def test_a_slot_takes_what_one_task_may_hold() -> None:
    value = {n * MODULUS // 3: (n, n) for n in range(5_000)}
    data = codec.encode(value)
    assert codec.decode(data) == value
    with pytest.raises(ProtocolError, match="send a list"):
        codec.decode(data, opcodes.SERVED_ITEM)


@pytest.mark.parametrize("name", ["BUILD", "LONG_BINPUT", "BINPUT"])
def test_an_item_has_no_opcode_that_is_never_written(name: str) -> None:
    data = {
        "BUILD": b"\x80\x04}}b.",
        "LONG_BINPUT": b"\x80\x04Nr\x00\x00\x00\x06.",
        "BINPUT": b"\x80\x04Nq\x00.",
    }[name]
    assert len(data) <= 9
    with pytest.raises(ProtocolError, match="not taken"):
        codec.decode(data)


SHARED = {**pickles._ALLOWED, **pickles._ReplyUnpickler.allowed}


@pytest.mark.parametrize(("module", "name"), [*SHARED, *pickles._MADE])
@pytest.mark.parametrize(
    "state", [b"}X\x06\x00\x00\x00poisonNs", b"N}X\x06\x00\x00\x00poisonNs\x86"]
)
def test_no_frame_changes_what_the_process_shares(module: str, name: str, state: bytes) -> None:
    data = b"\x80\x02c" + f"{module}\n{name}\n".encode() + state + b"b."
    for load in (pickles.loads, pickles.loads_reply):
        with contextlib.suppress(ProtocolError, NotPlainDataError):
            load(data)
    shared = [*SHARED.values(), *pickles._MADE.values(), pickles.Allowance, uuid.UUID]
    assert not any(hasattr(one, "poison") for one in shared)
    with contextlib.suppress(ProtocolError, NotPlainDataError):
        assert not hasattr(pickles.loads_reply(data[: data.index(state)] + b"."), "poison")


def test_a_uuid_is_one_and_has_a_number() -> None:
    found = pickles.loads(request(uuid.UUID(int=7)))[2][0]
    assert type(found) is uuid.UUID
    data = pickle.dumps(uuid.UUID(int=7), 2)
    with pytest.raises(ProtocolError):
        pickles.loads(data.replace(b"K\x07", b"G" + b"\x00" * 8))


def test_a_value_that_grows_when_it_is_written_is_refused() -> None:
    large = [10**200_000] * 1_000  # 83 MB: an int is written anew each time
    with pytest.raises(TooLargeError, match="bytes"):
        codec.encode(large)
    with pytest.raises(TooLargeError, match="bytes"):
        pickles.dumps(("#RETURN", large))


def test_an_error_does_not_show_what_a_stranger_sent() -> None:
    name = "x\x1b[31m" * 50_000
    data = b"\x80\x04c" + name.encode() + b"\nrun\n."
    with pytest.raises(NotPlainDataError) as caught:
        pickles.loads(data)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


TAKEN = bytes(code for code, op in enumerate(opcodes.OPS) if op is not None and code != ord("."))


def stream(seed: int, size: int) -> bytes:
    """Opcodes at random, most of them with what they need: arguments, marks, a memo."""
    rng = random.Random(seed)
    few = bytes(rng.choices(TAKEN, k=rng.randint(1, 6))) + rng.choice([b"", b"\x94", b"h", b"2"])
    parts = [b"\x80\x04]\x94("]
    length = 0
    while length < size:
        code = rng.choice(few)
        fixed, prefix, kind, _ = opcodes.OPS[code]  # type: ignore[misc]
        body = bytes(rng.randint(0, 3) for _ in range(fixed))
        if prefix:
            some = rng.randint(0, 5)
            body = some.to_bytes(prefix, "little") + b"a" * some
        if kind == opcodes.GLOBAL:
            body = b"builtins\nset\n"
        if kind == opcodes.GET:
            body = bytes(fixed)
        parts.append(bytes([code]) + body)
        length += len(parts[-1])
    return b"".join(parts) + b"e."


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(100, 8_000))
def test_no_stream_of_opcodes_takes_more_than_its_bound(seed: int, size: int) -> None:
    data = stream(seed, size)
    assert peak_bytes(data) < VALUE_FACTOR * len(data) + VALUE_FREE_BYTES * 3 // 2
