"""What control groups let a process take, as files of both versions say it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from worker.processes.control_groups import ControlGroups, Limits

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")

GIB = 1024**3
MACHINE = "MemTotal:       8388608 kB\nMemFree:  1 kB\n"


class Machine:
    """A /proc and control groups in a folder. point: where a hierarchy is mounted."""

    def __init__(self, folder: Path) -> None:
        self.proc, self.point = folder / "proc", folder / "groups"
        (self.proc / "self").mkdir(parents=True)
        self.point.mkdir()
        (self.proc / "meminfo").write_text(MACHINE)
        self._mounts: list[str] = []

    def mount(self, kind: str, where: str = "", root: str = "/", options: str = "rw") -> None:
        point = self.point / where
        self._mounts.append(f"30 23 0:26 {root} {point} rw,nosuid - {kind} {kind} {options}\n")
        (self.proc / "self/mountinfo").write_text("".join(self._mounts))

    def group(self, text: str) -> None:
        (self.proc / "self/cgroup").write_text(text)

    def write(self, path: str, **files: str) -> None:
        folder = self.point / path
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name.replace("__", ".")).write_text(text + "\n")

    @property
    def limits(self) -> Limits:
        return ControlGroups(self.proc).limits()

    @property
    def kills(self) -> int | None:
        return ControlGroups(self.proc).kills()


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One with 8 GiB and four processors."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5})
    return Machine(tmp_path)


def test_a_container_sees_its_limits_where_the_hierarchy_is_mounted(machine: Machine) -> None:
    machine.mount("cgroup2")
    machine.group("0::/\n")
    machine.write("", memory__max=str(4 * GIB), cpu__max="150000 100000")
    machine.write("", memory__events="low 0\noom 5\noom_kill 3\noom_group_kill 0")
    assert machine.limits == (4 * GIB, 1.5)
    assert machine.kills == 3


def test_the_least_limit_of_all_groups_above_counts(machine: Machine) -> None:
    machine.mount("cgroup2")
    machine.group("0::/pod/container\n")
    machine.write("pod/container", memory__max="max", cpu__max="max 100000")
    machine.write("pod", memory__max=str(2 * GIB), cpu__max="50000 100000")
    assert machine.limits == (2 * GIB, 0.5)


def test_without_a_limit_it_is_what_the_machine_has(machine: Machine) -> None:
    assert machine.limits == (8 * GIB, 4.0)
    machine.mount("cgroup2")
    machine.group("0::/user\n")
    machine.write("user", memory__max=str(64 * GIB), cpu__max="900000 100000")
    assert machine.limits == (8 * GIB, 4.0)


def test_version_1_has_a_hierarchy_for_each_controller(machine: Machine) -> None:
    machine.mount("cgroup", "cpu", options="rw,cpu,cpuacct")
    machine.mount("cgroup", "memory", options="rw,memory")
    machine.mount("cgroup2", "unified")
    machine.group("5:memory:/box\n4:cpu,cpuacct:/\n1:name=systemd:/box\n0::/\n")
    machine.write("memory/box", memory__limit_in_bytes=str(GIB), memory__oom_control="oom_kill 7")
    machine.write("memory", memory__limit_in_bytes="9223372036854771712")
    machine.write("cpu", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")
    assert machine.limits == (GIB, 2.0)
    assert machine.kills == 7
    machine.write("cpu", cpu__cfs_quota_us="-1")
    assert machine.limits == (GIB, 4.0)


@pytest.mark.parametrize("root", ["/docker/abc", "/docker/other"])
def test_a_group_of_another_namespace_is_what_is_mounted(machine: Machine, root: str) -> None:
    """A container of version 1 is told its path on the host, which it does not see."""
    machine.mount("cgroup", "memory", root=root, options="rw,memory")
    machine.group("5:memory:/docker/abc\n")
    machine.write("memory", memory__limit_in_bytes=str(GIB))
    assert machine.limits.memory_bytes == GIB


def test_a_group_above_the_own_namespace_is_none(machine: Machine) -> None:
    machine.mount("cgroup2")
    machine.group("0::/../other\n")
    machine.write("", memory__max=str(GIB))
    (machine.point.parent / "other").mkdir()
    (machine.point.parent / "other/memory.max").write_text("1")
    assert machine.limits.memory_bytes == GIB


def test_where_no_group_tells_of_kills_the_machine_does(machine: Machine) -> None:
    assert machine.kills is None
    (machine.proc / "vmstat").write_text("pgfault 9\noom_kill 2\n")
    assert machine.kills == 2


@pytest.mark.parametrize("text", ["", "garbage", "9 9 9", "max", "x y"])
def test_what_makes_no_sense_is_no_limit(machine: Machine, text: str) -> None:
    machine.mount("cgroup2")
    machine.group("0::/\n")
    machine.write("", memory__max=text, cpu__max=text, memory__events=text)
    assert machine.limits == (8 * GIB, 4.0)
    assert machine.kills is None


def test_where_there_is_no_proc_nothing_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    groups = ControlGroups(tmp_path / "none")
    assert (groups.limits(), groups.kills()) == (Limits(), None)


def test_this_machine_has_limits() -> None:
    limits = ControlGroups().limits()
    assert limits.memory_bytes is not None
    assert 64 * 1024**2 < limits.memory_bytes < 2**62
    assert limits.processors is not None
    assert 0 < limits.processors <= len(os.sched_getaffinity(0))
