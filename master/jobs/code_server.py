"""The code of jobs on its way to workers that lack it or have another version.

Owns where it may go: to encrypted sessions, without exception. In clear, whoever is on the way
could put his own in its place, and a worker would run it.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from queue_manager.errors import QueueError, RefusedError
from queue_manager.job.loading import job_files, version_of
from queue_manager.server.connection import Peer
from queue_manager.wire.messages import AskCode, Code
from queue_manager.wire.records import FRAME_BYTES
from queue_manager.wire.tls import CODE_IN_CLEAR

from ..turn.answers import or_refuse, refuse, send

MOST_BYTES = FRAME_BYTES - 64 * 1024


class CodeDesk:
    """Hands out the files of jobs.

    Args:
        folder: of the jobs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, peer: Peer, message: AskCode) -> None:
        """Answer `AskCode`. Raises RefusedError on a session in clear."""
        if not peer.encrypted:
            raise RefusedError(CODE_IN_CLEAR)
        task = asyncio.get_running_loop().create_task(self._answer(peer, message))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(or_refuse(peer, message.seq))

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
