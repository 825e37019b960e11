"""docs/deployment.md sets up compose on three hosts; then the tests break it in every way."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.hosts.checkout import copy_checkout
from tests.hosts.images import Images
from tests.hosts.lan import Lan
from tests.hosts.site import Site, documented, joining, workers
from tests.integration.processes import eventually

GIVEN_UP_S = 15.0
BACK_S = 10.0
SECRET = "the horse eats no cucumber salad"

WHERE = '''
"""Each task returns the name of its host."""

import os
import time

from jobs.lengths import DEFAULT_S


def tasks(count: int = 60, length_s: float = DEFAULT_S, note: str = ""):
    for n in range(count):
        yield [n, length_s, note]


def work(task):
    n, length_s, note = task
    time.sleep(length_s)
    return [n, os.environ.get("WORKER_NAME") or "hostA", note]
'''

# Each task writes a file of 20 kB that is named by its content; collect() writes one index.
LEAVE = '''
"""Each task writes a file on its host."""

import hashlib
import pathlib
import time

OUT = pathlib.Path("/shared/left")


def tasks(count: int = 60):
    yield from range(count)


def work(n):
    time.sleep(0.1)
    content = f"{n:05}".encode() * 4_000
    digest = hashlib.sha256(content).hexdigest()
    path = OUT / digest[:2] / f"{digest[2:]}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return str(path.relative_to("/shared"))


def collect(n, name):
    OUT.mkdir(exist_ok=True)
    with open(OUT / "index.jsonl", "a") as index:
        print(name, file=index)
'''

# An ssh that needs the wire, and runs in the namespaces of the host where it is typed. Nobody
# listens at port 22, so a host that can be reached refuses the connection.
WIRE = """#!/bin/sh
while [ "$1" = -o ]; do shift 2; done
if timeout 5 bash -c ": </dev/tcp/$1/22" 2>&1 | grep -q refused; then exec "{ssh}" "$@"; fi
echo "ssh: connect to host $1 port 22: Connection timed out" >&2
exit 255
"""


@pytest.fixture(scope="module")
def sites(lan: Lan, images: Images) -> Iterator[tuple[Site, Site, Site]]:
    """Workers on three hosts, set up from nothing; only A has the jobs."""
    a, b, c = (Site(host) for host in lan.hosts)
    try:
        deploy(a, b, c, images)
        yield a, b, c
    except BaseException:
        print(a.runs("docker compose logs --tail 50", check=False))
        raise
    finally:
        for site in (a, b, c):
            site.remove()


def deploy(a: Site, b: Site, c: Site, images: Images) -> None:
    """Type the commands of the document, in its order."""
    copy_checkout(a.host)
    (a.folder / "jobs" / "where.py").write_text(WHERE)
    (a.folder / "jobs" / "lengths.py").write_text("DEFAULT_S = 0.1\n")
    (a.folder / "jobs" / "leave.py").write_text(LEAVE)
    images.load(a.host)
    a.types("export QUEUE_PUBLISH=203.0.113.11:5000")
    a.types("docker compose up --detach --scale worker=2")
    eventually(lambda: "listening on" in a.runs("docker compose logs master"), 30.0, "the master")
    a.types('make ship HOSTS="hostB hostC"', timeout_s=200)
    for site in (b, c):
        assert [p.name for p in (site.folder / "jobs").iterdir()] == []
        site.runs(joining(a))
    eventually(lambda: workers(a) == {"hostA": 2, "hostB": 4, "hostC": 4}, 60.0, "ten workers")


def key_of(a: Site) -> str:
    """Return the authkey."""
    return a.runs("docker compose exec -T master cat /key/authkey").strip()


def held_by(a: Site, number: int, *hosts: str) -> set[int]:
    """Return the tasks of a run that workers of these hosts run now, according to `status`."""
    found: set[int] = set()
    mine = False
    for line in a.qm("status", check=False).splitlines():
        if worker := re.match(r"worker +(?:(host[BC]):)?\w+/", line):
            mine = (worker[1] or "hostA") in hosts
        elif mine:
            found |= {int(task) for task in re.findall(rf"\b{number}/(\d+) for", line)}
    return found


def refused(a: Site) -> int:
    """Count the late outcomes that the master has refused."""
    found = re.search(r"([\d,]+) outcomes? of old leases", a.qm("status"))
    return int(found[1].replace(",", "")) if found else 0


def submit(a: Site, **arguments: object) -> int:
    """Submit a run of the job that only A has, and return its id."""
    return int(a.qm("submit", "where", *(f"{k}={v}" for k, v in arguments.items())))


def finished(a: Site, number: int, count: int, within_s: float) -> Counter[str]:
    """Wait for the end of a run, with each task done once and uncharged; count them by host."""
    eventually(
        lambda: re.search(rf"^ +{number} +(done|failed) ", a.qm("status", check=False), re.M),
        within_s,
        f"the end of run {number}",
    )
    rows = a.results(number)
    assert [row["result"][0] for row in rows] == list(range(count))
    assert {(row["state"], row["attempts"]) for row in rows} == {("done", 1)}
    return Counter(row["result"][1] for row in rows)


def test_a_job_whose_file_is_on_a_alone_runs_on_all_three_hosts(
    lan: Lan, sites: tuple[Site, Site, Site]
) -> None:
    """A listener on the wire reads neither payloads nor code nor the key."""
    a, *_ = sites
    with lan.capture() as seen:
        number = submit(a, count=200, length_s=0.1, note=SECRET)
        ran = finished(a, number, 200, 60.0)
    assert set(ran) == {"hostA", "hostB", "hostC"}
    assert len(seen.data) > 20_000
    assert SECRET.encode() not in seen.data
    assert b"DEFAULT_S" not in seen.data
    assert key_of(a).encode() not in seen.data
    for site in sites[1:]:
        assert list((site.folder / "jobs").iterdir()) == []


@pytest.fixture
def left(sites: tuple[Site, Site, Site]) -> Iterator[dict[str, int]]:
    """The files that workers have just written on all hosts, with their sizes in bytes."""
    a, *_ = sites
    count = 90
    a.runs("rm -rf shared")
    number = int(a.qm("submit", "leave", f"count={count}", "--wait").split()[0])
    rows = a.results(number)
    assert len(rows) == count
    yield {row["result"]: 20_000 for row in rows}
    for site in sites:
        site.runs("docker compose run --rm --no-deps -T worker rm -rf /shared/left", timeout_s=60)


def fetched(a: Site) -> dict[str, int]:
    """Return the files in ./shared/left except the index, with their sizes in bytes."""
    shared = a.folder / "shared"
    files = [path for path in shared.glob("left/**/*") if path.is_file()]
    found = {str(path.relative_to(shared)): path.stat().st_size for path in files}
    found.pop("left/index.jsonl", None)
    return found


def test_the_files_of_all_hosts_are_gathered_on_a(
    sites: tuple[Site, Site, Site], left: dict[str, int]
) -> None:
    a, b, _ = sites
    a.types("make fetch")
    assert len(fetched(a)) < len(left)
    b.types("docker compose stop worker", timeout_s=60)  # make fetch needs no running worker
    try:
        said = a.types('make fetch HOSTS="hostB hostC"')
    finally:
        b.runs("docker compose start worker", timeout_s=60)
    assert fetched(a) == left
    index = (a.folder / "shared" / "left" / "index.jsonl").read_text().split()
    assert sorted(index) == sorted(left)
    for host in ("hostB", "hostC"):
        assert int(re.search(rf"^{host}: (\d+) files copied", said, re.MULTILINE)[1]) > 0  # type: ignore[index]
    again = a.types('make fetch HOSTS="hostB hostC"')
    assert re.search(r"^hostB: 0 files copied", again, re.MULTILINE), again
    assert [path.name for path in (a.folder / "shared").iterdir()] == ["left"]


def test_a_host_whose_workers_are_removed_still_gives_its_files(
    sites: tuple[Site, Site, Site], left: dict[str, int]
) -> None:
    """`make fetch` names a host that is cut off, and copies the other hosts' files."""
    a, b, c = sites
    line = joining(a)
    b.runs("docker compose down --timeout 2", timeout_s=60)
    wire = a.host.home / "bin" / "wire"
    wire.write_text(WIRE.format(ssh=wire.with_name("ssh")))
    wire.chmod(0o755)

    def fetch() -> str:
        words = ["env", "-C", str(a.folder), f"SSH={wire}", "HOSTS=hostC hostB", "make", "fetch"]
        return a.host.exec(*words, check=False)

    c.host.cut()
    try:
        said = fetch()
    finally:
        c.host.heal()
    lines = [line for line in said.splitlines() if "hostC" in line]
    assert len(lines) == 1, said
    assert lines[0].startswith("fetch: hostC can't be reached: ssh: ")
    assert "Error 1" in said  # make prints the exit code
    assert "hostB: " in said
    some = fetched(a)
    assert some.items() < left.items()
    assert "Error" not in fetch()
    assert fetched(a) == left
    b.runs(line, timeout_s=60)
    eventually(lambda: workers(a)["hostB"] == workers(a)["hostC"] == 4, 60.0, "B and C are back")


