"""A copy at the other end of a pipe, such as one of ssh: what it is told, and what it answers.

The receiver greets with a line of JSON. It answers commits and notes with a line each.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from .records import (
    ABORT,
    NOTE,
    VERSION,
    WRITE,
    Commit,
    CopyError,
    Greeting,
    Position,
    packed,
    packed_begin,
    packed_commit,
    parts,
)
from .replica import Replica, take

PATIENCE_S = 30.0
"""How long the other end may take for one thing, before it counts as lost."""

_SEND_BYTES = 1024 * 1024

_DONE = b"ok\n"


class RemoteCopy:
    """A `Target` behind a command, which is `ssh HOST qm restore --follow FOLDER` or like it.

    words: the command. Its standard error is ours.
    """

    def __init__(self, words: list[str]) -> None:
        self._name = " ".join(words)
        self.position: Position | None = None
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        try:
            self._process = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
        except OSError as error:
            raise CopyError(f"can't run {words[0]}: {error.strerror}") from error
        assert self._process.stdin
        assert self._process.stdout
        self._in, self._out = self._process.stdin, self._process.stdout
        try:
            self.position = self._greeted()
        except BaseException:
            self.close()
            raise

    def _greeted(self) -> Position | None:
        with self._limited():
            line = self._out.readline(65_536)
        try:
            greeting = msgspec.json.decode(line, type=Greeting)
        except msgspec.MsgspecError:
            raise self._lost("said nothing" if not line else "is no receiver of copies") from None
        if greeting.version != VERSION:
            raise self._lost("is of another release")
        return greeting.position

    def begin(self, size_bytes: int) -> None:
        """All of a store follows."""
        self._send(packed_begin(size_bytes))

    def write(self, offset: int, data: bytes) -> None:
        """Bytes of the store's file."""
        self._waiting.append(packed(WRITE, data, offset))
        self._waiting_bytes += len(data)
        if self._waiting_bytes > _SEND_BYTES:
            self._send(b"")

    def commit(self, commit: Commit) -> None:
        """What was written counts, and is on the other end's disk."""
        self._send(packed_commit(commit), is_answered=True)
        self.position = commit.position

    def abort(self) -> None:
        """What was written since the last commit counts for nothing."""
        self._send(packed(ABORT))

    def note(self, at: float) -> None:
        """Nothing has changed by that time (UTC epoch, s)."""
        self._send(packed(NOTE, msgspec.msgpack.encode(at)), is_answered=True)

    def close(self) -> None:
        """End the command."""
        with contextlib.suppress(OSError):
            self._in.close()
        try:
            self._process.wait(2.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()

    def _send(self, data: bytes, is_answered: bool = False) -> None:
        data = b"".join([*self._waiting, data])
        self._waiting.clear()
        self._waiting_bytes = 0
        with self._limited():
            self._in.write(data)
            if is_answered:
                self._in.flush()
                if self._out.readline(4096) != _DONE:
                    raise self._lost("ended")

    @contextlib.contextmanager
    def _limited(self) -> Iterator[None]:
        """End the command if it takes too long."""
        timer = threading.Timer(PATIENCE_S, self._process.kill)
        timer.daemon = True
        timer.start()
        try:
            yield
        except OSError:
            raise self._lost("ended") from None
        finally:
            timer.cancel()

    def _lost(self, what: str) -> CopyError:
        return CopyError(f"the copy's other end, `{self._name}`, {what}")


def receive(folder: Path, source: BinaryIO, answers: BinaryIO) -> None:
    """Keep a copy in a folder of what comes from a `RemoteCopy`, until that ends.

    Raises:
        CopyError: the copy can't be written.
    """
    replica = Replica(folder)
    try:
        answers.write(msgspec.json.encode(Greeting(replica.position)) + b"\n")
        answers.flush()
        for part in parts(source):
            if take(part, replica):
                answers.write(_DONE)
                answers.flush()
    except (BrokenPipeError, ConnectionError):
        pass  # the sender is gone
    finally:
        replica.close()
