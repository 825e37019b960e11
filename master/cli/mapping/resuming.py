"""Whether a command goes on with what the same command has recorded before, or begins anew.

Decides, and does what follows with the runs of a master. Nothing of other code or other inputs is
mixed without a word.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from queue_manager.client.calls import Start
from queue_manager.client.runs.mapping import start_run
from queue_manager.client.runs.other_code import REMEDY
from queue_manager.client.synchronous import Client
from queue_manager.errors import RefusedError

END_S = 60.0


@dataclass(frozen=True)
class Command:
    """What a command is.

    program: the file and the function. inputs: the names of their files, with their forms. code:
    the fingerprint of all code that travels. content: a hash of what is in the files; empty if they
    can be read once. key: of the run, if the command line has one.
    """

    program: str
    inputs: list[str]
    code: str
    content: str
    key: str | None

    @property
    def name(self) -> str:
        """The same command has the same, also when a file was edited. Empty: it can't go on."""
        if self.key:
            return f"key-{_hash(self.key)}"
        if not self.content:
            return ""
        stem = self.program.rpartition("/")[2].replace(":", "-")
        return f"{stem}-{_hash(self.program, *self.inputs)}"

    @property
    def run_key(self) -> str | None:
        """The key of its run with the master. Other code or other inputs have another one."""
        if self.key or not self.name:
            return self.key
        return f"qm map {self.name} {_hash(self.code, self.content)}"


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True)
class Plan:
    """What is to be done. key: of the run. forget: the key of a run that goes before."""

    key: str | None
    forget: str | None = None


def planned(
    command: Command,
    noted: dict[str, Any],
    has_results: Callable[[str], bool],
    *,
    resume: bool,
    anew: bool,
) -> Plan:
    """Decide.

    noted: what `note_of` has made of the command before; empty if there was none. has_results:
    whether a master has recorded any for the run of a key. resume: go on though something has
    changed. anew: forget all that is recorded.

    Raises RefusedError, with a line that says what the user may choose.
    """
    if not noted:
        return Plan(command.run_key, forget=command.run_key if anew else None)
    forget = noted["key"]
    if anew:
        return Plan(command.run_key, forget)
    other = (noted["program"], noted["inputs"]) != (command.program, command.inputs)
    if other and not resume:
        raise RefusedError(
            f"the key {command.key!r} belongs to another command ({noted['program']} with"
            f" {', '.join(noted['inputs'])}): take another key, or --anew"
        )
    code, content = noted["code"] != command.code, noted["content"] != command.content
    if not (code or content or other):
        return Plan(noted["key"])
    if not resume:
        if not has_results(forget):  # nothing of it is worth a question
            return Plan(command.run_key, forget)
        what = " and ".join(["the code"] * code + ["the inputs"] * content)
        have = "have" if content else "has"
        raise RefusedError(
            f"{what} {have} changed since results were recorded: --resume keeps these and goes on"
            " with what is left, --anew does all of it again"
        )
    return Plan(noted["key"])


def note_of(command: Command, plan: Plan) -> dict[str, Any]:
    """What is to be known of a command the next time."""
    return {
        "program": command.program,
        "inputs": command.inputs,
        "code": command.code,
        "content": command.content,
        "key": plan.key,
    }


def has_results(client: Client, key: str) -> bool:
    """Whether the master has recorded a result for the run of a key."""
    with contextlib.suppress(RefusedError):  # there is no such run
        return client.run(key).status().done > 0
    return False


class InOwnWords(logging.Filter):
    """Has the client library say once, and as the user of a command can do it, that code is mixed.

    A command may find its run twice: for what has failed, and for what is left.
    """

    _told = False

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be logged. It may change the line."""
        if not isinstance(record.args, tuple) or record.args[-1:] != (REMEDY,):
            return True
        told, self._told = self._told, True
        record.args = (*record.args[:-1], "--anew runs all of it again")
        return not told


def renew(client: Client, key: str, start: Start) -> None:
    """Have all of a run that is left run with the code of `start`, and what has failed once more.

    Does nothing if there is no such run. Raises RefusedError if the run can't have that code.
    """
    try:
        run = client.run(key)
        has_failed = run.status().dead > 0
    except RefusedError:  # there is no such run
        return
    client._call(lambda c: start_run(c.session, start, key))
    if has_failed:
        with contextlib.suppress(RefusedError):  # somebody else has done it
            run.retry()


def forget(client: Client, key: str) -> None:
    """Remove a run, if it is there."""
    with contextlib.suppress(RefusedError):
        run = client.run(key)
        with contextlib.suppress(RefusedError):  # it has ended
            run.cancel()
        run.wait(END_S)
        run.forget()
