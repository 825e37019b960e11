"""What a job prints in the runner goes where it went, and the end of it is told."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from master.runner.printed import Kept, keep_prints, tell_printed
from queue_manager.wire.limits import PRINTED_CHARS
from queue_manager.wire.messages import Printed, check_request, encode


class Session:
    """Notes what is sent."""

    def __init__(self) -> None:
        self.sent: list[Printed] = []

    def send(self, message: Any) -> None:
        check_request(message, encode(message))
        self.sent.append(message)


def streams_of(monkeypatch: pytest.MonkeyPatch) -> tuple[io.BytesIO, Kept]:
    """Standard output of a process, and what is kept of it. pytest puts its own in for each part
    of a test, so a fixture can't do this."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace")
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)  # it was closed
    return raw, keep_prints()


def test_prints_go_on_and_their_end_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    raw, kept = streams_of(monkeypatch)
    session: Any = Session()
    tell_printed(session, 7, kept)
    print("one")
    print("\N{SNOWMAN} two", flush=True)
    tell_printed(session, 7, kept)
    tell_printed(session, 7, kept)
    assert session.sent == [Printed(7, "one\n\N{SNOWMAN} two\n")]
    assert raw.getvalue() == b"one\n\\u2603 two\n"
    assert isinstance(sys.stdout, io.TextIOWrapper)
    assert sys.stdout.errors == "backslashreplace"


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    _, kept = streams_of(monkeypatch)
    session: Any = Session()
    for number in range(10_000):
        print(number)
    print("x" * 1_000_000)
    print("the end")
    tell_printed(session, 7, kept)
    assert len(session.sent[0].text) == PRINTED_CHARS
    assert session.sent[0].text.endswith("x\nthe end\n")


def test_half_of_a_character_can_travel(monkeypatch: pytest.MonkeyPatch) -> None:
    _, kept = streams_of(monkeypatch)
    session: Any = Session()
    print("\ud800" * PRINTED_CHARS)
    tell_printed(session, 7, kept)
    assert session.sent[0].text.endswith("\\ud800\n")
    assert len(session.sent[0].text) == PRINTED_CHARS
