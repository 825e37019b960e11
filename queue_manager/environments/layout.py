"""Where environments lie, and what is beside each of them.

`ROOT/HASH` is an environment. It has the file `quartermaster-made` once it is whole. `HASH.lock` is
its lock, whose time says when it was used last. `HASH.failed` says why it could not be made.
`ROOT/uv` is the cache of uv: files of packages that environments have in common lie on the disk
once. This module knows nothing of uv.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import locks

_MADE = "quartermaster-made"


@dataclass(frozen=True)
class Place:
    """Where one environment lies. folder: its folder, which need not be there."""

    folder: Path

    @property
    def lock(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    @property
    def failure(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.failed")

    @property
    def made(self) -> Path:
        return self.folder / _MADE

    @property
    def is_made(self) -> bool:
        """Whether it is whole."""
        return self.made.exists()

    @property
    def python(self) -> Path:
        return python_of(self.folder)

    def touch(self) -> None:
        """Note that it is used now. Raises OSError."""
        os.utime(self.lock)


def place(root: Path, name: str) -> Place:
    """Where the environment of this hash lies."""
    return Place(root.absolute() / name)


def places(root: Path) -> Iterator[Place]:
    """All environments that have a lock, whole or not."""
    for path in sorted(root.absolute().glob("*.lock")):
        yield Place(path.with_suffix(""))


def cache(root: Path) -> Path:
    """The cache of uv."""
    return root.absolute() / "uv"


def python_of(folder: Path | str) -> Path:
    """The interpreter of an environment."""
    return Path(folder, "bin", "python")


def variables(folder: Path | str, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a process in an environment, so that it finds the commands there."""
    path = os.pathsep.join([str(Path(folder, "bin")), environ.get("PATH", os.defpath)])
    return {**environ, "VIRTUAL_ENV": str(folder), "PATH": path}


def hold_own() -> None:
    """Keep the environment of this process from being removed, as long as the process lives.

    It does nothing in a process that is in no environment of ours.
    """
    own = Place(Path(sys.prefix))
    if own.is_made:
        locks.take(own.lock, shared=True, wait=lambda: True)
        own.touch()
