"""One try of one message, with connections that do as they are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs import mail
from jobs.mailing import sending
from jobs.mailing.errors import Unknown
from jobs.mailing.ledger import Ledger
from queue_manager import CurrentTask, Reject, Result, Retry

ANN = "ann@example.org"
Act = Callable[["Line"], str]


class Line:
    """A connection that hands over nothing: `act` does what its server does."""

    def __init__(self, server: Any, act: Act) -> None:
        self.server, self.act, self.messages, self.is_open = server, act, 0, True
        self.opened_at = self.used_at = time.monotonic()
        self.begin: Callable[[], bool] = lambda: False

    def send(self, message: Any, data: bytes, begin: Callable[[], bool]) -> str:
        """Hand over a message."""
        self.begin = begin
        said = self.act(self)
        self.messages += 1
        return said

    def close(self, *, in_order: bool = False) -> None:
        """End it."""
        self.is_open = False


def taken(line: Line) -> str:
    """The server takes the message."""
    if not line.begin():
        line.close()
        raise InterruptedError
    return "250 ok"


def broken(line: Line) -> str:
    """The connection breaks behind the end of the data."""
    taken(line)
    line.close()
    raise Unknown("it broke")


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Act]:
    """What each server does, by its host: `taken` without an entry."""
    acts: dict[str, Act] = {}

    def opener(_: Any) -> Callable[[Any], Any]:
        return lambda server: Line(server, acts.get(server.host, taken))

    monkeypatch.setattr(sending, "_opener", opener)
    monkeypatch.setattr(sending, "_pools", {})
    monkeypatch.setattr(sending, "_away", {})
    return acts


def payload(folder: Path, **changed: Any) -> dict[str, Any]:
    """The payload of a submit of one message of the campaign `c`."""
    given = {"campaign": "c", "to": ANN, "text": "Hello", "sender": "news@example.org"}
    given |= {"server": "first.example", "out": str(folder / "c"), "retry_s": 1.0, **changed}
    (task,) = mail.tasks(**given)
    found: dict[str, Any] = task.payload
    return found


def state(payload: dict[str, Any], attempt: int = 1, task: int = 1) -> str:
    """What a try of task 1.1 comes to."""
    try:
        result = sending.send(payload, CurrentTask(1, task, attempt))
    except Reject as error:
        return f"dead: {error}"
    except Retry as error:
        return f"again: {error.reason}"
    assert isinstance(result, Result)
    return str(result.value["state"])


def test_a_task_of_another_master_with_the_same_number_is_no_decision(
    tmp_path: Path, servers: dict[str, Act]
) -> None:
    here, elsewhere = payload(tmp_path), payload(tmp_path)
    servers["first.example"] = broken
    assert state(here).startswith("again: it may have been sent")
    assert state(here, attempt=2).startswith("dead: it may have been sent")
    servers.clear()
    assert state(elsewhere).startswith("again: it may have been sent")
    assert state(here) == "sent"


def test_a_message_that_another_worker_sends_now_is_tried_later(
    tmp_path: Path, servers: dict[str, Act]
) -> None:
    asked, seen = payload(tmp_path), list[str]()

    def slow(line: Line) -> str:
        said = taken(line)
        seen.append(state(asked, attempt=2))
        return said

    servers["first.example"] = slow
    assert state(asked) == "sent"
    assert seen == ["again: another worker is sending this message"]
    assert list(tmp_path.glob("c/ledger/*/*.told")) == []


def test_a_try_that_is_over_lets_go_of_its_note(tmp_path: Path, servers: dict[str, Act]) -> None:
    asked = payload(tmp_path)
    servers["first.example"] = broken
    state(asked)
    (note,) = tmp_path.glob("c/ledger/*/*.begun")
    assert Ledger(str(tmp_path / "c")).begin(note.stem, allow_twice=True)
