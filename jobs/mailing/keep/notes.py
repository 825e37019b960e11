"""What went wrong with messages, as notes in the campaign's folder: for the report at its end.

The queue gives a job the results of tasks that are done. What became of the others is written here
by the workers, a line each, each process into a file of its own.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec


class Trouble(msgspec.Struct, frozen=True):
    """A try that sent nothing. state: refused, unknown, waiting (it is tried again) or wrong.

    id: the message. to: its recipient. words: of the server, or of ours. at: when, in seconds since
    1970. submit: as a letter has it.
    """

    id: str
    to: str
    state: str
    words: str
    at: float
    submit: str = ""


class Held(msgspec.Struct, frozen=True):
    """A domain that waits. until: in seconds since 1970. words: of its server."""

    domain: str
    until: float
    words: str


class Notes:
    """The notes of a campaign."""

    def __init__(self, out: str) -> None:
        self._out = Path(out)

    def trouble(self, trouble: Trouble) -> None:
        """Add a note, if the disk takes it: a message's outcome does not depend on it."""
        folder = self._out / "notes"
        line = msgspec.json.encode(trouble) + b"\n"
        with contextlib.suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(folder / _file(), os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644)
            try:
                os.write(fd, line)
            finally:
                os.close(fd)

    def troubles(self) -> Iterator[Trouble]:
        """All notes, the oldest of each process first. A line that was cut is left out."""
        for path in sorted((self._out / "notes").glob("*.jsonl")):
            with path.open("rb") as file:
                for line in file:
                    with contextlib.suppress(msgspec.DecodeError):
                        yield msgspec.json.decode(line, type=Trouble)

    def hold(self, held: Held) -> None:
        """Note that a domain waits, if the disk takes the note."""
        folder = self._out / "held"
        part = folder / f".{uuid.uuid4().hex}"  # one each, as the threads of a process write too
        try:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_bytes(msgspec.json.encode(held))
            os.replace(part, folder / f"{held.domain}.json")
        except OSError:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)

    def held(self) -> list[Held]:
        """The domains that wait now, those that wait the longest first."""
        found = []
        for path in (self._out / "held").glob("*.json"):
            with contextlib.suppress(OSError, msgspec.DecodeError):
                found.append(msgspec.json.decode(path.read_bytes(), type=Held))
        now = time.time()
        return sorted((one for one in found if one.until > now), key=lambda one: -one.until)


def _file() -> str:
    return f"{socket.gethostname()}-{os.getpid()}.jsonl"
