"""What `qm shell` does: commands out, outcomes in, until all have ended or it gives up."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.connection.session import CONNECT_S
from queue_manager.errors import OutputError, ReaderGoneError, RefusedError
from queue_manager.shell.order import KEEP_BYTES, Order, check_of
from queue_manager.shell.template import Template
from queue_manager.wire.messages import CancelRun, TasksCancelled

from ..own.asynchronous import Master
from ..own.workspace import ROOT
from ..text.printing import exactly, tell
from .halt import NEVER, Halt
from .inputs import Given, Stop
from .joblog import Joblog, joblog_at
from .outcome import Outcome, line_of, task_of
from .output import Form, show

JOB = "shell"
LARGE = ROOT / "large"
"""Where large outputs are if the command has its own master."""

_END = object()
_LACKS = (f"no job {JOB!r}", "a client has sent its code")
"""How a master refuses that has no such job, or had none when the run of a key began."""


@dataclass(frozen=True)
class Plan:
    """What the command line says.

    order: what is the same in all commands.
    """

    template: Template
    given: Given
    order: Order
    form: Form = "jsonl"
    keeps_order: bool = False
    halt: Halt = NEVER
    joblog: str | None = None
    key: str | None = None
    shows_progress: bool = False


async def run_commands(master: Master, plan: Plan) -> int:
    """Run the commands. Returns 0 if all have succeeded, else 1.

    Raises:
        InputError: the inputs can't be read. What was read before has run.
        OutputError: the output can't be written. What has not run is cancelled.
    """
    exactly()
    async with AsyncClient() as client:
        await client.open(master.settings, master.authkey, CONNECT_S)
        with joblog_at(plan.joblog) as joblog:
            shelling = _Shelling(client, plan, joblog, master.own)
            try:
                await shelling.run()
            except ReaderGoneError:
                raise OutputError(
                    f"nobody reads the output any more; {shelling.counts()}, and {shelling.rest()}"
                ) from None
    return shelling.tell_end()


class _Shelling:
    """One call of `qm shell`.

    failed, done: how many commands have failed, and have ended. cancelled: how many an earlier call
    with the same key has cancelled.
    """

    def __init__(self, client: AsyncClient, plan: Plan, joblog: Joblog, own: bool) -> None:
        self._client, self._plan, self._joblog = client, plan, joblog
        self._pending: dict[int, tuple[str, str | bytes]] = {}
        self._stop = Stop()
        self._halted = False
        self.given = self.failed = self.done = self.cancelled = 0
        most = client.session.welcome.max_bytes
        keep_bytes = min(most * 3 // 8, 2 * KEEP_BYTES)
        self._own = own
        self._drops = own and not plan.order.large and plan.key is None
        large = plan.order.large or (str(LARGE.absolute()) if own else "")
        self._order = plan.order._replace(keep_bytes=keep_bytes, large=large)

    async def run(self) -> None:
        """Run all commands. Raises as `run_commands`."""
        async with contextlib.aclosing(self._results()) as results:
            async for value in results:
                outcome = self._outcome(value)
                if outcome is None:
                    continue
                self.done += 1
                self.failed += not outcome.is_success
                self._joblog.add(outcome)
                show(outcome, self._plan.form, self._drops)
                if not self._halted and self._plan.halt.reached(self.failed, self.done):
                    self._halted = True
                    self._stop.set()
                if self._halted:
                    if self._plan.halt.when == "now":
                        return
                    await self._cancel_unstarted()

    def counts(self) -> str:
        """How many commands have ended, and how."""
        return f"{self.done:,} command{'s have' if self.done != 1 else ' has'} ended"

    def rest(self) -> str:
        """What becomes of the commands that have not ended."""
        if self._plan.key is None:
            return "what has not run is cancelled"
        if self._own:
            return "the same command runs the rest"
        return f"the rest runs on: qm cancel {self._plan.key} ends it"

    def tell_end(self) -> int:
        """Say what is not as it was wanted. Returns the exit code."""
        if self._halted:
            left = self.given - self.done
            failed = f"{self.counts()}, {self.failed:,} of them failed"
            tell(f"qm: halted: {failed}; {left:,} more inputs were read")
            return int(self._plan.halt.what != "success" and self.failed > 0)
        if self.cancelled:
            tell(
                f"qm: {self.cancelled:,} commands were cancelled before, for example by --halt, and"
                " do not run with this key: take another one"
            )
        if self.failed:
            tell(f"qm: {self.failed:,} of {self.done:,} commands failed")
        return int(self.failed + self.cancelled > 0)

    def _outcome(self, value: Any) -> Outcome | None:
        """What became of a command. None: it was cancelled."""
        if isinstance(value, BaseException):
            seq = task_of(value)
            if seq is None:
                self.cancelled += not self._halted
                return None
            result, error = None, line_of(value)
        else:
            seq, result, error = value["seq"], value, ""
        given, command = self._pending.pop(seq)
        check = None if result is None else result.get("check")
        if check not in (None, check_of(command)):
            raise RefusedError(
                f"the key {self._plan.key!r} has results of other commands, such as that of input"
                f" {seq}: take another key"
            )
        return Outcome(seq, given, command, result, error)

    async def _cancel_unstarted(self) -> None:
        """Have nothing begun that no worker has yet."""
        for mapping in self._client.maps:
            cancel = partial(CancelRun, run=mapping.run, unstarted=True)
            with contextlib.suppress(RefusedError):  # it has just ended
                await self._client.session.call_idempotent(cancel, TasksCancelled)

    # --- commands out ---

    async def _results(self) -> AsyncGenerator[Any, None]:
        """The results, by the job of the master. Without one, its code travels."""
        from queue_manager.shell.job import OPTIONS, shell

        results = self._mapped(shell, options=OPTIONS) if self._own else self._mapped(JOB)
        try:
            first = await anext(results, _END)
        except RefusedError as error:
            if self._own or not any(why in str(error) for why in _LACKS):
                raise
            results = self._mapped(shell, options=OPTIONS)
            first = await anext(results, _END)
        async with contextlib.aclosing(results):
            if first is not _END:
                yield first
                async for value in results:
                    yield value

    def _mapped(self, work: Any, **more: Any) -> Any:
        plan = self._plan
        inputs = self._coming() if plan.given.waits else self._at_once()
        return self._client.map(
            work,
            inputs,
            ordered=plan.keeps_order,
            return_exceptions=True,
            key=plan.key,
            progress=plan.shows_progress,
            **more,
        )

    def _at_once(self) -> Iterator[dict[str, Any]]:
        for given in self._plan.given.at_once():
            if self._stop.is_set:
                return
            yield self._payload(given)

    async def _coming(self) -> AsyncIterator[dict[str, Any]]:
        async for given in self._plan.given.coming(self._stop):
            yield self._payload(given)

    def _payload(self, given: str) -> dict[str, Any]:
        self.given += 1
        command = self._plan.template.command(given, self.given)
        self._pending[self.given] = given, command
        return self._order._replace(command=command, seq=self.given).payload()
