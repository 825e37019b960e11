"""Three hosts on one net, each a network namespace: processes in it are plain ones of this machine.

The hosts share everything but the network, so a process has no need of an image or an engine.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import TracebackType

from tests.hosts.bridge import NET, Bridge
from tests.hosts.namespaces import Process, end, in_network, run, start
from tests.integration.processes import eventually

_NEWNET = 0x40000000
QUEUE_PORT, DATABASE_PORT = 5000, 5432


class Host:
    """One host: its address, its link, and what it lets through."""

    def __init__(self, bridge: Bridge, name: str, number: int) -> None:
        self.name, self.address = name, f"{NET}.{number}"
        self._bridge = bridge
        self.keeper: Process = start(["unshare", "--net", "sleep", "infinity"])
        own = os.readlink("/proc/self/ns/net")
        eventually(lambda: os.readlink(f"/proc/{self.keeper.pid}/ns/net") != own)
        self.inside = in_network(self.keeper.pid)
        bridge.plug(name, number, self.keeper.pid)

    def cut(self) -> None:
        """Take the host off the net: frames vanish, nobody is told."""
        self._bridge.cut(self.name)

    def cut_database(self) -> None:
        """Drop what goes to the database, and what comes from it."""
        self._rule("OUTPUT", "-o", "--dport", DATABASE_PORT)
        self._rule("INPUT", "-i", "--sport", DATABASE_PORT)

    def cut_workers(self) -> None:
        """Drop what other hosts' workers and clients say to this host's master, and its answers."""
        self._rule("INPUT", "-i", "--dport", QUEUE_PORT)
        self._rule("OUTPUT", "-o", "--sport", QUEUE_PORT)

    def heal(self) -> None:
        """Let everything through again."""
        self._bridge.heal(self.name)
        run([*self.inside, "iptables", "-w", "-F"])

    def _rule(self, chain: str, side: str, port: str, number: int) -> None:
        which = ["!", side, "lo", "-p", "tcp", port, str(number)]
        run([*self.inside, "iptables", "-w", "-A", chain, *which, "-j", "DROP"])


class Net:
    """The hosts A, B and C; `with` makes them, and this thread is a machine beside them."""

    def __enter__(self) -> Net:
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._bridge = Bridge()
        self.hosts: list[Host] = []
        for number, name in enumerate(("hostA", "hostB", "hostC"), 11):
            self.hosts.append(Host(self._bridge, name, number))
        pid = self._bridge.inside[1].split("/")[2]
        with Path(f"/proc/{pid}/ns/net").open() as space:
            _enter(space.fileno())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        _enter(self._home)
        os.close(self._home)
        for host in self.hosts:
            end(host.keeper)
        self._bridge.close()


def _enter(space: int) -> None:
    """Move this thread, and what it starts from now on, into a network (os.setns is of 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(space, _NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