def test_a_fetch_that_is_killed_leaves_nothing_half(
    sites: tuple[Site, Site, Site], left: dict[str, int]
) -> None:
    a, *_ = sites
    stalls = a.host.home / "bin" / "stalls"
    there = f'"{stalls.with_name("ssh")}" "$@"'
    stalls.write_text(
        '#!/bin/sh\ncase "$*" in\n'
        f'    *"tar --create"*) {there} | {{ head -c 200000; sleep 60; }} ;;\n'
        f"    *) exec {there} ;;\nesac\n"
    )
    stalls.chmod(0o755)
    shared = a.folder / "shared"
    killed = f'SSH={stalls} HOSTS="hostB hostC" timeout --signal KILL 6 scripts/fetch.sh'
    a.runs(killed, check=False)
    assert list(shared.glob(".fetch.*/tree/left/*/*.png"))
    assert fetched(a).items() < left.items()
    a.types('make fetch HOSTS="hostB hostC"')
    assert fetched(a) == left
    assert [path.name for path in (a.folder / "shared").iterdir()] == ["left"]


def test_a_host_where_nothing_ever_ran_is_named(sites: tuple[Site, Site, Site]) -> None:
    a, *_ = sites
    said = a.runs("FETCH_VOLUME=other_shared make fetch", check=False)
    assert "fetch: this host gives no files: no volume other_shared there" in said


