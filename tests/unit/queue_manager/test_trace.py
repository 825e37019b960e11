"""What counts as a traceparent, and where one is taken from."""

from __future__ import annotations

import pytest

from queue_manager.errors import ArgumentError
from queue_manager.trace import asked_traceparent, is_traceparent

GOOD = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


@pytest.mark.parametrize("text", [GOOD, OTHER, GOOD.replace("00-4", "cc-4", 1)])
def test_a_version_two_ids_and_flags_are_one(text: str) -> None:
    assert is_traceparent(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        GOOD.upper(),
        GOOD[:-1],
        f"{GOOD}-more",
        f"{GOOD}\n",
        "ff" + GOOD[2:],
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        GOOD.replace("4", "\u0664"),
        "x" * 10_000,
    ],
)
def test_all_else_is_none(text: str) -> None:
    assert not is_traceparent(text)


def test_the_given_one_counts_before_that_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACEPARENT", OTHER)
    assert asked_traceparent(GOOD) == GOOD
    assert asked_traceparent() == OTHER
    assert asked_traceparent("") == ""
    monkeypatch.delenv("TRACEPARENT")
    assert asked_traceparent() == ""


def test_a_wrong_one_is_one_line_that_says_where_it_is_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ArgumentError, match=r"^traceparent='x\\ny' is no traceparent of W3C"):
        asked_traceparent("x\ny")
    monkeypatch.setenv("TRACEPARENT", "mine")
    with pytest.raises(ArgumentError, match=r"^TRACEPARENT='mine' is no traceparent"):
        asked_traceparent()
