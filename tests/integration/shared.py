"""One master for many tests: its start and that of a worker take longer than most tests."""

from __future__ import annotations

import shutil
from pathlib import Path

from queue_manager.wire.messages import AskSessions, SessionList
from queue_manager.wire.records import SessionStatus
from tests.integration.processes import Master, eventually


class SharedMaster(Master):
    """A serving master. A test may restart it, and add workers.

    After a test `clean` makes it as it was at first, except for its log and its runs' numbers.
    with_worker: it has a worker with two slots from the start.
    """

    def __init__(self, folder: Path, *, with_worker: bool) -> None:
        super().__init__(folder, [])
        self._workers = [self.worker()] if with_worker else []
        self._own = self._files()

    def clean(self) -> None:
        """Remove what a test has left: more workers and clients, runs, files."""
        kept = [self.process, *self._workers]
        for process in kept:
            assert process.popen.poll() is None, f"a test has ended it:\n{process.log}"
        for process in reversed(self.started):
            if process not in kept:
                process.end()
        self.started[:] = kept
        eventually(self._forget_runs, what="no run is left")
        # A test that restarts the master may end before its worker has come back.
        eventually(lambda: len(self._connected()) >= len(self._workers), what="its worker is there")
        for path in self._files() - self._own:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def end(self) -> None:
        """End both processes, and what a test has left of others."""
        for process in reversed(self.started):
            process.end()

    def _forget_runs(self) -> bool:
        numbers = [str(run.run) for run in self.runs() if run.run]
        for number in numbers:
            self.command("cancel", number)  # refused where the run has ended
            self.command("forget", number)
        return not numbers

    def _connected(self) -> list[SessionStatus]:
        sessions = self.asked(AskSessions(1), SessionList).sessions
        return [one for one in sessions if one.role == "worker"]

    def _files(self) -> set[Path]:
        return {*self.folder.iterdir(), *self.jobs.iterdir()}
