"""A slot becomes one of an environment: the same process goes on with another interpreter.

This module owns what is handed over: the pipe, the shared page, and the orders that were read from
the pipe and not yet carried out. A slot that has imported a job can't do this, and leaves instead.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from queue_manager.environments.layout import python_of, variables

from ..ipc.pipe import Give, SlotEnd


def become(args: list[str], end: SlotEnd, give: Give) -> NoReturn:
    """Replace this process by a slot of the environment of `give`, which begins with that lease.

    args: those of the slot's program: its descriptors, its supervisor, its folder.

    Raises:
        OSError: the interpreter can't be started, or there is no memory for the orders.
    """
    orders = end.unread(give)
    kept = _in_memory(orders)
    inherited = [int(args[0]), int(args[1]), kept]
    python = str(python_of(give.environment))
    words = [python, "-m", "worker.slot.main", *args[:4], give.environment, str(kept)]
    sys.stdout.flush()
    sys.stderr.flush()
    for descriptor in inherited:
        os.set_inheritable(descriptor, True)
    try:
        os.execve(python, words, variables(give.environment, os.environ))
    finally:  # it has failed
        for descriptor in inherited:
            os.set_inheritable(descriptor, False)
        os.close(kept)


def handed_over(descriptor: int) -> bytes:
    """The orders of the slot that this process was before."""
    with open(descriptor, "rb") as file:
        return file.read()


def _in_memory(data: bytes) -> int:
    """The descriptor of a file without a path that holds these bytes."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("quartermaster-orders")
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
