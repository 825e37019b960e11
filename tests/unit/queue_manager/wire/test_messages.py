"""The messages on the wire: as they went they come, and nothing else is taken."""

from __future__ import annotations

import math
import pickle
import time
import typing
from typing import Any

import msgspec
import pytest

from queue_manager.errors import ProtocolError
from queue_manager.wire import records
from queue_manager.wire.messages import (
    Accepted,
    AskTask,
    Beat,
    Collect,
    Exchange,
    Hello,
    Leases,
    Page,
    Reply,
    Request,
    StartRun,
    Status,
    SubmitTasks,
    TaskShown,
    decode_reply,
    decode_request,
    encode,
)
from queue_manager.wire.records import (
    Done,
    Failed,
    GroupLimit,
    HeldLease,
    Lease,
    NewBlock,
    Released,
    RunQuota,
)
from queue_manager.wire.usage import LargestSlot, Usage

VALUES: dict[Any, Any] = {
    int: 7,
    float: 1.5,
    str: "痛点",
    bytes: b"\x00\xff",
    bool: True,
    type(None): None,
}


def example(kind: Any) -> Any:
    """A value of a type, with every field set."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind in VALUES:
        return VALUES[kind]
    if origin is typing.Literal:
        return args[0]
    if origin is list:
        return [example(args[0])]
    if origin is tuple:
        return tuple(example(arg) for arg in args if arg is not Ellipsis)
    if origin is dict:
        return {example(args[0]): example(args[1])}
    if args:  # a union: its first member
        return example(args[0])
    return kind(**{n: example(t) for n, t in typing.get_type_hints(kind).items()})


REQUESTS = typing.get_args(Request)
REPLIES = typing.get_args(Reply)


@pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)
def test_a_request_comes_as_it_went(kind: Any) -> None:
    message = example(kind)
    assert decode_request(encode(message)) == message


@pytest.mark.parametrize("kind", REPLIES, ids=lambda kind: kind.__name__)
def test_a_reply_comes_as_it_went(kind: Any) -> None:
    message = example(kind)
    assert decode_reply(encode(message)) == message


@pytest.mark.parametrize("outcome", [Done, Failed, Released])
def test_an_exchange_carries_each_kind_of_outcome(outcome: Any) -> None:
    message = Exchange(1, [example(outcome)], 2, True)
    assert decode_request(encode(message)) == message


def test_every_kind_of_message_has_a_tag_of_its_own() -> None:
    tags = [kind.__struct_config__.tag for kind in (*REQUESTS, *REPLIES, Done, Failed, Released)]
    assert len(set(tags)) == len(tags)


def test_every_answer_but_the_welcome_has_a_sequence_number() -> None:
    """`Link` finds by it who asked."""
    without = [kind.__name__ for kind in REPLIES if "seq" not in kind.__struct_fields__]
    assert without == ["Welcome"]


@pytest.mark.parametrize("kind", [*REQUESTS, *REPLIES], ids=lambda kind: kind.__name__)
def test_a_message_never_begins_like_a_pickle(kind: Any) -> None:
    """The server tells by the first byte who speaks."""
    assert encode(example(kind))[0] != pickle.dumps(None, protocol=4)[0]


def test_a_sender_may_leave_out_what_has_a_default_and_say_more_than_is_known() -> None:
    """An older and a newer release."""
    assert decode_request(msgspec.msgpack.encode(["hello", "client", "h", 1])) == Hello(
        "client", "h", 1
    )
    assert decode_request(msgspec.msgpack.encode(["beat", None, "something new"])) == Beat()
    assert decode_request(msgspec.msgpack.encode(["beat"])) == Beat()


def test_a_master_that_knows_no_usage_takes_a_beat_with_one() -> None:
    class OldBeat(msgspec.Struct, array_like=True, tag="beat"):
        pass

    beat = encode(Beat(Usage(1, 2, 0.5, 1.0, LargestSlot(3, 4, 5))))
    assert isinstance(msgspec.msgpack.decode(beat, type=OldBeat), OldBeat)


@pytest.mark.parametrize(
    "usage",
    [
        [-1],
        [2**62],
        [1, -1],
        [1, 1, -0.1],
        [1, 1, math.nan],
        [1, 1, math.inf],
        [1, 1, 1.0, 1e300],
        [1, 1, 1.0, 1.0, [2**62]],
        [1, 1, 1.0, 1.0, [1, -1, 1]],
        ["1"],
        [],
    ],
    ids=repr,
)
def test_a_usage_that_makes_no_sense_is_no_message(usage: list[Any]) -> None:
    with pytest.raises(ProtocolError):
        decode_request(msgspec.msgpack.encode(["beat", usage]))


def test_a_task_is_asked_for_and_shown_without_tries_by_older_peers() -> None:
    asked = msgspec.msgpack.encode(["task?", 1, 7, 2, "k"])
    assert decode_request(asked) == AskTask(1, 7, 2, "k", tries=False)
    status: dict[str, Any] = {"run": 7, "job": "j", "task": 2, "state": "done", "body": b""}
    status["position"] = 0
    shown = decode_reply(msgspec.msgpack.encode(["shown", 1, status]))
    assert isinstance(shown, TaskShown)
    assert shown == TaskShown(1, records.TaskStatus(**status))
    tried = records.TaskTry(1, "lost")
    newer = msgspec.structs.replace(shown.task, tries=[tried])
    assert decode_reply(encode(TaskShown(1, newer))) == TaskShown(1, newer)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80\x04N.",
        b"GET / HTTP/1.1",
        msgspec.msgpack.encode({"type": "beat"}),
        msgspec.msgpack.encode(["nonsense", 1]),
        msgspec.msgpack.encode(["hello", "king", "h", 1]),
        msgspec.msgpack.encode(["hello", "client", "h", "one"]),
        msgspec.msgpack.encode(["exchange", 1]),
        encode(Beat())[:-1],
        encode(Beat()) + b"\x00",
    ],
    ids=repr,
)
def test_anything_else_is_a_protocol_error_on_both_sides(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_request(body)
    with pytest.raises(ProtocolError):
        decode_reply(body)


def test_a_reply_is_no_request_and_the_other_way_round() -> None:
    with pytest.raises(ProtocolError):
        decode_request(encode(Accepted(1, 2)))
    with pytest.raises(ProtocolError):
        decode_reply(encode(Collect(1, 2, 3)))


def test_payloads_travel_as_bytes_and_ids_as_ranges() -> None:
    """0.02 µs a task instead of 0.34: `throughput.md`."""
    body = b"x" * 60_000
    blocks = [NewBlock(1_024, body)]
    assert len(encode(SubmitTasks(1, 1, blocks))) < len(body) + 50
    assert len(encode(Leases(1, [Lease(2**33, 1, "job", 1, 0, 1_024, body)]))) < len(body) + 50
    assert len(encode(Page(1, [], {1: body}, 1, False))) < len(body) + 50


def test_frozen_messages_are_not_changed_by_accident() -> None:
    with pytest.raises(AttributeError):
        Hello("client", "h", 1).pid = 2  # type: ignore[misc]


def test_limits_of_the_wire_are_those_of_the_design() -> None:
    assert (records.BLOCK_TASKS, records.BLOCK_BYTES) == (1_024, 65_536)
    assert records.FRAME_BYTES == 8 * 1024 * 1024
    assert Status in REPLIES


def test_what_was_written_before_there_were_tags_is_read_without_any() -> None:
    """A worker of an older release, and the options of a run in an older store."""
    hello = ["hello", "worker", "host", 1, 2, "0.1.0", "id", []]
    assert decode_request(msgspec.msgpack.encode(hello)) == Hello(
        "worker", "host", 1, 2, "0.1.0", "id"
    )
    packed = msgspec.msgpack.encode([3, 5, None, [2, 0.5]])
    options = msgspec.msgpack.decode(packed, type=records.RunOptions)
    assert options == records.RunOptions(3, 5, None, records.GroupLimit(2, 0.5))
    assert options.needs == []


ONE = Released(1, 0, 1)
BLOCK = NewBlock(1, b"L\x91\x00")


@pytest.mark.parametrize(
    "message",
    [
        Exchange(1, [ONE] * 1_025),
        Exchange(1, [Done(1, 0, 1, b"L\x91\x00", 0.0, follow=[BLOCK] * 16_385)]),
        Exchange(1, [Done(1, 0, 1, b"", 0.0, limits={"x" * 1_025: GroupLimit()})]),
        Exchange(1, [Failed(1, 0, "x" * 65_537)]),
        Exchange(1, [Released(1, 0, 1, "x" * 65_537)]),
        Hello("worker", "h", 1, held=[HeldLease(1, 1, 1, [(0, 1)])] * 32_769),
        Hello("worker", "h", 1, held=[HeldLease(1, 1, 1, [(0, 1)] * 1_025)]),
        Hello("worker", "h", 1, tags=["t"] * 258),
        Hello("worker", "h" * 257, 1),
        StartRun(1, "f", [], code={f"{n}.py": b"" for n in range(4_097)}),
        StartRun(1, "f", [], code={"x" * 1_025: b""}),
        StartRun(1, "f", [], options=records.RunOptions(needs=["t"] * 257)),
        SubmitTasks(1, 1, [BLOCK] * 16_385),
        SubmitTasks(1, 1, [NewBlock(1, b"", ["x" * 1_025])]),
        SubmitTasks(1, 1, [NewBlock(1, b"", group="x" * 1_025)]),
        SubmitTasks(1, 1, [NewBlock(1, b"", quota=RunQuota("x" * 1_025, 1))]),
        StartRun(1, "x" * 257, []),
    ],
    ids=lambda message: type(message).__name__,
)
def test_no_list_or_text_is_longer_than_our_own_are(message: Any) -> None:
    with pytest.raises(ProtocolError, match=r"of length <=|would take more than"):
        decode_request(encode(message))


def _many(one: bytes, count: int) -> bytes:
    return b"\xdd" + count.to_bytes(4, "big") + one * count


_DONE = b"\x97\xa4done\x01\x00\x01\xc4\x00\x00"
_EXCHANGE = b"\x93\xa8exchange\x01"
_LIMITS = b"\xdf\0\0\x10\0" + b"".join(b"\xa3%03x\x90" % n for n in range(4_096))
_KEYED = b"\x93\x01\xc4\x00" + _many(b"\xa3abc", 1_024)

PRODUCTS = {
    "blocks": _EXCHANGE + _many(_DONE + _many(b"\x92\x01\xc4\x00", 16_384), 200),
    "limits": _EXCHANGE + _many(b"\x98" + _DONE[1:] + b"\x90" + _LIMITS, 600),
    "keys": b"\x94\xa6submit\x01\x01" + _many(_KEYED, 3_000),
    "words": b"\x94\xa5start\x01\xa1j" + _many(b"\xa0", 15_000_000),
    "ranges": b"\x98\xa5hello\xa6worker\xa1h\x01\x01\xa0\xa0"
    + _many(b"\x94\x01\x01\x01" + _many(b"\x92\x00\x01", 1_024), 400),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_lists_in_lists_take_no_more_than_ten_times_their_bytes(name: str) -> None:
    """Each list by itself is short enough; all of them together are millions of parts."""
    body = PRODUCTS[name]
    began = time.thread_time()
    with pytest.raises(ProtocolError, match=r"would take more than|more than 500,000 parts"):
        decode_request(body)
    assert time.thread_time() - began < 0.6  # 0.1 to 0.35 s here, by how busy the host is


def test_what_honest_sessions_send_is_below_all_bounds() -> None:
    keys = [[f"page-{n}" for n in range(at, at + 1_024)] for at in range(0, 245_760, 1_024)]
    keyed = [NewBlock(1_024, bytes(4_000), some) for some in keys]
    groups = [NewBlock(1, b"L\x91\x01", group=f"g{n}") for n in range(16_384)]
    limits = {f"{n}.example.org": GroupLimit(1, 0.5) for n in range(16_384)}
    for message in (
        Exchange(1, [Done(2**33, 0, 1, b"L\x91\x00", 0.1, follow=keyed)]),
        Exchange(1, [Done(2**33, 0, 1, b"L\x91\x00", 0.1, follow=groups, limits=limits)]),
        Exchange(1, [Done(2**33 + n, 0, 1, bytes(7_000), 0.1) for n in range(1_024)]),
        Exchange(1, [Failed(2**33, 0, "\U0001f600" * 65_536, "x" * 65_536, printed="x" * 4_096)]),
        Hello("worker", "h", 1, held=[HeldLease(2**33 + n, 1, n, [(0, 1)]) for n in range(32_768)]),
    ):
        assert decode_request(encode(message)) == message


def test_a_frame_of_two_million_outcomes_is_refused_before_they_are_decoded() -> None:
    body = encode(Exchange(1, []))
    one = msgspec.msgpack.encode(["released", 1, 0, 1])
    count = 16_000_000 // len(one)
    at = body.index(b"\x90")
    flood = body[:at] + b"\xdd" + count.to_bytes(4, "big") + one * count + body[at + 1 :]
    began = time.thread_time()
    with pytest.raises(ProtocolError):
        decode_request(flood)
    assert time.thread_time() - began < 0.4


def test_an_error_shows_nothing_of_a_stranger_but_a_bounded_line() -> None:
    body = msgspec.msgpack.encode(["\x1b[31m" * 100_000, 1])
    with pytest.raises(ProtocolError) as caught:
        decode_request(body)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
