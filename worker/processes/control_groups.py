"""What the control groups of this process let it take, and how often the kernel has killed in them.

The limits of a container are those of its control groups. Version 1 and version 2 are known.
Source: Linux, cgroups(7), proc_pid_mountinfo(5), and the kernel's Documentation/admin-guide,
cgroup-v2.rst and cgroup-v1/memory.rst. Elsewhere nothing is found.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeVar

_V1, _V2 = "cgroup", "cgroup2"
_KILLS = "oom_kill"

T = TypeVar("T", int, float)


class Limits(NamedTuple):
    """What there is for a process: the least of its control groups' limits and the machine's.

    None: not known.
    """

    memory_bytes: int | None = None
    processors: float | None = None


class ControlGroups:
    """Those of this process, as they are when this is made. proc: where /proc is."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._memory = list(_folders(proc, "memory"))
        self._processors = list(_folders(proc, "cpu"))

    def limits(self) -> Limits:
        """What this process may take with all others of its control groups."""
        memory = [*map(_memory_limit, self._memory), _of_machine(self._proc)]
        processors = [*map(_quota, self._processors), _allowed()]
        return Limits(_least(memory), _least(processors))

    def kills(self) -> int | None:
        """How many processes the kernel has killed as memory ran out; None: it does not tell.

        In this control group and those below it; on the whole machine, where it has none.
        """
        for folder in self._memory[:1]:
            for name in ("memory.events", "memory.oom_control"):
                found = _field(folder / name, _KILLS)
                if found is not None:
                    return found
        return _field(self._proc / "vmstat", _KILLS)


# --- where they are ---


def _folders(proc: Path, controller: str) -> Iterator[Path]:
    """The folder of the group in which a controller has this process, and of those above it."""
    groups = dict(_groups(proc))
    mounts = [line.split() for line in _read(proc / "self/mountinfo").splitlines()]
    for version, key in ((_V1, controller), (_V2, "")):
        for fields in mounts:
            behind = fields.index("-") if "-" in fields else len(fields)
            kind, options = fields[behind + 1 : behind + 2], fields[-1].split(",")
            if kind == [version] and key in groups and (version == _V2 or controller in options):
                yield from _upwards(Path(fields[4]), fields[3], groups[key])
                return


def _groups(proc: Path) -> Iterator[tuple[str, str]]:
    """Each controller of version 1 with the path of the group; "" is that of version 2."""
    for line in _read(proc / "self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        yield from ((controller, path) for controller in controllers.split(","))


def _upwards(point: Path, root: str, group: str) -> Iterator[Path]:
    """The folder of a group, and those above it, up to where they are mounted.

    root: what is mounted there. A group that is not below it belongs to another namespace: then
    what a container sees there is its own.
    """
    path, inside = PurePosixPath(group), PurePosixPath()
    if path.is_relative_to(root) and ".." not in path.parts:
        inside = path.relative_to(root)
    if not (point / inside).is_dir():
        inside = PurePosixPath()
    yield from (point / part for part in (inside, *inside.parents))


# --- what they say ---


def _memory_limit(folder: Path) -> int | None:
    return _number(_read(folder / "memory.max") or _read(folder / "memory.limit_in_bytes"))


def _quota(folder: Path) -> float | None:
    """How many processors a group may use: its time in each period, by that period."""
    told = _read(folder / "cpu.max").split()
    told = told or [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    numbers = [_number(text) for text in told]
    if len(numbers) != 2 or not numbers[0] or not numbers[1]:
        return None
    return numbers[0] / numbers[1]


def _of_machine(proc: Path) -> int | None:
    kib = _field(proc / "meminfo", "MemTotal:")
    return None if kib is None else kib * 1024


def _allowed() -> float | None:
    """On how many processors this process may run."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    return float(len(os.sched_getaffinity(0)))


def _least(limits: Iterable[T | None]) -> T | None:
    return min((limit for limit in limits if limit is not None), default=None)


def _field(path: Path, name: str) -> int | None:
    """The number behind a name at the beginning of a line."""
    for line in _read(path).splitlines():
        words = line.split()
        if len(words) > 1 and words[0] == name:
            return _number(words[1])
    return None


def _number(text: str) -> int | None:
    """A whole number; None for `max`, `-1` and nothing, which are no limit."""
    return int(text) if text.strip().isdecimal() else None


def _read(path: Path) -> str:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.readall().decode("utf-8", "replace")
    except OSError:
        return ""
