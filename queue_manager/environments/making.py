"""Makes one environment with uv: an interpreter, the packages, and what lies behind them.

The environment sees the packages of the process that makes it behind its own, so its own versions
win. The caller has the lock.
"""

from __future__ import annotations

import shutil
import sys
from functools import partial
from pathlib import Path

from ..job.needs import Needs
from . import sync
from .layout import Place
from .recipe import pins, shared_folders
from .uv import Uv


def make(place: Place, needs: Needs, uv: Uv, cache: Path, lock: int) -> None:
    """Make an environment in place of what may be there half-made.

    Raises:
        BrokenEnvironmentError, NoEnvironmentError: as `Uv.run`.
        OSError: the disk is full, or can't be written.
    """
    folder = place.folder
    if folder.exists():
        shutil.rmtree(folder)
    cache.mkdir(exist_ok=True)
    run = partial(uv.run, cache=cache, lock=lock)
    run(["venv", "--no-project", "--python", sys.executable, str(folder)])
    wanted, held = folder / "requirements.txt", folder / "constraints.txt"
    wanted.write_text("".join(f"{one}\n" for one in needs.dependencies), "utf-8")
    held.write_text("".join(f"{one}\n" for one in pins()), "utf-8")
    # Compiled now, because slots write no bytecode.
    words = ["pip", "install", "--compile-bytecode", "--python", str(place.python)]
    run([*words, "--requirements", str(wanted), "--constraints", str(held)])
    _look_behind(folder)
    sync.file_system_of(folder)  # else a power cut could leave the mark, and not what it stands for
    place.made.write_text("", "utf-8")


def _look_behind(folder: Path) -> None:
    """Have the environment's Python see this process's packages behind those of the environment."""
    lines = [f"import site; site.addsitedir({entry!r})\n" for entry in shared_folders()]
    for packages in folder.glob("lib/python*/site-packages"):
        (packages / "quartermaster-shared.pth").write_text("".join(lines), "utf-8")
