"""A peer's own environment under .cache/peers, made from its lock when it is not there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from ..rig import environment, processes

FOLDER = processes.ROOT / ".cache" / "peers"
LOCKS = processes.HERE / "peers" / "locks"
_LIMIT_S = 300.0
_NEWER = 4
"""So many minor versions of Python are looked for, on the path and where pyenv keeps them."""


class MissingError(Exception):
    """This machine cannot run a peer. The text is for its row, a few words."""


def python_of(lock: str, least: tuple[int, int] = (3, 11)) -> Path:
    """The Python of an environment that has what the lock names.

    Raises:
        MissingError: it cannot be made here.
    """
    try:
        return environment.python_of(FOLDER / lock, LOCKS / f"{lock}.txt", _base(least))
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        raise MissingError(f"not installed: {_last_line(said)}") from error


def version_of(python: Path, package: str) -> str:
    """The version of a package in that environment.

    Raises:
        MissingError: it is not installed there.
    """
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    try:
        return _run([str(python), "-c", code]).strip()
    except subprocess.CalledProcessError as error:
        raise MissingError(f"not installed: {_last_line(error.stderr)}") from error


def program(*names: str) -> str:
    """The path of a program, by the first name that is there.

    Raises:
        MissingError: this machine has none.
    """
    found = next((path for name in names if (path := shutil.which(name))), None)
    if found is None:
        raise MissingError(f"not installed: no {names[0]} on this machine")
    return found


def _base(least: tuple[int, int]) -> str:
    if sys.version_info >= least:
        return sys.executable
    for minor in range(least[1], least[1] + _NEWER):
        name = f"python3.{minor}"
        places = [
            shutil.which(name) or "",
            *Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/{name}"),
        ]
        for place in filter(None, map(str, places)):
            if subprocess.run([place, "-c", ""], capture_output=True).returncode == 0:
                return place
    raise MissingError(f"not installed: needs Python {least[0]}.{least[1]}")


def _run(words: list[str]) -> str:
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=_LIMIT_S)
    return done.stdout


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason given"])[-1][:80]
