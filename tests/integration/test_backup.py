"""Copies of the store of a master that works: nothing is missing but what a promise allows."""

from __future__ import annotations

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import msgspec
import pytest

from master.backup.moving.postgres_end import PostgresEnd
from master.backup.states import CopyState
from master.store.postgres.address import parse_address
from master.store.sqlite.engine import SqliteStore
from tests.documents import document_commands
from tests.integration.processes import REPO, Master, Process, clean_environment, eventually
from tests.postgres_server import DATABASE, PostgresServer, programs

ROUNDS = int(os.environ.get("BACKUP_ROUNDS", "1"))
"""How often the master's disk is lost."""

PAGE = REPO / "docs/backup.md"

FOLLOWS = "has the whole store, and follows"


def follow(master: Master, *words: str, log: str = "follow.log") -> Process:
    """A follower, as soon as it follows."""
    follower = master.start(log, "master", "backup", "--follow", *words)
    follower.says(FOLLOWS)
    return follower


def restored(master: Master, source: Path | str, name: str = "restored") -> Master:
    """A master with the store of a copy, on another port."""
    place = master.place(name)
    ended = place.command("restore", str(source))
    assert ended.code == 0, repr(ended)
    settings = {k: v for k, v in place.settings.items() if k != "QUEUE_PORT"}
    folder = master.folder / name
    folder.mkdir(exist_ok=True)
    return Master(folder, master.started, **{**settings, "QUEUE_PORT": "0"})


def test_a_backup_of_a_working_master_is_restored(start_master: Callable[..., Master]) -> None:
    master = start_master()
    master.worker()
    done = master.submit("square", "count=50")
    before = master.ended_tasks(done, 50)
    master.submit("count_up", "count=20000")
    target = master.folder / "backup.sqlite3"
    ended = master.command("backup", str(target))
    assert ended.code == 0, repr(ended)
    assert re.fullmatch(
        rf"{target}: the store of 20\S+ \S+ UTC, [\d.]+ [KM]iB, 2 runs, [\d,]+ tasks, [\d,]+ done,"
        r" 0 dead letters; checked in [\d.]+ s. The key is not in it: keep that, too\n",
        ended.out,
    )
    after = restored(master, target)
    assert after.results(done) == before


