"""docs/deployment.md lets a laptop use the workers of other hosts; then everything is killed once.

hostA has the master, hostB and hostC have workers, and hostC has the laptop's address, too. The
tests are one story, in their order.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from queue_manager.wire.tls import has_psk
from tests.documents import blocks
from tests.hosts.checkout import copy_checkout
from tests.hosts.images import Images
from tests.hosts.lan import Lan
from tests.hosts.laptop import Laptop
from tests.hosts.site import DOCUMENT, Site, joining, workers
from tests.integration.processes import REPO, eventually

INPUTS = 1_000_000
HALF = INPUTS // 2
BACK_S = 60.0
NIGHT_S = 240.0
"""How long half of the work may take on a busy machine of two cores."""

# The first program stops within its inputs, so that it is killed there and nowhere else.
UNTIL_HALF = f"""
import os
import signal


def until_half():
    yield from range({HALF})
    print(os.getpid(), flush=True)
    signal.pause()


"""

# Some tasks take a while, so that a worker that is frozen holds some.
SLOW = """
    import time

    if n % 5_000 == 0:
        time.sleep(0.5)
    return n * n
"""


def program(name: str) -> str:
    """A program of the document, by the comment in its first line."""
    (found,) = (b.text for b in blocks(DOCUMENT.read_text("utf-8")) if b.file == name)
    return found


@pytest.fixture(scope="module")
def sites(lan: Lan, images: Images) -> Iterator[tuple[Site, Site, Site]]:
    """A master on A, two workers each on B and C, set up from nothing."""
    a, b, c = (Site(host) for host in lan.hosts)
    try:
        copy_checkout(a.host)
        images.load(a.host)
        a.types("export QUEUE_PUBLISH=203.0.113.11:5000")
        a.runs("docker compose up --detach master")
        a.types('make ship HOSTS="hostB hostC"', timeout_s=200)
        line = joining(a).replace("worker=4", "worker=2")
        for site in (b, c):
            site.runs(line)
        eventually(lambda: workers(a) == {"hostB": 2, "hostC": 2}, BACK_S, "four workers")
        yield a, b, c
    except BaseException:
        print(a.runs("docker compose logs --tail 50", check=False))
        raise
    finally:
        for site in (a, b, c):
            site.remove()


@pytest.fixture(scope="module")
def laptop(sites: tuple[Site, Site, Site]) -> Iterator[Laptop]:
    """The laptop, with what the document's commands make of it, except for `QUEUE_UPLOADS`."""
    a, _, c = sites
    # The host reaches no index, so the build takes the tools of this project's environment.
    a.settings["PIP_NO_BUILD_ISOLATION"] = "0"
    pip = a.host.home / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {REPO}/.venv/bin/python -m pip "$@"\n')
    pip.chmod(0o755)
    a.types("pip wheel --no-deps --wheel-dir dist .")
    (wheel,) = (a.folder / "dist").glob("*.whl")
    laptop = Laptop(c.host, wheel)
    try:
        laptop.types("pip install quartermaster_queue-*.whl")
        laptop.types("(umask 077; cat >quartermaster.key)", stdin=a.types("make key"))
        laptop.types(
            "export QUEUE_HOST=203.0.113.11 QUEUE_PORT=5000 QUEUE_AUTHKEY_FILE=quartermaster.key"
        )
        for name in ("night.py", "morning.py"):
            laptop.saves(name, program(name))
        yield laptop
    finally:
        laptop.close()


def allow_uploads(a: Site) -> None:
    """Have the master take functions of programs, as the document says."""
    a.types("export QUEUE_UPLOADS=1")
    a.types("docker compose up --detach master")
    eventually(lambda: workers(a) == {"hostB": 2, "hostC": 2}, BACK_S, "all are back")


def test_a_master_that_others_reach_takes_no_function_unless_it_is_told_to(
    sites: tuple[Site, Site, Site], laptop: Laptop
) -> None:
    """The refusal is one line, which names the setting; with it, the same program works."""
    a, *_ = sites
    assert "hostB" in laptop.types("qm status")
    brief = program("night.py").replace("1_000_000", "1_000").replace('"night"', '"brief"')
    laptop.saves("brief.py", brief)
    said = laptop.runs("python brief.py", check=False)
    assert said.splitlines()[-1].startswith("queue_manager.errors.RefusedError: "), said
    assert "because other machines reach it (QUEUE_PUBLISH=203.0.113.11:5000)" in said
    assert "set QUEUE_UPLOADS=1 for it" in said
    assert run_of(a)["run"] == 1  # no run but the one that the compose file begins with
    allow_uploads(a)
    laptop.runs("python brief.py")
    morning = program("morning.py").replace('"night"', '"brief"')
    assert "1000 results" in laptop.runs("python -", stdin=morning)


