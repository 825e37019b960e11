"""What `qm shell` does: commands out, outcomes in, until all have ended or it gives up."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import Any, NamedTuple

from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.calls import start_of
from queue_manager.client.connection.session import CONNECT_S
from queue_manager.client.progress import bar_of
from queue_manager.errors import OutputError, QueueError, ReaderGoneError, RefusedError
from queue_manager.job.contract import Options
from queue_manager.shell.order import KEEP_BYTES, Order, check_of
from queue_manager.shell.template import Template
from queue_manager.wire.messages import Accepted, CancelRun, TasksCancelled

from ..own.asynchronous import Master
from ..own.workspace import ROOT
from ..text.printing import exactly, tell
from .halt import NEVER, Halt
from .inputs import Given, Stop
from .joblog import Joblog, joblog_at
from .keyed import Keyed, note_of
from .outcome import Outcome, line_of, task_of
from .output import Form, failed_line, show

JOB = "shell"
LARGE = ROOT / "large"
"""Where large outputs are if the command has its own master."""

TOLD = 10
"""How many failed commands are told one by one where no line of JSON says so."""

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
            shelling = _Shelling(client, plan, joblog, master)
            try:
                await shelling.run()
            except ReaderGoneError:
                rest = rest_line(plan.key, master.own)
                raise OutputError(
                    f"nobody reads the output any more; {shelling.counts()}, and {rest}"
                ) from None
    return shelling.tell_end()


def rest_line(key: str | None, own: bool) -> str:
    """What becomes of the commands that have not ended, when there is no call any more.

    own: the master is the call's own.
    """
    if key is None:
        return "what has not ended is cancelled"
    if own:
        return "the same command runs the rest"
    return f"the rest runs on: qm cancel {quote(key)} ends it"


class _HaltedError(Exception):
    """In the place of further inputs: a run with a key gets them from a later call."""


class _Sent(NamedTuple):
    """An input whose command has not ended. check: as of `Order`."""

    given: str
    command: str | bytes
    check: int | None


_NONE = _Sent("", "", -1)
"""In the place of an input that was not given. No result has its check."""


class _Shelling:
    """One call of `qm shell`.

    failed, done: how many commands have failed, and have ended. cancelled: how many an earlier call
    with the same key has cancelled.
    """

    def __init__(self, client: AsyncClient, plan: Plan, joblog: Joblog, master: Master) -> None:
        self._client, self._plan, self._joblog = client, plan, joblog
        self._pending: dict[int, _Sent] = {}
        self._stop = Stop()
        self._halted = False
        self.given = self.failed = self.done = self.cancelled = 0
        most = client.session.welcome.max_bytes
        keep_bytes = min(most * 3 // 8, 2 * KEEP_BYTES)
        self._own = own = master.own
        self._may_work = master.may_work
        self._keyed: Keyed | None = None
        if plan.key is not None:
            note = note_of(plan.template, plan.order.folder, plan.given.digest())
            self._keyed = Keyed(plan.key, note, master)
        self._tells = plan.form != "jsonl"
        self._drops = own and not plan.order.large and plan.key is None
        large = plan.order.large or (str(LARGE.absolute()) if own else "")
        self._order = plan.order._replace(keep_bytes=keep_bytes, large=large)

    async def run(self) -> None:
        """Run all commands. Raises as `run_commands`."""
        if self._keyed is not None:
            await self._keyed.check_note(self._client.session)
        self._may_work.set()
        try:
            await self._run()
        except _HaltedError:
            return
        except QueueError:
            if self._keyed is not None and self._client.session.up:
                await self._keyed.check_active(self._client.session)
            raise

    async def _run(self) -> None:
        async with contextlib.aclosing(self._results()) as results:
            async for value in results:
                outcome = await self._outcome(value)
                if outcome is None:
                    continue
                self.done += 1
                self.failed += not outcome.is_success
                self._joblog.add(outcome)
                show(outcome, self._plan.form, self._drops)
                if self._tells and not outcome.is_success and self.failed <= TOLD:
                    tell(failed_line(outcome))
                if not self._halted and self._plan.halt.reached(self.failed, self.done):
                    self._halted = True
                    self._stop.set()
                if self._halted:
                    if self._plan.halt.when == "now":
                        await self._cancel_all()
                        return
                    await self._cancel_unstarted()

    def counts(self) -> str:
        """How many commands have ended, and how."""
        return f"{self.done:,} command{'s have' if self.done != 1 else ' has'} ended"

    def tell_end(self) -> int:
        """Say what is not as it was wanted. Returns the exit code."""
        if self._halted:
            left = self.given - self.done
            failed = f"{self.counts()}, {self.failed:,} of them failed"
            tell(f"qm: halted: {failed}; {left:,} more inputs were read")
            return int(self._plan.halt.what != "success" and self.failed > 0)
        if self.cancelled:
            one = self.cancelled == 1
            tell(
                f"qm: {self.cancelled:,} command{' was' if one else 's were'} cancelled before, for"
                f" example by --halt, and do{'es' * one} not run with this key: take another one"
            )
        if self.failed:
            more = f"; the first {TOLD} are above, and --joblog names all"
            more *= self._tells and self.failed > TOLD
            tell(f"qm: {self.failed:,} of {self.done:,} commands failed{more}")
        return int(self.failed + self.cancelled > 0)

    async def _outcome(self, value: Any) -> Outcome | None:
        """What became of a command. None: it was cancelled.

        Raises RefusedError if it is not of an input of this call.
        """
        keyed, result, error = self._keyed, None, ""
        if isinstance(value, BaseException):
            seq = task_of(value)
            if seq is None:
                self.cancelled += not self._halted
                return None
            error = line_of(value)
        else:
            seq, result = value["seq"], value
        sent = self._pending.pop(seq, _NONE)
        if keyed is not None and result is not None:
            keyed.check(seq, sent.check, result.get("check"))
        elif keyed is not None and keyed.once and seq <= keyed.had:  # a failure says nothing
            run = self._client.maps[-1].run
            await keyed.check_task(self._client.session, run, seq, sent.check)
        return Outcome(seq, sent.given, sent.command, result, error)

    async def _cancel_all(self) -> None:
        """Have nothing run on. The rest of an own master's run is for the next call."""
        if self._plan.key is None or self._own:
            return
        for mapping in self._client.maps:
            cancel = partial(CancelRun, run=mapping.run)
            with contextlib.suppress(RefusedError):  # it has just ended
                await self._client.session.call_idempotent(cancel, Accepted)

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

    def _mapped(self, work: Any, options: Options | None = None) -> AsyncGenerator[Any, None]:
        plan, key = self._plan, self._plan.key
        inputs = self._coming() if plan.given.waits else self._at_once()
        start = start_of(work, (inputs,), options, lasting=key is not None, once=True)
        if self._keyed is not None:
            start = partial(start, args=self._keyed.note)
        how = {"ordered": plan.keeps_order, "return_exceptions": True, "buffer": None}
        bar = bar_of(work, None) if plan.shows_progress else contextlib.nullcontext()
        return self._client._map(start, key, (inputs,), how, bar)

    def _at_once(self) -> Iterator[dict[str, Any]]:
        self._begin()
        for given in self._plan.given.at_once():
            if self._stop.is_set:
                break
            yield self._payload(given)
        self._end()

    async def _coming(self) -> AsyncIterator[dict[str, Any]]:
        self._begin()
        async for given in self._plan.given.coming(self._stop):
            payload = self._payload(given)
            if self._keyed is not None and self.given == self._keyed.had:
                # Behind it is what has never run: nothing of that begins for another input.
                run, check = self._client.maps[-1].run, payload.get("check")
                await self._keyed.check_task(self._client.session, run, self.given, check)
            yield payload
        self._end()

    def _begin(self) -> None:
        """The first input is asked for: the run is there."""
        if self._keyed is not None:
            self._keyed.had = self._client.maps[-1].feed.accepted

    def _end(self) -> None:
        if self._keyed is None:
            return
        if self._stop.is_set:
            raise _HaltedError
        self._keyed.check_count(self.given)

    def _payload(self, given: str) -> dict[str, Any]:
        self.given += 1
        command = self._plan.template.command(given, self.given)
        check = None if self._keyed is None else check_of(given, command)
        self._pending[self.given] = _Sent(given, command, check)
        order = self._order._replace(command=command, seq=self.given, check=check)
        return order.payload()
