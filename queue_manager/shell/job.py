"""The job of commands: what a slot runs for `qm shell`, and for `qm submit shell`."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from functools import lru_cache, partial
from typing import Any

from ..job.contract import Options, Reject, Retry
from ..job.current import CurrentTask, current_task
from .capture import Capture
from .order import MOST_TRIES, Order, order_of
from .process import Ended, run

LARGE = "/shared/shell"
"""Large outputs are here where the containers have their shared folder."""

SLOT_TRIES = 3
"""A command that ends the slot itself is tried so many times."""

OPTIONS = Options(attempts=MOST_TRIES)


def tasks(command: str, inputs: str = "", raw: bool = False) -> Iterator[dict[str, Any]]:
    """Run a command of the shell for each line of a file.

    Args:
        command: with {}, {.}, {/}, {//} or {#} where the line goes.
        inputs: the path of the file, on the master. Without it the command runs once.
        raw: lines are put in as they are, and not quoted.
    """
    from .template import Template  # late: a slot needs none

    if not inputs:
        yield Order(command, 1).payload()
        return
    template = Template(command, raw)
    with open(inputs, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, line in enumerate(file, 1):
            yield Order(template.command(line.removesuffix("\n"), number), number).payload()


def shell(payload: Any) -> dict[str, Any]:
    """Run one command. Returns how it has ended, and what it has printed."""
    try:
        order = order_of(payload)
    except ValueError as error:
        raise Reject(str(error)) from None
    task = _task()
    if task.attempt > max(order.retries, SLOT_TRIES):
        raise Reject(f"the command has ended its slot {task.attempt - 1} times")
    started_at = time.time()
    path = partial(_path, order, task)
    out, err = (Capture(order.keep_bytes, partial(path, end)) for end in ("out", "err"))
    try:
        ended = run(order.command, order.folder, order.timeout_s, _environment(task.run), out, err)
    except (OSError, ValueError) as error:
        raise Reject(
            f"the command can't be started: {_why(error)}{_remedy(order.folder)}"
        ) from None
    if not ended.is_success and task.attempt < order.retries:
        out.discard()
        err.discard()
        raise Retry(reason=said(ended))
    return {
        **({} if order.seq is None else {"seq": order.seq}),
        **({} if order.check is None else {"check": order.check}),
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "seconds": round(ended.seconds, 6),
        **({"timed_out": True} if ended.timed_out else {}),
        "started_at": round(started_at, 3),
        "host": _host,
        **out.told("stdout"),
        **err.told("stderr"),
    }


work = shell


def said(ended: Ended) -> str:
    """How a command has ended, for people."""
    how = f"exit code {ended.exit_code}" if ended.signal is None else ended.signal
    return f"the command took too long ({how})" if ended.timed_out else how


def _remedy(folder: str) -> str:
    """What to do if a worker lacks the folder, such as one in a container."""
    if not folder or os.path.isdir(folder):
        return ""
    return f": {_host} has no such folder, --workdir names another one"


_host = socket.gethostname()


def _task() -> CurrentTask:
    try:
        return current_task()
    except LookupError:  # somebody calls `work` by himself
        return CurrentTask(0, 0, 1)


def _environment(run: int) -> dict[bytes, bytes]:
    """What commands of a run have. Making it for each takes a fifth of a quick command's time."""
    return _environment_of(run) if run else dict(os.environb)


@lru_cache(maxsize=1)
def _environment_of(run: int) -> dict[bytes, bytes]:
    return dict(os.environb)


def _path(order: Order, task: CurrentTask, end: str) -> str:
    """The file for a large output. Empty: there is no folder for it."""
    folder = order.large or (LARGE if os.path.isdir(os.path.dirname(LARGE)) else "")
    if not folder:
        return ""
    return os.path.join(folder, f"{task.run}-{task.task}-{os.urandom(4).hex()}.{end}")


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return ": ".join(filter(None, [error.filename, error.strerror]))
    return "it has a zero byte" if "null" in str(error) else str(error)
