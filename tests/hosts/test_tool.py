"""The hosts behave like separate machines, and leave nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.host import Host
from tests.hosts.lan import STATE, Lan, sweep
from tests.integration.processes import REPO, eventually

PORT = 7000
SILENCE_S = 1.5  # after this time no answer comes any more
PYTHON = [sys.executable, "-S", "-c"]
BACKWARDS = """
import socketserver
class Answer(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.request.recv(1000)[::-1])
socketserver.TCPServer(("", %d), Answer).serve_forever()
"""
ASK = """
import socket, sys
address, port, text, within_s = sys.argv[1:]
try:
    step = "connect"
    with socket.create_connection((address, int(port)), float(within_s)) as link:
        step = "answer"
        print("connected", flush=True)
        link.sendall(text.encode())
        print(link.recv(1000).decode())
except OSError as error:
    print(step, type(error).__name__)
"""
SET = """
import os, sys
from tests.hosts.lan import Lan
with Lan(["hostA"]) as lan:
    spaces = [lan.hosts[0].exec("readlink", "/proc/self/ns/net").strip()]
    inside = " ".join(lan.bridge.inside)
    spaces += [os.popen(f"{inside} readlink /proc/self/ns/net").read().strip()]
    lan.hosts[0].freeze()
    print(lan.id, *spaces, flush=True)
    sys.stdin.read()
    raise RuntimeError("a test fails")
"""


def ask(host: Host, address: str, text: str, port: int = PORT, within_s: float = 5.0) -> str:
    """Return the answer that a host gets to a text, or the step that failed, and how."""
    return host.exec(*PYTHON, ASK, address, str(port), text, str(within_s)).splitlines()[-1]


def remains(marks: list[str]) -> set[tuple[str, str]]:
    """Return (kind, path) of everything on this machine that has a set's id or namespaces."""
    found = {("folder", str(path)) for path in STATE.glob(f"*{marks[0]}*")}
    found |= {("cgroup", str(path)) for path in Path("/sys/fs/cgroup").rglob(f"*{marks[0]}*")}
    for process in Path("/proc").glob("[0-9]*"):
        if process.name == str(os.getpid()):
            continue
        try:
            mounts = (process / "mountinfo").read_text()
            spaces = {os.readlink(space) for space in (process / "ns").glob("*")}
            about = (process / "environ").read_bytes() + (process / "cgroup").read_bytes()
        except OSError:  # the process has ended
            continue
        if any(mark in mounts for mark in marks):
            found.add(("mount", str(process)))
        if marks[0].encode() in about or not spaces.isdisjoint(marks):
            found.add(("process", str(process)))
    return found


@pytest.fixture(scope="module")
def answering(lan: Lan, base: str, base_tar: Path) -> Iterator[Host]:
    """hostA with a named volume, and a container at PORT that sends each text back reversed."""
    host = lan.hosts[0]
    host.load(base_tar)
    words = ["--detach", "--name", "answer", "--restart", "always", "--volume", "kept:/kept"]
    server = [base, "python3", "-c", BACKWARDS % PORT]
    host.docker("run", *words, "--publish", f"{PORT}:{PORT}", *server)
    eventually(lambda: ask(lan.hosts[1], host.address, "up") == "pu")
    yield host
    host.docker("rm", "--force", "--volumes", "answer")
    host.docker("volume", "rm", "kept")


def test_each_host_is_a_machine_of_its_own(lan: Lan) -> None:
    """Each host has its own name, engine and folder, and reaches the other hosts."""
    for host in lan.hosts:
        host.docker("volume", "create", f"of-{host.name}")
        assert host.docker("volume", "ls", "--quiet").split() == [f"of-{host.name}"]
        host.docker("volume", "rm", f"of-{host.name}")
        assert host.docker("info", "--format", "{{.Name}}").strip() == host.name
        assert host.exec("sh", "-c", "hostname; pwd").split() == [host.name, str(host.home)]
        for other in lan.hosts:
            assert ask(host, other.name, "") == "connect ConnectionRefusedError"
    assert len({host.docker("info", "--format", "{{.ID}}") for host in lan.hosts}) == 3
    assert len({host.home for host in lan.hosts}) == 3


def test_the_world_is_unreachable_at_once(lan: Lan) -> None:
    """No way leads out of the net, by address or by name, and a host is told so at once."""
    assert ask(lan.hosts[0], "198.51.100.1", "") == "connect OSError"
    assert ask(lan.hosts[0], "example.invalid", "") == "connect gaierror"


def test_a_cut_is_silent_and_heals(lan: Lan, answering: Host) -> None:
    """A host that is cut off neither answers nor refuses. When healed, it answers again."""
    _, host_b, host_c = lan.hosts
    assert ask(host_b, "hostA", "across") == "ssorca"
    answering.cut()
    assert ask(host_b, answering.address, "cut", within_s=SILENCE_S) == "connect TimeoutError"
    assert ask(answering, host_b.address, "cut", within_s=SILENCE_S) == "connect TimeoutError"
    assert ask(host_c, host_b.address, "") == "connect ConnectionRefusedError"
    answering.heal()
    eventually(lambda: ask(host_b, answering.address, "whole") == "elohw")


