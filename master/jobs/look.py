"""The child process that looks at a job: `python -m master.jobs.look FOLDER JOB ...`.

It imports code of the user, and writes its answer to standard output, which `check` reads. It loads
no event loop, because whoever submits a run waits for the answer.
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from pathlib import Path

import msgspec

from queue_manager.environments.layout import hold_own
from queue_manager.errors import BadJobError, JobError
from queue_manager.job.arguments import decode_arguments, parse_arguments, shown_arguments
from queue_manager.job.description import description_of, jobs_of
from queue_manager.job.loading import UNASKED, load_job
from queue_manager.job.run_key import key_of_run
from queue_manager.job.run_options import run_options
from queue_manager.terminal import forgive_prints, text_of
from queue_manager.wire.job_records import JobInfo
from queue_manager.wire.records import RunOptions

ANSWER = "quartermaster-check:"
"""Stands before the answer, which is below what the job printed while it was imported."""

NO_ARGS, ARGS, FOLLOWS, SHOW, TAKE = "-", "--", "--after", "--show", "--take"
"""The word before the arguments: there are none to fit; they must fit; they must fit, and the run
is after others; the job is described, or all jobs of the folder if its name is empty; it is
described, and the first task of its `tasks()` is taken."""


class Checked(msgspec.Struct, frozen=True):
    """What the look has shown.

    error: one line, empty when the job is fine. shown: the arguments that are values, as texts.
    jobs: the descriptions that were asked for. first: the payload of the first task, encoded; None:
    there is none. key: that of a run with these arguments that is asked for without a key; empty:
    it has none.
    """

    error: str = ""
    options: RunOptions = RunOptions()
    shown: list[str] = []
    jobs: list[JobInfo] = []
    first: bytes | None = None
    key: str = ""


def show(folder: Path, name: str) -> Checked:
    """Describe a job, in this process. An empty name: all jobs, none of which is imported."""
    try:
        jobs = [description_of(load_job(name, folder, UNASKED))] if name else jobs_of(folder)
    except JobError as error:
        return Checked(str(error))
    return Checked(jobs=jobs)


def take(folder: Path, name: str, args: list[str]) -> Checked:
    """Describe a job, and take the first task of its `tasks()`, in this process."""
    from queue_manager import Task, codec  # late: no submit needs them

    try:
        job = load_job(name, folder, UNASKED)
        arguments = parse_arguments(args, job.tasks)
        described = [description_of(job)]
        if job.tasks is None:
            raise BadJobError(f"{name} has no tasks(), so there is no first task to take")
    except JobError as error:
        return Checked(str(error))
    try:
        for item in job.tasks(**arguments) or ():
            payload = item.payload if isinstance(item, Task) else item
            return Checked(jobs=described, first=codec.encode(payload))
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        said = f"{name}.tasks() line {frames[-1].lineno}: {type(error).__name__}: {text_of(error)}"
        return Checked(" ".join(said.split()))
    return Checked(jobs=described)


def look(
    folder: Path, name: str, args: list[str] | None, values: bytes = b"", follows: bool = False
) -> Checked:
    """Import the job and fit the arguments, in this process.

    args: texts; None: no arguments are fitted. values: encoded arguments. follows: the run is after
    others.
    """
    shown: list[str] = []
    key = ""
    try:
        job = load_job(name, folder, UNASKED)
        if args is not None:
            given = decode_arguments(values)
            arguments = parse_arguments(args, job.tasks, given, follows=follows)
            shown = shown_arguments(given)
            key = key_of_run(job, arguments)
    except JobError as error:
        return Checked(str(error))
    options = run_options(job.options, finish=job.finish is not None)
    return Checked(options=options, shown=shown, key=key)


def _values(size_bytes: int) -> bytes:
    """The arguments that are values, from standard input. The job finds nothing there."""
    if not size_bytes:
        return b""
    values = sys.stdin.buffer.read(size_bytes)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return values


def main() -> None:
    forgive_prints()  # of the job's import
    hold_own()
    folder, name, size_bytes, mark, *args = sys.argv[1:]
    values = _values(int(size_bytes))
    if mark == SHOW:
        checked = show(Path(folder), name)
    elif mark == TAKE:
        checked = take(Path(folder), name, args)
    else:
        given = None if mark == NO_ARGS else args
        checked = look(Path(folder), name, given, values, mark == FOLLOWS)
    # The answer has a line of its own, below what the job printed while it was imported.
    with contextlib.suppress(BrokenPipeError):  # the master has ended meanwhile
        sys.stdout.write("\n" + ANSWER + msgspec.json.encode(checked).decode())
        sys.stdout.flush()
    os._exit(0)  # a thread that the job started must not hold the answer back


if __name__ == "__main__":
    main()
