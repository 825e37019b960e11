"""A server that wants less gets less: no worker sends to the domain for a while."""

from __future__ import annotations

import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from jobs import mail
from jobs.mailing.keep.notes import Notes
from jobs.mailing.send import sending
from jobs.mailing.send.errors import Refused
from queue_manager import CurrentTask, Retry


def payload(folder: Path, server: str) -> dict[str, Any]:
    given = {"to": "ann@example.org", "text": "Hello", "sender": "news@example.org", "tls": "off"}
    (task,) = mail.tasks(**given, server=server, out=str(folder / "c"))  # type: ignore[arg-type]
    found: dict[str, Any] = task.payload
    return found


def held_back(folder: Path, asked: dict[str, Any]) -> bool:
    """Whether a try makes the domain wait, for all workers and in the line that people see."""
    with pytest.raises(Retry, match="421") as again:
        sending.send(asked, CurrentTask(1, 1, 1))
    held = [one.domain for one in Notes(str(folder / "c")).held()]
    assert held == (["example.org"] if again.value.whole_group else [])
    return again.value.whole_group


def test_a_greeting_of_421_holds_the_domain_back(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            caller, _ = server.accept()
            with caller:
                caller.sendall(b"421 4.7.0 too many connections\r\n")
                caller.recv(1)

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        port = server.getsockname()[1]
        assert held_back(tmp_path, payload(tmp_path, f"127.0.0.1:{port}"))
        thread.join(60)


class Leaving:
    """A connection that ends. messages: how many it has handed over before."""

    def __init__(self, words: str, messages: int) -> None:
        self.words, self.messages, self.is_open = words, messages, True
        self.opened_at = self.used_at = time.monotonic()

    def send(self, *_: Any) -> str:
        """Refuse a message, and go away."""
        self.is_open = False
        raise Refused(421, self.words)

    def close(self, *, in_order: bool = False) -> None:
        """End it."""


@pytest.mark.parametrize(("words", "opened"), [("4.7.0 too many messages", 1), ("bye", 2)])
def test_a_421_on_a_kept_connection_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, opened: int
) -> None:
    found: list[Leaving] = []

    def opener(_: Any) -> Any:
        def open_one(_: Any) -> Leaving:
            found.append(Leaving(words, 0 if found else 1))
            return found[-1]

        return open_one

    monkeypatch.setattr(sending, "_opener", opener)
    monkeypatch.setattr(sending, "_pools", {})
    assert held_back(tmp_path, payload(tmp_path, "a.example"))
    assert len(found) == opened
