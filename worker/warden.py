"""Ends what a worker's slots leave behind when their supervisor is killed without a word.

A process of its own that waits for the end of its stdin: lines `+PID` and `-PID` say which slots
there are. The kernel kills the slots themselves (PR_SET_PDEATHSIG), not their children. Imports
nothing of ours, so that it is small; `python -I -S warden.py MARK`, by the supervisor.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

ROUNDS = 50
"""How often it is looked for more: who forks while he is being killed leaves a child."""


def main(mark: bytes) -> None:
    """Wait for the supervisor's end, then kill the groups of its slots and what has their mark."""
    groups: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        groups.add(pid) if line[0] == "+" else groups.discard(pid)
    for pid in groups:
        with contextlib.suppress(OSError):
            os.killpg(pid, signal.SIGKILL)
    for _ in range(ROUNDS):
        if not kill_marked(mark):
            return


def kill_marked(mark: bytes) -> int:
    """Kill all processes with this in their environment; how many there were."""
    count = 0
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        with contextlib.suppress(OSError):  # it has ended, or is not ours
            if name.isdigit() and is_marked(name, mark):
                os.kill(int(name), signal.SIGKILL)
                count += 1
    return count


def is_marked(name: str, mark: bytes) -> bool:
    """Whether a process has an entry in its environment that begins like this."""
    with open(f"/proc/{name}/environ", "rb") as file:
        return any(entry.startswith(mark) for entry in file.read().split(b"\0"))


if __name__ == "__main__":
    main(sys.argv[1].encode())
