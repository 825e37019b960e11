"""The folder that a command keeps below `.quartermaster/` until all of its output is written.

It has the store of the command's own master, and a note of what the command was. One command at a
time has it. Knows nothing of masters, functions or inputs.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from queue_manager.authkey import write_file
from queue_manager.environments.locks import held, is_at, never, take
from queue_manager.errors import OutputError, RefusedError

ROOT = Path(".quartermaster")
NOTE = "command.json"
"""What is known of the command."""

_ASIDE = "gone"
_NO_STORE = ("lock", NOTE, _ASIDE)

ONCE = "once-"
"""How the names of folders begin that go with their command."""

_GONE = "gone-"
"""Folders that are being removed. Nobody may use one."""


class Workspace:
    """A folder of one command. Use it in a `with` block, which locks it.

    Args:
        name: the same command has the same. Empty: the folder goes with the command, and nothing
            of it can be resumed.

    Raises (in the `with` line):
        RefusedError: another process has it. The line says which.
        OutputError: it can't be made.
    """

    def __init__(self, name: str, root: Path = ROOT) -> None:
        self._root, self._lasts = root, bool(name)
        self.folder = root / (name or f"{ONCE}{secrets.token_hex(6)}")
        self._lock = -1

    def __enter__(self) -> Workspace:
        try:
            self._root.mkdir(0o700, exist_ok=True)  # it has inputs, results and keys
            if not (self._root / ".gitignore").exists():
                (self._root / ".gitignore").write_text("*\n")
            with _alone(self._root):
                left = _left(self._root)
                self._lock = self._locked()
            for folder in left:
                _remove(folder)
        except OSError as error:
            raise OutputError(f"can't keep anything in {self._root}: {error.strerror}") from error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._lasts:
            self.remove()
        if self._lock >= 0:
            os.close(self._lock)

    def note(self, **values: Any) -> None:
        """Note what the command is. Raises OutputError if the disk does not take it."""
        try:
            path = self.folder / NOTE
            write_file(path, json.dumps(values).encode(), 0o600, replace=True)
        except OSError as error:
            raise OutputError(f"can't write to {self.folder}: {error.strerror}") from error

    def noted(self) -> dict[str, Any]:
        """What was noted last. Empty: nothing, or it can't be read."""
        with contextlib.suppress(OSError, ValueError):
            found = json.loads((self.folder / NOTE).read_bytes())
            return found if isinstance(found, dict) else {}
        return {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing is kept of a command before."""
        with contextlib.suppress(OSError):  # the user has removed all of it
            return all(path.name in _NO_STORE for path in self.folder.iterdir())
        return True

    def clear(self) -> None:
        """Remove all that is in it. Nobody else may have it meanwhile.

        Whoever is killed in the middle leaves no half of a store: each folder goes in one step.
        """
        aside = self.folder / _ASIDE
        aside.mkdir(exist_ok=True)
        for path in list(self.folder.iterdir()):
            if path.name not in _NO_STORE:
                path.rename(aside / f"{path.name}.{secrets.token_hex(4)}")
        _remove(aside)
        _remove(self.folder / NOTE)  # last: it says what is still to be removed

    def remove(self) -> None:
        """Remove the folder, unless it is that of another process by now."""
        with contextlib.suppress(OSError):  # the user has removed all of it
            with _alone(self._root):
                if not is_at(self._lock, self.folder / "lock"):
                    return
                gone = _put_aside(self.folder)
            _remove(gone)

    def _locked(self) -> int:
        self.folder.mkdir(exist_ok=True)
        lock = take(self.folder / "lock", wait=never)
        if lock is None:
            raise RefusedError(
                f"this command runs already{_by(self.folder)}: wait for it, or end it"
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return lock


def _alone(root: Path) -> contextlib.AbstractContextManager[object]:
    """Folders come and go in this block alone, by one process at a time. It takes no time."""
    return held(root / "lock", wait=None)


def _by(folder: Path) -> str:
    with contextlib.suppress(OSError):
        number = (folder / "lock").read_text()
        return f" (process {number})" if number.isdecimal() else ""
    return ""


def _left(root: Path) -> list[Path]:
    """What was left of commands that can't be resumed and were killed, put aside."""
    left = list(root.glob(f"{_GONE}*"))
    for folder in root.glob(f"{ONCE}*"):
        with contextlib.suppress(OSError):
            lock = take(folder / "lock", wait=never)
            if lock is not None:
                left.append(_put_aside(folder))
                os.close(lock)
    return left


def _put_aside(folder: Path) -> Path:
    """Give a folder a name that nobody uses. Removing what is in it may take long."""
    gone = folder.with_name(f"{_GONE}{secrets.token_hex(6)}")
    folder.rename(gone)
    return gone


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
