"""`qm check`: one task of a job, run as a worker would, without a trace of it anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import time
from functools import partial
from pathlib import Path

from queue_manager import codec
from queue_manager.client.asynchronous import AsyncClient
from queue_manager.client.calls import start_of
from queue_manager.client.connection.session import CONNECT_S
from queue_manager.errors import SettingsError, UnknownJobError
from queue_manager.plain.as_json import shown
from queue_manager.settings import Settings
from queue_manager.terminal import text_of
from queue_manager.wire.job_records import JobInfo
from queue_manager.wire.records import RunOptions

from ..jobs.check import first_task
from ..jobs.pythons import python_for
from .own.asynchronous import Master, with_master, with_own_master
from .text.printing import say

_SHOWN = 300


def check_job(settings: Settings, job: str, args: list[str]) -> int:
    """Take the first task of a job, run it, and print what came of it. Returns the exit code.

    It runs in a slot of a worker for this command alone. Where no worker is installed, as in the
    master's image, the master at QUEUE_HOST has it run by one of its workers.

    Raises RefusedError with the line that says what is wrong with the job or its arguments.
    """
    folder = settings.jobs_folder
    if not folder.is_dir():
        raise UnknownJobError(f"there is no folder {folder}/ here: qm check looks at its jobs")
    described, first = asyncio.run(_first(settings, job, args))
    say(f"{job}: its file loads, and has {_list(described.functions)}")
    if first is None:
        say("tasks() gives no task, so a run would be done at once")
        return 0
    command = partial(_run, described, codec.decode(first))
    if importlib.util.find_spec("worker") is not None:
        return with_own_master(settings, "", command, Path(folder))
    if not settings.queue_host_set:
        raise SettingsError("no worker is installed here: set QUEUE_HOST to a master that has some")
    return with_master(settings, "", command)


async def _first(settings: Settings, job: str, args: list[str]) -> tuple[JobInfo, bytes | None]:
    python = await python_for(settings, job)
    return await first_task(job, args, settings.jobs_folder, python)


async def _run(job: JobInfo, payload: object, master: Master) -> int:
    say(f"  first task  {_short(shown(payload))}")
    async with AsyncClient() as client:
        await client.open(master.settings, master.authkey, CONNECT_S)
        began = time.monotonic()
        value: object
        start = start_of(job.name, ([payload],), None, lasting=False, once=True)
        start = partial(start, options=RunOptions(attempts=1))  # the others would say the same
        how = {"ordered": True, "return_exceptions": True, "buffer": None}
        bar = contextlib.nullcontext()
        async for value in client._map(start, None, ([payload],), how, bar):
            took = f"{time.monotonic() - began:.2f} s, with the start of its slot"
            if isinstance(value, BaseException):
                return _failed(job, value, took)
            say(f"  result      {_short(shown(value))}", f"  took        {took}")
            if "collect" in job.functions:
                say("  then        collect(payload, result), where the master is")
    return 0


def _failed(job: JobInfo, error: BaseException, took: str) -> int:
    line = f"{type(error).__name__}: {text_of(error)}"
    say(f"  failed      {_short(line)}", f"  took        {took}")
    say("  then        a run tries it as often as its OPTIONS say: qm failed RUN shows it then")
    if error.__cause__ is not None:
        say(*(f"  | {line}" for line in str(error.__cause__).strip('\n"').splitlines()))
    return 1


def _list(names: list[str]) -> str:
    return ", ".join(f"{name}()" for name in names)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ... ({len(text):,} characters)"
