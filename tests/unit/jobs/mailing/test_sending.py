"""One try of one message, with connections that do as they are told."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jobs import mail
from jobs.mailing.keep.ledger import Ledger
from jobs.mailing.send import sending
from jobs.mailing.send.errors import Broken, Refused, Unknown
from queue_manager import CurrentTask, Reject, Result, Retry

ANN = "ann@example.org"
Act = Callable[["Line"], str]


class Line:
    """A connection that hands over nothing: `act` does what its server does."""

    def __init__(self, server: Any, act: Act) -> None:
        self.server, self.act, self.messages, self.is_open = server, act, 0, True
        self.opened_at = self.used_at = time.monotonic()
        self.begin: Callable[[], bool] = lambda: False
        self.at_end: Callable[[], None] = lambda: None

    def send(self, message: Any, data: bytes, begin: Callable[[], bool]) -> str:
        """Hand over a message."""
        self.begin = begin
        said = self.act(self)
        self.messages += 1
        return said

    def close(self, *, in_order: bool = False) -> None:
        """End it."""
        self.at_end()
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
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Act]]:
    """What each server does, by its host: `taken` without an entry."""
    acts: dict[str, Act] = {}

    def opener(_: Any) -> Callable[[Any], Any]:
        return lambda server: Line(server, acts.get(server.host, taken))

    monkeypatch.setattr(sending, "_opener", opener)
    monkeypatch.setattr(sending, "_pools", {})
    monkeypatch.setattr(sending, "_away", {})
    yield acts
    sending.leave()


def payload(folder: Path, **changed: Any) -> dict[str, Any]:
    """The payload of a submit of one message of the campaign `c`."""
    given = {"campaign": "c", "to": ANN, "text": "Hello", "sender": "news@example.org"}
    given |= {"server": "first.example", "out": str(folder / "c"), "retry_s": 1.0, **changed}
    (task,) = mail.tasks(**given)
    found: dict[str, Any] = task.payload
    return found


def state(payload: dict[str, Any], attempt: int = 1, task: int = 1, reason: str = "") -> str:
    """What a try of task 1.1 comes to. reason: that of its last retry by a person."""
    try:
        result = sending.send(payload, CurrentTask(1, task, attempt, reason))
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
    assert state(elsewhere, reason="look").startswith("again: it may have been sent")
    assert state(here, reason="it is not in the log") == "sent"


def test_a_retry_without_a_reason_sends_nothing_of_unknown_fate_again(
    tmp_path: Path, servers: dict[str, Act]
) -> None:
    """Somebody has had the dead letters of the run tried again that a server had refused."""
    asked = payload(tmp_path)
    servers["first.example"] = broken
    assert state(asked).startswith("again: it may have been sent")
    dead = state(asked, attempt=2)
    assert dead.endswith("without a person's word: qm retry 1 1 --reason TEXT")
    servers.clear()
    assert state(asked).startswith("again: it may have been sent")
    assert state(asked, attempt=2) == dead, "it is the same dead letter as before"
    # The reason is that of the first try: a second one may be there as the first has sent it.
    assert state(asked, attempt=2, reason="it is not in the log") == dead
    assert state(asked, reason="it is not in the log") == "sent"


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


def notes(folder: Path) -> list[str]:
    """The kinds of the ledger's notes."""
    return sorted(path.suffix for path in folder.glob("c/ledger/*/*"))