def test_the_commands_of_the_document_show_and_submit(sites: tuple[Site, Site, Site]) -> None:
    a, *_ = sites
    status = a.types("docker compose exec master qm status")
    assert re.search(r"203\.0\.113\.12", status), status
    out = a.types("docker compose exec master qm submit square count=1000 --wait")
    assert "1,000 tasks done" in out or re.search(r"\d+", out)


CLIENT = """
import sys
from multiprocessing.managers import BaseManager
class QueueManager(BaseManager): pass
QueueManager.register("get_task_queue")
m = QueueManager(address=(sys.argv[1], int(sys.argv[2])), authkey=sys.argv[3].encode())
try:
    m.connect()
except Exception as error:
    print(type(error).__name__, error)
"""

OURS = """
import sys
from queue_manager import QueueManager
m = QueueManager((sys.argv[1], int(sys.argv[2])), sys.argv[3].encode(), tls="required")
try:
    m.connect()
    print("qsize", m.get_task_queue().qsize())
except Exception as error:
    print(type(error).__name__, error)
"""


def ours(site: Site, address: tuple[str, int], key: str) -> str:
    """Return what our own client prints in a container of that host."""
    command = ["docker compose run --rm --no-deps -T --entrypoint python worker -c"]
    words = [f"'{OURS}'", address[0], str(address[1]), f"'{key}'"]
    return site.runs(" ".join([*command, *words]))


def test_strangers_are_refused(lan: Lan, sites: tuple[Site, Site, Site]) -> None:
    """The master refuses a plain client, a wrong key, and a connection with a changed bit."""
    a, b, _ = sites
    address = (a.host.address, 5000)
    key = key_of(a)
    assert ours(b, address, key).startswith("qsize ")
    plain = b.host.exec(sys.executable, "-I", "-S", "-c", CLIENT, address[0], "5000", key)
    # The first frame has words instead of a challenge, and the standard library's error shows them.
    assert plain.startswith(("AssertionError", "AuthenticationError"))
    assert "QUEUE_TLS=required" in plain
    assert ours(b, address, "not the key at all").startswith("WrongKeyError wrong authkey for")
    with lan.flipper(a.host, 5000) as honest:
        assert ours(b, honest.address, key).startswith("qsize ")
    for way, place in (("to_host", 150), ("to_host", 420), ("to_client", 300)):
        with lan.flipper(a.host, 5000, way, at=[place]) as flipper:
            said = ours(b, flipper.address, key)
            assert flipper.flipped >= 1, (way, place)
            assert not said.startswith("qsize"), (way, place, said)
    assert "refused a connection from" in a.runs("docker compose logs master")
    assert "takes encrypted connections only" in a.runs("make client 2>&1")


