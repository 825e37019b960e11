"""Code of jobs that comes from the master where a worker's own folder lacks it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from queue_manager.errors import JobError
from queue_manager.job.loading import job_files, version_of
from queue_manager.wire.messages import AskCode, Code, Refused
from queue_manager.wire.records import Lease
from worker.jobs import code_folder as code_module
from worker.jobs.code_folder import CodeFolders

SOURCE = b"from jobs.factor import FACTOR\n\ndef work(n):\n    return n * FACTOR\n"
FILES = {"times.py": SOURCE, "factor.py": b"FACTOR = 3\n"}
VERSION = version_of(FILES)


class Asked:
    """Notes what is asked for."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []
        self.code = CodeFolders(lambda job, version: self.all.append((job, version)))


@pytest.fixture
def asked() -> Any:
    made = Asked()
    yield made
    made.code.close()


def test_a_version_is_asked_for_once_and_then_there(asked: Asked) -> None:
    assert asked.code.folder("times", VERSION) is None
    assert asked.code.folder("times", VERSION) is None
    assert asked.all == [("times", VERSION)]
    asked.code.came("times", VERSION, FILES)
    folder = asked.code.folder("times", VERSION)
    assert folder is not None
    assert job_files("times", folder) == FILES
    assert len(asked.all) == 1


def test_nothing_is_left_when_the_worker_ends(asked: Asked) -> None:
    asked.code.came("times", VERSION, FILES)
    folder = asked.code.folder("times", VERSION)
    asked.code.close()
    assert folder is not None
    assert not folder.parent.parent.exists()


def test_what_a_killed_worker_left_goes_and_what_a_live_one_has_stays(
    asked: Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    alive, killed = Asked().code, Asked().code
    for code in (alive, killed):
        code.came("times", VERSION, FILES)
    (tmp_path / "quartermaster-code-made-now").mkdir()
    assert killed._lock is not None
    os.close(killed._lock)  # as the kernel does
    asked.code.came("times", VERSION, FILES)
    there = {path.name for path in tmp_path.iterdir()}
    assert killed._root is not None
    assert alive._root is not None
    assert asked.code._root is not None
    assert there == {"quartermaster-code-made-now", alive._root.name, asked.code._root.name}
    alive.close()


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "factor.py": b"FACTOR = 4\n"},
        {"factor.py": b"FACTOR = 3\n"},
        {**FILES, "../evil.py": b""},
        {**FILES, "/tmp/evil.py": b""},
        {**FILES, "evil.sh": b""},
        {**FILES, "a\0b.py": b""},
    ],
)
def test_what_is_not_what_was_named_is_not_run(asked: Asked, files: dict[str, bytes]) -> None:
    asked.code.came("times", VERSION, files)
    with pytest.raises(JobError, match="its code from the master can't be used"):
        asked.code.folder("times", VERSION)


@pytest.mark.parametrize("name", ["../../evil.py", "/tmp/evil.py", "evil.sh"])
def test_a_file_outside_of_the_folder_is_never_written(asked: Asked, name: str) -> None:
    """Also where the version is the hash of just that: nothing is written at all."""
    files = {**FILES, name: b"x"}
    asked.code.came("times", version_of(files), files)
    assert asked.code._root is None
    with pytest.raises(JobError, match="is no file of jobs"):
        asked.code.folder("times", version_of(files))


@pytest.mark.parametrize("version", ["", "..", "../../victim", "A" * 64, "a" * 63, "a" * 64 + "\n"])
def test_a_version_that_is_no_hash_is_refused_before_any_path_is_made_of_it(
    asked: Asked, tmp_path: Path, monkeypatch: Any, version: str
) -> None:
    """Removing what can't be used would remove what the name leads to."""
    victim = tmp_path / "victim" / "file"
    victim.parent.mkdir()
    victim.touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "deep"))
    (tmp_path / "deep").mkdir()
    with pytest.raises(JobError, match="names a version that is none"):
        asked.code.folder("times", version)
    assert asked.all == []
    asked.code.came("times", VERSION, FILES)
    asked.code.came("times", version, {"times.py": b"other"})
    assert victim.exists()


