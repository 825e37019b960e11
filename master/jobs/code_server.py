"""Sends the code of jobs to workers that lack it or have another version.

Owns the rule that code goes to encrypted sessions and to those within this machine only. Elsewhere
code in clear could be replaced on its way, and a worker would run the other code.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

from queue_manager.errors import RefusedError
from queue_manager.job.files import version_of
from queue_manager.job.loading import job_files
from queue_manager.wire.messages import AskCode, Code
from queue_manager.wire.records import FRAME_BYTES
from queue_manager.wire.tls import CODE_IN_CLEAR

from ..reads import ReadRequest
from ..turn.answer import PeerReply, Replying
from ..turn.turn import Turn

CODE_BYTES = FRAME_BYTES - 64 * 1024


class JobCodeServer:
    """Hands out the files of jobs: those that clients have uploaded, and those in a folder.

    Args:
        folder: of the jobs.
        turn: reads uploaded code from the store.
        one_machine: no other machine reaches the master, whatever a connection's addresses are.
    """

    def __init__(self, folder: Path, turn: Turn, one_machine: bool = False) -> None:
        self._folder = folder
        self._turn = turn
        self._one_machine = one_machine
        self._replying = Replying()

    def ask(self, reply: PeerReply, message: AskCode) -> None:
        """Answer `AskCode`. Raises RefusedError on a session that may not have code."""
        if not (reply.peer.carries_code or self._one_machine):
            raise RefusedError(CODE_IN_CLEAR)
        self._replying.begin(reply, self._code(message))

    async def _code(self, message: AskCode) -> Code:
        job, version = message.job, message.version
        known = await self._turn.read(ReadRequest(code={version}))
        files = known.code(version)
        if files is None:
            files = await self._of_folder(job, version)
        return Code(message.seq, job, version, files)

    async def _of_folder(self, job: str, version: str) -> dict[str, bytes]:
        if any(run.uploaded and run.job == job for run in self._turn.broker.runs.values()):
            raise RefusedError(f"the code of {job} has just changed, or its run is gone")
        files = await asyncio.to_thread(job_files, job, self._folder)
        if version_of(files) != version:
            raise RefusedError(f"jobs/{job}.py has just changed")
        size = sum(map(len, files.values()))
        if size > CODE_BYTES:
            raise RefusedError(
                f"jobs/{job}.py and the files that it imports have {size:,} bytes, more than the"
                f" {CODE_BYTES:,} that travel: put them into the worker's image"
            )
        return files
