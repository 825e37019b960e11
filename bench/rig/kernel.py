"""What the kernel knows of a family of processes, and what it gives one: a network of its own."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
from pathlib import Path

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_NEW_NETWORK, _SET_FLAGS, _UP = 0x40000000, 0x8914, 0x1
"""CLONE_NEWNET of unshare(2), SIOCSIFFLAGS and IFF_UP of netdevice(7)."""
_PARENT, _GROUP = 1, 2
_USED = slice(11, 15)
"""Fields of /proc/PID/stat behind the name: parent, group, CPU time with that of ended children."""


def family(mark: str) -> set[int]:
    """The processes with that setting in their environment, and all their descendants.

    Some programs write over their environment when they change their title: they are found as
    children of those that do not.
    """
    words = f"{mark}\0".encode()
    found = {pid for pid in _all() if words in _environment(pid)}
    return found.union(*map(descendants, found)) - {os.getpid()}


def descendants(pid: int) -> set[int]:
    """The children of a process, their children, and so on."""
    parents = {child: int(fields[_PARENT]) for child, fields in _all().items()}
    found = {pid}
    while more := {child for child in parents if parents[child] in found} - found:
        found |= more
    return found - {pid}


def cpu_with_ended_s(pid: int) -> float:
    """CPU time of a process and of its children that have ended, in seconds."""
    return sum(map(int, _stat(pid)[_USED])) * _TICK_S


def group(pid: int) -> int:
    """The process group; 0 for a process that has ended."""
    return int((_stat(pid) or ["0"] * 3)[_GROUP])


def pss_mb(pids: set[int]) -> float:
    """Proportional memory: what several processes share is divided among them."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total / 1024


def isolate() -> bool:
    """Leave this machine's network for a new one that has loopback alone.

    For this thread, and for the threads and processes that it starts from now on. False where that
    is not allowed: it takes root.
    """
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK):
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP))
    return True


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def _all() -> dict[int, list[str]]:
    pids = (int(path.name) for path in Path("/proc").glob("[0-9]*"))
    return {pid: fields for pid in pids if (fields := _stat(pid))}


def _stat(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return []


def _environment(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_bytes()
    return b""
