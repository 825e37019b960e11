"""Payloads and results as they are shown: exact, bounded, and never an error of the page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from master.web.pages.show import as_json
from master.web.text.values import DECODED_BYTES, SHOWN_CHARS, Value, value_of
from queue_manager import codec
from queue_manager.plain.as_json import to_json


def shown(value: Any) -> Value:
    return value_of(codec.encode_batch([0, value]), 1, is_data=True)


def test_a_value_is_its_text_and_its_json() -> None:
    found = shown({"path": "a\nb", "at": (1, b"x")})
    assert found.text == "{'path': 'a\\nb', 'at': (1, b'x')}"
    assert found.whole
    assert found.value == {"path": "a\nb", "at": {"$tuple": [1, {"$bytes": "eA=="}]}}


def test_a_long_list_is_laid_out_in_lines() -> None:
    assert len(shown(["x" * 60] * 9).text.splitlines()) == 9


def test_a_long_value_is_shown_by_its_beginning() -> None:
    found = shown("x" * 100_000)
    assert (len(found.text), found.whole) == (SHOWN_CHARS, False)
    assert found.value == "x" * 100_000


def test_a_value_that_takes_too_much_is_not_decoded() -> None:
    found = shown(b"x" * DECODED_BYTES)
    assert (found.text, found.whole, found.value) == ("", False, None)
    assert found.bytes > DECODED_BYTES


@pytest.mark.parametrize(
    "value",
    ["\ud800", {"\udfff": "\ud800"}, 10**5_000, 2**70, float("nan"), b"\xff", {1: {2}}, [2**200]],
    ids=["surrogate", "key", "long int", "big int", "nan", "bytes", "set", "list"],
)
def test_any_value_makes_a_page_and_json(value: Any) -> None:
    found = shown(value)
    assert found.text
    told = json.loads(as_json({"payload": found}))["payload"]
    assert told["value"] == to_json(value)


def test_what_can_not_be_decoded_says_so() -> None:
    found = value_of(codec.encode_items([b"\x80"]), 0)
    assert "can't be decoded" in found.text
    as_json({"payload": found})


def doubled(times: int) -> Any:
    """A list that holds one list twice, and so on: short in a pickle, and endless as a text."""
    value: Any = ["a"]
    for _ in range(times):
        value = [value, value]
    return value


def test_a_value_that_holds_itself_many_times_costs_no_more_than_is_shown() -> None:
    """A payload of 300 bytes would be 2**60 texts."""
    found = shown(doubled(60))
    assert found.text.startswith("[[[[")
    assert (len(found.text), found.whole) == (SHOWN_CHARS, False)
    assert list(found.value) == ["$repr"]
    assert len(as_json({"payload": found})) < 30_000


def test_a_text_that_is_there_many_times_costs_no_more_than_is_shown() -> None:
    text = "x" * 100_000
    found = shown([text] * 10_000)
    assert (len(found.text), found.whole) == (SHOWN_CHARS, False)
    assert len(as_json({"payload": found})) < 30_000


def test_what_is_nested_deeply_is_shown_by_its_beginning() -> None:
    value: Any = [1]
    for _ in range(30_000):
        value = [value]
    body = codec.encode_items([b"\x80\x04" + b"]\x94" * 30_000 + b"a" * 29_999 + b"."])
    found = value_of(body, 0, is_data=True)
    assert found.text == "[" * SHOWN_CHARS
    assert list(found.value) == ["$repr"]


def test_whole_numbers_that_collide_do_not_hold_up_the_pages() -> None:
    """Each is a multiple of 2**61 - 1, so all have the same hash."""
    numbers = [(n * (2**61 - 1)).to_bytes(10, "little") for n in range(1, 20_001)]
    item = b"\x80\x04\x8f(" + b"".join(b"\x8a\x0a" + one for one in numbers) + b"\x90."
    assert "can't be decoded" in value_of(codec.encode_items([item]), 0).text


def test_a_page_has_no_json_and_a_list_no_more_than_it_shows() -> None:
    """A page of a hundred results would lay out two million characters, to show a hundred each."""
    found = value_of(codec.encode_batch([doubled(60)]), 0, chars=100)
    assert (len(found.text), found.whole, found.value) == (100, False, None)
