"""A session with a server that answers as it is told, over a pair of sockets."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jobs.mailing.addresses import mailbox
from jobs.mailing.campaign import Campaign
from jobs.mailing.letter.message import Message, made
from jobs.mailing.send.connection import ANSWER_S, CONNECT_S, TAKE_S, Connection, _Answers
from jobs.mailing.send.errors import Broken, NotSent, Refused, Unknown, Unusable
from jobs.mailing.send.servers import Server

CLOSE = "close"
Answers = dict[str, str]


class Talk:
    """A server's side. answers: its answer to a verb, and to "." for the end of the data; `close`
    behind an answer ends the connection. waits: how long the client waits for which answer."""

    def __init__(self, client: socket.socket, server: socket.socket, answers: Answers) -> None:
        self.client, self.server, self.answers = client, server, answers
        self.verbs: list[str] = []
        self.waits: dict[str, float | None] = {}
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        # The client sets how long it waits for the greeting when it is connected.
        deadline = time.monotonic() + 2.0
        while self.client.gettimeout() != ANSWER_S and time.monotonic() < deadline:
            time.sleep(0.005)
        with self.server, self.server.makefile("rb") as lines:
            if not self._answer("greeting", "220 hello"):
                return
            for line in lines:
                verb = line.decode().split(" ")[0].strip().upper()
                self.verbs.append(verb)
                if not self._answer(verb, "354 go on" if verb == "DATA" else "250 fine"):
                    return
                if verb == "DATA" and self.answers.get(verb, "354").startswith("354"):
                    while lines.readline() not in (b".\r\n", b""):
                        pass
                    if not self._answer(".", "250 queued"):
                        return

    def _answer(self, verb: str, usual: str) -> bool:
        self.waits[verb] = self.client.gettimeout()
        words, closes, _ = self.answers.get(verb, usual).partition(CLOSE)
        with contextlib.suppress(BrokenPipeError):
            self.server.sendall(f"{words.strip()}\r\n".encode())
        return not closes


Open = Callable[..., tuple[Connection, Talk]]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens a connection to a server with these answers."""
    talks: list[Talk] = []
    made_: list[Connection] = []

    def open_one(**answers: str) -> tuple[Connection, Talk]:
        known = {name.replace("end", "."): words for name, words in answers.items()}

        def connect(_: Any, timeout: float, *__: Any) -> socket.socket:
            client, server = socket.socketpair()
            client.settimeout(timeout)
            talks.append(Talk(client, server, known))
            talks[-1].waits["connect"] = timeout
            return client

        monkeypatch.setattr(socket, "create_connection", connect)
        made_.append(Connection(Server("mx.example", 25), "off", None))
        return made_[-1], talks[-1]

    yield open_one
    for connection in made_:
        connection.close()
    for talk in talks:
        talk.thread.join(60.0)


def message() -> Message:
    """A message to Ann."""
    campaign = Campaign("/x", sender="news@example.org", subject="s", text="t")
    return made(campaign, "m" * 32, mailbox("ann@example.org"), {}, verbatim=True)


def send(connection: Connection, begin: Callable[[], bool] = lambda: True) -> str:
    """Hand over a message."""
    return connection.send(message(), b"Subject: s\r\n\r\nHello\r\n", begin)


def test_a_server_has_the_time_that_the_standard_gives_it(opened: Open) -> None:
    connection, talk = opened()
    assert send(connection) == "250 queued"
    assert send(connection) == "250 queued"
    assert talk.waits["connect"] == CONNECT_S
    assert (talk.waits["greeting"], talk.waits["MAIL"], talk.waits["."]) == (300.0, 300.0, 600.0)
    assert (ANSWER_S, TAKE_S) == (300.0, 600.0)


@pytest.mark.parametrize("answer", ["350 what", "150 what", "99 what", "fine", "600 what"])
def test_an_answer_to_the_message_that_has_no_meaning_is_no_refusal(
    opened: Open, answer: str
) -> None:
    connection, _ = opened(end=answer)
    with pytest.raises(Unknown):
        send(connection)
    assert not connection.is_open


LONG = "\r\n".join(["250-and so on"] * 101)
WIDE = "\r\n".join(["250-" + "A" * 8000] * 9)


@pytest.mark.parametrize("answer", [f"{LONG}\r\n250 end", f"{WIDE}\r\n250 end"])
@pytest.mark.parametrize(
    ("verb", "error"),
    [("greeting", Unusable), ("EHLO", Unusable), ("MAIL", Broken), ("end", Unknown)],
)
def test_an_answer_has_an_end(opened: Open, verb: str, error: type[Exception], answer: str) -> None:
    def use() -> None:
        send(opened(**{verb: answer})[0])

    with pytest.raises(error, match="an answer has more than 100 lines or 65,536 bytes"):
        use()


def test_an_answer_of_many_lines_is_one(opened: Open) -> None:
    lines = ["250-and so on"] * 99
    connection, _ = opened(end="\r\n".join([*lines, "250 queued"]))
    assert send(connection).endswith("and so on queued")


@pytest.mark.parametrize("gap_s", [0.0, 0.05])
def test_the_time_for_an_answer_is_for_all_of_it(gap_s: float) -> None:
    """A server that says a little again and again holds a worker no longer than a silent one."""
    client, server = socket.socketpair()
    with client, server:
        client.settimeout(0.5)
        answers, over = _Answers(client), threading.Event()

        def drip() -> None:
            server.sendall(b"220 ")
            while gap_s and not over.wait(gap_s):
                server.sendall(b"a")

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(TimeoutError):
            answers.readline(8193)
        over.set()
        thread.join(60)
        assert client.gettimeout() == 0.5


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "end"])
def test_a_refusal_counts_where_the_server_closes_behind_it(opened: Open, verb: str) -> None:
    connection, _ = opened(**{verb: "550 5.1.1 nobody close"})
    with pytest.raises(Refused, match=r"550 5\.1\.1 nobody"):
        send(connection)


def test_the_next_message_begins_behind_a_reset_where_the_data_was_refused(opened: Open) -> None:
    connection, talk = opened(DATA="554 no")
    with pytest.raises(Refused, match="554 no"):
        send(connection)
    del talk.answers["DATA"]
    assert send(connection) == "250 queued"
    assert talk.verbs == ["EHLO", "MAIL", "RCPT", "DATA", "RSET", "MAIL", "RCPT", "DATA"]


@pytest.mark.parametrize("error", [NotSent("full"), OSError("full"), KeyboardInterrupt()])
def test_a_note_that_fails_ends_the_connection_in_the_middle_of_the_data(
    opened: Open, error: BaseException
) -> None:
    def fail() -> bool:
        raise error

    connection, _ = opened()
    with pytest.raises(type(error)):
        send(connection, fail)
    assert not connection.is_open
