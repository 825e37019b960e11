"""One Docker host: its power, its link, its processes. This module knows no other host."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, STDOUT
from typing import Any

from tests.hosts import bridge, cgroups
from tests.hosts.engine import Engine
from tests.hosts.namespaces import Process, end, in_all, run, start
from tests.integration.processes import eventually

BOOT = Path(__file__).with_name("boot.sh")
ENGINE_WAIT_S = 60.0


class Host(Engine):
    """A machine with a Docker engine, which is switched off at first.

    Args:
        wire: The bridge that the host is plugged into.
        name: The host's name, and the name of its port.
        number: The last part of the host's address.
        folder: The host's disk: `home`, the engine's socket, data and log.
        group: The host's cgroup.
        driver: The storage driver of the host's engine.
    """

    def __init__(
        self, wire: bridge.Bridge, name: str, number: int, folder: Path, group: str, driver: str
    ) -> None:
        super().__init__(folder / "docker.sock", folder / "home")
        self.name = name
        self.address = f"{bridge.NET}.{number}"
        self.log = folder / "log"
        self._wire, self._number, self._folder = wire, number, folder
        self._group, self._driver = group, driver
        self._join = Path()  # the file through which a process joins the host's cgroup
        self._pid = 0  # of the host's init
        self._process: Process | None = None  # waits for the host's init
        self._spawned: list[Process] = []
        for part in ("home", "docker", "etc-docker"):
            (folder / part).mkdir(parents=True)

    def write_names(self, hosts: Mapping[str, str]) -> None:
        """Write the host's files in /etc: the hosts' addresses by name, the host's name, no DNS."""
        lines = ["127.0.0.1 localhost", *(f"{hosts[name]} {name}" for name in hosts), ""]
        (self._folder / "hosts").write_text("\n".join(lines))
        (self._folder / "hostname").write_text(f"{self.name}\n")
        resolver = f"nameserver {bridge.ADDRESS}\noptions timeout:1 attempts:1\n"
        (self._folder / "resolv.conf").write_text(resolver)

    @property
    def on(self) -> bool:
        """Whether the host is switched on."""
        return self._process is not None

    def start(self) -> None:
        """Switch the host on with the disk that it had; return when its engine answers."""
        self.boot()
        self.wait_ready()

    def boot(self) -> None:
        """Switch the host on without waiting for its engine."""
        assert self._process is None, f"{self.name} is on"
        self._join = cgroups.make(self._group)
        settings = {"FOLDER": str(self._folder), "NAME": self.name, "DRIVER": self._driver}
        settings |= {"GROUP": self._group, "JOIN": str(self._join)}
        spaces = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
        words = ["unshare", *spaces, "sh", str(BOOT)]
        with self.log.open("a") as log:
            self._process = start(words, settings, stdin=PIPE, stdout=PIPE, stderr=log)
        assert self._process.stdin
        assert self._process.stdout
        pid = self._process.stdout.readline()
        assert pid, f"{self.name} does not boot: {self.log.read_text()}"
        self._pid = int(pid)
        self._wire.plug(self.name, self._number, self._pid)
        print(file=self._process.stdin, flush=True)

    def wait_ready(self) -> None:
        """Wait until the host's engine answers."""
        try:
            eventually(self.answers, ENGINE_WAIT_S, f"the engine of {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.said()}") from error

    def said(self, lines: int = 20) -> str:
        """Return the last lines that the host's boot and engine wrote, in all their lives."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """Cut the host's power, if it is on: every process ends, and no peer is told."""
        process, pid = self._process, self._pid
        self._process, self._pid = None, 0
        if process is None:
            return
        with suppress(AssertionError):  # the host may never have been plugged in
            self.cut()
        if pid and process.poll() is None:
            os.kill(pid, signal.SIGKILL)  # the kernel ends all other processes with init
        else:
            process.kill()
        cgroups.thaw(self._group)  # a frozen process does not die
        process.communicate(timeout=30)
        self._wire.unplug(self.name)
        while self._spawned:
            end(self._spawned.pop())

    def cut(self) -> None:
        """Silently take the host off the net: packets vanish, the carrier stays."""
        self._wire.cut(self.name)

    def heal(self) -> None:
        """Put the host back on the net."""
        self._wire.heal(self.name)

    def freeze(self) -> None:
        """Stop all processes of the host and its containers; the kernel still acknowledges TCP."""
        cgroups.freeze(self._group)

    def thaw(self) -> None:
        """Let the host's processes run again."""
        cgroups.thaw(self._group)

    def exec(self, *words: str, **options: Any) -> str:
        """Run a command on the host, in `home`; return what it prints. Options are `run`'s."""
        return run(self._inside(words), **options)

    def spawn(self, *words: str) -> Process:
        """Start a process on the host, with its output in a pipe. It ends with the host."""
        self._spawned.append(start(self._inside(words), stdout=PIPE, stderr=STDOUT))
        return self._spawned[-1]

    def _inside(self, words: tuple[str, ...]) -> list[str]:
        assert self._pid, f"{self.name} is off"
        return [*in_all(self._pid, self._join, self.home), *words]
