"""The commands of docs/deployment.md run deploy/stack.yml on a swarm of three hosts.

All tests use one stack, in their order. Each test starts with all nodes ready, and sets up what
else it needs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.hosts.checkout import copy_checkout
from tests.hosts.images import Images
from tests.hosts.lan import Lan
from tests.hosts.swarm import COMMANDS, GOSSIP_S, QM, Swarm, where_job
from tests.integration.processes import eventually

DEPLOY = "docker stack deploy --resolve-image never --compose-file deploy/stack.yml quartermaster"
EVERYWHERE = {"hostA", "hostB", "hostC"}
RERUN_S = 15.0


# Each task writes a file on its node.
LEAVE = """
import os, pathlib, time

def tasks():
    yield from range(60)

def work(n):
    time.sleep(0.1)
    pathlib.Path(f"/shared/{n}.txt").write_text(os.environ["WORKER_NAME"])
    return [n, os.environ["WORKER_NAME"]]
"""


@pytest.fixture(scope="module")
def stack(lan: Lan, images: Images, request: pytest.FixtureRequest) -> Iterator[Swarm]:
    """The stack, deployed from nothing: only hostA has the checkout and the images."""
    swarm = Swarm(lan)
    swarm.failures_before = request.session.testsfailed
    assert ("A", "docker compose build") in COMMANDS  # the fixture `images` ran it
    images.load(swarm.manager)
    folder = copy_checkout(swarm.manager)
    try:
        swarm.types("A", 'make ship HOSTS="hostB hostC"')
        swarm.begin()
        swarm.types("A", "docker node update --label-add quartermaster=master hostA")
        key = "head -c 32 /dev/urandom | base64 | docker secret create quartermaster_authkey -"
        swarm.types("A", key)
        swarm.types("A", DEPLOY)
        swarm.complete(4)
        (folder / "jobs" / "where.py").write_text(where_job())
        yield swarm
    except BaseException:  # only the deployment can fail here, not a test
        print(*swarm.account().values(), sep="\n")
        raise
    finally:
        swarm.close()


@pytest.fixture
def swarm(stack: Swarm, request: pytest.FixtureRequest) -> Swarm:
    """The stack with all nodes ready, even after a failed test."""
    failures = request.session.testsfailed
    if failures > stack.failures_before:
        stack.failures_before = failures
        stack.mend()
    stack.wait_ready()
    return stack


def test_a_job_that_one_host_has_runs_on_all_three(swarm: Swarm) -> None:
    """The master is healthy on the node with the label, and all nodes work."""
    eventually(lambda: sum(swarm.workers().values()) == 4, what="four workers")
    assert set(swarm.workers()) == EVERYWHERE
    submitted = swarm.types("A", QM + "submit where --wait")
    assert submitted.split()[0] == "2"
    assert set(swarm.finished(2, 60)) == EVERYWHERE
    assert len(swarm.types("A", QM + "results 2").splitlines()) == 60
    assert "where" in swarm.types("A", QM + "status")
    ((place, master),) = swarm.containers("master").items()
    assert place.startswith("hostA/")
    assert master["State"]["Health"]["Status"] == "healthy"
    services = swarm.types("A", "docker stack services quartermaster")
    assert re.search(r"quartermaster_worker +replicated +4/4", services)
    log = swarm.types("A", "docker service logs --tail 20 quartermaster_master")
    assert len(re.findall(r"\d+ \* \d+ = \d+$", log, re.MULTILINE)) == 10


def test_what_tasks_have_left_on_each_node_is_gathered(swarm: Swarm) -> None:
    swarm.have(4, each=1)
    folder = swarm.manager.home / "quartermaster"
    (folder / "jobs" / "leave.py").write_text(LEAVE)
    run = int(swarm.qm("submit leave --wait").split()[0])
    assert set(swarm.finished(run, 60)) == EVERYWHERE
    swarm.types("A", 'FETCH_VOLUME=quartermaster_shared make fetch HOSTS="hostB hostC"')
    found = {path.stem: path.read_text() for path in (folder / "shared").glob("*.txt")}
    assert found == {str(one["result"][0]): one["result"][1] for one in swarm.results(run)}


def test_containers_are_confined_and_limited(swarm: Swarm) -> None:
    """Swarm silently drops some words of a compose file, but none of this file's."""
    for service, memory in (("master", 512), ("worker", 1024)):
        for one in swarm.containers(service).values():
            config, host = one["Config"], one["HostConfig"]
            assert config["User"] == "1000:1000"
            assert (host["ReadonlyRootfs"], host["Init"], host["CapDrop"]) == (True, True, ["ALL"])
            assert (host["NanoCpus"], host["Memory"]) == (10**9, memory << 20)
            assert not host["PortBindings"]
            mounts = {m["Target"]: m["Type"] for m in host["Mounts"]}
            assert mounts["/tmp"] == "tmpfs"
            assert config["Healthcheck"]["Interval"] == 5 * 10**9
            assert host["LogConfig"]["Config"] == {"max-size": "10m", "max-file": "3"}
            assert "QUEUE_TLS=required" in config["Env"]
            assert not any(text.startswith("QUEUE_AUTHKEY=") for text in config["Env"])


