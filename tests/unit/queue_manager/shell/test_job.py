"""What a slot does with a command, as the job's `work`: real processes, no queue."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from queue_manager import Reject, Retry
from queue_manager.job.current import CurrentTask, running
from queue_manager.shell import job as job_module
from queue_manager.shell.capture import HEAD_BYTES
from queue_manager.shell.children import children
from queue_manager.shell.job import tasks, work


@pytest.fixture
def attempt() -> Iterator[Any]:
    """Says which try it is."""
    tokens = []

    def say(number: int) -> None:
        tokens.append(running.set(lambda: CurrentTask(1, 1, number)))

    yield say
    for token in reversed(tokens):
        running.reset(token)


def test_a_result_has_output_exit_code_and_time() -> None:
    began = time.time()
    result = work("echo out; echo err >&2; exit 3")
    assert (result["stdout"], result["stderr"]) == ("out\n", "err\n")
    assert (result["exit_code"], result["signal"]) == (3, None)
    assert 0 < result["seconds"] < 60
    assert began - 1 < result["started_at"] < time.time() + 1
    assert result["host"]
    assert "seq" not in result


def test_a_signal_is_told_by_its_name() -> None:
    result = work("kill -9 $$")
    assert (result["exit_code"], result["signal"]) == (None, "SIGKILL")


def test_a_program_that_is_not_there_has_the_exit_code_of_a_shell() -> None:
    result = work("nonesuch-program 1")
    assert result["exit_code"] == 127
    assert "not found" in result["stderr"]


def test_output_that_is_no_utf_8_is_bytes() -> None:
    assert work("printf 'a\\377'")["stdout"] == b"a\xff"


def test_a_command_reads_nothing_and_its_signals_are_the_usual_ones() -> None:
    assert work("cat")["stdout"] == ""
    assert work("yes | head -n 1")["stdout"] == "y\n"
    ignored = int(work("grep SigIgn /proc/self/status")["stdout"].split()[1], 16)
    assert not ignored & (1 << (signal.SIGPIPE - 1))


def test_a_command_runs_in_its_folder_and_this_process_stays(tmp_path: Path) -> None:
    home = os.getcwd()
    assert work({"command": "pwd", "folder": str(tmp_path)})["stdout"] == f"{tmp_path}\n"
    assert os.getcwd() == home
    with pytest.raises(Reject, match=r"/nonesuch: No such file.* --workdir names another"):
        work({"command": "pwd", "folder": "/nonesuch"})
    assert os.getcwd() == home


def test_a_command_that_takes_too_long_is_asked_to_end() -> None:
    result = work({"command": "sleep 100", "timeout_s": 0.1})
    assert (result["signal"], result["timed_out"]) == ("SIGTERM", True)
    assert 0.1 <= result["seconds"] < 30


def test_a_command_that_ignores_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queue_manager.shell.process.TERM_S", 0.2)
    result = work({"command": "trap '' TERM; while :; do sleep 1; done", "timeout_s": 0.1})
    assert (result["signal"], result["timed_out"]) == ("SIGKILL", True)
    assert children() == frozenset()


@pytest.mark.parametrize(
    "leaves",
    [
        "sleep 1000 &",
        "setsid sleep 1000 &",
        "(setsid sh -c 'sleep 1000 & sleep 1000' >/dev/null 2>&1 &) &",
        "(trap '' TERM HUP; sleep 1000) >/dev/null 2>&1 &",
    ],
)
def test_no_child_of_a_command_is_left(leaves: str) -> None:
    before = children()
    result = work(f"{leaves} echo done")
    assert (result["stdout"], result["exit_code"]) == ("done\n", 0)
    assert children() == before
    assert result["seconds"] < 30


def test_children_of_this_process_stay() -> None:
    with subprocess.Popen(["sleep", "1000"]) as own:
        work("sleep 1000 & true")
        assert own.poll() is None
        own.kill()


def test_what_a_child_still_writes_at_the_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queue_manager.shell.process._GRACE_S", 60.0)  # it ends with the child
    assert work("(sleep 0.02; echo late) & true")["stdout"] == "late\n"


def test_a_large_output_is_in_a_file_and_not_in_memory(tmp_path: Path) -> None:
    folder = tmp_path / "large"
    result = work({"command": "head -c 100000000 /dev/zero", "large": str(folder)})
    assert result["stdout_bytes"] == 100_000_000
    assert len(result["stdout"]) == HEAD_BYTES
    assert Path(result["stdout_file"]).stat().st_size == 100_000_000
    assert result["exit_code"] == 0
    assert "stderr_file" not in result


@pytest.mark.parametrize("has_none", [False, True])
def test_a_try_that_is_not_the_last_one_leaves_no_file(
    tmp_path: Path, attempt: Any, monkeypatch: pytest.MonkeyPatch, has_none: bool
) -> None:
    """has_none: the file system has no files without a name."""
    if has_none:
        monkeypatch.setattr("queue_manager.shell.capture._NO_NAME", os.O_WRONLY)  # EISDIR
    order = {"command": "yes | head -c 1000001; exit 3", "keep_bytes": 1000, "retries": 2}
    attempt(1)
    with pytest.raises(Retry):
        work({**order, "large": str(tmp_path)})
    assert os.listdir(tmp_path) == []
    attempt(2)
    result = work({**order, "large": str(tmp_path)})
    (name,) = os.listdir(tmp_path)
    assert result["stdout_file"] == str(tmp_path / name)
    assert (tmp_path / name).stat().st_size == 1000001


def test_a_slot_that_is_killed_leaves_no_file(tmp_path: Path) -> None:
    """The command writes much, and then kills the process that runs it."""
    order = {"command": "yes | head -c 1000001; kill -9 $PPID", "large": str(tmp_path)}
    script = f"from queue_manager.shell.job import work; work({ {**order, 'keep_bytes': 1000}!r})"
    ended = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert ended.returncode == -signal.SIGKILL
    assert os.listdir(tmp_path) == []


def test_without_a_folder_the_beginning_of_a_large_output_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(job_module, "LARGE", "/nonesuch/shell")
    result = work({"command": "yes é | head -c 1000001", "keep_bytes": 1000})
    assert (len(result["stdout"].encode()), result["stdout_bytes"]) == (999, 1000001)
    assert result["stdout_lost"] == "there is no folder for large outputs"


def test_an_output_that_the_disk_does_not_take_is_lost_and_the_command_goes_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    order = {"command": "yes | head -c 1000001", "keep_bytes": 1000}
    result = work({**order, "large": str(tmp_path / "file" / "below")})
    assert result["exit_code"] == 0
    assert result["stdout_bytes"] == 1000001
    assert "Not a directory" in result["stdout_lost"]
    assert "stdout_file" not in result


def test_a_file_takes_no_more_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("queue_manager.shell.capture.MOST_BYTES", 500_000)
    order = {"command": "yes | head -c 1000001", "keep_bytes": 1000, "large": str(tmp_path)}
    result = work(order)
    assert Path(result["stdout_file"]).stat().st_size == 500_000
    assert result["stdout_bytes"] == 1000001
    assert result["stdout_lost"] == "the file has the first 500,000 bytes"


def test_a_failing_command_is_tried_as_often_as_was_asked(attempt: Any) -> None:
    order = {"command": "exit 4", "retries": 2}
    attempt(1)
    with pytest.raises(Retry, match="exit code 4"):
        work(order)
    attempt(2)
    assert work(order)["exit_code"] == 4


def test_a_command_that_ends_its_slot_is_given_up(attempt: Any) -> None:
    attempt(4)
    with pytest.raises(Reject, match="the command has ended its slot 3 times"):
        work("true")


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (5, "a task is a command"),
        ({"seq": 1}, "a task is a command"),
        ({"command": "ls", "cwd": "/"}, "a command has no 'cwd': it has command, seq"),
        ("a\0b", "it has a zero byte"),
        ("true " + "x" * 200_000, "Argument list too long"),
    ],
)
def test_a_payload_that_is_no_command_is_one_line(payload: Any, why: str) -> None:
    with pytest.raises(Reject, match=why):
        work(payload)


def test_no_descriptor_is_left() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for command in ("true", "sleep 10 & true", "nonesuch"):
        work(command)
    with pytest.raises(Reject):
        work({"command": "true", "folder": "/nonesuch"})
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_job_makes_commands_of_the_lines_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "names"
    path.write_bytes(b"a b\nc\xff\n")
    made = list(tasks("wc {}", str(path)))
    assert made == [
        {"command": "wc 'a b'", "seq": 1},
        {"command": b"wc 'c\xff'", "seq": 2},
    ]
    assert list(tasks("date")) == [{"command": "date", "seq": 1}]
