"""Sends the code of jobs to workers that lack it or have another version.

Owns the rule that code goes to encrypted sessions only, without exception. Code in clear could be
replaced on its way, and a worker would run the other code.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from queue_manager.errors import RefusedError
from queue_manager.job.loading import job_files, version_of
from queue_manager.wire.messages import AskCode, Code
from queue_manager.wire.records import FRAME_BYTES
from queue_manager.wire.tls import CODE_IN_CLEAR

from ..turn.answer import PeerReply, Replying

CODE_BYTES = FRAME_BYTES - 64 * 1024


class JobCodeServer:
    """Hands out the files of jobs.

    Args:
        folder: of the jobs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._replying = Replying()

    def ask(self, reply: PeerReply, message: AskCode) -> None:
        """Answer `AskCode`. Raises RefusedError on a session in clear."""
        if not reply.peer.encrypted:
            raise RefusedError(CODE_IN_CLEAR)
        self._replying.begin(reply, self._code(message))

    async def _code(self, message: AskCode) -> Code:
        files = await asyncio.to_thread(job_files, message.job, self._folder)
        if version_of(files) != message.version:
            raise RefusedError(f"jobs/{message.job}.py has just changed")
        size = sum(map(len, files.values()))
        if size > CODE_BYTES:
            raise RefusedError(
                f"jobs/{message.job}.py and the files that it imports have {size:,} bytes, more"
                f" than the {CODE_BYTES:,} that travel: put them into the worker's image"
            )
        return Code(message.seq, message.job, message.version, files)
