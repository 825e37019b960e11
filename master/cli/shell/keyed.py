"""Whether a command with `--key` is the one that its key is of. Other ones would mix their outputs.

A run notes as its arguments what makes its commands. Its master keeps them, so they are known in
another folder and on another machine, too. Of inputs that can be read once the note has nothing:
each task has a number of its own input and command (`Order.check`), which its result has, too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from functools import partial
from shlex import quote

from queue_manager import codec
from queue_manager.client.connection.session import Session, run_status
from queue_manager.errors import RefusedError
from queue_manager.shell.template import Template
from queue_manager.terminal import harmless_line
from queue_manager.wire.messages import AskTask, TaskShown

from ..own.asynchronous import Master

_ONCE = "read-once"
_SHOWN = 500


def note_of(template: Template, folder: str, digest: str) -> list[str]:
    """What makes the commands, as arguments of their run.

    digest: of the inputs; empty: they can be read once.
    """
    given = f"inputs={digest or _ONCE}"
    raw = ["raw=yes"] * template.raw
    return [f"command={_shown(template.text)}", f"workdir={_shown(folder)}", given, *raw]


def _shown(text: str) -> str:
    """A text as an argument: short, and UTF-8. What is not is told by a hash."""
    data = os.fsencode(text)
    shown = data.decode("utf-8", "backslashreplace")
    if shown == text and len(text) <= _SHOWN:
        return text
    return f"{shown[:_SHOWN]}... ({hashlib.sha256(data).hexdigest()[:12]})"


class Keyed:
    """The key of a call, and what its run must be.

    had: how many inputs the run had before this call. once: the inputs can be read once.
    """

    def __init__(self, key: str, note: list[str], master: Master) -> None:
        self._key, self.note, self._own = key, note, master.own
        self.once = f"inputs={_ONCE}" in note
        self.had = 0

    async def check_note(self, session: Session) -> None:
        """Raise RefusedError if the run of the key has other commands."""
        try:
            noted = (await run_status(session, self._key)).args
        except RefusedError:  # there is none
            return
        others = list(_others(noted, self.note))
        if others:
            free = "" if self._own else f", or free this one by: qm forget {quote(self._key)}"
            raise RefusedError(
                f"the key {self._key!r} belongs to {' and '.join(others)}: take another key{free}"
            )

    async def check_active(self, session: Session) -> None:
        """Raise RefusedError if the run was cancelled."""
        try:
            state = (await run_status(session, self._key)).state
        except RefusedError:  # it is gone
            return
        if state == "cancelled":
            raise RefusedError(
                f"the run of the key {self._key!r} was cancelled, for example by --halt: free the"
                f" key by `qm forget {quote(self._key)}`, and all commands run again"
            )

    def check(self, seq: int, ours: int | None, theirs: object) -> None:
        """Raise RefusedError if a task is not that of our input. seq: the number of both."""
        if theirs != ours:
            raise RefusedError(
                f"the key {self._key!r} has results of other commands, such as that of input"
                f" {seq}: take another key"
            )

    async def check_task(self, session: Session, run: int, seq: int, ours: int | None) -> None:
        """As `check`, of a task that has no result, or whose result may come late."""
        make = partial(AskTask, run=run, task=seq)
        task = (await session.call_idempotent(make, TaskShown)).task
        (payload,) = codec.decode_batch(task.body, task.position, task.position + 1)
        self.check(seq, ours, payload.get("check") if isinstance(payload, dict) else None)

    def check_count(self, given: int) -> None:
        """Raise RefusedError if there are fewer inputs than the run had."""
        if given < self.had:
            raise RefusedError(
                f"the key {self._key!r} is that of {self.had:,} inputs, and now there are"
                f" {given:,}: give all of them, or take another key"
            )


_LABELS = {"command": "another command", "workdir": "another folder"}


def _others(noted: list[str], asked: list[str]) -> Iterator[str]:
    """What a run has that the command line has not, for people."""
    theirs, ours = (_named(args) for args in (noted, asked))
    for name, label in _LABELS.items():
        if theirs.get(name) != ours[name]:
            yield f"{label} ({harmless_line(theirs.get(name, 'unknown'))})"
    if ("raw" in theirs) != ("raw" in ours):
        yield "commands with --raw" if "raw" in theirs else "commands without --raw"
    given = theirs.get("inputs")
    if given != ours["inputs"]:
        yield "inputs of a pipe" if given == _ONCE else "other inputs"


def _named(args: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (arg.partition("=") for arg in args)}
