"""`qm shell` as people type it: commands of the shell, in workers."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.ground.processes import children
from tests.integration.processes import REPO, Master, Place, eventually
from tests.integration.shared import SharedMaster

WORDS = [sys.executable, "-m", "master", "shell"]


@pytest.fixture
def shell_master(shared_master: SharedMaster) -> SharedMaster:
    """A master with a worker of two slots, and the job."""
    shutil.copy(REPO / "jobs" / "shell.py", shared_master.jobs)
    return shared_master


class Shell:
    """`qm shell` in a folder."""

    def __init__(self, master: Master, folder: Path) -> None:
        self.folder = folder
        self.environment = master.environment(QUEUE_HOST="127.0.0.1")

    def __call__(
        self, *words: str, given: bytes = b"", **more: Any
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*WORDS, *words],
            input=given,
            capture_output=True,
            cwd=self.folder,
            env=self.environment,
            timeout=120,
            **more,
        )

    def lines(self, *words: str, given: bytes = b"") -> list[dict[str, Any]]:
        done = self(*words, given=given)
        return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture
def shell(shell_master: Master, tmp_path: Path) -> Shell:
    folder = tmp_path / "here"
    folder.mkdir()
    return Shell(shell_master, folder)


def test_each_line_is_an_input_of_a_command_that_runs_here(shell: Shell) -> None:
    (shell.folder / "a b").write_text("12345")
    done = shell("-k", "cat {} && echo {#}", given=b"a b\nnone\n")
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["seq"], first["input"], first["stdout"]) == (1, "a b", "123451\n")
    assert first["command"] == "cat 'a b' && echo 1"
    assert (first["exit_code"], first["signal"]) == (0, None)
    assert (second["exit_code"], second["stdout"]) == (1, "")
    assert "none" in second["stderr"]
    assert (done.returncode, done.stderr) == (1, b"qm: 1 of 2 commands failed\n")


def test_ten_thousand_names_of_any_kind_come_to_their_commands(shell: Shell) -> None:
    kinds = [b"a b", b"it's", b'"q"', b"new\nline", b"no\xff\xfeutf", b"$HOME `x` \\", b"-n", b"*"]
    names = [b"%s %d" % (kinds[n % len(kinds)], n) for n in range(10_000)]
    done = shell(
        "--null",
        "-k",
        "--text",
        "/usr/bin/printf '%s\\0' {}",
        given=b"".join(n + b"\0" for n in names),
    )
    assert done.stderr == b""
    assert done.stdout.split(b"\0") == [*names, b""]
    assert done.returncode == 0


def test_a_hundred_megabytes_of_output_cost_no_memory_and_are_whole(shell: Shell) -> None:
    large = shell.folder / "large"
    (line,) = shell.lines("--large", str(large), "head -c 100000000 /dev/zero #", ":::", "x")
    assert line["stdout_bytes"] == 100_000_000
    assert os.path.getsize(line["stdout_file"]) == 100_000_000
    done = shell("--large", str(large), "--text", "head -c 3000000 /dev/zero #", ":::", "x")
    assert done.stdout == bytes(3_000_000)


def test_binary_output_is_exact(shell: Shell) -> None:
    every = bytes(range(256)) * 10
    (shell.folder / "x").write_bytes(every)
    assert shell("--text", "cat", ":::", "x").stdout == every


def test_a_tag_and_a_joblog_tell_commands_apart(shell: Shell) -> None:
    log = shell.folder / "log"
    done = shell("--tag", "-k", "--joblog", str(log), "echo it; exit", ":::", "0", "3")
    assert done.stdout == b"0\tit\n3\tit\n"
    rows = [row.split("\t") for row in log.read_text().splitlines()]
    assert sorted((row[0], row[6], row[8]) for row in rows[1:]) == [
        ("1", "0", "echo it; exit 0"),
        ("2", "3", "echo it; exit 3"),
    ]


def test_the_first_commands_that_fail_are_told_beside_their_text(shell: Shell) -> None:
    done = shell("--text", "-k", "exit", ":::", "0", *["3"] * 12)
    told = [b"qm: input %d (3): exit code 3" % n for n in range(2, 12)]
    last = b"qm: 12 of 13 commands failed; the first 10 are above, and --joblog names all"
    assert done.stderr.splitlines() == [*told, last]


def test_a_command_that_ignores_its_limit_is_killed_and_no_child_is_left(shell: Shell) -> None:
    command = "trap '' TERM; setsid sleep 98765 & while :; do sleep 1; done #"
    (line,) = shell.lines("--timeout", "0.5", command, ":::", "x")
    assert (line["signal"], line["timed_out"]) == ("SIGKILL", True)
    assert not runs("98765")


def runs(word: str) -> bool:
    """Whether a process of `sleep` with this word is there."""
    found = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True)
    return f"sleep {word}" in found.stdout.splitlines()


def test_a_failing_command_is_tried_again(shell: Shell) -> None:
    count = shell.folder / "count"
    command = f"echo x >> {count}; [ $(wc -l < {count}) = 2 ] #"
    (line,) = shell.lines("--retries", "3", command, ":::", "x")
    assert line["exit_code"] == 0
    assert count.read_text() == "x\nx\n"


def test_a_command_that_kills_its_slot_is_told_and_the_others_run(shell: Shell) -> None:
    done = shell("if [ {} = 2 ]; then kill -9 $PPID; fi", ":::", "1", "2", "3")
    lines = {line["seq"]: line for line in map(json.loads, done.stdout.splitlines())}
    assert "ended its slot" in lines[2]["error"]
    assert [lines[n]["exit_code"] for n in (1, 3)] == [0, 0]
    assert done.returncode == 1


def test_halt_now_ends_what_runs(shell: Shell) -> None:
    began = time.monotonic()
    given = b"".join(b"%d\n" % n for n in range(1000))
    done = shell(
        "--halt", "now,fail=1", "[ {} != 1 ] || exit 1; [ {} = 0 ] && sleep 45678", given=given
    )
    assert done.returncode == 1
    assert b"qm: halted" in done.stderr
    assert time.monotonic() - began < 60
    eventually(lambda: not runs("45678"))


def test_halt_now_ends_what_runs_with_a_key_too(shell: Shell) -> None:
    """Nothing runs on. What has ended is printed again, and the line says how to begin anew."""
    words = ("--key", "halt", "[ {} != 1 ] || exit 1; [ {} = 0 ] && sleep 45679", ":::", "1", "0")
    done = shell("--halt", "now,fail=1", *words)
    assert done.stderr.startswith(b"qm: halted"), done
    eventually(lambda: not runs("45679"))
    again = shell(*words)
    assert again.returncode == 2
    assert json.loads(again.stdout)["exit_code"] == 1
    assert again.stderr.startswith(b"qm: the run of the key 'halt' was cancelled"), again
    assert again.stderr.count(b"\n") == 1


def test_halt_soon_lets_running_commands_end_and_runs_no_more(shell: Shell) -> None:
    given = b"".join(b"%d\n" % n for n in range(200))
    done = shell("--halt", "soon,fail=1", "sleep 0.1; [ {} != 0 ]", given=given)
    assert done.returncode == 1
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert 1 <= len(lines) < 100
    assert all(line["exit_code"] is not None for line in lines)


def test_a_later_call_tells_what_halt_has_cancelled_and_runs_the_other_inputs(shell: Shell) -> None:
    words = ("--key", "soon", "[ {} != 0 ] || { sleep 0.1; false; }", ":::", *map(str, range(3000)))
    first = shell("--halt", "soon,fail=1", *words)
    assert first.returncode == 1
    again = shell(*words)
    ended = again.stdout.count(b"\n")
    assert 1 <= ended < 3000
    assert again.returncode == 1
    told = again.stderr.decode()
    assert told.startswith(f"qm: {3000 - ended:,} commands were cancelled before, "), told


def test_a_slow_pipe_holds_up_no_result(shell: Shell) -> None:
    with subprocess.Popen(
        [*WORDS, "--text", "echo got"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=shell.folder,
        env=shell.environment,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for word in (b"a", b"b"):
            process.stdin.write(word + b"\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"got " + word + b"\n"
        process.stdin.close()
        assert process.wait(60) == 0


def test_the_same_key_runs_nothing_twice(shell: Shell) -> None:
    words = ("--key", "once", "-k", "echo x >> count; echo {} done", ":::", "a", "b")
    first, again = shell.lines(*words), shell.lines(*words)
    assert [line["stdout"] for line in first] == ["a done\n", "b done\n"]
    assert again == first
    assert (shell.folder / "count").read_text() == "x\nx\n"


@pytest.mark.parametrize("own", [False, True])
def test_a_key_of_other_commands_is_refused_before_any_runs(
    shell: Shell, tmp_path: Path, own: bool
) -> None:
    """Their outputs are not shown for those of commands that were never run."""
    if own:
        shell.environment |= {"QUEUE_HOST": "", "QUEUE_PORT": "", "WORKER_SLOTS": "1"}
    (shell.folder / "names").write_text("a\nb\n")
    shell.lines("--key", "other", "exit {#} #", ":::", "a", "b")
    for words, what in (
        (("touch {}", ":::", "a", "b"), b"another command (exit {#} #)"),
        (("exit {#} #", ":::", "a", "c"), b"other inputs"),
        (("exit {#} #", ":::", "a"), b"other inputs"),
        (("exit {#} #", ":::", "a", "b", "c"), b"other inputs"),
        (("exit {#} #",), b"other inputs"),
        (("--raw", "exit {#} #", ":::", "a", "b"), b"commands without --raw"),
        (("--workdir", "/", "exit {#} #", ":::", "a", "b"), b"another folder"),
    ):
        ended = shell("--key", "other", *words, given=b"a\nb\n")
        assert (ended.returncode, ended.stdout) == (2, b""), ended
        assert b"qm: the key 'other' belongs to " + what in ended.stderr
        assert ended.stderr.count(b"\n") == 1
    again = shell("--key", "other", "-a", "names", "exit {#} #")  # the same ones, from a file
    assert (again.returncode, again.stdout.count(b"\n"), again.stderr.count(b"\n")) == (1, 2, 1)


def test_what_is_left_of_a_key_does_not_run_while_other_commands_are_refused(shell: Shell) -> None:
    shell.environment |= {"QUEUE_HOST": "", "QUEUE_PORT": "", "WORKER_SLOTS": "1"}
    count = shell.folder / "count"
    words = ("--key", "left", "echo {} >> count; [ -e go ] || sleep 45", ":::", *"abcd")
    command = subprocess.Popen(
        [*WORDS, *words], cwd=shell.folder, env=shell.environment, stdout=subprocess.DEVNULL
    )
    try:
        eventually(count.exists)
    finally:
        command.kill()
        command.wait()
    (shell.folder / "go").touch()
    (log,) = (shell.folder / ".quartermaster").glob("shell-*/master.log")
    log.unlink()
    os.mkfifo(shell.folder / "joblog")  # the command waits for its reader before it asks
    other = subprocess.Popen(
        [*WORDS, "--key", "left", "--joblog", "joblog", "true", ":::", *"abcd"],
        cwd=shell.folder,
        env=shell.environment,
        stderr=subprocess.PIPE,
    )
    try:
        eventually(lambda: log.exists() and "listening" in log.read_text())
        assert children(other.pid, "master")
        assert not children(other.pid, "worker")
        with (shell.folder / "joblog").open("rb"):
            assert b"belongs to another command" in other.communicate(timeout=60)[1]
    finally:
        other.kill()
        other.wait()
    assert count.read_text() == "a\n"
    assert shell(*words).returncode == 0
    assert count.read_text() == "a\na\nb\nc\nd\n"


@pytest.mark.parametrize("order", [["-k"], []])
@pytest.mark.parametrize("command", ["touch ran.{#}", "kill -9 $PPID #"])
def test_a_key_with_other_inputs_of_a_pipe_is_refused(
    shell: Shell, command: str, order: list[str]
) -> None:
    words = ("--key", "pipe", *order, command)
    first = shell(*words, given=b"a\nb\n")
    assert first.stdout.count(b"\n") == 2
    again = shell(*words, given=b"a\nb\n")
    assert sorted(again.stdout.splitlines()) == sorted(first.stdout.splitlines())
    for given, line in (
        (b"a\n", b"qm: the key 'pipe' is that of 2 inputs, and now there are 1: give"),
        (b"", b"qm: the key 'pipe' is that of 2 inputs, and now there are 0: give"),
        (b"x\ny\n", b"qm: the key 'pipe' has results of other commands"),
        (b"x\ny\nz\n", b"qm: the key 'pipe' has results of other commands"),
    ):
        ended = shell(*words, given=given)
        assert ended.returncode == 2
        assert ended.stderr.startswith(line), ended
        assert ended.stderr.count(b"\n") == 1
        assert b'"input": "x"' not in ended.stdout


def test_variables_of_the_user_reach_commands_of_an_own_master(place: Place) -> None:
    """Only the settings are those of its master and worker."""
    mine = {"JOB_ID": "7", "QUEUE_URL": "q", "WORKER_FOO": "w"}
    none = {"QUEUE_HOST": "", "QUEUE_PORT": "", "WORKER_SLOTS": "1"}
    done = subprocess.run(
        [*WORDS, "--text", "--raw", "echo $JOB_ID $QUEUE_URL $WORKER_FOO; : {}", ":::", "a"],
        capture_output=True,
        cwd=place.folder,
        env={**place.environment(**none), **mine, "PYTHONPATH": str(REPO)},
        timeout=120,
    )
    assert done.stdout == b"7 q w\n"


def test_a_master_without_the_job_gets_its_code(
    start_master: Callable[..., Master], tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    master = start_master(JOBS_FOLDER=str(tmp_path / "empty"))
    master.worker(JOBS_FOLDER=str(tmp_path / "empty"))
    shell = Shell(master, tmp_path)
    words = ("--key", "once", "echo x >> count; echo {} done", ":::", "a")
    first, again = shell.lines(*words), shell.lines(*words)
    assert first == again
    assert first[0]["stdout"] == "a done\n"
    assert (tmp_path / "count").read_text() == "x\n"


def test_the_same_command_goes_on_where_it_was_interrupted(place: Place) -> None:
    environment = place.environment(QUEUE_HOST="", QUEUE_PORT="", WORKER_SLOTS="1")
    words = [
        *WORDS,
        "--key",
        "once",
        "-k",
        "--text",
        "echo x >> count; [ {} != 3 ] || sleep 1; echo {}",
    ]
    with subprocess.Popen(
        [*words, ":::", *"12345"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=place.folder,
        env=environment,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"1\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
    assert told == b"qm: interrupted; the same command runs the rest\n"
    done = subprocess.run(
        [*words, ":::", *"12345"], capture_output=True, cwd=place.folder, env=environment
    )
    assert done.stdout == b"1\n2\n3\n4\n5\n"
    assert (place.folder / "count").read_text().count("x") < 8


def test_without_a_master_there_is_one_for_the_command_alone(place: Place) -> None:
    settings = {"QUEUE_HOST": "", "QUEUE_PORT": "", "WORKER_SLOTS": "2"}
    environment = {**place.environment(**settings)}
    done = subprocess.run(
        [*WORDS, "--text", "-k", "head -c 1000000 /dev/zero; echo {} $PWD", ":::", "a", "b"],
        capture_output=True,
        cwd=place.folder,
        env={**environment, "PYTHONPATH": str(REPO)},
        timeout=120,
    )
    assert done.stderr == b""
    here = os.fsencode(place.folder)
    assert done.stdout.replace(b"\0", b"") == b"a %s\nb %s\n" % (here, here)
    assert os.listdir(place.folder / ".quartermaster" / "large") == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], b"qm: give a command, such as 'wc -l {}' (see `qm shell --help`)\n"),
        ([" "], b"qm: give a command, such as"),
        (["--timeout", "0", "x"], b"qm: --timeout 0 is no number of seconds above 0"),
        (["--retries", "0", "x"], b"qm: --retries 0 is no number from 1 to 100"),
        (["--halt", "x", "x"], b"qm: 'x' is no time to halt"),
        (["-a", "/nonesuch", "x"], b"qm: can't read /nonesuch: No such file or directory\n"),
        (["-a", "/dev/null", "x", ":::", "y"], b"qm: inputs come from --arg-file or from behind"),
        (["--joblog", "/dev/full", "x", ":::", "y"], b"qm: can't write /dev/full: No space left"),
        (["--bogus", "x"], b"qm: No such option"),
    ],
)
def test_a_wrong_command_line_is_one_line(shell: Shell, words: list[str], line: bytes) -> None:
    done = shell(*words)
    assert done.returncode == 2
    assert done.stderr.startswith(line)
    assert (done.stderr.count(b"\n"), done.stdout) == (1, b"")


def test_a_terminal_or_nothing_as_standard_input_is_one_line(shell: Shell) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*WORDS, "true"], stdin=theirs, capture_output=True, cwd=shell.folder, env=shell.environment
    )
    os.close(ours)
    os.close(theirs)
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1)
    assert done.stderr.startswith(b"qm: standard input is a terminal: give it the inputs")
    words = f"{' '.join(WORDS)} true <&-"
    closed = subprocess.run(
        ["sh", "-c", words], capture_output=True, cwd=shell.folder, env=shell.environment
    )
    assert (closed.returncode, closed.stderr.count(b"\n")) == (2, 1)
    assert closed.stderr.startswith(b"qm: standard input is closed: give it the inputs")


@pytest.mark.parametrize(
    ("tail", "line"),
    [
        ("| head -n 1", "qm: nobody reads the output any more; "),
        ("> /dev/full", "qm: can't write the output: No space left on device"),
    ],
)
def test_an_output_that_nobody_takes_is_one_line_and_the_rest_is_cancelled(
    shell: Shell, shell_master: Master, tail: str, line: str
) -> None:
    words = f"seq 30000 | {' '.join(WORDS)} true {tail}"
    done = subprocess.run(
        ["sh", "-c", words],
        capture_output=True,
        text=True,
        cwd=shell.folder,
        env=shell.environment,
        timeout=120,
    )
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    eventually(lambda: not [run for run in shell_master.runs() if run.job == "shell"])


def test_no_input_is_no_command(shell: Shell) -> None:
    done = shell("true")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
