"""One Docker host: its power, its link, what runs in it. Knows the bridge, not the other hosts."""

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
    """A machine with a Docker engine, switched off at first.

    Args:
        wire: The bridge that it is plugged into.
        name: Its host name, and the name of its port.
        number: The last part of its address.
        folder: Its disk: `home`, the engine's socket, data and log.
        group: Its cgroup.
        driver: The storage driver of its engine.
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
        self._join = Path()  # the file of its cgroup that a process joins by
        self._pid = 0  # of its init
        self._process: Process | None = None  # waits for its init
        self._spawned: list[Process] = []
        for part in ("home", "docker", "etc-docker"):
            (folder / part).mkdir(parents=True)

    def write_names(self, hosts: Mapping[str, str]) -> None:
        """Fill its files in /etc: the addresses of all hosts by name, its own name, no DNS."""
        lines = ["127.0.0.1 localhost", *(f"{hosts[name]} {name}" for name in hosts), ""]
        (self._folder / "hosts").write_text("\n".join(lines))
        (self._folder / "hostname").write_text(f"{self.name}\n")
        resolver = f"nameserver {bridge.ADDRESS}\noptions timeout:1 attempts:1\n"
        (self._folder / "resolv.conf").write_text(resolver)

    @property
    def on(self) -> bool:
        """Whether it has power."""
        return self._process is not None

    def start(self) -> None:
        """Switch it on, with the disk that it had; returns when its engine answers."""
        self.boot()
        self.wait_ready()

    def boot(self) -> None:
        """Switch it on, and do not wait for its engine."""
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
        """Wait until its engine answers."""
        try:
            eventually(self.answers, ENGINE_WAIT_S, f"the engine of {self.name}")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.said()}") from error

    def said(self, lines: int = 20) -> str:
        """The last that its boot and its engine wrote, over all times that it was on."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def kill(self) -> None:
        """Cut its power, if it is on: every process is gone, and nobody on the net hears of it."""
        process, pid = self._process, self._pid
        self._process, self._pid = None, 0
        if process is None:
            return
        with suppress(AssertionError):  # perhaps it was never plugged in
            self.cut()
        if pid and process.poll() is None:
            os.kill(pid, signal.SIGKILL)  # its init: the kernel ends all else, then `process`
        else:
            process.kill()
        cgroups.thaw(self._group)  # the frozen do not die
        process.communicate(timeout=30)
        self._wire.unplug(self.name)
        while self._spawned:
            end(self._spawned.pop())

    def cut(self) -> None:
        """Take it off the net, silently: packets are lost, no carrier is, nothing is refused."""
        self._wire.cut(self.name)

    def heal(self) -> None:
        """Put it back on the net."""
        self._wire.heal(self.name)

    def freeze(self) -> None:
        """Stop its processes, those in containers too; its kernel still acknowledges TCP."""
        cgroups.freeze(self._group)

    def thaw(self) -> None:
        """Let its processes run again."""
        cgroups.thaw(self._group)

    def exec(self, *words: str, **options: Any) -> str:
        """What a command prints that runs in the host, in `home`; options as `run` has them."""
        return run(self._inside(words), **options)

    def spawn(self, *words: str) -> Process:
        """A process in the host, with its output in a pipe; it ends with the host at the latest."""
        self._spawned.append(start(self._inside(words), stdout=PIPE, stderr=STDOUT))
        return self._spawned[-1]

    def _inside(self, words: tuple[str, ...]) -> list[str]:
        assert self._pid, f"{self.name} is off"
        return [*in_all(self._pid, self._join, self.home), *words]
