"""Functions that a client sends with the start of a run: they run in slots, and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import sqlite3
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from queue_manager import Options, codec
from queue_manager.client.code import Packed, pack
from queue_manager.client.connection.link import Link
from queue_manager.errors import RefusedError
from queue_manager.job.files import version_of
from queue_manager.job.run_options import run_options
from queue_manager.job.tags import python_tag
from queue_manager.wire.messages import (
    Accepted,
    Collect,
    Hello,
    OpenRun,
    Page,
    RunOpened,
    RunStarted,
    StartRun,
    SubmitTasks,
    TasksEnded,
)
from queue_manager.wire.reach.masters import Masters
from queue_manager.wire.records import NewBlock, RunOptions
from tests.integration.processes import KEY, PATIENCE_S, Master, eventually

MOST = 2**62 - 1


class Client:
    """A program that sends a function, feeds its run and collects."""

    def __init__(self, link: Link) -> None:
        self.link = link

    async def start(
        self, packed: Packed, key: str | None = None, options: RunOptions | None = None
    ) -> RunStarted:
        """Ask for a run with its code."""
        return await self.link.request(
            lambda seq: StartRun(
                seq,
                packed.job,
                [],
                key,
                "client",
                code=packed.files,
                options=options or packed.options,
            ),
            RunStarted,
        )

    async def feed(self, run: int, *payloads: Any) -> None:
        """Give it all its tasks."""
        link = self.link
        await link.request(lambda seq: OpenRun(seq, run), RunOpened)
        block = NewBlock(len(payloads), codec.encode_batch(list(payloads)))
        await link.request(lambda seq: SubmitTasks(seq, run, [block]), Accepted)
        await link.request(lambda seq: TasksEnded(seq, run), Accepted)

    async def results(self, run: int) -> list[Any]:
        """All results, in order of tasks, once it has ended."""
        await self.link.request(lambda seq: Collect(seq, run, MOST), Page)
        page = await self.link.request(lambda seq: Collect(seq, run, 0), Page)
        found = [
            (ended.first + ended.start + at, value)
            for ended in page.outcomes
            for at, value in enumerate(codec.decode_batch(ended.results))
        ]
        return [value for _, value in sorted(found)]

    async def map(self, packed: Packed, *payloads: Any) -> list[Any]:
        """The results of a function for these payloads."""
        run = (await self.start(packed)).run
        await self.feed(run, *payloads)
        return await self.results(run)


@contextlib.asynccontextmanager
async def connected(master: Master, host: str = "127.0.0.1") -> AsyncIterator[Client]:
    hello = Hello("client", "tests", os.getpid())
    link = Link(Masters([(host, master.port)]), KEY.encode(), lambda: hello, mode="off", quiet=True)
    running = asyncio.create_task(link.run())
    try:
        async with asyncio.timeout(2 * PATIENCE_S):
            await link.wait_up()
            yield Client(link)
    finally:
        link.close()
        await running


Scene = Callable[[Client], Any]


def play(master: Master, scene: Scene) -> Any:
    """Play a scene with one client. Returns what it returns."""

    async def whole() -> Any:
        async with connected(master) as client:
            return await scene(client)

    return asyncio.run(whole())


def source(job: str, text: str, **options: Any) -> Packed:
    """Code as any client might send it."""
    files = {f"{job}.py": text.encode()}
    return Packed(job, version_of(files), files, run_options(Options(**options)))


def kept(master: Master) -> int:
    """How many versions of uploaded code are on disk."""
    path = Path(master.settings["MASTER_DATA"]) / "queue.sqlite3"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        count: int = db.execute("SELECT COUNT(*) FROM code").fetchone()[0]
    return count


@pytest.fixture
def elsewhere(tmp_path: Path) -> dict[str, str]:
    """The settings of a worker that has no jobs of its own."""
    folder = tmp_path / "elsewhere" / "jobs"
    folder.mkdir(parents=True)
    return {"JOBS_FOLDER": str(folder)}


def test_functions_run_in_slots_however_they_travel(
    master: Master, elsewhere: dict[str, str]
) -> None:
    master.worker(**elsewhere)
    factor = 3

    async def later(n: int) -> int:
        await asyncio.sleep(0)
        return n + factor

    async def scene(client: Client) -> list[Any]:
        return [
            await client.map(pack(lambda n: n * factor), 1, 2),
            await client.map(pack(abs), -4),
            await client.map(pack(pow, call="star"), (2, 5)),
            await client.map(pack(later, options=Options(concurrency=10)), 1, 2, 3),
            await client.map(pack(version_of), {"a.py": b""}),
        ]

    *others, version = play(master, scene)
    assert others == [[3, 6], [4], [32], [4, 5, 6]]
    assert version == [version_of({"a.py": b""})]
    status = master.status()
    assert "lambda_" in status
    assert python_tag() not in status  # all workers have the same


def test_a_master_that_dies_before_the_first_lease_has_the_code_still(
    master: Master, elsewhere: dict[str, str]
) -> None:
    packed = source("times", "def work(n):\n    return n * 3\n")

    async def begin(client: Client) -> int:
        run = (await client.start(packed)).run
        await client.feed(run, 1, 2)
        return run

    run = play(master, begin)
    master.process.kill()
    master.serve()
    master.worker(**elsewhere)
    assert play(master, lambda client: client.results(run)) == [3, 6]
    assert kept(master) == 1
    assert master.command("forget", str(run)).code == 0
    assert kept(master) == 0


def test_code_stays_for_the_last_run_that_has_it(shared_master: Master) -> None:
    packed = source("times", "def work(n):\n    return n * 3\n")

    async def scene(client: Client) -> tuple[int, int]:
        first, second = (await client.start(packed)).run, (await client.start(packed)).run
        for run in (first, second):
            await client.feed(run, run)
            await client.results(run)
        return first, second

    first, second = play(shared_master, scene)
    assert kept(shared_master) == 1
    shared_master.command("forget", str(first))
    assert kept(shared_master) == 1
    shared_master.command("forget", str(second))
    assert kept(shared_master) == 0


def test_the_same_key_with_other_code_goes_on_with_that(
    master: Master, elsewhere: dict[str, str]
) -> None:
    wrong = source("times", "def work(n):\n    raise ValueError\n", attempts=1)
    right = source("times", "def work(n):\n    return n * 3\n", attempts=2)
    master.worker(**elsewhere)

    async def scene(client: Client) -> list[Any]:
        run = (await client.start(wrong, "k")).run
        await client.feed(run, 1, 2)
        assert await client.results(run) == []
        assert (await client.start(right, "k")) == RunStarted(client.link._seq, run, False)
        assert await asyncio.to_thread(kept, master) == 1
        ended = await asyncio.to_thread(master.command, "retry", str(run))
        assert ended.code == 0, repr(ended)
        return await client.results(run)

    assert play(master, scene) == [3, 6]
    master.process.says(r"run 1 \(times\): its code has changed")


def test_an_uploaded_job_is_no_job_of_the_same_name(master: Master) -> None:
    """Neither on the worker, nor on the master, nor for its clients of the standard library."""
    master.worker()
    packed = source("square", "def work(n):\n    return -n\n")
    run = master.submit("square", "count=3", "--key", "k")
    master.ended_tasks(run, 3)
    assert play(master, lambda client: client.map(packed, 5)) == [-5]
    assert [t["result"] == t["payload"] ** 2 for t in master.ended_tasks(run, 3)] == [True] * 3
    with pytest.raises(RefusedError, match=r"'k' is that of run 1, and its code is a file in jobs"):
        play(master, lambda client: client.start(packed, "k"))


EVIL = [
    ({"f.py": b"", "../f.py": b""}, r"'\.\./f\.py' is no file of jobs"),
    ({"f.py": b"", "/tmp/f.py": b""}, r"'/tmp/f\.py' is no file of jobs"),
    ({"f.py": b"", "a/../../f.py": b""}, r"is no file of jobs"),
    ({"f.py": b"", "./g.py": b""}, r"'\./g\.py' is no file of jobs"),
    ({"f.py": b"", "f.sh": b""}, r"'f\.sh' is no file of jobs"),
    ({"f.py": b"", "f.py/g.py": b""}, r"'f\.py' is a file and a folder"),
    ({"f.py": b"", "n\0.py": b""}, r"is no file of jobs"),
    ({"g.py": b""}, r"the code of f has no f\.py"),
    ({}, r"the code of f has no f\.py"),
    ({"f.py": b"x" * 8_000_000}, r"1 files of 8,000,000 bytes: 4,096 files of 7,864,320 bytes"),
]


@pytest.mark.parametrize(("files", "line"), EVIL)
def test_what_makes_no_sense_is_one_line(
    lone_master: Master, files: dict[str, bytes], line: str
) -> None:
    packed = Packed("f", "", files, RunOptions())
    with pytest.raises(RefusedError, match=line):
        play(lone_master, lambda client: client.start(packed))
    assert lone_master.runs() == [] or {run.run for run in lone_master.runs()} == {0}


def test_options_and_names_of_strangers_are_checked(lone_master: Master) -> None:
    for options, line in (
        (RunOptions(0), "attempts is 1 or more"),
        (RunOptions(timeout_s=-1.0), "timeout_s is a number of seconds"),
        (RunOptions(needs=["a b"]), "needs"),
    ):
        packed = source("f", "def work(n): return n")
        with pytest.raises(RefusedError, match=line):
            play(lone_master, lambda client, p=packed, o=options: client.start(p, options=o))
    packed = Packed("../f", "", {"../f.py": b""}, RunOptions())
    with pytest.raises(RefusedError, match="is no job's name"):
        play(lone_master, lambda client: client.start(packed))


def test_the_code_runs_in_no_process_of_the_master(master: Master, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    text = f"import os\nopen({str(mark)!r}, 'a').write(str(os.getppid()) + ' ')\n"
    packed = source("f", text + "def work(n):\n    return n\n")

    async def begin(client: Client) -> int:
        run = (await client.start(packed, "k")).run
        await client.feed(run, 1)
        await client.start(packed, "k")
        return run

    run = play(master, begin)
    assert not mark.exists()
    worker = master.worker()
    assert play(master, lambda client: client.results(run)) == [1]
    assert set(mark.read_text().split()) == {str(worker.popen.pid)}
    master.command("retry", str(run))
    assert len(mark.read_text().split()) == 1


@pytest.mark.parametrize(("text", "line"), [
    ("import os\nos._exit(3)\n", "can't run f: f: import or setup.. killed its slot: exit code 3"),
    ("import no_such_library\n", "lacks no_such_library, which that function imports: install it"),
    ("1 / 0\n", r"can't run f: jobs/f.py line 2: ZeroDivisionError"),
])  # fmt: skip
def test_code_that_does_not_load_charges_no_task(
    shared_master: Master, text: str, line: str
) -> None:
    packed = source("f", "# An uploaded function.\n" + text + "def work(n):\n    return n\n")

    async def scene(client: Client) -> int:
        run = (await client.start(packed)).run
        await client.feed(run, 1)
        return run

    run = play(shared_master, scene)
    eventually(lambda: re.search(line, shared_master.status()), what=line)
    eventually(lambda: shared_master.run_line(run)["waiting"] == "1", what="it is not charged")
    assert play(shared_master, lambda client: client.map(pack(abs), -1)) == [1]  # others go on


def test_another_python_is_said(shared_master: Master) -> None:
    packed = source("f", "def work(n):\n    return n\n", needs={"python3.8"})

    async def scene(client: Client) -> None:
        await client.feed((await client.start(packed)).run, 1)

    play(shared_master, scene)
    line = "no worker has Python 3.8: start one with Python 3.8"
    eventually(lambda: line in shared_master.status(), what=line)


def test_uploads_can_be_off(start_master: Callable[..., Master]) -> None:
    master = start_master(QUEUE_UPLOADS="0")
    with pytest.raises(RefusedError, match="takes no code from clients: it has QUEUE_UPLOADS=0"):
        play(master, lambda client: client.start(pack(abs)))
