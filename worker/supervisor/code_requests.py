"""Requests for code of jobs, and the master's answers.

This module owns which request is for which version, in one session. It does not know what becomes
of the files.
"""

from __future__ import annotations

from collections.abc import Callable

from queue_manager.errors import JobError
from queue_manager.wire.messages import AskCode, Code, Refused, Reply
from queue_manager.wire.tls import CODE_IN_CLEAR

from ..jobs.code_folder import CodeFolders
from .link_protocol import AnyLink


class CodeRequests:
    """Asks for code, over links that are encrypted or within this machine only.

    Args:
        link: the session with the master.
        next_seq: gives the number of a new request.
    """

    def __init__(self, link: AnyLink, next_seq: Callable[[], int]) -> None:
        self.folders = CodeFolders(self._ask)
        self._link, self._next_seq = link, next_seq
        self._versions: dict[int, str] = {}

    def begin_session(self) -> None:
        """Forget the requests of the session before, which get no answer any more."""
        self._versions.clear()
        self.folders.forget_asked()

    def _ask(self, job: str, version: str) -> None:
        if not self._link.carries_code:
            raise JobError(f"its jobs/{job}.py is not the master's, and {CODE_IN_CLEAR}")
        seq = self._next_seq()
        self._versions[seq] = version
        self._link.send(AskCode(seq, job, version))

    def takes(self, message: Reply) -> bool:
        """Take a message if it answers one of these requests. Returns whether it did."""
        if not isinstance(message, Code | Refused) or message.seq not in self._versions:
            return False
        version = self._versions.pop(message.seq)
        if isinstance(message, Refused):
            self.folders.refused(version, message.error)
        elif self._link.carries_code:
            self.folders.came(message.job, version, message.files)
        return True

    def close(self) -> None:
        """Delete the fetched code, because the worker ends."""
        self.folders.close()
