"""The master of a command with a loop: the one at QUEUE_HOST, or one for this command alone.

`synchronous` makes the same choice for a command that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NamedTuple

from queue_manager.authkey import find_authkey
from queue_manager.errors import QueueError
from queue_manager.lifeline import hide_key
from queue_manager.settings import Settings

from ...processes.own_master import OwnMaster
from .relaying import pass_on
from .workspace import Workspace


class Master(NamedTuple):
    """A master that a command may ask.

    settings: say where it is. own: it ends with the command. may_work: the command sets it when
    what is left of the same command before may run; else an own master with a store has no worker.
    """

    settings: Settings
    authkey: bytes
    own: bool
    may_work: threading.Event


Command = Callable[[Master], Coroutine[Any, Any, int]]


def with_master(settings: Settings, name: str, command: Command) -> int:
    """Run a command with the master at QUEUE_HOST, else with an own one. Returns its exit code.

    name: as of `Workspace`, for an own master.

    Raises what the command raises, and QueueError if there can be no own master.
    """
    if settings.queue_host_set:
        authkey = find_authkey(settings)
        hide_key()
        return asyncio.run(command(Master(settings, authkey, False, threading.Event())))
    return with_own_master(settings, name, command)


def with_own_master(
    settings: Settings, name: str, command: Command, jobs: Path | None = None
) -> int:
    """Run a command with a master and a worker of its own. Returns its exit code.

    jobs: the folder of their jobs; None: they have none. Raises as `with_master`.
    """
    hide_key()
    with Workspace(name) as workspace:
        may_work = threading.Event()
        if workspace.is_empty:
            may_work.set()
        if jobs is not None:
            (workspace.folder / "jobs").symlink_to(jobs.resolve())
        with OwnMaster(workspace.folder, settings.worker_slots, pass_on, may_work) as own:
            own.wait()
            master = Master(own.reached(settings), own.authkey, True, may_work)
            try:
                return asyncio.run(_cut_off_by(own, command, master))
            except (QueueError, asyncio.CancelledError):
                own.check()
                raise


async def _cut_off_by(own: OwnMaster, command: Command, master: Master) -> int:
    """Run the command until it has ended, or its master can go on no longer: it is cancelled then.

    `OwnMaster.check` says why.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # this is a coroutine

    def cancel(_: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(task.cancel)

    own.on_trouble(cancel)
    return await command(master)
