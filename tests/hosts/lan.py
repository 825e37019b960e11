"""A set of Docker hosts on one net, which leaves nothing behind.

Outside of processes a set keeps a folder in /var/tmp and cgroups, which have the set's id in their
names. The id contains the owner's process id, so sets of several owners do not meet.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from tests.hosts import bridge, cgroups
from tests.hosts.capture import Capture
from tests.hosts.flipper import WAYS, Flipper
from tests.hosts.host import Host
from tests.hosts.namespaces import run

STATE = Path("/var/tmp")  # is usually on a disk, and /tmp often is not
MARK = "qm-hosts"
_sets, _files = count(1), count(1)


class Lan:
    """Docker hosts with the names `names` and addresses from 203.0.113.11 on; `with` starts them.

    The end of the `with` removes everything, also after SIGINT and SIGTERM, which both raise
    KeyboardInterrupt within it. The next set removes what a SIGKILL has left.
    """

    def __init__(self, names: Sequence[str] = ("hostA", "hostB", "hostC")) -> None:
        self.id = f"{MARK}-{os.getpid()}-{next(_sets)}"
        self.folder = STATE / self.id
        self.names = names
        self.hosts: list[Host] = []
        self._stack = ExitStack()

    def __enter__(self) -> Lan:
        assert os.geteuid() == 0, "several Docker hosts on one machine: only root can make them"
        sweep()
        for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job ignores SIGINT
            before = signal.signal(number, signal.default_int_handler)
            self._stack.callback(signal.signal, number, before)
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set_up(self) -> None:
        self._stack.callback(shutil.rmtree, self.folder)
        self.folder.mkdir(mode=0o711)
        (self.folder / "owner").write_text(_started_at(os.getpid()))
        self._stack.callback(cgroups.remove, self.id)
        self.bridge = bridge.Bridge()
        self._stack.callback(self.bridge.close)
        # The storage driver of the machine's engine works on this disk and kernel.
        driver = run(["docker", "info", "--format", "{{.Driver}}"]).strip()
        for number, name in enumerate(self.names, 11):
            place = (number, self.folder / name, f"{self.id}/{name}")
            self.hosts.append(Host(self.bridge, name, *place, driver))
            self._stack.callback(self.hosts[-1].kill)
        for host in self.hosts:
            host.write_names({host.name: host.address for host in self.hosts})
            host.boot()
        for host in self.hosts:
            host.wait_ready()

    def close(self) -> None:
        """End and remove everything; each part even if another part cannot be removed."""
        with _uninterrupted():
            self._stack.close()

    def swarm(self, pool: str = "10.20.0.0/16") -> None:
        """Make a swarm, with the first host as its manager and networks from `pool`."""
        manager, *others = self.hosts
        address = ("--advertise-addr", manager.address)
        manager.docker("swarm", "init", *address, "--default-addr-pool", pool)
        token = manager.docker("swarm", "join-token", "--quiet", "worker").strip()
        for host in others:
            address = ("--advertise-addr", host.address)
            host.docker("swarm", "join", *address, "--token", token, f"{manager.address}:2377")

    def account(self) -> dict[str, str]:
        """Return the end of each host's log, which helps to understand a failure."""
        return {f"log of {host.name}": host.said(40) for host in self.hosts}

    def capture(self) -> Capture:
        """Record all frames on the net, from the start of the `with` to its end."""
        return Capture(self.bridge.inside, self.folder / f"frames-{next(_files)}")

    def flipper(self, host: Host, port: int, way: str = "", at: Collection[int] = ()) -> Flipper:
        """Start a proxy at 203.0.113.1 that passes connections on to a port of a host.

        Args:
            host: The host that connections go to.
            port: The port of that host; the proxy's own port is in `address`.
            way: "to_host" or "to_client": the direction that the proxy changes.
            at: The positions of the bytes, from 0, of which the proxy flips one bit.
        """
        assert way in WAYS or not at, way
        log = self.folder / f"flipper-{next(_files)}"
        return Flipper(self.bridge.inside, log, (host.address, port), way, at)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    ends = (signal.SIGINT, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ends)


def _started_at(pid: int) -> str:
    """Return a process's start time, which tells it from a later process with the same id.

    It is in clock ticks since boot (proc_pid_stat(5)).
    """
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]


def _owned(folder: Path) -> bool:
    pid = int(folder.name.split("-")[2])
    try:
        return _started_at(pid) == (folder / "owner").read_text()
    except FileNotFoundError:
        return Path(f"/proc/{pid}").exists()


def sweep() -> None:
    """Remove what is left of sets whose owner is gone; their frozen processes die now."""
    for folder in STATE.glob(f"{MARK}-*-*"):
        if not _owned(folder):
            cgroups.remove(folder.name)
            shutil.rmtree(folder)