def test_a_rolling_update_starts_the_new_before_the_old_drain(swarm: Swarm) -> None:
    """There are always as many healthy workers as replicas, and no task is charged.

    Each replaced worker ends with exit code 0.
    """
    swarm.have(4, each=1)
    old = {place.partition("/")[2][:12] for place in swarm.containers("worker")}
    assert len(old) == 4
    run = swarm.submit(240, 0.5)
    swarm.begun(run)
    since = time.time()
    swarm.types("A", "docker service update --env-add WORKER_SLOTS=2 quartermaster_worker")
    healthy, fewest = set(old), len(old)
    ended: dict[str, str] = {}
    signals: dict[str, set[str]] = {name: set() for name in old}
    for event in swarm.events(since):
        name, attributes = event["Actor"]["ID"][:12], event["Actor"]["Attributes"]
        if event["Action"] == "health_status: healthy":
            healthy.add(name)
        elif event["Action"] == "kill":  # a worker that is stopping does not count as healthy
            healthy.discard(name)
            signals[name].add(attributes["signal"])
        elif event["Action"] == "die":
            healthy.discard(name)
            ended[name] = attributes["exitCode"]
        fewest = min(fewest, len(healthy))
    assert fewest == 4
    assert len(healthy) == 4
    assert healthy.isdisjoint(old)
    assert ended == dict.fromkeys(old, "0")
    assert set(map(frozenset, signals.values())) == {frozenset({"15"})}
    swarm.finished(run, 240)
    assert {one["result"][2] for one in swarm.results(run)} == old | healthy
    status = swarm.qm("status")
    assert "outcomes of old leases" not in status
    assert set(re.findall(r"^worker .* s +(\d+) +\d", status, re.MULTILINE)) == {"2"}


def test_scaling_takes_effect_during_a_run(swarm: Swarm) -> None:
    """New workers take part at once, and no task is charged or done twice."""
    run = swarm.submit(200, 0.5)
    swarm.begun(run)
    swarm.types("A", "docker service scale quartermaster_worker=6")
    eventually(lambda: swarm.workers().total() == 6, what="six workers")
    assert set(swarm.workers().values()) == {2}
    swarm.finished(run, 200)
    assert len({one["result"][2] for one in swarm.results(run)}) == 6
    assert "outcomes of old leases" not in swarm.qm("status")
    assert "Running" in swarm.types("A", "docker service ps quartermaster_worker")


def test_what_runs_goes_on_while_the_master_is_updated(swarm: Swarm) -> None:
    """The master's name is back later than the master, which waits for its workers to come."""
    swarm.have(6, each=2)
    run = swarm.submit(6, 12.0)
    eventually(lambda: swarm.leased(run) == 6, 20, "all six run, and as many slots are free")
    since = time.time() + 1  # a slot of a new worker gets its task some time before it starts it
    swarm.types("A", "docker service update --force quartermaster_master")
    swarm.finished(run, 6)
    assert max(one["result"][3] for one in swarm.results(run)) < since
    assert "outcomes of old leases" not in swarm.qm("status")


def test_tasks_of_a_node_without_power_run_again_elsewhere(swarm: Swarm) -> None:
    """The master's heartbeat finds them within 15 s. A node that is back gets workers and tasks."""
    swarm.have(6, each=2)
    run = swarm.submit(200, 0.5)
    swarm.begun(run)
    host = swarm.hosts["hostC"]
    host.kill()
    cut = time.time()
    nodes = swarm.finished(run, 200)
    given_up = swarm.master_log(r"worker hostC:\w+/\d+ left, [1-9]\d* task")
    assert len(given_up) == 2
    assert max(when for when, _ in given_up) - cut < RERUN_S
    assert nodes["hostA"] + nodes["hostB"] > nodes["hostC"] > 0
    swarm.wait_down(host)
    host.start()
    swarm.wait_ready()
    swarm.shell(swarm.manager, "docker service scale --detach quartermaster_worker=9")
    eventually(lambda: swarm.workers()["hostC"] >= 3, GOSSIP_S, "workers on hostC")
    assert set(swarm.finished(swarm.submit(60, 0.1), 60)) == EVERYWHERE


def test_the_masters_node_loses_its_power_and_comes_back(swarm: Swarm) -> None:
    """Nothing acknowledged is lost: the other nodes' workers go on and hand in what they finish."""
    swarm.have(9, each=1)
    run = swarm.submit(160, 0.5)
    swarm.begun(run)
    before = swarm.results(run)
    swarm.manager.kill()
    swarm.manager.start()
    eventually(swarm.answers, 60, "the master is back")
    after = {one["task"]: one for one in swarm.results(run)}
    assert [after[one["task"]] for one in before] == before
    swarm.finished(run, 160)
    assert len(swarm.results(2)) == 60
    eventually(lambda: set(swarm.workers()) == EVERYWHERE, GOSSIP_S, "workers of all nodes")


def test_global_mode_has_one_worker_on_each_node(swarm: Swarm) -> None:
    """The documented change of the file makes it so, and the queue is still there."""
    line = "sed 's/replicas: .*WORKERS.*/mode: global/' deploy/stack.yml >deploy/global.yml"
    swarm.types("A", line)
    eventually(swarm.removed, 40, "Swarm lets go of the network")
    eventually(swarm.gone, 40, "the stack is removed")
    swarm.types("A", DEPLOY.replace("stack.yml", "global.yml"))
    swarm.complete(3)
    eventually(lambda: swarm.workers().total() == 3, what="three workers")
    assert set(swarm.workers()) == EVERYWHERE
    assert len(swarm.results(2)) == 60
    assert set(swarm.finished(swarm.submit(60, 0.1), 60)) == EVERYWHERE