def test_a_frozen_host_takes_connections_and_does_not_answer(lan: Lan, answering: Host) -> None:
    """The kernel acknowledges while the host's processes stand still. Thawed, they go on."""
    answering.freeze()
    answer = ask(lan.hosts[1], answering.address, "frozen", within_s=SILENCE_S)
    assert answer == "answer TimeoutError"
    answering.thaw()
    assert ask(lan.hosts[1], answering.address, "thawed") == "dewaht"


def test_a_killed_host_says_nothing_and_comes_back_with_its_disk(lan: Lan, answering: Host) -> None:
    """Peers see no end of their connections. Volumes and restarting containers come back."""
    peer = lan.hosts[1]
    answering.docker("exec", "answer", "sh", "-c", "echo kept >/kept/file")
    beside = answering.spawn("sleep", "1000")
    waiting = peer.spawn(*PYTHON, ASK, answering.address, str(PORT), "", "5")
    assert waiting.stdout
    assert waiting.stdout.readline() == "connected\n"
    answering.kill()
    assert waiting.poll() is None
    assert waiting.stdout.readline() == "answer TimeoutError\n"
    assert beside.poll() is not None
    assert not answering.answers()
    answering.start()
    eventually(lambda: ask(peer, answering.address, "back") == "kcab")
    assert answering.docker("exec", "answer", "cat", "/kept/file") == "kept\n"


def test_the_capture_sees_what_hosts_send_each_other(lan: Lan, answering: Host) -> None:
    """The capture has both directions, and only what was sent during the capture."""
    ask(lan.hosts[1], answering.address, "said before")
    with lan.capture() as seen:
        ask(lan.hosts[1], answering.address, "a word in the clear")
    assert b"a word in the clear" in seen.data
    assert b"raelc eht ni drow a" in seen.data
    assert b"said before" not in seen.data


@pytest.mark.parametrize(
    ("way", "at", "answer"),
    [("", [], "fedcba"), ("to_host", [0], "fedcb`"), ("to_client", [0, 5], "gedcb`")],
)
def test_the_flipper_changes_the_chosen_bits(
    lan: Lan, answering: Host, way: str, at: list[int], answer: str
) -> None:
    """The flipper changes one bit of each chosen byte of one direction, and nothing else."""
    with lan.flipper(answering, PORT, way, at) as middle:
        assert ask(lan.hosts[2], middle.address[0], "abcdef", middle.address[1]) == answer
        assert middle.flipped == len(at)


def test_the_man_in_the_middle_is_found_though_a_host_was_switched_off(
    lan: Lan, answering: Host
) -> None:
    """The bridge's MAC address, which hosts remember, does not change with the plugged hosts."""
    for _ in range(2):
        with lan.flipper(answering, PORT) as middle:
            answer = ask(lan.hosts[2], middle.address[0], "abc", middle.address[1])
            assert answer == "cba"
        answering.kill()
        answering.start()
        eventually(lambda: ask(lan.hosts[2], answering.address, "back") == "kcab")


def test_the_hosts_make_a_swarm(lan: Lan) -> None:
    """All three hosts are ready nodes, and the first is the manager."""
    manager = lan.hosts[0]
    words = ["node", "ls", "--format", "{{.Hostname}} {{.Status}} {{.ManagerStatus}}"]
    nodes = ["hostA Ready Leader", "hostB Ready ", "hostC Ready "]
    try:
        lan.swarm()
        eventually(lambda: sorted(manager.docker(*words).splitlines()) == nodes)
    finally:
        for host in lan.hosts:
            host.docker("swarm", "leave", "--force", check=False)


@pytest.mark.parametrize("ending", ["error", "SIGINT", "SIGTERM", "SIGKILL"])
def test_a_closed_set_leaves_nothing(lan: Lan, ending: str) -> None:
    """A set with a frozen host leaves no process, namespace, cgroup, mount or folder."""
    pipe = subprocess.PIPE
    words = [sys.executable, "-c", SET]
    with subprocess.Popen(
        words, cwd=REPO, stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as owner:
        assert owner.stdout
        marks = owner.stdout.readline().split()
        assert len(marks) == 3, owner.communicate()
        kinds = {kind for kind, _ in remains(marks)}
        assert kinds == {"folder", "cgroup", "mount", "process"}
        if ending != "error":
            owner.send_signal(signal.Signals[ending])
        _, errors = owner.communicate(timeout=60)
    if ending == "SIGKILL":
        assert remains(marks)
        sweep()
        eventually(lambda: not remains(marks))
    else:
        assert ("a test fails" if ending == "error" else "KeyboardInterrupt") in errors
    assert not remains(marks)
    assert all(host.answers() for host in lan.hosts)