def test_a_host_that_is_cut_off_loses_its_tasks_and_is_back_soon_after(
    sites: tuple[Site, Site, Site],
) -> None:
    a, b, _ = sites

    def some_at_b() -> tuple[int, set[int]]:
        number = submit(a, count=5, length_s=20)
        for _ in range(5):
            if held := held_by(a, number, "hostB"):
                return number, held
            time.sleep(0.2)
        a.qm("cancel", str(number))
        return 0, set()

    number, held = next(found for _ in range(10) if (found := some_at_b())[1])
    before = refused(a)
    b.host.cut()
    cut_at = time.monotonic()
    eventually(lambda: held <= held_by(a, number, "hostA", "hostC"), 20.0, "they run again")
    # B's workers beat at different moments, so those without a task may be given up later.
    eventually(lambda: "hostB" not in workers(a), 20.0, "all workers of B are given up")
    assert time.monotonic() - cut_at < GIVEN_UP_S
    eventually(lambda: time.monotonic() - cut_at > 30.0, 35.0, "30 s")  # B's tasks end meanwhile
    b.host.heal()
    healed_at = time.monotonic()
    eventually(lambda: workers(a)["hostB"] == 4, BACK_S, "B is back")
    again = submit(a, count=100, length_s=0.2)
    eventually(
        lambda: any(row["result"][1] == "hostB" for row in a.results(again)), BACK_S, "B works"
    )
    assert time.monotonic() - healed_at < BACK_S
    ran = finished(a, number, 5, 60.0)
    assert "hostB" not in ran
    eventually(lambda: refused(a) >= before + len(held), 10.0, "late outcomes are refused")
    finished(a, again, 100, 60.0)


def test_a_power_cut_of_a_workers_host_loses_nothing(sites: tuple[Site, Site, Site]) -> None:
    a, _, c = sites
    number = submit(a, count=150, length_s=0.5)
    eventually(lambda: held_by(a, number, "hostC"), 20.0, "C works")
    c.host.kill()
    finished(a, number, 150, 90.0)
    c.host.start()
    eventually(lambda: workers(a)["hostC"] == 4, 60.0, "C is back by itself")


def test_a_power_cut_of_the_masters_host_loses_nothing_that_was_acknowledged(
    sites: tuple[Site, Site, Site],
) -> None:
    """The workers of the other hosts come back by themselves."""
    a, *_ = sites
    number = submit(a, count=300, length_s=0.5)
    done = eventually(lambda: found if len(found := a.results(number)) > 20 else [], 30.0, "some")
    a.host.kill()
    a.host.start()
    eventually(lambda: workers(a) == {"hostA": 2, "hostB": 4, "hostC": 4}, 60.0, "all are back")
    finished(a, number, 300, 90.0)
    after = {row["task"]: row for row in a.results(number)}
    assert all(after[row["task"]] == row for row in done)


def test_a_backup_taken_while_it_runs_is_put_back(sites: tuple[Site, Site, Site]) -> None:
    a, *_ = sites
    kept = submit(a, count=20, length_s=0.0)
    finished(a, kept, 20, 30.0)
    before = a.results(kept)
    running = submit(a, count=100, length_s=0.2)
    a.types("docker compose exec -T master qm backup - > backup.sqlite3")
    finished(a, running, 100, 60.0)
    a.qm("forget", str(kept))
    for line in (
        "docker compose stop master",
        "docker compose run --rm --no-deps -T master qm restore - < backup.sqlite3",
        "docker compose start master",
    ):
        a.types(line)
    eventually(lambda: workers(a).total() == 10, 60.0, "all are back")
    assert a.results(kept) == before
    finished(a, running, 100, 60.0)


