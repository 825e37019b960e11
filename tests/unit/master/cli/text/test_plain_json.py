"""Ended tasks as lines: the promised fields, and exact values."""

from __future__ import annotations

import json
from typing import Any

from master.cli.text.plain_json import FIELDS, Line, letters_of, lines_of
from queue_manager import codec
from queue_manager.plain.as_json import shown
from queue_manager.wire.records import DeadLetter, Ended, ResultBlock


def result_block(**fields: Any) -> ResultBlock:
    values: dict[str, Any] = {
        "first": 11,
        "count": 4,
        "body": codec.encode_batch([1, 2, 3, 4]),
        "keys": None,
        "ended": [],
        "dead": [],
        "attempts": {},
    }
    return ResultBlock(**(values | fields))


def test_ended_tasks_are_lines_in_task_order_with_the_promised_fields() -> None:
    block = result_block(
        keys=["a", "b", "c", "d"],
        ended=[
            Ended(9, 11, 3, 4, codec.encode_batch([16])),
            Ended(8, 11, 0, 1, codec.encode_batch([b"x"])),
        ],
        dead=[DeadLetter(12, 3, 0, "ValueError: bad", "trace")],
        attempts={12: 3, 14: 2},
    )
    lines = list(lines_of(5, block))
    assert [tuple(line) for line in lines] == [FIELDS] * 3
    assert [tuple(line.values()) for line in lines] == [
        (5, 11, "a", "done", 1, 1, {"$bytes": "eA=="}, None),
        (5, 12, "b", "dead", 3, 2, None, "ValueError: bad"),
        (5, 14, "d", "done", 3, 4, 16, None),
    ]


def test_a_line_is_one_line_of_json_with_exact_ints() -> None:
    block = result_block(ended=[Ended(1, 11, 0, 1, codec.encode_batch(["a\nb", ])),
                                Ended(2, 11, 1, 2, codec.encode_batch([2**100]))])  # fmt: skip
    first, second = [line.json() for line in lines_of(1, block)]
    assert "\n" not in first
    assert json.loads(first)["result"] == "a\nb"
    assert str(2**100) in second


def test_a_line_of_json_does_not_steer_a_terminal_and_stays_exact() -> None:
    text = "\x1b[31m \x9b31m \u202e \u2028 痛"
    line = Line({"text": text}).json()
    assert json.loads(line) == {"text": text}
    assert not set(line) & set("\x1b\x9b\u202e\u2028")
    assert "痛" in line


def test_a_task_that_cannot_be_decoded_takes_no_other_along() -> None:
    """Whoever submits and whoever works encode: the master passes on what it does not open."""
    bad = codec.encode_items([codec.encode(1), b"\x80", codec.encode(3), codec.encode(4)])
    block = result_block(
        body=bad,
        ended=[Ended(5, 11, 0, 1, codec.encode_items([b"\x80"]))],
        dead=[DeadLetter(12, 1, 0, "an item cannot be decoded", "")],
    )
    done, dead = lines_of(1, block)
    assert done["payload"] == 1
    assert list(done["result"]) == ["$undecodable"]
    assert list(dead["payload"]) == ["$undecodable"]
    (letter,) = letters_of(1, block)
    assert "can't be decoded" in shown(letter.payload)
    json.loads(letter.line.json())
