"""Tells clients which jobs the folder has, and what one of them takes."""

from __future__ import annotations

from pathlib import Path

from queue_manager.environments.python import OWN
from queue_manager.wire.messages import AskJobs, JobList

from ..turn.answer import PeerReply, Replying
from .check import describe_jobs
from .pythons import Pythons

MOST = 1_000
"""One answer lists no more jobs."""


class JobViews:
    """Answers `AskJobs`. folder: of the jobs. pythons: what looks at each."""

    def __init__(self, folder: Path, pythons: Pythons) -> None:
        self._folder, self._pythons = folder, pythons
        self._replying = Replying()

    def show(self, reply: PeerReply, message: AskJobs) -> None:
        """Answer when a process of its own has looked. That runs the code of a job alone."""
        self._replying.begin(reply, self._jobs(message))

    async def _jobs(self, message: AskJobs) -> JobList:
        python = await self._pythons.for_look(message.job) if message.job else OWN
        jobs = await describe_jobs(message.job, self._folder, python)
        return JobList(message.seq, jobs[:MOST], max(0, len(jobs) - MOST))