def test_a_million_results_are_there_though_client_and_master_were_killed_and_a_worker_frozen(
    sites: tuple[Site, Site, Site], laptop: Laptop
) -> None:
    """Each result is there once, and right, for a program that knows no more than the key."""
    a, b, _ = sites
    allow_uploads(a)
    night = program("night.py").replace("    return n * n\n", SLOW.lstrip("\n"))
    assert night.count("range(1_000_000)") == night.count("time.sleep") == 1
    laptop.saves("night.py", night)
    laptop.saves("half.py", UNTIL_HALF + night.replace("range(1_000_000)", "until_half()"))

    first = laptop.spawns("exec python half.py")
    assert first.stdout
    number = int(first.stdout.readline())
    frozen = freeze_one_that_works(a, b)
    laptop.runs(f"kill -9 {number}")
    assert first.wait(30) == 137
    kill_master(a)
    eventually(lambda: workers(a) == {"hostB": 1, "hostC": 2}, BACK_S, "the other three")
    # How many inputs were on disk when the program died depends on the machine.
    row = eventually(lambda: run_with(a, done=run_of(a)["tasks"]), NIGHT_S, "the others' work")
    assert row["state"] == "active"  # its inputs are not complete
    assert 0 < row["tasks"] <= HALF
    b.runs(f"docker unpause {frozen}")
    eventually(lambda: workers(a) == {"hostB": 2, "hostC": 2}, BACK_S, "the frozen one is back")

    laptop.types("python night.py", timeout_s=NIGHT_S)
    row = eventually(lambda: run_with(a, state="done"), NIGHT_S, "the rest of the work")
    assert row["tasks"] == row["done"] == INPUTS
    assert "1000000 results" in laptop.types("python morning.py")
    check = "\nassert results == [n * n for n in range(1_000_000)]\n"
    laptop.runs("python -", stdin=program("morning.py") + check)


def freeze_one_that_works(a: Site, b: Site) -> str:
    """Pause a worker's container on B that holds tasks, and return the container's name."""
    names = b.runs("docker compose ps --format '{{.Name}}' worker").split()

    def paused() -> str:
        for name in names:
            b.runs(f"docker pause {name}")
            short = b.runs(f"docker inspect --format '{{{{.Config.Hostname}}}}' {name}").strip()
            held = re.search(
                rf"^worker +hostB:{short}/\d+ .* (\d[\d,]*) +[\d.]+ s$", a.qm("status"), re.M
            )
            if held and held[1] != "0":
                return name
            b.runs(f"docker unpause {name}")
        return ""

    return eventually(paused, BACK_S, "a worker of B that holds tasks")


def kill_master(a: Site) -> None:
    """Kill the master's container as its host would, and wait until the engine has started it."""
    show = "docker inspect --format '{{json .State}}' $(docker compose ps --quiet master)"
    before = json.loads(a.runs(show))
    a.host.exec("kill", "-9", str(before["Pid"]))

    def again() -> bool:
        state = json.loads(a.runs(show))
        return bool(state["Running"] and state["StartedAt"] != before["StartedAt"])

    eventually(again, BACK_S, "the master's restart")


def run_of(a: Site) -> dict[str, Any]:
    """The last run, by the columns of `qm status`; run 0 while the master does not answer."""
    row = r"^ +(\d+) +(\w+)((?: +[\d,]+){6})  square$"
    rows = re.findall(row, a.qm("status", check=False), re.MULTILINE)
    number, state, columns = max(rows, key=lambda row: int(row[0]), default=("0", "", "0 0 0"))
    tasks, *_, done, _ = (int(column.replace(",", "")) for column in columns.split())
    return {"run": int(number), "state": state, "tasks": tasks, "done": done}


def run_with(a: Site, **columns: int | str) -> dict[str, Any]:
    """The last run, if it has these values in these columns; else nothing."""
    row = run_of(a)
    return row if row["run"] and row.items() >= columns.items() else {}


# Each line of output is one step, up to the first that fails.
OLDER = """
import sys
from queue_manager import connect

def square(n):
    return n * n

try:
    with connect("203.0.113.11:5000", authkey=sys.stdin.readline().strip()) as qm:
        print("connected")
        qm.submit("square", count=3)
        print("submitted")
        qm.start(square, range(3))
        print("started")
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(has_psk(), reason="this machine's Python can encrypt")
def test_a_laptop_with_an_older_python_is_told_what_it_needs(
    sites: tuple[Site, Site, Site], laptop: Laptop
) -> None:
    """In clear, where both sides say so, it submits jobs of the master's and brings no function."""
    a, _, c = sites
    allow_uploads(a)
    key = a.types("make key")

    def says(tls: str) -> list[str]:
        settings = ["env", f"PYTHONPATH={REPO}", f"QUEUE_TLS={tls}"]
        return c.host.exec(*settings, sys.executable, "-c", OLDER, stdin=key).splitlines()

    for tls in ("", "off"):
        (line,) = says(tls)
        assert line.startswith("TlsError "), line
        assert "encryption needs Python 3.13 or later, this is 3." in line
        assert "or set QUEUE_TLS=off on both sides if plain traffic is fine" in line
    a.runs("QUEUE_TLS=off docker compose up --detach master")
    try:
        *steps, line = says("off")
        assert steps == ["connected", "submitted"]
        assert line.startswith("RefusedError code travels over encrypted connections or within one")
        assert "(queue)" in laptop.runs("QUEUE_TLS=off qm status")
        line = laptop.runs("qm status", check=False).strip()
        assert (
            line
            == "qm: 203.0.113.11:5000 takes no encrypted connections: see QUEUE_TLS on its side"
        )
    finally:
        a.runs("docker compose up --detach master")
