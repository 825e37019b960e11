"""Environments beside the product's own: of what it is compared with, of what draws charts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .processes import CACHE

_LIMIT_S = 300.0


def python_of(name: str, lock: Path) -> str:
    """The Python of an environment that has what a lock file lists, made when it is not there.

    Raises subprocess.SubprocessError where it cannot be made.
    """
    folder = CACHE / name
    python, stamp = folder / "bin" / "python", folder / "installed"
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--requirement", str(lock)]
        subprocess.run(pip, check=True, timeout=_LIMIT_S)
        stamp.write_text(lock.read_text())
    return str(python)
