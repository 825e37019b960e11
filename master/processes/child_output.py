"""Reads what a child process writes to a pipe, until the child has ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator

LOOK_S = 0.5
_READ_BYTES = 4096


async def output_of(
    process: asyncio.subprocess.Process, stream: asyncio.StreamReader | None
) -> AsyncIterator[bytes]:
    """The output, in parts, until the child has ended.

    A process that the child left behind may hold the pipe open for ever.
    """
    assert stream is not None  # a pipe was asked for
    ended = False
    while True:
        try:
            async with asyncio.timeout(LOOK_S):
                part = await stream.read(_READ_BYTES)
        except TimeoutError:
            if ended:
                return
            # The process may be reaped before its output is drained; read once more.
            ended = process.returncode is not None
            continue
        if not part:
            return
        yield part


def end_group(process: asyncio.subprocess.Process) -> None:
    """Kill a child that leads a group of its own, and all that is left of the group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
