"""Runs uv, and says in one line what it could not do.

This module owns which of uv's failures pass by themselves, such as a network that is down, and
which need another block of the job. It knows nothing of where environments lie.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..errors import BrokenEnvironmentError, JobError, NoEnvironmentError
from ..lifeline import without_key
from ..masking import masked
from ..terminal import harmless

LONGEST_S = 1800.0
"""How long one command of uv may take. Large packages take minutes on a slow line."""

ENDS = "its environment was not made: this process ends"

EVIDENCE_CHARS = 4096
_LINE_CHARS = 400

_BROKEN = ("No solution found", "Failed to build", "Failed to parse", "Couldn't parse")
_PASSING = ("Failed to fetch", "error sending request", "network was disabled", "timed out")
_FETCH = re.compile(r"Failed to fetch: `?[^\s?`]+?/([^/\s?`]+)/?(?:\?[^\s`]*)?`?\s*$", re.MULTILINE)
_NOT_FOR_UV = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV")


class Uv:
    """Runs one command of uv after the other, until it is closed.

    Args:
        environ: the variables of uv. Empty ones of its own count as unset, as compose passes them.

    closed: nothing more is to run.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.closed = False
        self._lock = threading.Lock()
        self._running: set[int] = set()
        given = without_key(environ)
        self._environ = {
            name: text
            for name, text in given.items()
            if name not in _NOT_FOR_UV and (text or not name.startswith("UV_"))
        }
        self._environ |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}

    def run(self, args: Sequence[str], *, cache: Path, lock: int) -> None:
        """Run a command to its end.

        cache: its cache, if the variables name no other. lock: a descriptor that the command has
        open, too: if this process is killed, the lock stays until uv has ended.

        Raises:
            BrokenEnvironmentError: it can't be done, whoever tries.
            NoEnvironmentError: it could not be done now.
        """
        with self._lock:
            if self.closed:
                raise NoEnvironmentError(ENDS)
            process = subprocess.Popen(
                [_program(), *args],
                cwd=cache.parent,  # settings of a project in the present folder are not meant
                env={"UV_CACHE_DIR": str(cache), **self._environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
                pass_fds=[lock],
            )
            self._running.add(process.pid)
        words = self._words(process)
        if self.closed:
            raise NoEnvironmentError(ENDS)
        if process.returncode:
            raise trouble(words, process.returncode)

    @property
    def running(self) -> set[int]:
        """The ids of its processes, from the moment on in which they are there."""
        with self._lock:
            return set(self._running)

    def close(self) -> None:
        """End what runs; nothing more is run."""
        with self._lock:
            self.closed = True
            for pid in self._running:
                _kill(pid)

    def _words(self, process: subprocess.Popen[bytes]) -> str:
        """What the command writes until it has ended, or was ended here."""
        try:
            words = process.communicate(timeout=LONGEST_S)[1]
        except subprocess.TimeoutExpired:
            _kill(process.pid)
            words = process.communicate()[1] + b"\nit timed out"
        finally:
            with self._lock:
                self._running.discard(process.pid)
        return harmless(words.decode("utf-8", "replace"))


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def trouble(words: str, code: int) -> JobError:
    """The error for what uv has said before it ended with a code other than 0."""
    words = masked(words)
    told = [line.strip() for line in words.splitlines() if line.strip()]
    told = [line for line in told if not line.startswith(("Using ", "Creating ", "warning:"))]
    first = told[0].removeprefix("error: ").removeprefix("\u00d7 ") if told else f"exit code {code}"
    if any(words_of in words for words_of in _PASSING) or not any(one in words for one in _BROKEN):
        package = _FETCH.search(words)
        cause = told[-1].removeprefix("cause: ") if len(told) > 1 else first
        if package is not None:
            return NoEnvironmentError(_line(f"can't get package {package[1]}: {cause}"))
        return NoEnvironmentError(_line(f"its environment can't be made now: {first}; {cause}"))
    why = _because(words) or first
    return BrokenEnvironmentError(
        _line(f"its environment can't be made: {why}"), words[-EVIDENCE_CHARS:]
    )


def _because(words: str) -> str:
    """The sentence in which uv says why there is no solution."""
    text = " ".join(line.strip(" \u2502\u2570\u2500\u25b6") for line in words.splitlines())
    found = re.search(r"(Because .*?)(?:, we can conclude|\s+hint:|$)", text)
    return found[1] if found else ""


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LINE_CHARS else f"{text[: _LINE_CHARS - 4]} ..."


def _program() -> str:
    try:
        from uv import find_uv_bin

        return os.fspath(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
    if found is None:
        raise NoEnvironmentError(
            "its environment needs uv, which is not here: pip install"
            " 'quartermaster-queue[environments]'"
        )
    return found