def test_a_new_key_keeps_out_who_has_the_old_one_until_he_has_it_too(
    sites: tuple[Site, Site, Site],
) -> None:
    a, b, c = sites
    old = key_of(a)
    a.types("docker compose run --rm --no-deps master rm /key/authkey")
    a.types("docker compose up --detach --force-recreate --scale worker=2", timeout_s=60)
    eventually(lambda: workers(a)["hostA"] >= 1, 60.0, "A's own workers")
    assert key_of(a) != old
    wrong = "wrong authkey for 203.0.113.11:5000"

    def told() -> list[int]:
        logs = b.runs("docker compose logs --no-log-prefix worker")
        return [logs.count(wrong)] if logs.count(wrong) >= 4 else []

    (times,) = eventually(told, 30.0, "each of B's four workers says so")
    assert times == 4  # each worker says so once
    assert set(workers(a)) == {"hostA"}
    joining(a)
    b.types("docker compose restart worker", timeout_s=60)
    c.types("docker compose restart worker", timeout_s=60)
    eventually(lambda: workers(a)["hostB"] == workers(a)["hostC"] == 4, 60.0, "B and C")
    finished(a, submit(a, count=50), 50, 60.0)


def test_a_key_that_is_typed_on_a_host_is_in_no_environment_there(
    sites: tuple[Site, Site, Site],
) -> None:
    """A needs no ssh to that host. Only ONE_LINE=1 prints a command with the key in it."""
    a, b, _ = sites
    key = a.types("make key").strip()
    assert key == key_of(a)
    asks, line = a.types("make join").splitlines()
    assert asks == "docker compose run --rm key"
    assert key not in line
    b.runs("docker compose down --volumes --timeout 2", timeout_s=60)
    shown = b.answers("docker compose run --rm key", "authkey of the master: ", key)
    assert key not in shown
    b.runs(line, timeout_s=60)
    eventually(lambda: workers(a)["hostB"] == 4, 60.0, "B's workers have the key")
    for site in (a, b):
        containers = site.runs("docker inspect $(docker ps --all --quiet)")
        assert "QUEUE_AUTHKEY_FILE" in containers
        assert key not in containers
    assert f" QUEUE_AUTHKEY={key} " in a.types("make join ONE_LINE=1")


def test_a_worker_that_takes_no_code_says_what_differs(sites: tuple[Site, Site, Site]) -> None:
    a, b, c = sites
    for site in (a, c):
        site.runs("docker compose stop worker")
    line = joining(a)
    b.runs(f"WORKER_JOBS=local {line}", timeout_s=60)
    number = submit(a, count=4)
    try:
        eventually(
            lambda: re.search(r"! hostB:\w+/\d+.* can't run where: ", a.qm("status")), 40.0, "why"
        )
        assert a.results(number) == []
    finally:
        b.runs(line, timeout_s=60)
        for site in (a, c):
            site.runs("docker compose start worker")
    finished(a, number, 4, 60.0)


def test_the_firewalls_rule_is_taken_and_keeps_nobody_out_who_may_come(
    sites: tuple[Site, Site, Site],
) -> None:
    a, b, _ = sites
    rule = (
        "iptables --insert DOCKER-USER --protocol tcp --dport 5000"
        " ! --source 203.0.113.0/24 --jump DROP"
    )
    assert rule in documented()
    a.host.exec("sh", "-c", rule)
    assert ours(b, (a.host.address, 5000), key_of(a)).startswith("qsize")
    closed = rule.replace("! --source 203.0.113.0/24", "--source 203.0.113.12/32")
    a.host.exec("sh", "-c", closed)
    try:
        said = b.host.exec(
            sys.executable, "-c",
            "import socket; socket.create_connection(('203.0.113.11', 5000), timeout=3)",
            check=False,
        )  # fmt: skip
        assert "timed out" in said or "TimeoutError" in said
    finally:
        for each in (closed, rule):
            a.host.exec("sh", "-c", each.replace("--insert", "--delete"))


def test_a_host_is_taken_out_in_good_order(sites: tuple[Site, Site, Site]) -> None:
    a, b, _ = sites
    number = submit(a, count=100, length_s=0.3)
    eventually(lambda: held_by(a, number, "hostB"), 20.0, "B works")
    b.types("docker compose stop worker", timeout_s=60)
    eventually(lambda: "hostB" not in workers(a), 10.0, "B is gone")
    finished(a, number, 100, 60.0)
    b.runs("docker compose start worker")
