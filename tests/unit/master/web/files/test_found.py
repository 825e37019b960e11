"""A run's folder: as it was asked for, else as its job has it, else by its key."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from master.web.files.disk import Disk
from master.web.files.found import Outs, Written, as_plain, default_of, written_by
from master.web.link.master import AwayError
from queue_manager.wire.job_records import ArgumentInfo, JobInfo
from queue_manager.wire.messages import JobList
from queue_manager.wire.records import RunStatus
from tests.unit.master.web.live.test_rates import run
from tests.unit.master.web.loops import in_loop


class Jobs:
    """A master whose jobs write to this folder. away: it does not answer."""

    def __init__(self, default: str | None, away: bool = False) -> None:
        self.default, self.away, self.asked = default, away, 0

    async def ask(self, make: Any, answer: type[Any], within_s: float) -> JobList:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise AwayError(0.0)
        return JobList(1, [job(self.default)])


def job(default: str | None) -> JobInfo:
    return JobInfo("images", arguments=[ArgumentInfo("out", "a text", default)])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with what two runs have written."""
    for name in ("mine", "usual", "images/spring"):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "index.html").write_text("page")
        (folder / f"of-{folder.name}").write_text("x")
        (folder / "0f").mkdir()
    (tmp_path / "nested" / "0f").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    return tmp_path


async def found(root: Path, jobs: Jobs, **fields: Any) -> Written | None:
    one: RunStatus = replace(run(7, 10), job="images", **fields)
    return await written_by(one, root, Outs(cast(Any, jobs)), Disk())


@in_loop
async def test_a_run_says_where_it_writes(root: Path) -> None:
    jobs = Jobs(repr(str(root / "usual")))
    written = await found(root, jobs, args=["out=/elsewhere", f"out={root}/mine"])
    assert written is not None
    assert (written.folder, written.page) == ("mine", True)
    assert [one["name"] for one in as_plain(written)["entries"]] == ["of-mine"]
    assert jobs.asked == 0


@in_loop
async def test_folders_are_shown_if_there_is_no_file(root: Path) -> None:
    written = await found(root, Jobs(None), args=[f"out={root}/nested"])
    assert written is not None
    assert (written.page, [one.name for one in written.entries]) == (False, ["0f"])


@in_loop
async def test_a_value_of_a_client_is_told_as_python_does(root: Path) -> None:
    written = await found(root, Jobs(None), args=[f"out={str(root / 'mine')!r}"])
    assert written is not None
    assert written.folder == "mine"


@in_loop
async def test_else_the_default_of_its_job_counts_which_is_asked_for_once(root: Path) -> None:
    jobs = Jobs(repr(str(root / "usual")))
    outs = Outs(cast(Any, jobs))
    for _ in range(3):
        written = await written_by(replace(run(7, 1), job="images"), root, outs, Disk())
        assert written is not None
        assert written.folder == "usual"
    assert jobs.asked == 1
    assert await found(root, jobs, uploaded=True) is None


@in_loop
@pytest.mark.parametrize("key", ["spring", "images:spring"])
async def test_else_its_key_may_be_the_name_of_a_folder(root: Path, key: str) -> None:
    written = await found(root, Jobs("''"), key=key)
    assert written is not None
    assert written.folder == "images/spring"
    assert await found(root, Jobs("''"), key="../mine") is None


@in_loop
@pytest.mark.parametrize("out", ["/etc", "empty", "{root}", "{root}/empty", "{root}/../x", "", "'"])
async def test_a_folder_that_may_not_be_shown_is_none(root: Path, out: str) -> None:
    assert await found(root, Jobs(None), args=[f"out={out.format(root=root)}"]) is None


@in_loop
async def test_a_master_that_does_not_answer_has_no_defaults(root: Path) -> None:
    assert await found(root, Jobs(None, away=True)) is None


@in_loop
async def test_an_error_is_asked_about_again(root: Path) -> None:
    jobs = Jobs(repr(str(root / "usual")), away=True)
    outs, one = Outs(cast(Any, jobs), again_s=0.01), replace(run(7, 1), job="images")
    assert await written_by(one, root, outs, Disk()) is None
    jobs.away = False
    async with asyncio.timeout(60.0):
        while await written_by(one, root, outs, Disk()) is None:
            await asyncio.sleep(0.001)
    assert jobs.asked == 2


def test_a_default_that_is_no_text_is_none() -> None:
    assert default_of([job("'/shared/a'")]) == "/shared/a"
    for text in (None, "None", "5", "PosixPath('/x')", "'/cut..."):
        assert default_of([job(text)]) == ""
