"""What is printed and logged of a command."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from master.cli.shell import output as output_module
from master.cli.shell.joblog import joblog_at
from master.cli.shell.outcome import Outcome
from master.cli.shell.output import failed_line, line_of, show
from queue_manager.errors import OutputError

DONE = {
    "seq": 3, "exit_code": 0, "signal": None, "seconds": 0.25, "started_at": 1000.5, "host": "h",
    "stdout": "a\nb", "stderr": "",
}  # fmt: skip


def outcome(**more: Any) -> Outcome:
    return Outcome(3, "x y", "ls 'x y'", {**DONE, **more})


def test_a_line_has_input_command_and_result() -> None:
    line = json.loads(line_of(outcome()).json())
    assert line == {**DONE, "input": "x y", "command": "ls 'x y'"}
    assert list(line)[:4] == ["seq", "input", "command", "exit_code"]


def test_a_line_has_bytes_where_something_is_no_utf_8() -> None:
    made = Outcome(1, "a\udcff", b"ls 'a\xff'", {**DONE, "stdout": b"\xff"})
    line = json.loads(line_of(made).json())
    assert line["input"] == {"$bytes": "Yf8="}
    assert line["stdout"] == {"$bytes": "/w=="}


def test_a_line_of_a_command_that_has_no_result_says_why() -> None:
    line = json.loads(line_of(Outcome(1, "a", "ls a", None, "its slot died")).json())
    assert (line["exit_code"], line["error"]) == (None, "its slot died")


def test_text_is_what_the_command_has_printed(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    show(outcome(stdout=b"\xff\n", stderr="no\n"), "text", False)
    assert capsysbinary.readouterr() == (b"\xff\n", b"no\n")


def test_a_tag_stands_before_each_line(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    show(outcome(stdout="a\n\nb", stderr="no\n"), "tag", False)
    assert capsysbinary.readouterr() == (b"x y\ta\nx y\t\nx y\tb", b"x y\tno\n")


def test_a_large_output_that_is_not_out_keeps_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"abc\n")
    full = open("/dev/full", "w")  # noqa: SIM115 - closing it fails, too
    monkeypatch.setattr("sys.stdout", full)
    try:
        with pytest.raises(OSError, match="No space left"):
            show(outcome(stdout="a", stdout_bytes=4, stdout_file=str(path)), "text", True)
    finally:
        with contextlib.suppress(OSError):
            full.close()
    assert path.exists()


@pytest.mark.parametrize("drop", [False, True])
def test_a_large_output_is_copied_from_its_file(
    capsysbinary: pytest.CaptureFixture[bytes],
    tmp_path: Path,
    drop: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(output_module, "_COPY_BYTES", 3)
    path = tmp_path / "out"
    path.write_bytes(b"abcdef\nghi\n")
    large = outcome(stdout="abcd", stdout_bytes=11, stdout_file=str(path))
    show(large, "tag", drop)
    assert capsysbinary.readouterr().out == b"x y\tabcdef\nx y\tghi\n"
    assert path.exists() is not drop


def test_what_is_not_here_of_a_large_output_is_told(
    capsysbinary: pytest.CaptureFixture[bytes],
) -> None:
    show(outcome(stdout="abcd", stdout_bytes=11_000, stdout_file="/nonesuch/out"), "text", False)
    out, err = capsysbinary.readouterr()
    assert out == b"abcd"
    assert b"stdout has 11,000 bytes; all of it is in /nonesuch/out" in err


def test_the_joblog_is_that_of_gnu_parallel(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with joblog_at(str(path)) as log:
        log.add(outcome())
        log.add(outcome(exit_code=None, signal="SIGTERM", timed_out=True))
        log.add(outcome(exit_code=None, signal="SIGKILL"))
        log.add(Outcome(4, "a", b"ls\n'a\xff'", None, "its slot died"))
    assert path.read_bytes().splitlines() == [
        b"Seq\tHost\tStarttime\tJobRuntime\tSend\tReceive\tExitval\tSignal\tCommand",
        b"3\th\t1000.500\t0.250\t0\t3\t0\t0\tls 'x y'",
        b"3\th\t1000.500\t0.250\t0\t3\t-1\t15\tls 'x y'",
        b"3\th\t1000.500\t0.250\t0\t3\t0\t9\tls 'x y'",
        b"4\t\t0.000\t0.000\t0\t0\t-1\t0\tls\\n'a\xff'",
    ]


def test_a_joblog_that_can_not_be_written_is_one_line() -> None:
    with (
        pytest.raises(OutputError, match="can't write /dev/full: No space left"),
        joblog_at("/dev/full"),
    ):
        pass
    with (
        pytest.raises(OutputError, match="can't write /nonesuch/x: No such file"),
        joblog_at("/nonesuch/x"),
    ):
        pass


def test_a_failed_command_is_one_line() -> None:
    assert failed_line(outcome(exit_code=3)) == "qm: input 3 (x y): exit code 3"
    killed = outcome(exit_code=None, signal="SIGKILL")
    assert failed_line(killed) == "qm: input 3 (x y): SIGKILL has ended it"
    late = outcome(exit_code=None, signal="SIGTERM", timed_out=True)
    assert failed_line(late) == "qm: input 3 (x y): it took longer than --timeout"
    lost = Outcome(1, "a\nb" + "c" * 200, "ls", None, "its slot died")
    assert failed_line(lost) == f"qm: input 1 (a\\nb{'c' * 97}...): its slot died"
