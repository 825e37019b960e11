"""deploy/postgres.yml in real containers: two masters on one database, and what they outlive.

The tests use one stack, in their order. Each leaves all containers running.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from tests.chosen import take_chosen
from tests.documents import document_commands

from .conftest import CHECKOUT, Stack, eventually

WORKERS = 4
MASTERS = ("master", "master2")
# The times of a take-over are tested on quieter ground: here, containers share two processors.
TAKEN_OVER_S = 20.0
DOCUMENT = CHECKOUT / "docs/deployment.md"
ELSEWHERE = (
    # `up` of the fixture, which builds and says how many.
    "docker compose up --detach --build --scale worker=4",
    "export COMPOSE_FILE=docker-compose.yml:deploy/postgres.yml",
    # There is no database elsewhere. `up --no-deps` has a test.
    "export MASTER_STORE='postgresql://quartermaster:PASSWORD@db.example.org/quartermaster'",
)
SESSIONS = """
select application_name, ssl, coalesce(version, '') from pg_stat_activity
join pg_stat_ssl using (pid) where application_name like 'quartermaster/%'
"""


class Pair(Stack):
    """The stack, with the commands of the document as a user types them."""

    def types(self, line: str) -> str:
        """Run a command of the document in the project's folder, and return what it prints."""
        documented = document_commands(DOCUMENT, "PostgreSQL and two masters")
        assert line in {command for _, command in documented}
        settings = {
            "COMPOSE_FILE": "docker-compose.yml:deploy/postgres.yml",
            "COMPOSE_PROJECT_NAME": self.project,
        }
        done = subprocess.run(
            ["bash", "-c", line], cwd=self.folder, env={**os.environ, **settings},
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def sql(self, query: str) -> list[list[str]]:
        """Return the rows of a query, by the socket in the database's container."""
        words = ["psql", "-U", "quartermaster", "--no-psqlrc", "-At", "-F", "|", "-c", query]
        out = self.compose("exec", "-T", "database", *words)
        return [line.split("|") for line in out.splitlines() if line]

    def active(self) -> str:
        """Return the name of the master that owns the queue."""
        ((name,),) = self.sql("select name from quartermaster.owner")
        return name

    def asks(self, service: str, *words: str) -> str:
        """Return the output of a `qm` command in the container of one of the masters."""
        return self.compose("exec", "-T", service, "qm", *words)

    def done(self, service: str, run: int, count: int, within_s: float = 90.0) -> None:
        """Wait until all tasks of a run are done, once each."""
        ended = rf"^ +{run} .* done "
        eventually(lambda: re.search(ended, self.asks(service, "status"), re.M), within_s)
        lines = self.asks(service, "results", str(run), "--format", "csv").splitlines()
        assert len([line for line in lines if ",done," in line]) == count

    def other(self, service: str) -> str:
        """Return the master that is not this one."""
        (found,) = set(MASTERS) - {service}
        return found


@pytest.fixture(scope="module")
def pair(clone: Path) -> Iterator[Pair]:
    take_chosen("BASE", "POSTGRES_IMAGE")
    files = [str(clone / file) for file in ("docker-compose.yml", "deploy/postgres.yml")]
    client = docker.from_env()
    found = Pair(client, f"quartermaster-postgres-{os.getpid()}", *files)
    try:
        found.compose("up", "--build", "--detach", "--scale", f"worker={WORKERS}", within_s=400.0)
        logs = ("logs", "--no-log-prefix", *MASTERS)
        eventually(lambda: "10 tasks done, 0 dead letters" in found.compose(*logs), 90)
        yield found
    except BaseException:
        print(found.compose("logs", "--tail", "60", check=False))
        raise
    finally:
        found.compose("down", "--volumes", "--timeout", "12", check=False)
        client.close()


def test_tasks_are_done_and_both_masters_say_so(pair: Pair) -> None:
    pair.types("docker compose exec master qm submit square count=1000 --wait")
    status = pair.types("docker compose exec master2 qm status")
    assert len(re.findall(r"^worker ", status, re.MULTILINE)) == WORKERS
    for name in MASTERS:
        assert re.search(rf"^.*\b{name}\b", status, re.MULTILINE), status


def test_all_sessions_with_the_database_are_encrypted(pair: Pair) -> None:
    sessions = pair.sql(SESSIONS)
    assert {name.split("/")[1] for name, _, _ in sessions} == set(MASTERS)
    assert {(ssl, version) for _, ssl, version in sessions} == {("t", "TLSv1.3")}
    shown = pair.types(
        'docker compose exec database psql -U quartermaster -c "select application_name, version'
        ' from pg_stat_activity join pg_stat_ssl using (pid) where ssl"'
    )
    assert "quartermaster/master" in shown


def test_the_database_is_confined_and_no_port_of_it_published(pair: Pair) -> None:
    (database,) = pair.containers("database")
    host = database.attrs["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["PortBindings"] in (None, {})
    assert database.attrs["Config"]["User"] == "999:999"
    assert database.attrs["State"]["Health"]["Status"] == "healthy"
    assert {int(p[1]) for p in database.top(ps_args="-eo pid,uid,comm")["Processes"]} == {999}


def test_no_container_has_the_password_in_its_environment(pair: Pair) -> None:
    password = pair.compose("exec", "-T", "database", "cat", "/database/password").strip()
    assert re.fullmatch("[0-9a-f]{48}", password)
    for service in (*MASTERS, "database", "worker"):
        for container in pair.containers(service):
            assert password not in str(container.attrs)
    assert password not in pair.compose("logs")


def _answers(pair: Pair, service: str) -> bool:
    return bool(re.search("^worker ", pair.asks(service, "status"), re.MULTILINE))


def test_the_other_master_takes_over_when_the_active_one_is_killed(pair: Pair) -> None:
    """In the middle of a run; workers keep what they run."""
    before = pair.active()
    other = pair.other(before)
    run = int(pair.asks(other, "submit", "where", "count=300", "pause_s=0.1"))
    eventually(lambda: pair.asks(other, "results", str(run)).count("\n") > 20)
    began = time.monotonic()
    pair.compose("kill", before)
    eventually(lambda: pair.active() == other, TAKEN_OVER_S)
    print(f"taken over after {time.monotonic() - began:.1f} s")
    pair.done(other, run, 300)
    pair.types("docker compose up --detach --no-build --no-recreate --scale worker=4")
    eventually(lambda: len(_names(pair)) == 2, 60)
    assert pair.active() == other


def _names(pair: Pair) -> set[str]:
    return {name.split("/")[1] for name, _, _ in pair.sql(SESSIONS)}


def test_a_run_goes_on_when_the_database_is_restarted(pair: Pair) -> None:
    service = pair.active()
    run = int(pair.asks(service, "submit", "where", "count=200", "pause_s=0.1"))
    eventually(lambda: pair.asks(service, "results", str(run)).count("\n") > 10)
    pair.compose("restart", "database")
    pair.done(service, run, 200)


def test_a_run_goes_on_when_the_database_is_killed(pair: Pair) -> None:
    """Its restart policy starts it again, and it reads its log."""
    service = pair.active()
    run = int(pair.asks(service, "submit", "where", "count=200", "pause_s=0.1"))
    eventually(lambda: pair.asks(service, "results", str(run)).count("\n") > 10)
    (database,) = pair.containers("database")
    began = database.attrs["State"]["StartedAt"]
    os.kill(database.attrs["State"]["Pid"], 9)

    def back() -> bool:
        database.reload()
        state = database.attrs["State"]
        return bool(state["StartedAt"] != began and state["Health"]["Status"] == "healthy")

    eventually(back, 60)
    pair.done(service, run, 200)


def test_a_master_that_is_stopped_in_order_hands_over(pair: Pair) -> None:
    before = pair.active()
    other = pair.other(before)
    pair.compose("stop", before)
    eventually(lambda: pair.active() == other, TAKEN_OVER_S)
    eventually(lambda: _answers(pair, other), 30)
    pair.types("docker compose up --detach --no-build --no-recreate --scale worker=4")
    eventually(lambda: len(_names(pair)) == 2, 60)


def test_the_documented_take_over(pair: Pair) -> None:
    pair.types("docker compose kill master")
    pair.types("docker compose exec master2 qm submit square count=1000 --wait")
    pair.types("docker compose up --detach --no-build --no-recreate --scale worker=4")
    eventually(lambda: len(_names(pair)) == 2, 60)


def _refused(pair: Pair, address: str) -> list[str]:
    """Start one more master with this MASTER_STORE, and return the lines that it prints."""
    words = ["run", "--rm", "--no-deps", "-T", "-e", f"MASTER_STORE={address}", "master"]
    words += ["timeout", "20", "python", "-m", "master", "serve"]
    out = pair.compose(*words, check=False)
    return [line for line in out.splitlines() if "quartermaster" in line or "error" in line.lower()]


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("postgresql://quartermaster:wrong@database/?sslrootcert=/database/ca.crt", "password"),
        ("postgresql://quartermaster:wrong@database/", "certificate"),
        ("postgresql://quartermaster:wrong@database/?sslmode=disable", "no encryption"),
    ],
    ids=["password", "authority", "in clear"],
)
def test_what_is_wrong_with_the_database_is_one_clear_line(
    pair: Pair, address: str, said: str
) -> None:
    lines = _refused(pair, address)
    assert len(lines) == 1, lines
    assert said in lines[0]
    assert "wrong@" not in lines[0]


def test_a_database_elsewhere_needs_no_container_of_ours(pair: Pair) -> None:
    """`up --no-deps` starts masters and workers alone."""
    shown: Any = pair.compose("config", "--services").split()
    assert set(shown) >= {*MASTERS, "worker", "database"}
    pair.types("docker compose up --detach --no-deps master master2 worker")
