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
    return value_of(codec.encode_batch([0, value]), 1)


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
