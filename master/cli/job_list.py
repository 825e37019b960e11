"""`qm jobs`: the jobs of the master, or of the folder here if there is no master."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from queue_manager.authkey import find_authkey
from queue_manager.client.connection.session import connected
from queue_manager.environments.python import OWN
from queue_manager.errors import SettingsError, UnreachableError
from queue_manager.settings import Settings
from queue_manager.terminal import harmless_line
from queue_manager.wire.job_records import ArgumentInfo, JobInfo
from queue_manager.wire.messages import AskJobs, JobList

from ..jobs.check import describe_jobs
from ..jobs.pythons import python_for
from .text.printing import tell, tell_trouble, write

_CONNECT_S = 2.0


async def show_jobs(settings: Settings, job: str) -> int:
    """Print all jobs, or all of one. Returns the exit code.

    Raises RefusedError with the line that says what is wrong with the job.
    """
    jobs, more = await _jobs(settings, job)
    if job:
        write(job_lines(jobs[0]))
        return 0
    if not jobs:
        tell(f"qm: there are no jobs in {settings.jobs_folder}/: put one at NAME.py there")
    write(list_lines(jobs))
    if more:
        write([f"... and {more:,} more"])
    return 0


async def _jobs(settings: Settings, job: str) -> tuple[list[JobInfo], int]:
    try:
        key = find_authkey(settings)
        async with connected(settings, key, tell_trouble, _CONNECT_S) as client:
            answer = await client.call_idempotent(partial(AskJobs, job=job), JobList)
            return answer.jobs, answer.more
    except (SettingsError, UnreachableError):
        if not settings.jobs_folder.is_dir():
            raise
    tell(f"qm: there is no master here; these are jobs of the folder {settings.jobs_folder}/")
    python = await python_for(settings, job) if job else OWN
    return await describe_jobs(job, settings.jobs_folder, python), 0


def list_lines(jobs: list[JobInfo]) -> Iterator[str]:
    """A line for each job."""
    width = max((len(job.name) for job in jobs), default=0)
    for job in jobs:
        about = f"! {job.trouble}" if job.trouble else job.about
        yield f"{job.name:<{width}}  {about}".rstrip()


def job_lines(job: JobInfo) -> Iterator[str]:
    """All of one job."""
    yield f"{job.name}: {job.about}" if job.about else job.name
    yield f"  functions  {', '.join(job.functions)}"
    if job.options:
        yield f"  options    {', '.join(job.options)}"
    if "tasks" not in job.functions:
        yield "  It has no tasks(): programs give it its inputs."
        return
    yield ""
    if job.arguments:
        yield from _table(job.arguments)
    if job.more:
        yield "  and arguments of any other name"
    elif not job.arguments:
        yield "  It takes no arguments."
    needed = "".join(f" {one.name}=..." for one in job.arguments if one.default is None)
    yield ""
    yield f"To run it: qm submit {job.name}{needed}"


def _table(arguments: list[ArgumentInfo]) -> Iterator[str]:
    """A line for each argument, and below it what it is for."""
    name_width = max(len(one.name) for one in arguments)
    kind_width = max(len(harmless_line(one.kind)) for one in arguments)
    for one in arguments:
        default = "must be given" if one.default is None else f"default {one.default}"
        yield f"  {one.name:<{name_width}}  {one.kind:<{kind_width}}  {default}"
        if one.about:
            yield f"  {'':<{name_width}}  {one.about}"
