"""Calls a function with each input, and writes the results in the order of the inputs."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from queue_manager.client.calls import start_of
from queue_manager.client.code import fingerprint, pack
from queue_manager.client.synchronous import Client
from queue_manager.errors import OutputError
from queue_manager.settings import Settings

from ..own.synchronous import client_of
from ..own.workspace import Workspace
from ..text.printing import check_output, tell
from .function import DEFAULT, Named, load_function
from .inputs import STDIN, Form, Inputs
from .outputs import Failures, Output, pair_line, result_line
from .places import Places
from .resuming import (
    Command,
    InOwnWords,
    Plan,
    forget,
    has_results,
    note_of,
    planned,
    renew,
)
from .streaming import AHEAD, streamed
from .watching import Watch

_NAME_LETTERS = 60


@dataclass(frozen=True)
class Wish:
    """The command line. program: FILE or FILE:FUNCTION."""

    program: str
    inputs: tuple[str, ...]
    form: Form | None
    with_input: bool
    output: str | None
    failed: str | None
    key: str | None
    resume: bool
    anew: bool


def run_map(settings: Settings, wish: Wish) -> int:
    """Do what the command line says. Returns the exit code: 1 if an input has failed.

    Raises QueueError with one line, for all that is wrong.
    """
    if wish.output is None:
        check_output()
    logging.getLogger("quartermaster.client").addFilter(InOwnWords())
    inputs = Inputs(wish.inputs, wish.form, settings.queue_max_bytes)
    named = load_function(wish.program, settings)
    command = Command(
        f"{named.path}:{named.name}",
        inputs.names,
        fingerprint(pack(named.function).files),
        inputs.digest() if inputs.repeatable else "",
        wish.key,
    )
    with Workspace(command.name) as workspace:

        def asked(key: str) -> bool:
            # No worker: what is left would run with the code of before, and nobody has agreed.
            with client_of(settings, workspace.folder, may_work=threading.Event()) as client:
                return has_results(client, key)

        noted = workspace.noted()
        plan = planned(command, noted, asked, resume=wish.resume, anew=wish.anew)
        return _Mapping(settings, wish, named, inputs, command, plan, workspace).run()


@dataclass(frozen=True)
class _Mapping:
    """One command that may begin."""

    settings: Settings
    wish: Wish
    named: Named
    inputs: Inputs
    command: Command
    plan: Plan
    workspace: Workspace

    def run(self) -> int:
        """Returns the exit code."""
        wish, owner = self.wish, self.workspace.folder.name
        output = Path(wish.output) if wish.output else None
        with contextlib.ExitStack() as stack:
            places = Places(self.named.path.parent)
            failures = stack.enter_context(self._failures(places))
            if output is not None and os.path.realpath(output) == os.path.realpath(failures.path):
                raise OutputError(f"{output} can't have both results and failures: name two files")
            lines = stack.enter_context(Output(output, owner))
            # Behind both: a command that may not write has forgotten nothing.
            if self.plan.forget is not None and not self.settings.queue_host_set:
                self.workspace.clear()
            folder, may_work = self.workspace.folder, threading.Event()
            if self.workspace.is_empty:  # then nothing is left that has other code
                may_work.set()
            with client_of(self.settings, folder, places.in_line, may_work) as client:
                try:
                    with self._watch(client):
                        self._begin(client)
                        may_work.set()
                        self._write_all(client, lines, failures)
                except KeyboardInterrupt:
                    self._tell_interrupted()
                    raise
                lines.finish()
                failures.finish()
                self._leave(client, failures)
            if not failures.count:  # behind the own master, which has its files in there
                self.workspace.remove()
        return 1 if failures.count else 0

    def _watch(self, client: Client) -> Watch:
        own = not self.settings.queue_host_set
        return Watch(client, self.plan.key, self.named.file, own=own)

    def _failures(self, places: Places) -> Failures:
        """The file of failures. Where another command has it, this one's gets a longer name."""
        owner = self.workspace.folder.name
        made = partial(Failures, command=owner, shown=places.in_text)
        if self.wish.failed:
            return made(Path(self.wish.failed))
        longer = Path(self._failures_name(f".{owner.rpartition('-')[2]}"))
        if not os.path.lexists(longer):
            with contextlib.suppress(OutputError):
                return made(Path(self._failures_name()))
        return made(longer)

    def _failures_name(self, end: str = "") -> str:
        first, *others = (self.wish.inputs or (STDIN,)) if not self.wish.key else (self.wish.key,)
        given = "stdin" if first == STDIN else Path(first).stem
        function = "" if self.named.name == DEFAULT else f".{self.named.name}"
        more = f"+{len(others)}" if others else ""
        return f"{self.named.path.stem}{function}.{given[:_NAME_LETTERS]}{more}{end}.failed.jsonl"

    def _begin(self, client: Client) -> None:
        """Have the run of before, if there is one, go on with this code."""
        if self.plan.forget is not None:
            forget(client, self.plan.forget)
        # Behind the forgetting: a command that dies before has forgotten nothing, and must say so.
        # Before the run gets this code: else its results would pass for those of the code before.
        self.workspace.note(**note_of(self.command, self.plan))
        if self.plan.key is not None:
            start = start_of(self.named.function, ([],), None, lasting=True, once=True)
            renew(client, self.plan.key, start)

    def _write_all(self, client: Client, lines: Output, failures: Failures) -> None:
        kept = _Kept(self.inputs)
        results = self._results(client, kept)
        with contextlib.closing(results):  # type: ignore[type-var]
            for number, value in enumerate(results, 1):
                is_failure = isinstance(value, BaseException)
                # What can be read once is held until it is asked for.
                asks = is_failure or self.wish.with_input or not self.inputs.repeatable
                given = kept.of(number) if asks else None
                if is_failure:
                    failures.add(number, given, value)
                if self.wish.with_input:
                    lines.write(pair_line(given, value))
                else:
                    lines.write("null" if is_failure else result_line(value))

    def _results(self, client: Client, kept: _Kept) -> Iterator[Any]:
        """The results, with exceptions in the places of those that have failed."""
        how: dict[str, Any] = {
            "key": self.plan.key,
            "return_exceptions": True,
            "progress": self.wish.output is not None or not os.isatty(1),
        }
        if self.inputs.repeatable:
            return client.map(self.named.function, kept, **how)
        return streamed(client, self.named.function, kept, buffer=AHEAD, **how)

    def _leave(self, client: Client, failures: Failures) -> None:
        """Forget what a master keeps, unless the same command is to try failed inputs again."""
        if failures.count:
            again = "; the same command tries again those alone" if self.plan.key else ""
            again += " (add --resume if you edit the code)" if again else ""
            count = f"{failures.count:,} input{'s' * (failures.count != 1)}"
            tell(f"qm: {count} failed: see {failures.path}{again}")
            return
        if self.plan.key is not None and self.settings.queue_host_set:
            forget(client, self.plan.key)

    def _tell_interrupted(self) -> None:
        goes_on = self.plan.key is not None
        tell(f"qm: interrupted{'; the same command goes on where it was' if goes_on else ''}")


class _Kept:
    """The inputs, each of which can be asked for once more when its result is there.

    Files are read a second time for that, beside the first. What can be read once stays in memory
    until then.
    """

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self._held: deque[Any] = deque()
        self._again: Iterator[Any] | None = iter(inputs) if inputs.repeatable else None
        self._next, self._last = 1, None

    def __iter__(self) -> Iterator[Any]:
        if self._again is not None:
            return iter(self._inputs)
        return self._holding()

    def __len__(self) -> int:
        return len(self._inputs)

    def of(self, number: int) -> Any:
        """The input of a result. Numbers count from 1, and never go back."""
        if number >= self._next:
            again = self._again or self._popped()
            self._last = next(islice(again, number - self._next, None))
            self._next = number + 1
        return self._last

    def _holding(self) -> Iterator[Any]:
        for item in self._inputs:
            self._held.append(item)
            yield item

    def _popped(self) -> Iterator[Any]:
        while self._held:
            yield self._held.popleft()
