"""Environments beside the product's own: of what it is compared with, of what draws charts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_LIMIT_S = 300.0
_TRIES = 3
"""A registry that is asked for hundreds of files fails now and then."""


def python_of(folder: Path, lock: Path, base: str = sys.executable) -> Path:
    """The Python of an environment that has what a lock file lists, made when it is not there.

    base: the Python that makes it. Raises OSError or subprocess.SubprocessError where it cannot be
    made; a CalledProcessError has what was said in `stderr`.
    """
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        print(f"installing {folder.name} ...", flush=True)
        pip = ["-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", str(lock)]
        _run([base, "-m", "venv", "--clear", str(folder)])
        for left in reversed(range(_TRIES)):
            try:
                _run([str(python), *pip])
                break
            except subprocess.CalledProcessError:
                if not left:
                    raise
        stamp.write_text(lock.read_text())
    return python


def _run(words: list[str]) -> None:
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=_LIMIT_S)
