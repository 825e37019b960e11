"""The pipe to a peer's `driver`, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..rig import processes

ANSWER_S = 150.0
_STOP_S = 10.0
_LOG_CHARACTERS = 600


class Submitter:
    """Started by `with`; ends with its standard input, else by SIGKILL."""

    def __init__(self, words: list[str], folder: Path, environment: Mapping[str, str]) -> None:
        self._words, self._environment = words, environment
        self._log = folder / "driver.log"

    def __enter__(self) -> Submitter:
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                self._words,
                cwd=processes.ROOT,
                env=self._environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
            self.process.wait(_STOP_S)
        except (OSError, subprocess.TimeoutExpired):
            self.kill()

    def kill(self) -> None:
        """End it by SIGKILL, with what it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def ask(self, do: str, **more: Any) -> Any:
        """The answer. Raises RuntimeError when there is none within ANSWER_S, or an error."""
        self.tell(do, **more)
        assert self.process.stdout is not None
        late = threading.Timer(ANSWER_S, self.process.kill)
        late.start()
        try:
            line = self.process.stdout.readline()
        finally:
            late.cancel()
        if not line:
            raise RuntimeError(f"no answer to {do!r}: {self._log.read_text()[-_LOG_CHARACTERS:]}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(f"{do}: {answer['error']}")
        return answer["answer"]

    def tell(self, do: str, **more: Any) -> None:
        """As `ask`, without waiting for the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
