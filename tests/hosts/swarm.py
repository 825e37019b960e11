"""The stack of deploy/stack.yml on a swarm of three hosts, as a user and the manager see it."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections import Counter
from datetime import datetime
from typing import Any

from tests.documents import document_commands
from tests.hosts.host import Host
from tests.hosts.lan import Lan
from tests.integration.processes import REPO, eventually

DOCUMENT = REPO / "docs" / "deployment.md"
COMMANDS = document_commands(DOCUMENT, "Docker Swarm")
QM = "docker exec $(docker ps --quiet --filter name=quartermaster_master) qm "
# This stands for ssh: the hosts share the file tree, so each host's engine and folder are here.
SSH = """#!/bin/sh
while [ "$1" = -o ]; do shift 2; done
cd "{folder}/$1/home" && DOCKER_HOST="unix://{folder}/$1/docker.sock" exec sh -c "$2"
"""
# Swarm calls a node down after three missed heartbeats, which are due every 5 s, give or take 0.5 s
# (swarmkit, manager/dispatcher). The rest is for a slow machine.
DOWN_S = 3 * 5.5 + 8.5
# A node registers within 2 s at its first attempt. An attempt that fails takes up to 5 s, and the
# pause after it up to 8 s (swarmkit, agent). This limit allows two failures.
READY_S = 2 * (5 + 8) + 4.0
# A node that lost its power comes back under a new gossip name. The other nodes may keep the old
# name, and then they do not see its containers. Docker mends that in rounds: it syncs its tables
# every 30 s, and waits up to 30 s for the answer (libnetwork, networkdb/cluster.go). This limit
# allows two rounds. A run on two cores needed more than 30 s once.
GOSSIP_S = 2 * (30 + 30) + 10.0
# The commands whose output helps to understand a failure.
ACCOUNT = {
    "nodes": "docker node inspect --format '{{.Description.Hostname}} {{json .Status}}' "
    "$(docker node ls --quiet)",
    "tasks": "docker stack ps --no-trunc quartermaster",
    "log of the master": "docker service logs --tail 30 quartermaster_master",
    "log of the workers": "docker service logs --tail 30 quartermaster_worker",
}


def where_job() -> str:
    """Return the job that the document shows."""
    found = re.search(r"^```python\n# jobs/where.py\n(.*?)^```$", DOCUMENT.read_text(), re.M | re.S)
    assert found
    return found[1]


class Swarm:
    """Three hosts, a user's terminal on each of them, and the stack that the user deploys."""

    def __init__(self, lan: Lan) -> None:
        self.hosts = {host.name: host for host in lan.hosts}
        self.manager = lan.hosts[0]
        self.token = ""
        self.failures_before = 0  # of earlier tests, whose damage is repaired
        self._ssh = lan.folder / "ssh"
        self._ssh.write_text(SSH.format(folder=lan.folder))
        self._ssh.chmod(0o755)

    def types(self, letter: str, command: str) -> str:
        """Run a command, which the document must have, on a host; return what it prints."""
        assert (letter, command) in COMMANDS, f"{letter}$ {command}: not in {DOCUMENT.name}"
        return self.shell(self.hosts[f"host{letter}"], command)

    def begin(self) -> None:
        """Make a swarm of the hosts by the commands of the document."""
        self.types("A", "docker swarm init --advertise-addr 203.0.113.11")
        self.token = self.types("A", "docker swarm join-token --quiet worker").strip()
        for letter in "BC":
            self.types(letter, "docker swarm join --token $TOKEN 203.0.113.11:2377")

    def shell(self, host: Host, command: str) -> str:
        """Run a command in the project's folder of a host, and return what it prints."""
        folder = host.home / "quartermaster"
        folder.mkdir(exist_ok=True)
        # `make ship` needs a base image only where it has to build an image.
        settings = [f"TOKEN={self.token}", f"SSH={self._ssh}", "BASE=quartermaster-worker:latest"]
        words = ["env", "-C", str(folder), *settings, "bash", "-euc", command]
        return host.exec(*words, timeout_s=200.0)

    def qm(self, words: str) -> str:
        """Run `qm` in the master's container, and return what it prints."""
        return self.shell(self.manager, QM + words)

    def submit(self, count: int, pause_s: float) -> int:
        """Submit a run of `where`, and return its id."""
        return int(self.qm(f"submit where count={count} pause_s={pause_s}"))

    def results(self, run: int) -> list[dict[str, Any]]:
        """Return the ended tasks of a run, in task order."""
        return [json.loads(line) for line in self.qm(f"results {run}").splitlines()]

    def begun(self, run: int, count: int = 10) -> list[dict[str, Any]]:
        """Wait until `count` tasks of a run have ended, and return the ended ones."""
        return eventually(
            lambda: done if len(done := self.results(run)) >= count else [], 30, f"{run} goes on"
        )

    def finished(self, run: int, count: int, within_s: float = 60.0) -> Counter[str]:
        """Wait until all tasks of a run are done, once each and uncharged; count them by node."""
        found = self.results(run)
        deadline = time.monotonic() + within_s
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count}\n{self.qm('status')}"
            time.sleep(0.3)
            found = self.results(run)
        assert [one["result"][0] for one in found] == list(range(count))
        assert {(one["state"], one["attempts"]) for one in found} == {("done", 1)}
        return Counter(one["result"][1] for one in found)

    def leased(self, run: int) -> int:
        """Return how many tasks of a run are leased."""
        found = re.search(rf"^ +{run} +active +\d+ +\d+ +(\d+)", self.qm("status"), re.MULTILINE)
        return int(found[1]) if found else 0

    def workers(self) -> Counter[str]:
        """Count the connected workers of each node."""
        return Counter(re.findall(r"^worker +(\w+):", self.qm("status"), re.MULTILINE))

    def replicas(self) -> dict[str, str]:
        """Return `RUNNING/WANTED` for each service."""
        words = ["service", "ls", "--format", "{{.Name}} {{.Replicas}}"]
        lines = self.manager.docker(*words).splitlines()
        return {line.split()[0].partition("_")[2]: line.split()[1] for line in lines}

    def nodes(self) -> dict[str, str]:
        """Return what Swarm calls each node: Ready or Down."""
        words = ["node", "ls", "--format", "{{.Hostname}} {{.Status}}"]
        return dict(line.split() for line in self.manager.docker(*words).splitlines())

    def wait_down(self, host: Host) -> None:
        """Wait until Swarm calls a killed node down, which must come before `host.start`.

        Docker 20.10 takes 0.1 s to call a node down. A node that registers meanwhile stays down for
        good, although it has a session and heartbeats: swarmkit's `Dispatcher.register` waits for
        the node's state to be written, and `markNodeNotReady` changes it meanwhile.
        """
        eventually(lambda: self.nodes()[host.name] == "Down", DOWN_S, f"{host.name} is down")

    def wait_ready(self) -> None:
        """Wait until Swarm calls all nodes ready."""
        eventually(lambda: set(self.nodes().values()) == {"Ready"}, READY_S, "all nodes are ready")

    def mend(self) -> None:
        """After a failed test, restart the nodes for which `wait_ready` could wait in vain."""
        eventually(self.answers, 60, "the master is back")
        for name, state in self.nodes().items():
            if state != "Ready":
                self.hosts[name].kill()
                self.hosts[name].start()

    def have(self, count: int, each: int) -> None:
        """Ensure `count` workers in all and `each` at least on every node; else start all anew.

        Swarm moves no workers to a node that is back, and an update may leave a node without any.
        """
        try:
            eventually(lambda: self._has(count, each), 10)
        except AssertionError:
            for number in (0, count):
                self.manager.docker("service", "scale", f"quartermaster_worker={number}")
                what = f"{number} workers"
                eventually(lambda n=number: self.workers().total() == n, GOSSIP_S, what)
            assert self._has(count, each), self.workers()

    def _has(self, count: int, each: int) -> bool:
        workers = self.workers()
        return workers.total() == count and all(workers[name] >= each for name in self.hosts)

    def answers(self) -> bool:
        """Return whether the master answers."""
        try:
            return "session name" in self.qm("status")
        except AssertionError:
            return False

    def account(self) -> dict[str, str]:
        """Return how the manager sees nodes and services, which helps to understand a failure."""
        if not self.manager.on:
            return {"nodes": f"{self.manager.name} is off"}
        return {title: self._tells(line) for title, line in ACCOUNT.items()}

    def _tells(self, command: str) -> str:
        return self.manager.exec("timeout", "10", "sh", "-c", f"{command} 2>&1", check=False)

    def complete(self, workers: int, within_s: float = 40.0) -> None:
        """Wait until the master and this many workers are healthy."""
        wanted = {"master": "1/1", "worker": f"{workers}/{workers}"}
        eventually(lambda: self.replicas() == wanted, within_s, f"{wanted} of {self.replicas()}")

    def containers(self, service: str) -> dict[str, dict[str, Any]]:
        """Return what `docker inspect` says of a service's running containers, by host and id."""
        found = {}
        for host in self.hosts.values():
            words = ["ps", "--quiet", "--filter", f"name=quartermaster_{service}"]
            for one in host.docker(*words).split():
                found[f"{host.name}/{one}"] = json.loads(host.docker("inspect", one))[0]
        return found

    def events(self, since: float) -> list[dict[str, Any]]:
        """Return the events of workers' containers on all hosts since a time (epoch), in order."""
        found = []
        for host in self.hosts.values():
            span = ["--since", f"{since:.3f}", "--until", f"{time.time():.3f}"]
            words = ["--filter", "type=container", "--format", "{{json .}}"]
            lines = host.docker("events", *span, *words).splitlines()
            found += [json.loads(line) for line in lines]
        ours = "quartermaster_worker"
        found = [e for e in found if e["Actor"]["Attributes"]["name"].startswith(ours)]
        return sorted(found, key=lambda event: int(event["timeNano"]))

    def master_log(self, pattern: str) -> list[tuple[float, str]]:
        """Return the lines of the master's log that match a pattern, with their times (epoch)."""
        container = "$(docker ps --quiet --filter name=quartermaster_master)"
        log = self.shell(self.manager, f"docker logs --timestamps {container} 2>&1")
        lines = [line.partition(" ") for line in log.splitlines() if re.search(pattern, line)]
        return [(_epoch(moment), line) for moment, _, line in lines]

    def removed(self) -> bool:
        """Try to remove the stack; return False while its tasks still use its network."""
        try:
            self.types("A", "docker stack rm quartermaster")
        except AssertionError as error:
            if re.search("network .* is in use by task", str(error)):
                return False
            raise
        return True

    def gone(self) -> bool:
        """Return whether only the volumes and the secret of the stack are left."""
        left = [host.docker("ps", "--all", "--quiet") for host in self.hosts.values()]
        return not any(left) and "quartermaster" not in self.manager.docker("network", "ls")

    def close(self) -> None:
        """Remove everything from the hosts except their images."""
        self.manager.docker("stack", "rm", "quartermaster", check=False)
        for host in self.hosts.values():
            host.docker("swarm", "leave", "--force", check=False)
        for host in self.hosts.values():
            names = host.docker("ps", "--all", "--quiet").split()
            if names:
                host.docker("rm", "--force", *names, check=False)
            volumes = [f"quartermaster_{one}" for one in ("data", "shared", "environments")]
            host.docker("volume", "rm", "--force", *volumes, check=False)
            shutil.rmtree(host.home / "quartermaster", ignore_errors=True)


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(f"{moment[:26]}+00:00").timestamp()
