"""Lines of results and failures, and whose a file is."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import numpy
import pytest

from master.cli.mapping.outputs import (
    Failures,
    Output,
    claim,
    error_line,
    pair_line,
    result_line,
)
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


def test_a_file_of_somebody_else_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "out"
    claim(path, "one", "-o")
    path.write_text("1\n")
    claim(path, "one", "-o")
    with pytest.raises(OutputError, match="was not written by this command"):
        claim(path, "", "--failed")
    path.write_text('{"line": 1, "input": 1}\n')
    claim(path, "", "--failed")
    path.with_name("other").write_text("mine")
    for other, command in ((path, "two"), (path.with_name("other"), "")):
        with pytest.raises(OutputError, match="was not written by this command"):
            claim(other, command, "-o")
    claim(Path("/dev/null"), "one", "-o")


def test_a_file_in_the_place_of_our_folder_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / ".quartermaster").mkdir()
    (tmp_path / ".quartermaster" / "outputs").touch()
    with pytest.raises(OutputError, match=r"can't write \.quartermaster/outputs: File exists"):
        claim(tmp_path / "out", "one", "-o")


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


def test_two_commands_with_one_output_do_not_mix_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with Output(path, "first") as first:
        first.write("1")
        claim(path, "second", "-o")
        with pytest.raises(OutputError, match=r"another command has taken .*out meanwhile"):
            first.finish()
    assert not path.exists()
    assert list(tmp_path.glob(".out*")) == []


def test_the_draft_of_a_command_that_was_killed_goes(tmp_path: Path) -> None:
    (tmp_path / ".out.4194305.part").write_text("half")  # no process has such a number
    with Output(tmp_path / "out", "one") as output:
        output.finish()
    assert list(tmp_path.glob(".out*")) == []
