"""The inputs of `qm shell`: lines, or texts that end with a zero byte, as they come.

Reading never blocks the loop: a pipe that is silent for an hour holds up no result.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import sys
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Protocol

from queue_manager.errors import QueueError

_READ_BYTES = 64 * 1024
LONGEST_BYTES = 1024 * 1024
"""A longer input could be no part of a command: the kernel takes 128 KiB for each word."""


class InputError(QueueError):
    """The inputs can't be read."""


class Stop:
    """Says that no more inputs are wanted."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Wait until it is set."""
        await self._event.wait()


class Given(Protocol):
    """Inputs: an iterator of texts if they can be read at once, else an asynchronous one.

    digest: the same of the same inputs, before they are read; empty: they can be read once.
    """

    waits: bool

    def digest(self) -> str: ...

    def at_once(self) -> Iterator[str]: ...

    def coming(self, stop: Stop) -> AsyncIterator[str]: ...


class Words:
    """Inputs that are words of the command line."""

    waits = False

    def __init__(self, words: tuple[str, ...]) -> None:
        self._words = words

    def digest(self) -> str:
        """As `Given`."""
        return _digest(self._words)

    def at_once(self) -> Iterator[str]:
        """As `Given`."""
        return iter(self._words)

    def coming(self, stop: Stop) -> AsyncIterator[str]:
        """Not used: they are all there."""
        raise NotImplementedError


class Stream:
    """Inputs that are read from a descriptor.

    end: the byte behind each. waits: it is a pipe or the like, which may be silent.
    """

    def __init__(self, number: int, name: str, end: bytes) -> None:
        self._number, self._name, self._end = number, name, end
        self._left = b""
        mode = os.fstat(number).st_mode
        self.waits = stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(number)
        self._lasts = stat.S_ISREG(mode)

    def digest(self) -> str:
        """As `Given`. A file is read a second time for its inputs."""
        if not self._lasts:
            return ""
        try:
            start = os.lseek(self._number, 0, os.SEEK_CUR)
            digest = _digest(self.at_once())
            os.lseek(self._number, start, os.SEEK_SET)
        except OSError as error:
            raise InputError(f"can't read {self._name}: {error.strerror}") from error
        return digest

    def at_once(self) -> Iterator[str]:
        """As `Given`."""
        while part := self._read():
            yield from self._whole(part)
        yield from self._rest()

    async def coming(self, stop: Stop) -> AsyncIterator[str]:
        """As `Given`. It ends when it is told to."""
        while await self._readable(stop) and (part := self._read()):
            for text in self._whole(part):
                yield text
        if not stop.is_set:
            for text in self._rest():
                yield text

    async def _readable(self, stop: Stop) -> bool:
        """Wait until something is there. False: no more inputs are wanted."""
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._number, ready.set)
        waits = {asyncio.create_task(ready.wait()), asyncio.create_task(stop.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            loop.remove_reader(self._number)
            for wait in waits:
                wait.cancel()
        return not stop.is_set

    def _read(self) -> bytes:
        try:
            return os.read(self._number, _READ_BYTES)
        except OSError as error:
            raise InputError(f"can't read {self._name}: {error.strerror}") from error

    def _whole(self, part: bytes) -> Iterator[str]:
        """The inputs that end in a part."""
        *whole, self._left = (self._left + part).split(self._end)
        yield from map(os.fsdecode, whole)
        if len(self._left) > LONGEST_BYTES:
            ends = "a zero byte" if self._end == b"\0" else "a newline"
            raise InputError(
                f"{self._name}: an input is longer than {LONGEST_BYTES:,} bytes. Each ends with"
                f" {ends}; see --null"
            )

    def _rest(self) -> Iterator[str]:
        """What has no end behind it."""
        if self._left:
            yield os.fsdecode(self._left)
            self._left = b""


def _digest(texts: Iterable[str]) -> str:
    """The same of the same texts: their number and a hash."""
    digest, count = hashlib.sha256(), 0
    for count, text in enumerate(texts, 1):  # noqa: B007
        data = os.fsencode(text)
        digest.update(b"%d:" % len(data) + data)
    return f"{count}:{digest.hexdigest()[:16]}"


def standard_input(end: bytes, closed: bool) -> Stream:
    """The inputs on standard input. closed: nobody had opened it.

    Raises:
        InputError: it is closed, or a terminal.
    """
    if closed:
        raise InputError("standard input is closed: give it the inputs, such as < names.txt")
    if sys.__stdin__ is not None and os.isatty(0):
        raise InputError(
            "standard input is a terminal: give it the inputs, such as < names.txt, or write them"
            " behind :::"
        )
    return Stream(0, "standard input", end)


def file_input(path: str, end: bytes) -> Stream:
    """The inputs in a file. Raises InputError if it can't be opened."""
    try:
        return Stream(os.open(path, os.O_RDONLY | os.O_CLOEXEC), path, end)
    except OSError as error:
        raise InputError(f"can't read {path}: {error.strerror}") from error
