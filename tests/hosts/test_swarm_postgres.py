"""deploy/stack.postgres.yml on a swarm: masters on hostA and hostB, PostgreSQL on hostC.

Both tests use one stack, in their order.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.chosen import chosen
from tests.documents import document_commands
from tests.hosts.checkout import copy_checkout
from tests.hosts.images import Images
from tests.hosts.lan import Lan
from tests.hosts.namespaces import run
from tests.hosts.swarm import DOCUMENT, QM, Swarm, where_job
from tests.integration.processes import eventually

HEADING = "Swarm with PostgreSQL"
COMMANDS = [command for _, command in document_commands(DOCUMENT, HEADING)]
DATABASE = "docker exec $(docker ps --quiet --filter name=quartermaster_database) "
# A master that loses its power is replaced within 5 s. The rest is for two processors that three
# hosts share, and for Docker's names, which go on naming it.
TAKEN_OVER_S = 20.0


class Pair(Swarm):
    """The stack with two masters. image: of PostgreSQL, on the machine's engine and on hostA."""

    def __init__(self, lan: Lan, image: str) -> None:
        super().__init__(lan)
        self.image = image

    def typed(self, command: str) -> str:
        """Run a command, which the document must have, on hostA; return what it prints."""
        assert command in COMMANDS
        return self.shell(self.manager, f"export POSTGRES_IMAGE={self.image}; {command}")

    def sql(self, query: str) -> str:
        """Return what the database answers, by its socket."""
        words = f'psql -U quartermaster --no-psqlrc -Atc "{query}"'
        return self.shell(self.hosts["hostC"], DATABASE + words).strip()

    def active(self) -> str:
        """Return the host of the master that owns the queue."""
        return self.sql("select name from quartermaster.owner")

    def close(self) -> None:
        super().close()
        self.hosts["hostC"].docker("volume", "rm", "quartermaster_database", check=False)


@pytest.fixture(scope="module")
def image() -> str:
    """The image of PostgreSQL that scripts/postgres-image.sh has chosen."""
    return chosen("POSTGRES_IMAGE")


@pytest.fixture(scope="module")
def pair(lan: Lan, images: Images, image: str) -> Iterator[Pair]:
    """The stack, deployed from nothing by the commands of the document."""
    found = Pair(lan, image)
    images.load(found.manager)
    tar = lan.folder / "postgres.tar"
    run(["docker", "save", "--output", str(tar), image])
    found.manager.load(tar)
    tar.unlink()
    folder = copy_checkout(found.manager)
    (folder / "jobs" / "where.py").write_text(where_job())
    try:
        found.begin()
        for command in COMMANDS:
            found.typed(command)
        wanted = {"master": "2/2", "worker": "4/4", "database": "1/1"}
        eventually(lambda: found.replicas() == wanted, 60, f"{wanted}")
        yield found
    except BaseException:
        print(*found.account().values(), sep="\n")
        raise
    finally:
        found.close()


def test_two_masters_are_on_two_nodes_and_their_sessions_encrypted(pair: Pair) -> None:
    assert {place[:5] for place in pair.containers("master")} == {"hostA", "hostB"}
    (place,) = pair.containers("database")
    assert place.startswith("hostC/")

    def sessions() -> list[str]:
        return pair.sql(
            "select distinct application_name, ssl, version from pg_stat_activity"
            " join pg_stat_ssl using (pid) where application_name like 'quartermaster/%'"
        ).splitlines()

    # A master runs before it has found the database.
    both = {"hostA", "hostB"}
    eventually(lambda: {line.split("/")[1] for line in sessions()} == both, 60, "both masters")
    assert all(line.endswith("|t|TLSv1.3") for line in sessions())
    number = int(pair.qm("submit where --wait").split()[0])
    assert set(pair.finished(number, 60)) == {"hostA", "hostB", "hostC"}
    status = pair.qm("status")
    assert {"hostA", "hostB"} <= set(re.findall(r"\bhost[AB]\b", status))


def test_a_masters_node_loses_its_power_and_the_other_one_goes_on(pair: Pair) -> None:
    """Tasks of the workers that are gone with it run again elsewhere, uncharged."""
    if pair.active() == "hostA":  # the swarm's only manager, and the terminal: it stays
        pair.shell(pair.manager, QM.split("qm")[0].replace("docker exec", "docker kill"))
    eventually(lambda: pair.active() == "hostB", TAKEN_OVER_S, "hostB has the active master")
    eventually(lambda: "quartermaster_master" in pair.manager.docker("ps"), 30, "hostA's is back")
    number = pair.submit(200, 0.3)
    pair.begun(number)
    before = pair.results(number)
    pair.hosts["hostB"].kill()
    eventually(lambda: pair.active() == "hostA", TAKEN_OVER_S, "hostA has taken over")
    pair.finished(number, 200, within_s=90.0)
    after = {one["task"]: one for one in pair.results(number)}
    assert [after[one["task"]] for one in before] == before