def test_a_refusal_is_told_and_another_connection_may_ask_again(asked: Asked) -> None:
    asked.code.folder("times", VERSION)
    asked.code.refused(VERSION, "jobs/times.py has just changed")
    with pytest.raises(JobError, match="has just changed"):
        asked.code.folder("times", VERSION)
    asked.code.forget_asked()
    assert asked.code.folder("times", VERSION) is None
    assert len(asked.all) == 2


def test_a_lost_question_is_asked_again(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_module, "ASK_AGAIN_S", 0.0)
    asked.code.folder("times", VERSION)
    asked.code.folder("times", VERSION)
    assert len(asked.all) == 2


# --- a whole worker ---


def lease_of(jobs: Any, payloads: list[Any], **fields: Any) -> Lease:
    lease: Lease = jobs.lease(payloads)
    values = {"job": "times", "version": VERSION, **fields}
    return msgspec.structs.replace(lease, **values)


def questions(rig: Any) -> list[AskCode]:
    return [m for m in rig.link.sent if isinstance(m, AskCode)]


async def fetched(rig: Any) -> None:
    (ask,) = await rig.until(lambda: questions(rig))
    assert (ask.job, ask.version) == ("times", VERSION)
    rig.link.on_message(Code(ask.seq, "times", VERSION, FILES))


@pytest.mark.usefixtures("patient")
def test_a_job_that_is_on_the_master_alone_runs(jobs: Any, run_worker: Any) -> None:
    async def scenario(rig: Any) -> None:
        lease = lease_of(jobs, [1, 2, 3])
        rig.give(lease)
        await fetched(rig)
        await rig.until(lambda: len(rig.done) == 3)
        assert [rig.done[lease.number, n] for n in range(3)] == [3, 6, 9]
        assert len(questions(rig)) == 1

    run_worker(scenario)


def test_other_code_than_the_masters_is_replaced_by_it(jobs: Any, run_worker: Any) -> None:
    (jobs.folder / "times.py").write_text("def work(n): return 'old'")

    async def scenario(rig: Any) -> None:
        lease = lease_of(jobs, [1])
        rig.give(lease)
        await fetched(rig)
        await rig.until(lambda: rig.done)
        assert rig.done == {(lease.number, 0): 3}
        code = rig.supervisor._code.folders
        assert str(code.folder("times", VERSION)) in code.in_use()

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_other_jobs_go_on_while_code_is_on_its_way(jobs: Any, run_worker: Any) -> None:
    jobs.write("def work(n): return -n")

    async def scenario(rig: Any) -> None:
        waits, runs = lease_of(jobs, [1]), jobs.lease([5])
        rig.give(waits)
        rig.give(runs)
        await rig.until(lambda: (runs.number, 0) in rig.done)
        assert (waits.number, 0) not in rig.done
        await fetched(rig)
        await rig.until(lambda: (waits.number, 0) in rig.done)
        another = jobs.lease([6])  # and back to the worker's own folder
        rig.give(another)
        await rig.until(lambda: (another.number, 0) in rig.done)

    run_worker(scenario)


def test_a_limited_task_goes_back_uncharged_until_the_code_is_there(
    jobs: Any, run_worker: Any
) -> None:
    async def scenario(rig: Any) -> None:
        first = lease_of(jobs, [1], limited=True)
        rig.give(first)
        await rig.until(lambda: first.number in rig.released)
        assert [o.lacks for o in rig.outcomes] == [""]
        await fetched(rig)

        def offered() -> bool:
            lease = lease_of(jobs, [7], limited=True)
            rig.give(lease)
            return any(value == 21 for value in rig.done.values())

        await rig.until(offered)

    run_worker(scenario)


@pytest.mark.parametrize("how", ["refused", "insecure"])
def test_code_that_does_not_come_sends_the_tasks_back_with_the_reason(
    jobs: Any, run_worker: Any, how: str
) -> None:
    async def scenario(rig: Any) -> None:
        rig.link.carries_code = how == "refused"
        lease = lease_of(jobs, [1, 2])
        rig.give(lease)
        if how == "refused":
            (ask,) = await rig.until(lambda: questions(rig))
            rig.link.on_message(Refused(ask.seq, "jobs/times.py has just changed"))
        await rig.until(lambda: rig.released.get(lease.number) == [0, 1])
        (outcome,) = rig.outcomes
        says = "has just changed" if how == "refused" else "over encrypted connections or"
        assert says in outcome.lacks
        assert (how == "refused") == bool(questions(rig))

    run_worker(scenario)


