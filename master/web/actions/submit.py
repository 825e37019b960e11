"""Submit a run of a job, by a form that is made of the job's signature."""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections import OrderedDict
from functools import partial

import msgspec

from queue_manager.client.checking import numbers_of, text_of
from queue_manager.errors import ArgumentError, RefusedError
from queue_manager.job.tags import joined, split_tags
from queue_manager.trace import asked_traceparent
from queue_manager.wire.messages import AskRun, RunShown, RunStarted, StartRun
from queue_manager.wire.records import RunStatus

from ..link.master import BusyError
from ..pages.page import Asked, NothingThereError, View
from .action import Action, FieldError, Fields, Outcome
from .again import filled
from .ending import LONG_S
from .inputs import ARG, LINES, args_of, field_of, inputs_of

ONCE = "once"
"""A field that is another one in each form: two clicks on its button are one run."""

TRACE = "traceparent"
"""Of W3C's trace context: the run keeps it. Programs send a header of this name, or this field."""

FROM = "run"
"""In the address of a form: the run with whose arguments it is filled in."""

_OTHERS = ("key", "needs", "after", LINES, ONCE, TRACE)
_KEPT = 256
_SHOWN = 200


class Submits:
    """Submits runs. A form that is sent again, while it is new, gives the run that it gave.

    That holds for the same visitor, job and fields: with another number in it, it is another form.
    """

    def __init__(self) -> None:
        self._sent: OrderedDict[str, asyncio.Future[Outcome]] = OrderedDict()

    async def show(self, asked: Asked, fields: Fields) -> View:
        """The job, and a field for each of its arguments."""
        job = await asked.desk.jobs.one(asked.words["job"])
        once = fields.text(ONCE) or secrets.token_urlsafe(12)
        source, lost, arguments = asked.number(FROM), list[str](), job.arguments
        if source and not fields.text(ONCE):
            run = await _source(asked, source)
            fields, arguments, lost = filled(run, job)
        inputs = inputs_of(arguments, fields)
        of = {"fields": fields, "source": source, "lost": lost}
        return {"job": job, "inputs": inputs, "once": once, **of}

    async def carry_out(self, asked: Asked, fields: Fields) -> Outcome:
        """Submit the run."""
        if not fields.text(ONCE):
            return await self._submit(asked, fields)
        key = _form_of(asked, fields)
        known = self._sent.get(key)
        if known is not None and not await _stands(asked, known) and self._sent.get(key) is known:
            del self._sent[key]
        if key not in self._sent:
            self._sent[key] = asyncio.ensure_future(self._submit(asked, fields))
            while len(self._sent) > _KEPT:
                self._sent.popitem(last=False)
        return await asyncio.shield(self._sent[key])

    async def _submit(self, asked: Asked, fields: Fields) -> Outcome:
        make = request_of(asked.words["job"], fields, asked.traceparent)
        try:
            started = await asked.desk.master.ask(make, RunStarted, LONG_S)
        except BusyError:
            raise
        except RefusedError as error:
            job = await asked.desk.jobs.one(asked.words["job"])
            field = field_of(str(error), job.arguments)
            raise FieldError(field, str(error)) if field else error from None
        return _outcome(started, make(0))


async def _source(asked: Asked, number: int) -> RunStatus:
    """The run whose arguments are filled in. Raises NothingThereError for one of another job."""
    run = await asked.desk.recent.run(number)
    if run.job != asked.words["job"] or not number:
        raise NothingThereError(f"run {number} is of another job: {run.job[:_SHOWN]}")
    return run


def _form_of(asked: Asked, fields: Fields) -> str:
    """What tells a form that is sent again from another one."""
    texts = sorted((name, fields.texts(name)) for name in fields.names)
    said = msgspec.msgpack.encode([asked.words["job"], asked.visitor, texts])
    return hashlib.sha256(said).hexdigest()


async def _stands(asked: Asked, sent: asyncio.Future[Outcome]) -> bool:
    """Whether a form that was sent is on its way, or its run is still there."""
    if not sent.done():
        return True
    if sent.cancelled() or sent.exception():
        return False
    number = int(sent.result().of["run"])
    try:
        await asked.desk.master.ask(partial(AskRun, run=number), RunShown)
    except BusyError:
        raise
    except RefusedError:  # it was forgotten
        return False
    return True


def request_of(job: str, fields: Fields, traceparent: str = "") -> partial[StartRun]:
    """What is asked for. Raises FieldError for what no request can have.

    traceparent: of the request; the field counts before it.
    """
    for name in fields.names:
        if not name.startswith(ARG) and name not in _OTHERS:
            known = f"{ARG}NAME, {', '.join(_OTHERS)}"
            raise FieldError(name[:100], f"there is no field {name[:100]!r}; there are: {known}")
    args = [_text(_field_of_arg(arg, fields), arg) for arg in args_of(fields)]
    return partial(
        StartRun,
        job=job,
        args=args,
        key=_text("key", fields.text("key").strip()) or None,
        needs=_needs(fields),
        after=_after(fields),
        traceparent=_trace(fields.text(TRACE).strip() or traceparent.strip()),
    )


def _field_of_arg(arg: str, fields: Fields) -> str:
    field = ARG + arg.partition("=")[0]
    return field if field in fields.names else LINES


def _text(field: str, text: str) -> str:
    try:
        return text_of(field, text)
    except ArgumentError as error:
        raise FieldError(field, str(error)) from None


def _needs(fields: Fields) -> list[str]:
    text = ",".join(fields.texts("needs"))
    try:
        return joined(split_tags(text), ())
    except (ValueError, RefusedError) as error:
        raise FieldError("needs", f"{text[:_SHOWN]!r}: {error}, such as gpu,bigmem") from None


def _trace(text: str) -> str:
    try:
        return asked_traceparent(text)
    except ArgumentError as error:
        raise FieldError(TRACE, str(error)) from None


def _after(fields: Fields) -> list[int]:
    words = [word for text in fields.texts("after") for word in re.split(r"[\s,]+", text) if word]
    for word in words:
        if not (word.isascii() and word.isdecimal() and len(word) < 19):
            raise FieldError("after", f"{word[:_SHOWN]!r} is no number of a run, such as 1")
    try:
        return numbers_of([int(word) for word in words])
    except ArgumentError as error:
        raise FieldError("after", str(error)) from None


def _outcome(started: RunStarted, ask: StartRun) -> Outcome:
    run, created = started.run, started.created
    did = "was submitted" if created else "was there already, with this key"
    key = (started.key or ask.key or "")[:_SHOWN]
    of: dict[str, int | str] = {
        "run": run,
        "created": int(created),
        "key": key,
        "older": started.older,
    }
    return Outcome(f"/runs/{run}", f"run {run} of {ask.job} {did}", of, ask.job)


_submits = Submits()
SUBMIT = Action("/submit/{job}", "submit", _submits.show, _submits.carry_out, None)
