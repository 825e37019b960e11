"""The cgroups of a set of hosts: SET/HOST holds a host's containers, SET/HOST/engine the rest.

The tests have run with cgroup v1. The files of v2 are taken from its documentation (cgroup-v2.rst).
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.integration.processes import eventually

ROOT = Path("/sys/fs/cgroup")


def _v2() -> bool:
    return (ROOT / "cgroup.controllers").exists()


def _freezer() -> Path:
    return ROOT if _v2() else ROOT / "freezer"


def make(group: str) -> Path:
    """Make a host's group; return the file through which a process joins it by writing 0."""
    folder = _freezer() / group / "engine"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / "cgroup.procs"


def freeze(group: str) -> None:
    """Stop every process of a host; return when all of them have stopped."""
    _switch(_freezer() / group, frozen=True)


def thaw(group: str) -> None:
    """Let the processes of a host run again."""
    _switch(_freezer() / group, frozen=False)


def _switch(folder: Path, frozen: bool) -> None:
    if _v2():
        (folder / "cgroup.freeze").write_text(str(int(frozen)))
        events, wanted = folder / "cgroup.events", f"frozen {int(frozen)}"
    else:
        events, wanted = folder / "freezer.state", "FROZEN" if frozen else "THAWED"
        events.write_text(wanted)
    eventually(lambda: wanted in events.read_text().splitlines(), what=f"{folder}: {wanted}")


def remove(hosts: str) -> None:
    """Remove all groups of a set when their last processes have left."""
    for folder in (_freezer() / hosts).glob("*"):
        if folder.is_dir():
            _switch(folder, frozen=False)
    tops = [ROOT / hosts, *ROOT.glob(f"*/{hosts}")]
    eventually(lambda: not any([_still_there(top) for top in tops]), 20, f"{hosts}: not empty")


def _still_there(top: Path) -> bool:
    for folder, _, _ in os.walk(top, topdown=False):
        try:
            os.rmdir(folder)
        except OSError:
            return True
    return False