def test_a_worker_that_takes_no_code_says_what_differs(jobs: Any, run_worker: Any) -> None:
    (jobs.folder / "times.py").write_text("def work(n): return 'old'")

    async def scenario(rig: Any) -> None:
        lease = lease_of(jobs, [1])
        rig.give(lease)
        await rig.until(lambda: rig.released)
        assert f"another version (here {old[:8]}, the master has {VERSION[:8]})" in (
            rig.outcomes[0].lacks
        )
        assert questions(rig) == []

    old = version_of({"times.py": b"def work(n): return 'old'"})
    run_worker(scenario, worker_jobs="local")


def test_a_library_that_is_not_installed_is_named_with_what_to_do(
    jobs: Any, run_worker: Any
) -> None:
    jobs.write("import no_such_library_anywhere.part\ndef work(n): return n")

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([1])
        rig.give(lease)
        await rig.until(lambda: lease.number in rig.released)
        lacks = rig.outcomes[0].lacks
        assert lacks == "lacks no_such_library_anywhere: rebuild with jobs/requirements.txt"

    run_worker(scenario)


def test_files_are_fetched_into_a_folder_that_others_do_not_read(asked: Asked) -> None:
    asked.code.came("times", VERSION, FILES)
    folder = asked.code.folder("times", VERSION)
    assert folder is not None
    assert asked.code._root is not None
    assert asked.code._root.stat().st_mode & 0o077 == 0
    assert Path(folder).name == "jobs"


def test_a_limited_task_whose_code_was_on_its_way_when_the_connection_was_lost_comes_again(
    jobs: Any, run_worker: Any
) -> None:
    """The new session is told of a free slot, or no limited task would ever be given to it."""
    jobs.write("def work(n): return n")

    async def scenario(rig: Any) -> None:
        lease = jobs.lease([1], limited=True, version=VERSION)
        rig.give(lease)
        await rig.until(lambda: questions(rig) and rig.released)
        await rig.until(lambda: rig.exchanges[-1].free == 0)
        rig.link.drop()
        rig.link.sent.clear()
        rig.link.connect()
        await rig.until(lambda: rig.exchanges and rig.exchanges[-1].free == 1)

    run_worker(scenario)


def coded(number: int) -> tuple[str, dict[str, bytes]]:
    files = {"times.py": b"def work(n): return n * %d" % number}
    return version_of(files), files


def test_the_newest_versions_stay_and_those_in_use_and_all_others_go(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_module, "KEPT", 3)
    versions: list[str] = []
    folders: dict[str, Path] = {}
    asked.code.in_use = lambda: {str(folder) for folder in list(folders.values())[:2]}
    for number in range(8):
        version, files = coded(number)
        versions.append(version)
        asked.code.came("times", version, files)
        folder = asked.code.folder("times", version)
        assert folder is not None
        folders[version] = folder
        if number >= 3:
            assert asked.code.folder("times", versions[3]) is not None  # used again and again
    left = [number for number, version in enumerate(versions) if folders[version].exists()]
    assert left == [0, 1, 3, 6, 7]
    root = folders[versions[0]].parent.parent
    assert {path.name for path in root.iterdir() if path.name != "lock"} == {
        versions[number] for number in left
    }
    assert asked.code.folder("times", versions[5]) is None
    assert asked.all == [("times", versions[5])], "what was deleted is asked for when it is needed"


def test_refusals_are_remembered_of_the_newest_versions_alone(
    asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_module, "KEPT_REFUSALS", 4)
    for number in range(20):
        asked.code.refused(coded(number)[0], f"no {number}")
    assert len(asked.code._refused) == 4
    with pytest.raises(JobError, match="no 19"):
        asked.code.folder("times", coded(19)[0])
    assert asked.code.folder("times", coded(0)[0]) is None  # asked for again