def test_a_backup_goes_through_pipes(start_master: Callable[..., Master]) -> None:
    master = start_master()
    master.worker()
    run = master.submit("square", "count=20")
    before = master.ended_tasks(run, 20)
    words = [sys.executable, "-m", "master"]
    place = master.place("piped")
    with subprocess.Popen(
        [*words, "backup", "-"], stdout=subprocess.PIPE, env=master.environment()
    ) as source:
        ended = subprocess.run(
            [*words, "restore", "-"],
            stdin=source.stdout,
            env=place.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (source.returncode, ended.returncode) == (0, 0), ended.stderr
    assert ", 1 run, 20 tasks, 20 done, " in ended.stdout
    folder = master.folder / "piped"
    folder.mkdir()
    assert Master(folder, master.started, **place.settings).results(run) == before


def test_what_is_wrong_is_one_line(start_master: Callable[..., Master]) -> None:
    master = start_master()
    copy = master.folder / "backup.sqlite3"
    assert master.command("backup", str(copy)).code == 0
    refusal = master.command("restore", str(copy)).refusal
    assert re.fullmatch(r"qm: .*data is in use by the master with process id \d+", refusal)
    place = master.place("nothing")
    assert "there is no store in" in place.command("backup", str(copy)).refusal
    assert "there is no " in place.command("restore", "missing").refusal
    assert "--through is for --follow" in master.command("backup", "--through", "x").refusal
    assert "--follow needs a folder" in master.command("backup", "--follow", "-").refusal
    url = {"MASTER_STORE": "postgresql://db.example.org/queue"}
    assert "pg_dump (docs/backup.md)" in master.command("backup", "x", **url).refusal
    with copy.open("r+b") as file:
        file.truncate(5_000)
    assert "is damaged, or no store" in place.command("restore", str(copy)).refusal


class Load:
    """Puts tasks one by one and looks at what is done, and notes when it was told so."""

    def __init__(self, master: Master) -> None:
        self.put: list[float] = []
        self.done: list[tuple[float, int]] = []
        self._stop = False
        self._master = master
        self._client = master.client()
        self._threads = [
            threading.Thread(target=self._putting),
            threading.Thread(target=self._look),
        ]
        for thread in self._threads:
            thread.start()

    def _putting(self) -> None:
        while not self._stop:
            try:
                self._client("tasks.put(n)", n=len(self.put))
            except Exception:
                return
            self.put.append(time.time())

    def _look(self) -> None:
        while not self._stop:
            try:
                done = next(run.done for run in self._master.runs() if run.run == 0)
            except Exception:
                return
            self.done.append((time.time(), done))
            time.sleep(0.02)

    def has_done(self, count: int) -> bool:
        return bool(self.done) and self.done[-1][1] > count

    def end(self) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()
        self._client.kill()


def test_a_lost_disk_costs_a_second_at_most(start_master: Callable[..., Master]) -> None:
    """The follower is killed together with the master: it can't read what is left."""
    dice = random.Random()
    for at in range(ROUNDS):
        master = start_master(JOB="square", JOB_ARGS="count=1")
        master.worker()
        copy = master.folder / f"copy-{at}"
        follower = follow(master, str(copy), log=f"follow-{at}.log")
        load = Load(master)
        eventually(partial(load.has_done, 50))
        time.sleep(dice.uniform(0, 2.5))
        follower.kill()
        lost_at = time.time()
        master.process.kill()
        load.end()
        shutil.rmtree(master.settings["MASTER_DATA"])
        must_be_there = sum(at < lost_at - 1 for at in load.put)
        must_be_done = max((done for at, done in load.done if at < lost_at - 1), default=0)
        after = restored(master, copy, f"restored-{at}")
        (run,) = (run for run in after.runs() if run.run == 0)
        assert run.tasks >= must_be_there
        assert run.done >= must_be_done
        after.worker()
        eventually(lambda a=after, t=run.tasks: a.run_line(0)["done"] == str(t))  # type: ignore[misc]
        after.process.kill()


def test_a_follower_comes_back_whatever_is_lost(start_master: Callable[..., Master]) -> None:
    master = start_master()
    master.worker()
    copy = master.folder / "copy"
    through = f"{sys.executable} -m master restore --follow {copy}"
    follower = follow(master, through, "--through")

    def rows() -> tuple[int, ...]:
        """How many tasks the copy has, as somebody reads it who stops the follower."""
        frozen = master.folder / "frozen"
        shutil.rmtree(frozen, ignore_errors=True)
        shutil.copytree(copy, frozen, ignore=shutil.ignore_patterns("copy.*"))
        place = master.place("look")
        assert place.command("restore", str(frozen)).code == 0
        with closing(sqlite3.connect(Path(place.settings["MASTER_DATA"]) / "queue.sqlite3")) as db:
            found: tuple[int, ...] = db.execute(
                "SELECT TOTAL(tasks), TOTAL(done) FROM runs"
            ).fetchone()
        return found

    def done(count: int) -> None:
        run = master.submit("square", f"count={count}")
        master.ended_tasks(run, count)
        wanted.append(count)

    wanted: list[int] = []
    done(20)
    eventually(lambda: rows() == (20, 20))
    # the other end is killed
    (receiver,) = [int(p) for p in _children(follower.popen.pid)]
    os.kill(receiver, 9)
    follower.says("`, ended; trying again")
    follower.says("follows again")
    done(30)
    eventually(lambda: rows() == (50, 50))
    # the master is killed and starts again
    master.process.kill()
    master.serve()
    done(10)
    eventually(lambda: rows() == (60, 60))
    # and in good order
    master.process.terminate()
    master.serve()
    done(5)
    eventually(lambda: rows() == (65, 65))
    assert len(follower.lines(FOLLOWS)) == 1  # all of it was copied once
    # the follower is killed and starts again
    follower.kill()
    done(5)
    again = master.start("again.log", "master", "backup", "--follow", through, "--through")
    eventually(lambda: rows() == (70, 70))
    assert not again.lines(FOLLOWS)
    # the store is another one
    assert master.command("backup", str(master.folder / "b")).code == 0
    master.process.terminate()
    assert master.command("restore", str(master.folder / "b")).code == 0
    again.says("was moved or replaced")
    master.serve()
    done(5)
    eventually(lambda: rows() == (75, 75))
    assert again.terminate() == 0


def test_two_follow_one_store_and_a_third_has_no_folder(
    start_master: Callable[..., Master],
) -> None:
    master = start_master()
    copies = [master.folder / "one", master.folder / "two"]
    for number, copy in enumerate(copies):
        follow(master, str(copy), log=f"follow-{number}.log")
    third = master.start("third.log", "master", "backup", "--follow", str(copies[0]))
    third.says("another process writes the copy in .*: stop it first; trying again")


def test_the_master_says_when_a_copy_is_behind(start_master: Callable[..., Master]) -> None:
    master = start_master()
    copy = master.folder / "copy"
    follower = follow(master, str(copy))
    assert "of the store is" not in master.status()
    follower.kill()
    (told,) = Path(master.settings["MASTER_DATA"], "copies").glob("*.json")
    told.write_bytes(msgspec.json.encode(CopyState(str(copy), time.time() - 75)))
    assert re.search(
        rf"! the copy {copy} of the store is 7\d s behind: its follower", master.status()
    )
    assert str(told) in master.status()
    again = master.start("again.log", "master", "backup", "--follow", str(copy))
    eventually(lambda: "of the store is" not in master.status())
    again.terminate()
    assert not told.exists()


def page_commands(heading: str) -> list[str]:
    """The commands of a section of the page that need no containers."""
    found = [command for _, command in document_commands(PAGE, heading)]
    return [command for command in found if not command.startswith("docker ")]


def test_the_commands_of_the_page(start_master: Callable[..., Master]) -> None:
    """As they stand, but for the folder; the other host is this one."""
    master = start_master()
    master.worker()
    run = master.submit("square", "count=20")
    before = master.ended_tasks(run, 20)
    programs = master.folder / "bin"
    programs.mkdir()
    ssh = '#!/bin/sh\nwhile [ ${1#-} != $1 ]; do shift 2; done\nshift\nexec sh -c "$*"\n'
    (programs / "ssh").write_text(ssh)
    (programs / "ssh").chmod(0o755)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"

    def start(command: str) -> Process:
        words = command.replace("/mnt/other", str(master.folder)).replace(
            "/srv", str(master.folder)
        )
        environment = {**master.environment(), "PATH": path}
        name = f"page-{len(master.started)}.log"
        process = Process(master.folder / name, ["bash", "-c", f"exec {words}"], environment)
        master.started.append(process)
        return process

    def put_back(command: str, *shown: str) -> None:
        """Run it without a master; then the store has what it had."""
        master.process.terminate()
        process = start(command)
        assert process.wait() == 0, process.log
        assert all(part in process.log for part in shown), process.log
        master.serve()
        assert master.results(run) == before

    copy, piped = page_commands("One copy")
    first = start(copy)
    assert first.wait() == 0, first.log
    assert re.search(r"^backup.sqlite3: the store of .* UTC, .* checked in [\d.]+ s\.", first.log)
    assert start(piped).wait() == 0
    restore, from_pipe = page_commands("Restore")
    put_back(restore, "has the store: ", "What was there is in ")
    put_back(from_pipe, "has the store: ")
    followed, through, back = page_commands("A copy of each commit")
    for command in (followed, through):
        follower = start(command)
        follower.says(
            "has the whole store, and follows|follows again" if command == followed else "."
        )
        eventually(lambda f=follower: (master.folder / "copy" / "copy.json").exists())  # type: ignore[misc]
        assert follower.terminate() == 0, follower.log
    put_back(back, "has the store of ")


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def of_the_server(command: str, environment: dict[str, str], folder: Path) -> str:
    """Run a command of the page, the server's as its user; returns what it prints."""
    words = ["bash", "-c", command]
    if os.geteuid() == 0 and not command.startswith("qm "):
        words = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", *words]
    done = subprocess.run(
        words, env=environment, cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.mark.timeout(600)
def test_the_commands_of_the_page_about_postgresql(
    own_postgres: PostgresServer, start_master: Callable[..., Master], tmp_path: Path
) -> None:
    server = own_postgres
    srv = server.folder / "srv"
    (srv / "archive").mkdir(parents=True)
    (srv / "bin").mkdir()
    url = f"postgresql://quartermaster@/{DATABASE}?host={server.folder}&port={server.port}"
    base, _, query = url.partition("?")
    qm = f'#!/bin/sh\nexec {sys.executable} -m master "$@"\n'
    (srv / "bin" / "qm").write_text(qm)
    (srv / "bin" / "qm").chmod(0o755)
    if os.geteuid() == 0:
        for path in (srv, *srv.iterdir()):
            shutil.chown(path, "postgres", "postgres")
    environment = {
        **clean_environment({"PYTHONPATH": str(REPO), "URL": url, "HOME": str(srv)}),
        "PATH": f"{srv / 'bin'}:{programs()}:/usr/bin:/bin",
        "PGHOST": str(server.folder),
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "PGDATABASE": DATABASE,
    }

    def run(command: str) -> str:
        for old, new in (("/srv/data", str(server.data)), ("/srv", str(srv))):
            command = command.replace(old, new)
        return of_the_server(command, environment, srv)

    def number() -> str:
        """How many rows of the queue there are, as somebody counts who waits for the server."""
        return run(
            "psql --tuples-only --command='SELECT COUNT(*) FROM quartermaster.marks'"
        ).strip()

    def mark(at: int) -> None:
        run(f"psql --command='INSERT INTO quartermaster.marks VALUES ({at}, 1)'")

    with closing(PostgresEnd(parse_address(url), new=True)) as end:
        end.finish(1)
    mark(1)
    (dump,) = page_commands("PostgreSQL: one copy")[:1]
    run(dump)
    mark(2)
    for command in page_commands("PostgreSQL: one copy")[1:]:
        told = run(command)
    assert told.startswith("the numbers of runs go on 1,000 higher")
    assert number() == "1"

    commands = page_commands("PostgreSQL: any moment")
    back = next(at for at, text in enumerate(commands) if text.startswith("pg_ctl stop"))
    server.stop()
    run("pg_ctl start --pgdata=/srv/data --log=/srv/log")  # from now on it is nobody's child
    try:
        for command in commands[:back]:
            run(command)
        mark(3)
        then = run("psql --tuples-only --command='SELECT now()'").strip()
        mark(4)
        run("psql --command='SELECT pg_switch_wal()'")
        for command in commands[back:]:
            run(
                re.sub(
                    r"recovery_target_time = '[^']*'", f"recovery_target_time = '{then}'", command
                )
            )
            if command.startswith("pg_ctl start"):
                eventually(lambda: run("psql -tc 'SELECT pg_is_in_recovery()'").strip() == "f")
        assert number() == "2"
    finally:
        run("pg_ctl stop --pgdata=/srv/data --mode=immediate")
    server.start()
    assert number() == "2"

    moved, back_again = page_commands("From one engine to the other")
    data = tmp_path / "data"
    SqliteStore(data).close()
    place = f"{base}?schema=moved&{query}"
    environment["URL"] = place
    for command in (moved, back_again):
        command = command.replace("$URL?schema=moved", "$URL")
        words = {**clean_environment({"PYTHONPATH": str(REPO)}), "URL": place}
        words["PATH"] = f"{srv / 'bin'}:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-c", command], env=words, cwd=tmp_path, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("copied 0 runs with 0 tasks into ")
    assert (tmp_path / "other-data" / "queue.sqlite3").exists()


def test_a_queue_goes_to_postgresql_and_back_with_its_results(
    start_master: Callable[..., Master], store_url: str
) -> None:
    master = start_master()
    worker = master.worker()
    run = master.submit("square", "count=300")
    before = master.ended_tasks(run, 300)
    waiting = master.submit("count_up", "count=100")
    master.ended_tasks(waiting, 100)
    worker.terminate()
    master.submit("square", "count=7", "--key", "later")  # nobody takes it before the move
    data = master.settings["MASTER_DATA"]
    refusal = master.command("migrate-store", data, store_url).refusal
    assert "is in use by the master with process id" in refusal
    master.process.terminate()
    ended = master.command("migrate-store", data, store_url)
    assert re.fullmatch(
        r"copied 3 runs with [\d,]+ tasks into \S+: [\d,]+ rows, the same .*\n", ended.out
    )
    master.settings["MASTER_STORE"] = store_url
    master.serve()
    assert master.results(run) == before
    worker = master.worker()
    later = master.ended_tasks(3, 7)
    assert "is in use by " in master.command("migrate-store", store_url, data).refusal
    worker.terminate()
    master.process.terminate()
    other = str(master.folder / "other")
    assert master.command("migrate-store", store_url, other).code == 0
    del master.settings["MASTER_STORE"]
    master.settings["MASTER_DATA"] = other
    master.serve()
    assert (master.results(run), master.results(3)) == (before, later)
