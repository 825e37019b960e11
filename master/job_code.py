"""The code of jobs on its way to workers that lack it or have another version.

Owns where it may go: to encrypted sessions, and in clear no further than this machine and the
network of a compose project.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from queue_manager.errors import QueueError, RefusedError
from queue_manager.loading import job_files, version_of
from queue_manager.messages import AskCode, Code
from queue_manager.peer import Peer
from queue_manager.records import FRAME_BYTES

from .answers import refuse, send

MOST_BYTES = FRAME_BYTES - 64 * 1024


class CodeDesk:
    """Hands out the files of jobs.

    Args:
        folder: of the jobs.
        near: whether nobody but this machine and its compose network reaches the master.
    """

    def __init__(self, folder: Path, *, near: bool) -> None:
        self._folder, self._near = folder, near
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, peer: Peer, message: AskCode) -> None:
        """Answer `AskCode`. Raises RefusedError on a link that anybody could read or change."""
        if not (peer.encrypted or peer.is_local or self._near):
            raise RefusedError("code of jobs goes over encrypted connections only: see QUEUE_TLS")
        task = asyncio.get_running_loop().create_task(self._answer(peer, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, peer: Peer, message: AskCode) -> None:
        try:
            files = await asyncio.to_thread(job_files, message.job, self._folder)
            if version_of(files) != message.version:
                raise RefusedError(f"jobs/{message.job}.py has just changed")
            size = sum(map(len, files.values()))
            if size > MOST_BYTES:
                raise RefusedError(
                    f"jobs/{message.job}.py and the files that it imports have {size:,} bytes, more"
                    f" than the {MOST_BYTES:,} that travel: put them into the worker's image"
                )
        except QueueError as error:
            refuse(peer, message.seq, str(error))
        else:
            send(peer, Code(message.seq, message.job, message.version, files))
