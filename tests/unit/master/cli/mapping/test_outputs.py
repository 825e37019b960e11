"""Lines of results and failures, and whose a file is."""

from __future__ import annotations

import datetime
import errno
import json
import os
from pathlib import Path

import numpy
import pytest

from master.cli.mapping.outputs import (
    Failures,
    Output,
    error_line,
    pair_line,
    result_line,
)
from master.cli.shell.outcome import line_of
from queue_manager.client.executor.broken import broken
from queue_manager.errors import OutputError, WorkerDiedError


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_results_are_the_json_of_qm_results() -> None:
    assert result_line({"n": 2**70, "text": "é"}) == '{"n": 1180591620717411303424, "text": "é"}'
    assert json.loads(result_line(datetime.date(2026, 1, 2))) == {"$date": "2026-01-02"}
    array = json.loads(result_line({"of": numpy.array([1, 2])}))
    assert array["of"]["$array"]["values"] == [1, 2]
    assert json.loads(pair_line(1, ValueError("no"))) == {"input": 1, "error": "ValueError: no"}
    assert json.loads(pair_line(1, None)) == {"input": 1, "result": None}


def test_an_exception_is_one_line() -> None:
    assert error_line(ValueError("a\n  b")) == "ValueError: a b"
    assert error_line(KeyError()) == "KeyError"
    assert error_line(WorkerDiedError("its slot was killed by SIGKILL")) == (
        "its slot was killed by SIGKILL"
    )

    class BrokenError(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

        __repr__ = __str__

    assert error_line(BrokenError()) == "BrokenError: (its text cannot be read)"
    assert line_of(BrokenError()) == "(its text cannot be read)"
    assert str(broken(BrokenError())) == "BrokenError: (its text cannot be read)"


def write(path: Path, command: str, *lines: str) -> None:
    """What a command does with `-o`."""
    with Output(path, command) as output:
        for line in lines:
            output.write(line)
        output.finish()


REFUSED = pytest.raises(OutputError, match="was not written by this command")


def test_a_file_of_somebody_else_stays_as_it_is(tmp_path: Path) -> None:
    path, other = tmp_path / "out", tmp_path / "other"
    other.write_text("mine")
    write(path, "one", "1")
    write(path, "one", "2")
    for taken, command in ((path, "two"), (other, "one")):
        with REFUSED:
            write(taken, command)
        with REFUSED:
            Failures(taken, command)
    assert (path.read_text(), other.read_text()) == ("2\n", "mine")
    assert not list(tmp_path.glob(".*.qm-part"))


def test_a_file_that_somebody_has_written_in_the_place_of_ours_is_theirs(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, "one", "1")
    path.unlink()
    write(path, "two", "2")  # of a file that is gone nobody is the owner
    path.unlink()
    path.write_text("2\n")
    with REFUSED:
        write(path, "two", "3")
    assert path.read_text() == "2\n"


def test_what_somebody_writes_meanwhile_stays_and_the_results_are_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "out"
    (tmp_path / "out.1").write_text("another")
    beside = pytest.raises(OutputError, match=r"out meanwhile: the results are in .*/out\.2$")
    with Output(path, "one") as output:
        output.write("1")
        path.write_text("mine")
        with beside:
            output.finish()
    assert [file.read_text() for file in sorted(tmp_path.glob("out*"))] == [
        "mine",
        "another",
        "1\n",
    ]


def test_a_link_stays_and_what_it_names_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    link.symlink_to(target)
    for text in ("1", "2"):
        write(link, "one", text)
        assert link.is_symlink()
        assert target.read_text() == f"{text}\n"


def test_a_device_has_no_owner() -> None:
    for command in ("one", "two"):
        write(Path("/dev/null"), command, "1")
        with Failures(Path("/dev/null"), command) as failures:
            failures.add(1, 1, ValueError())


def test_failures_of_another_command_stay_unless_nobody_can_go_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    for command in ("once-1", "one", "one"):
        with Failures(path, command) as failures:  # killed: it does not come to `finish`
            failures.add(3, {"a": 1}, ValueError("no"))
            with pytest.raises(OutputError, match=r"another command writes .*failed now"):
                Failures(path, command)
        assert len(path.read_text().splitlines()) == 1
    with REFUSED:
        Failures(path, "two")
    path.write_text("of somebody else")
    with REFUSED:
        Failures(path, "one")


def test_a_file_in_the_place_of_our_folder_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / ".quartermaster").mkdir()
    (tmp_path / ".quartermaster" / "outputs").touch()
    with pytest.raises(OutputError, match=r"can't write \.quartermaster/outputs: File exists"):
        Output(tmp_path / "out", "one")


def test_an_output_has_its_name_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"
    for finishes in (False, True):
        with Output(path, "one") as output:
            output.write("1")
            assert not path.exists()
            if finishes:
                output.finish()
        assert path.exists() == finishes
    assert path.read_text() == "1\n"
    assert {file.name for file in tmp_path.iterdir()} == {"out", ".quartermaster"}


def test_failures_of_an_earlier_time_go_when_there_are_none(tmp_path: Path) -> None:
    path = tmp_path / "failed"
    with Failures(path, "one") as failures:
        failures.add(3, {"a": 1}, ValueError("no"))
        failures.finish()
    assert json.loads(path.read_text()) == {
        "line": 3, "input": {"a": 1}, "error": "ValueError: no", "traceback": "",
    }  # fmt: skip
    with Failures(path, "one") as failures:
        failures.finish()
    assert not path.exists()


def test_one_command_at_a_time_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with Output(path, "first") as first:
        first.write("1")
        with pytest.raises(OutputError, match=r"another command writes .*out now: wait for it"):
            Output(path, "second")
        first.finish()
    assert path.read_text() == "1\n"


def test_the_draft_of_a_command_that_was_killed_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".out.qm-part").write_text("half of a line")
    write(tmp_path / "out", "one", "1")
    assert (tmp_path / "out").read_text() == "1\n"
    assert list(tmp_path.glob(".out*")) == []


def test_a_full_disk_leaves_the_note_of_whose_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path("out")
    with Output(path, "a") as output:
        output.write("1")
        output.finish()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"):
            Output(path, "a")
    Output(path, "a").__exit__()
