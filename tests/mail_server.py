"""A mail server for tests: it refuses and breaks off as it is told, and records what it took.

As a program it stands in a container of its own: `mail_server.py RECORD.jsonl SEED soft=0.05 ...`.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import signal
import socket
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

_MESSAGE_ID = re.compile(rb"(?mi)^message-id: *(\S+)")

Fault = Callable[[str], str]
"""What happens to a recipient: "" for nothing, an answer such as "451 4.7.1 later", or a moment to
break off: "before", "in" or "after" its data."""


def by_chance(seed: int, **shares: float) -> Fault:
    """Faults by chance: `by_chance(1, soft=0.05, hard=0.01, before=0.01)`."""
    chance, lock = random.Random(seed), threading.Lock()
    answers = {"soft": "451 4.7.1 later, please", "hard": "550 5.1.1 nobody here"}

    def fault(recipient: str) -> str:
        with lock:
            drawn = chance.random()
        for name, share in shares.items():
            drawn -= share
            if drawn < 0:
                return answers.get(name, name)
        return ""

    return fault


class MailServer:
    """A server on a free port of loopback.

    Args:
        host, port: where it is, if it is elsewhere.
        record: a file of what it does, a line of JSON each: what, to whom, Message-ID, and when.

    Attributes:
        taken: the recipient of each message that it has taken, once for each copy.
        ids: the Message-ID of each copy, by recipient.
        raw: the message of each recipient, as it came. starts: when it came.
        unsure: recipients whose message it broke off behind the end of the data.
        refused: recipients that it has refused for good.
        most: the most connections that it has had at a time. opened, quits: how many it has had,
            and how many of them ended with a QUIT.
    """

    def __init__(
        self,
        fault: Fault = lambda _: "",
        host: str = "127.0.0.1",
        port: int = 0,
        record: Path | None = None,
        **settings: Any,
    ) -> None:
        self._fault, self._lock = fault, threading.Lock()
        self._record = None if record is None else record.open("a", buffering=1)
        self.taken: Counter[str] = Counter()
        self.ids: defaultdict[str, list[str]] = defaultdict(list)
        self.raw: dict[str, bytes] = {}
        self.starts: dict[str, float] = {}
        self.unsure: set[str] = set()
        self.refused: set[str] = set()
        self.answer_s = 0.0
        self.connections = self.most = self.opened = self.quits = 0
        server = self

        class Talk(SMTP):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                if self.transport is None:
                    server.connections += 1
                    server.opened += 1
                    server.most = max(server.most, server.connections)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                server.connections -= 1
                super().connection_lost(error)

            async def smtp_DATA(self, arg: str) -> None:
                if server.moment(self.envelope) == "in":
                    await self.push("354 go on")
                    await self._reader.read(10)
                    self.transport.abort()
                    return
                await super().smtp_DATA(arg)

        class Control(Controller):
            def factory(self) -> SMTP:
                return Talk(self.handler, **self.SMTP_kwargs)

        self._moments: dict[int, str] = {}
        settings = {"enable_SMTPUTF8": True, "ident": "test", **settings}
        with socket.create_server((host, port)) as free:
            self.port: int = free.getsockname()[1]
        self._controller = Control(self, hostname=host, port=self.port, **settings)

    def __enter__(self) -> MailServer:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop(no_assert=True)

    @property
    def address(self) -> str:
        """Where it is, as `server=` has it."""
        return f"127.0.0.1:{self.port}"

    def message(self, recipient: str) -> EmailMessage:
        """A message that it has taken, parsed strictly."""
        found = message_from_bytes(
            self.raw[recipient], policy=policy.default.clone(raise_on_defect=True)
        )
        assert isinstance(found, EmailMessage)
        return found

    def moment(self, envelope: Envelope) -> str:
        """When to break off the message of an envelope."""
        return self._moments.get(id(envelope), "")

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Answer as the fault says."""
        fault = self._fault(address)
        if fault == "before":
            server.transport.abort()
            return ""
        if fault and fault not in ("in", "after"):
            if fault[0] == "5":
                self.refused.add(address)
                self._write("refused", address)
            return fault
        self._moments[id(envelope)] = fault
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 fine"

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Count the ends in good order."""
        self.quits += 1
        return "221 2.0.0 bye"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Record a message, then answer, or break off."""
        if self.answer_s:
            await asyncio.sleep(self.answer_s)
        (recipient,) = envelope.rcpt_tos
        data = envelope.original_content or b""
        with self._lock:
            self.taken[recipient] += 1
            self.raw[recipient] = data
            self.starts.setdefault(recipient, time.monotonic())
            found = _MESSAGE_ID.search(data)
            self.ids[recipient].append(found[1].decode() if found else "")
            self._write("taken", recipient, self.ids[recipient][-1])
        if self.moment(envelope) == "after":
            self.unsure.add(recipient)
            self._write("unsure", recipient)
            server.transport.abort()
            return ""
        return "250 2.0.0 queued"

    def _write(self, what: str, recipient: str, message_id: str = "") -> None:
        if self._record is not None:
            self._record.write(json.dumps([what, recipient, message_id, time.time()]) + "\n")


def main() -> None:
    """Serve on port 25 of all addresses until a signal ends it."""
    record, seed, *shares = sys.argv[1:]
    given = (share.split("=") for share in shares)
    fault = by_chance(int(seed), **{name: float(value) for name, value in given})
    with MailServer(fault, "0.0.0.0", 25, Path(record), ready_timeout=60.0):
        signal.pause()


if __name__ == "__main__":
    main()