def test_a_message_is_noted_as_sent_before_its_connection_ends(
    tmp_path: Path, servers: dict[str, Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []

    def looks(line: Line) -> str:
        line.at_end = lambda: seen.append(notes(tmp_path))
        return taken(line)

    servers["first.example"] = looks
    monkeypatch.setattr(sending.Pool, "_others_wait", lambda *_: True)
    monkeypatch.setattr("jobs.mailing.send.pool.TURN_S", 0.0)
    assert state(payload(tmp_path)) == "sent"
    assert seen == [[".sent"]]


def test_a_connection_that_breaks_before_the_end_leads_to_the_next_server(
    tmp_path: Path, servers: dict[str, Act]
) -> None:
    def breaks(line: Line) -> str:
        line.close()
        raise Broken("it broke")

    servers["first.example"] = breaks
    asked = payload(tmp_path, server="first.example,second.example")
    result = sending.send(asked, CurrentTask(1, 1, 1))
    assert result.value["server"] == "second.example:587"


def test_a_disk_that_is_full_sends_nothing_and_asks_no_other_server(
    tmp_path: Path, servers: dict[str, Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Ledger, "begin", full)
    seen: list[str] = []

    def first(line: Line) -> str:
        seen.append(line.server.host)
        return taken(line)

    servers["first.example"] = servers["second.example"] = first
    asked = payload(tmp_path, server="first.example,second.example")
    assert state(asked) == "again: the ledger can't be written to: No space left on device"
    assert seen == ["first.example"]


def test_the_rate_of_a_domain_holds_before_a_message_has_succeeded(
    tmp_path: Path, servers: dict[str, Act]
) -> None:
    """The queue gets the limit of a domain with the first result."""
    asked: list[str] = []

    def refuses(line: Line) -> str:
        asked.append(line.server.host)
        raise Refused(450, "4.7.1 greylisted")

    servers["first.example"] = refuses
    assert state(payload(tmp_path, per_minute=1)) == "again: 450 4.7.1 greylisted"
    with pytest.raises(Retry, match="no turn within") as later:
        sending.send(payload(tmp_path, to="bob@example.org", per_minute=1), CurrentTask(1, 2, 1))
    assert later.value.whole_group
    assert later.value.delay_s is not None
    assert 30 < later.value.delay_s <= 60
    elsewhere = payload(tmp_path, to="bob@example.net", per_minute=1)
    assert state(elsewhere, task=3) == "again: 450 4.7.1 greylisted"
    assert len(asked) == 2


def test_an_address_that_is_suppressed_while_it_waits_for_its_turn_gets_nothing(
    tmp_path: Path, servers: dict[str, Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wait(*_: Any) -> None:
        (tmp_path / "suppressed.txt").write_text(f"{ANN}\n")

    monkeypatch.setattr(sending.Pace, "wait", wait)
    assert state(payload(tmp_path, rate=1)) == "suppressed"
    assert notes(tmp_path) == []


def test_a_list_of_the_suppressed_that_vanishes_lets_nothing_out(
    tmp_path: Path, servers: dict[str, Act]
) -> None:
    named, default = tmp_path / "unsubscribed.txt", tmp_path / "suppressed.txt"
    named.write_text("")
    first = payload(tmp_path, suppressed=str(named))
    named.unlink()
    assert state(first) == f"again: {named} can't be read: No such file or directory"
    with pytest.raises(ValueError, match=r"unsubscribed\.txt"):
        payload(tmp_path, suppressed=str(named))
    default.write_text("")
    second = payload(tmp_path)
    default.unlink()
    assert state(second, task=2).endswith("can't be read: No such file or directory")
    assert state(payload(tmp_path), task=3) == "sent", "a list that never was is empty"


def test_a_refusal_stands_where_the_list_of_the_suppressed_can_not_be_written_to(
    tmp_path: Path, servers: dict[str, Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def refuses(_: Line) -> str:
        raise Refused(550, "5.1.1 nobody")

    servers["first.example"] = refuses
    monkeypatch.setattr(sending.Suppression, "add", full)
    said = state(payload(tmp_path))
    assert said.startswith("dead: 550 5.1.1 nobody; the address can't be added to ")
    assert said.endswith("suppressed.txt: No space left on device")


@pytest.mark.parametrize("content", [None, "no key"])
def test_a_key_that_the_worker_can_not_use_is_tried_three_times(
    tmp_path: Path, servers: dict[str, Act], content: str | None
) -> None:
    """A worker may get its secrets a little later. For hours nobody would hear of it."""
    key = tmp_path / "key.pem"
    asked = payload(tmp_path, dkim_key=str(key))
    if content is not None:
        key.write_text(content)
        with pytest.raises(ValueError, match="is no private key"):
            payload(tmp_path, dkim_key=str(key))
    states = [state(asked, attempt=attempt) for attempt in (1, 2, 3)]
    assert [one[:7] for one in states] == ["again: ", "again: ", "dead: d"]
    assert f"dkim_key={str(key)!r}" in states[2]


def test_a_server_of_the_worker_that_is_none_is_one_line(
    tmp_path: Path, servers: dict[str, Act], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_SERVER", "mail..example.org")
    said = state(payload(tmp_path, server=""), attempt=3)
    assert said.startswith("dead: MAIL_SERVER of the worker: 'mail..example.org' is no mail server")


def test_a_message_that_the_server_refuses_behind_its_end_is_not_begun(
    tmp_path: Path, servers: dict[str, Act]
) -> None:
    def refuses(line: Line) -> str:
        taken(line)
        raise Refused(554, "5.7.1 spam")

    servers["first.example"] = refuses
    assert state(payload(tmp_path)) == "dead: 554 5.7.1 spam"
    assert notes(tmp_path) == []
