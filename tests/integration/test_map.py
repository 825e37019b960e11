"""`qm map` with its own master: what it writes, what it does after each death, what it refuses."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.ground.processes import children
from tests.integration.processes import (
    KEY,
    PATIENCE_S,
    REPO,
    Ended,
    Master,
    clean_environment,
    eventually,
)

pytestmark = pytest.mark.timeout(600)

WORK = """
import os
import time

def work(n):
    return n * n

def logged(n):
    with open("calls", "a") as calls:
        calls.write(f"{n}\\n")
    return n * n

def fails_at_three(n):
    if n == 3 and not os.path.exists("mended"):
        raise ValueError("not three")
    with open("calls", "a") as calls:
        calls.write(f"{n}\\n")
    return n * n

def waits(n):
    while not os.path.exists("go"):
        time.sleep(0.01)
    if n == 3:
        raise ValueError("not three")
    return n * n

class BrokenError(Exception):
    def __str__(self):
        raise ValueError("no text")

def breaks_at_three(n):
    if n == 3:
        raise BrokenError
    return n * n

def length(name):
    print("measuring", name)
    return {"name": name, "length": len(name)}

def age(person):
    return int(person["age"]) + 1

NUMBER = 7
"""

NEEDS_MODEL = """
import os

def setup():
    if not os.path.exists("model"):
        raise FileNotFoundError("no model")

def work(n):
    return n * n
"""


DYING = """
import os
from master.__main__ import main
from master.cli.mapping import running

running.{} = lambda *_: os._exit(9)
main()
"""
INTERRUPTED = """
import os, signal, sys
from master.__main__ import main

class Finder:
    def find_spec(self, name, *_):
        if name == "{}":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
main()
"""
BASE = {"PYTHONPATH": str(REPO), "WORKER_SLOTS": "2"}


class Folder:
    """A folder with `work.py`, in which commands run: no clone, no jobs, no compose file."""

    def __init__(self, path: Path, started: list[subprocess.Popen[bytes]]) -> None:
        self.path, self._started = path, started
        self.write("work.py", WORK)

    def write(self, name: str, text: str | bytes) -> str:
        """Make a file. Returns its name."""
        data = text.encode() if isinstance(text, str) else text
        (self.path / name).write_bytes(data)
        return name

    def numbers(self, count: int) -> str:
        """A file with the numbers from 0 on."""
        return self.write("in.jsonl", "".join(f"{n}\n" for n in range(count)))

    def popen(self, *words: str, out: Any = None, given: Any = None, **settings: str) -> Any:
        """`qm map ...` in the background. out: where its output goes; `out` by default."""
        with (
            (self.path / "out").open("wb") if out is None else open(os.dup(out), "wb") as output,
            (self.path / "err").open("ab") as errors,
        ):
            process = subprocess.Popen(
                [sys.executable, "-m", "master", "map", *words],
                stdin=subprocess.DEVNULL if given is None else given,
                stdout=output,
                stderr=errors,
                env=clean_environment({**BASE, **settings}),
                cwd=self.path,
            )
        self._started.append(process)
        return process

    def map(
        self,
        *words: str,
        given: bytes | None = None,
        cwd: Path | None = None,
        dies_in: str = "",
        **settings: str,
    ) -> Ended:
        """`qm map ...` to its end. cwd: where; in this folder by default.

        dies_in: the function of `running` where it ends with 9, as if it was killed.
        """
        program = ["-c", DYING.format(dies_in)] if dies_in else ["-m", "master"]
        done = subprocess.run(
            [sys.executable, *program, "map", *words],
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            env=clean_environment({**BASE, **settings}),
            cwd=cwd or self.path,
            timeout=4 * PATIENCE_S,
        )
        return Ended(done.returncode, done.stdout.decode(), done.stderr.decode())

    def lines(self, name: str = "out") -> list[str]:
        """The whole lines of a file."""
        text = (self.path / name).read_text() if (self.path / name).exists() else ""
        return text[: text.rfind("\n") + 1].splitlines()

    def written(self, least: int) -> int:
        """Wait until so many lines are there; returns how many there are."""
        return eventually(
            lambda: count if (count := len(self.lines())) >= least else 0,
            PATIENCE_S,
            f"{least} lines; {(self.path / 'err').read_text()}",
        )

    @property
    def kept(self) -> list[str]:
        """The names of commands that have something to resume."""
        return [path.parent.name for path in (self.path / ".quartermaster").glob("*/lock")]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    started: list[subprocess.Popen[bytes]] = []
    yield Folder(tmp_path, started)
    for process in started:
        process.kill()
        process.wait()


def squares(count: int) -> bytes:
    """What a plain loop writes."""
    return "".join(f"{json.dumps(n * n)}\n" for n in range(count)).encode()


# --- what it writes ---


def test_results_are_lines_of_json_in_the_order_of_the_inputs(folder: Folder) -> None:
    ended = folder.map("work.py", folder.numbers(1_000))
    assert (ended.code, ended.out.encode(), ended.err) == (0, squares(1_000), "")
    assert folder.kept == []


def test_hundreds_of_thousands_of_lines_survive_five_kills(folder: Folder) -> None:
    """The client, the master and the worker die in turn. The output is that of a plain loop."""
    count = 200_000
    words = ("work.py:logged", folder.numbers(count))
    command = folder.popen(*words)
    recorded = 0

    marks: list[tuple[int, int]] = []
    for victim in ("client", "master", "worker", "client", "master"):
        recorded = folder.written(recorded + 30_000)
        if victim == "client":
            command.kill()
            command.wait()
        else:
            os.kill(children(command.pid, victim)[0], signal.SIGKILL)
        marks.append((recorded, (folder.path / "calls").stat().st_size))
        if victim == "client":
            command = folder.popen(*words)
    assert command.wait(8 * PATIENCE_S) == 0, (folder.path / "err").read_text()
    assert (folder.path / "out").read_bytes() == squares(count)
    calls = (folder.path / "calls").read_bytes()
    for written, size in marks:
        later = {int(line) for line in calls[size:].splitlines()[1:]}
        assert not later & set(range(written)), "what was recorded ran again"
    assert folder.kept == []


def test_each_form_of_inputs(folder: Folder) -> None:
    rows = folder.write("people.CSV", '\ufeffname,age\n"Ann, of X",3\r\nBob,"4"\n')
    assert folder.map("work.py:age", rows).out == "4\n5\n"
    names = folder.write("names.txt", "ab\r\n\nçd")
    ended = folder.map("work.py:length", names, "--lines", "--with-input")
    assert [json.loads(line) for line in ended.out.splitlines()] == [
        {"input": name, "result": {"name": name, "length": len(name)}} for name in ("ab", "", "çd")
    ]
    assert "measuring ab" in ended.err
    ended = folder.map("work.py:length", "--null", given=b"a\nb\0c\0")
    assert [json.loads(line)["name"] for line in ended.out.splitlines()] == ["a\nb", "c"]
    assert folder.kept == []


def test_several_files_are_one_sequence_of_inputs(folder: Folder) -> None:
    files = [folder.write(f"{n}.jsonl", f"{n}\n{n + 1}") for n in (1, 5)]
    assert folder.map("work.py", *files).out == "1\n4\n25\n36\n"


def test_an_input_that_fails_is_null_and_alone_is_tried_again(folder: Folder) -> None:
    words = ("work.py:fails_at_three", folder.numbers(6))
    ended = folder.map(*words)
    assert (ended.code, ended.out) == (1, "0\n1\n4\nnull\n16\n25\n")
    [said] = ended.err.splitlines()
    name = "work.fails_at_three.in.failed.jsonl"
    assert said.startswith(f"qm: 1 input failed: see {name}; the same command tries")
    assert said.endswith("(add --resume if you edit the code)")
    [failure] = [json.loads(line) for line in folder.lines(name)]
    assert (failure["line"], failure["input"], failure["error"]) == (4, 3, "ValueError: not three")
    assert failure["traceback"].startswith("Traceback")
    assert f'File "{folder.path}/work.py", line ' in failure["traceback"]
    assert "quartermaster-code" not in failure["traceback"]
    folder.write("mended", "")
    ended = folder.map(*words)
    assert (ended.code, ended.out.encode(), ended.err) == (0, squares(6), "")
    assert sorted(folder.lines("calls")) == [str(n) for n in range(6)]
    assert not (folder.path / name).exists()
    assert folder.kept == []


def test_a_minus_is_standard_output(folder: Folder) -> None:
    assert folder.map("work.py", folder.numbers(3), "-o", "-").out.encode() == squares(3)
    assert not (folder.path / "-").exists()


def test_an_exception_without_a_text_is_a_failure_as_any_other(folder: Folder) -> None:
    ended = folder.map("work.py:breaks_at_three", folder.numbers(5), "--failed", "failed")
    assert (ended.code, ended.out) == (1, "0\n1\n4\nnull\n16\n")
    assert json.loads(folder.lines("failed")[0])["error"] == (
        "BrokenError: (its text cannot be read)"
    )


def test_an_input_file_that_is_replaced_or_edited_meanwhile_makes_no_wrong_pairs(
    folder: Folder,
) -> None:
    for name, replaced in (("a", True), ("b", False)):
        given = folder.write(f"{name}.jsonl", "1\n2\n3\n")
        words = ("work.py:waits", given, "--with-input", "-o", name, "--failed", f"{name}.failed")
        command = folder.popen(*words)
        eventually((folder.path / f".{name}.qm-part").exists)
        folder.write("new" if replaced else given, "7\n8\n9\n")
        if replaced:
            (folder.path / "new").replace(folder.path / given)
        folder.write("go", "")
        code = command.wait(PATIENCE_S)
        (folder.path / "go").unlink()
        if replaced:
            assert code == 1
            inputs = [json.loads(line)["input"] for line in folder.lines(name)]
            assert inputs == [1, 2, 3]
            assert json.loads(folder.lines(f"{name}.failed")[0])["input"] == 3
        else:
            assert code == 2
            assert "qm: b.jsonl has changed since this command began" in folder.lines("err")[-1]
            assert not (folder.path / name).exists()


def test_a_named_output_is_there_when_it_is_whole(folder: Folder) -> None:
    assert folder.map("work.py", folder.numbers(5), "-o", "squares.jsonl").code == 0
    assert (folder.path / "squares.jsonl").read_bytes() == squares(5)
    assert folder.map("work.py", "in.jsonl", "-o", "squares.jsonl").code == 0
    folder.write("other.jsonl", "1\n")
    refusal = folder.map("work.py", "other.jsonl", "-o", "squares.jsonl").refusal
    assert refusal.startswith("qm: squares.jsonl was not written by this command: remove it")
    assert (folder.path / "squares.jsonl").read_bytes() == squares(5)


def test_one_output_has_one_command_at_a_time_from_whichever_folder(folder: Folder) -> None:
    elsewhere = folder.path / "elsewhere"
    elsewhere.mkdir()
    read, write = os.pipe()
    command = folder.popen("work.py", "--jsonl", "--key", "a", "-o", "sum.jsonl", given=read)
    os.close(read)
    eventually((folder.path / ".sum.jsonl.qm-part").exists)
    for cwd, name in ((folder.path, "sum.jsonl"), (elsewhere, "../sum.jsonl")):
        words = [str(folder.path / "work.py"), "--jsonl", "-o", name]
        refusal = folder.map(*words, given=b"1\n", cwd=cwd).refusal
        assert refusal.startswith(f"qm: another command writes {name} now: wait for it, or name")
    os.write(write, b"3\n")
    os.close(write)
    assert command.wait(PATIENCE_S) == 0
    assert folder.lines("sum.jsonl") == ["9"]


def test_failures_of_two_commands_of_one_program_have_a_file_each(folder: Folder) -> None:
    folder.write("b.jsonl", "3\n3\n")
    assert folder.map("work.py:fails_at_three", folder.numbers(6)).code == 1
    assert folder.map("work.py:fails_at_three", "b.jsonl").code == 1
    counts = [len(folder.lines(f"work.fails_at_three.{name}.failed.jsonl")) for name in ("in", "b")]
    assert counts == [1, 2]
    folder.write("mended", "")
    assert folder.map("work.py:fails_at_three", "b.jsonl").code == 0
    assert [path.name for path in folder.path.glob("*failed*")] == [
        "work.fails_at_three.in.failed.jsonl"
    ]


def test_failures_of_inputs_of_one_name_in_two_folders_have_a_file_each(folder: Folder) -> None:
    for name in ("a", "b"):
        (folder.path / name).mkdir()
        folder.write(f"{name}/in.jsonl", "3\n")
        assert folder.map("work.py:fails_at_three", f"{name}/in.jsonl").code == 1
    found = [path for path in folder.path.glob("work.fails_at_three.in*.failed.jsonl")]
    assert [len(folder.lines(path.name)) for path in found] == [1, 1]
    assert folder.map("work.py:fails_at_three", "b/in.jsonl").code == 1  # each finds its own again
    assert len([*folder.path.glob("*failed.jsonl")]) == 2
    folder.write("mended", "")
    for name in ("a", "b"):
        assert folder.map("work.py:fails_at_three", f"{name}/in.jsonl").code == 0
    assert not [*folder.path.glob("*failed.jsonl")]


def test_an_output_is_written_though_what_is_kept_was_removed_meanwhile(folder: Folder) -> None:
    read, write = os.pipe()
    command = folder.popen("work.py:logged", "--jsonl", "--key", "a", "-o", "sum", given=read)
    os.close(read)
    os.write(write, b"3\n")
    eventually(lambda: folder.lines("calls") == ["3"])
    eventually(lambda: (folder.path / ".sum.qm-part").stat().st_size > 0)
    gone = folder.path / "gone"  # its master still makes files in what is being removed
    (folder.path / ".quartermaster").rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    os.write(write, b"4\n")
    os.close(write)
    assert command.wait(PATIENCE_S) == 0, folder.lines("err")
    assert folder.lines("sum") == ["9", "16"]


def test_results_come_while_inputs_are_still_to_come(folder: Folder) -> None:
    read, write = os.pipe()
    command = folder.popen("work.py", "--jsonl", given=read)
    os.close(read)
    os.write(write, b"3\n")
    folder.written(1)
    os.write(write, b"4\n")
    folder.written(2)
    os.close(write)
    assert command.wait(PATIENCE_S) == 0
    assert folder.lines() == ["9", "16"]


def test_a_terminal_has_a_bar_and_the_output_has_results_alone(folder: Folder) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with (folder.path / "out").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "master", "map", "work.py:length", folder.numbers(2), "--lines"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=theirs,
            env=clean_environment(BASE),
            cwd=folder.path,
        )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):  # the terminal is closed when the command has ended
        while part := os.read(ours, 4096):
            shown += part
    os.close(ours)
    assert process.wait(PATIENCE_S) == 0
    assert b"length: 100%" in shown
    assert b"2/2" in shown
    assert b"measuring 1" in shown
    assert [json.loads(line)["name"] for line in folder.lines()] == ["0", "1"]


# --- what it does again ---


def test_standard_input_is_resumed_by_its_key(folder: Folder) -> None:
    words = ("work.py:logged", "--jsonl", "--key", "numbers")
    numbers = folder.numbers(20_000)
    with (folder.path / numbers).open("rb") as given:
        command = folder.popen(*words, given=given)
        done = folder.written(500)
        command.kill()
        command.wait()
    size = (folder.path / "calls").stat().st_size
    ended = folder.map(*words, given=(folder.path / numbers).read_bytes())
    assert (ended.code, ended.out.encode()) == (0, squares(20_000))
    later = (folder.path / "calls").read_bytes()[size:].splitlines()[1:]
    assert not {int(line) for line in later} & set(range(done))


def test_other_code_or_inputs_are_not_mixed_without_a_word(folder: Folder) -> None:
    words = ("work.py:fails_at_three", folder.numbers(6))
    assert folder.map(*words).code == 1
    folder.write("work.py", WORK.replace("n * n", "n + n").replace("n == 3", "n == 99"))
    refusal = folder.map(*words).refusal
    assert refusal.startswith("qm: the code has changed since results were recorded: --resume")
    ended = folder.map(*words, "--resume")
    assert (ended.code, ended.out) == (0, "0\n1\n4\n6\n16\n25\n")
    [said] = ended.err.splitlines()
    assert said.endswith("only what is left runs the code of now; --anew runs all of it again")
    folder.write("work.py", WORK)
    assert folder.map(*words).code == 1
    folder.numbers(7)
    assert "the inputs have changed" in folder.map(*words).refusal
    ended = folder.map(*words, "--anew")
    assert (ended.code, ended.out) == (1, "0\n1\n4\nnull\n16\n25\n36\n")


def test_a_result_that_is_recorded_and_not_written_is_one(folder: Folder) -> None:
    """The first input holds up the lines of all others."""
    slow = WORK.replace("return n * n", "return n * n if n else time.sleep(600)", 2)
    folder.write("work.py", f"import time\n{slow}")
    words = ("work.py:logged", folder.numbers(20_000))
    command = folder.popen(*words)
    eventually(lambda: len(folder.lines("calls")) > 200, PATIENCE_S)
    command.kill()
    command.wait()
    assert folder.lines() == []
    folder.write("work.py", WORK)
    refusal = folder.map(*words).refusal
    assert refusal.startswith("qm: the code has changed since results were recorded: --resume")
    ended = folder.map(*words, "--resume")
    assert (ended.code, ended.out.encode()) == (0, squares(20_000))


def test_no_input_runs_with_the_code_of_before_while_the_same_command_asks_or_goes_on(
    folder: Folder,
) -> None:
    """The worker gets nothing before the run has the new code."""
    folder.write(
        "work.py", WORK.replace("return n * n", "time.sleep(60 * (n > 0))\n    return n", 2)
    )
    words = ("work.py:logged", folder.numbers(50))
    command = folder.popen(*words)
    eventually(lambda: folder.lines("calls") and folder.lines(), PATIENCE_S)
    command.kill()
    command.wait()
    before = len(folder.lines("calls"))
    folder.write("work.py", WORK.replace('"calls"', '"later"'))
    assert "--resume keeps these" in folder.map(*words).refusal
    assert folder.map(*words, "--resume").code == 0
    assert len(folder.lines("calls")) == before
    assert len(folder.lines("later")) == 49


def test_code_of_a_command_that_dies_as_it_goes_on_is_known_the_next_time(folder: Folder) -> None:
    """Between its note and the run's new code: a failed input is tried with that code then."""
    words = ("work.py:fails_at_three", folder.numbers(6))
    assert folder.map(*words).code == 1
    folder.write("work.py", WORK.replace("n * n", "n + n").replace("n == 3", "n == 99"))
    assert folder.map(*words, "--resume", dies_in="renew").code == 9
    ended = folder.map(*words)
    assert (ended.code, ended.out) == (0, "0\n1\n4\n6\n16\n25\n")


def test_code_that_has_had_no_result_is_changed_without_a_question(folder: Folder) -> None:
    numbers = folder.numbers(2)
    folder.write("work.py", "def work(n):\n    return n * m\n")
    assert folder.map("work.py", numbers).out == "null\nnull\n"
    folder.write("work.py", WORK)
    assert folder.map("work.py", numbers).out.encode() == squares(2)


def test_the_same_command_beside_itself_is_refused_and_another_is_not(folder: Folder) -> None:
    read, write = os.pipe()
    command = folder.popen("work.py", "--jsonl", "--key", "one", given=read)
    os.close(read)
    os.write(write, b"3\n")
    folder.written(1)
    refusal = folder.map("work.py", "--jsonl", "--key", "one", given=b"3\n").refusal
    assert refusal == (
        f"qm: this command runs already (process {command.pid}): wait for it, or end it"
    )
    assert folder.map("work.py", "--jsonl", given=b"3\n").out == "9\n"
    os.close(write)
    assert command.wait(PATIENCE_S) == 0


def test_ctrl_c_ends_all_of_it_and_says_how_to_go_on(folder: Folder) -> None:
    read, write = os.pipe()
    command = folder.popen("work.py", "--jsonl", "--key", "one", given=read)
    os.close(read)
    os.write(write, b"3\n")
    folder.written(1)
    inside = [*children(command.pid, "master"), *children(command.pid, "worker")]
    assert len(inside) == 2
    command.send_signal(signal.SIGINT)
    assert command.wait(PATIENCE_S) == 130
    assert (folder.path / "err").read_text() == (
        "qm: interrupted; the same command goes on where it was\n"
    )
    assert not any(Path(f"/proc/{pid}").exists() for pid in inside)
    os.close(write)


@pytest.mark.parametrize("module", ["msgspec", "click", "master.cli.mapping.running"])
def test_ctrl_c_while_it_is_loaded_is_quiet(folder: Folder, module: str) -> None:
    words = [sys.executable, "-c", INTERRUPTED.format(module), "map", "work.py", folder.numbers(3)]
    ended = subprocess.run(
        words, cwd=folder.path, env=clean_environment(BASE), capture_output=True, timeout=PATIENCE_S
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, b"", b"")


def test_its_master_and_worker_end_with_a_command_that_is_killed(folder: Folder) -> None:
    command = folder.popen("work.py:logged", folder.numbers(200_000))
    folder.written(1)
    inside = [*children(command.pid, "master"), *children(command.pid, "worker")]
    command.kill()
    command.wait()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in inside))
    [kept] = folder.kept
    key = folder.path / ".quartermaster" / kept / "authkey"
    assert key.stat().st_mode & 0o777 == 0o600


def test_a_function_that_no_slot_can_prepare_ends_the_command(folder: Folder) -> None:
    folder.write("ready.py", NEEDS_MODEL)
    words = ("ready.py", folder.numbers(3))
    ended = folder.map(*words)
    assert (ended.code, ended.out) == (2, "")
    assert f'File "{folder.path}/ready.py", line 6, in setup' in ended.err
    assert ended.err.splitlines()[-1] == (
        "qm: ready.py can't run: work.setup() line 6: FileNotFoundError: no model; the same command"
        " goes on when that is mended"
    )
    folder.write("model", "")
    ended = folder.map(*words)
    assert (ended.code, ended.out.encode(), ended.err) == (0, squares(3), "")


def test_tags_that_no_worker_of_the_command_has_end_it(folder: Folder) -> None:
    options = "from queue_manager import Options\nOPTIONS = Options(needs={'gpu'})\n"
    folder.write("tagged.py", f"{options}def work(n): return n * n\n")
    words = ("tagged.py", folder.numbers(3))
    refusal = folder.map(*words).refusal
    assert refusal.startswith("qm: tagged.py can't run: no worker has the tag gpu: start one with")
    assert folder.map(*words, WORKER_TAGS="gpu").out.encode() == squares(3)


# --- a master elsewhere ---


def test_a_master_at_queue_host_is_used_and_keeps_nothing(folder: Folder, master: Master) -> None:
    master.worker()
    settings = {
        "QUEUE_HOST": "127.0.0.1",
        "QUEUE_PORT": str(master.port),
        "QUEUE_AUTHKEY": KEY,
    }
    words = ("work.py:fails_at_three", folder.numbers(6))
    assert folder.map(*words, **settings).code == 1
    [run] = [run for run in master.runs() if run.run]
    assert (run.done, run.dead) == (5, 1)
    folder.write("mended", "")
    ended = folder.map(*words, **settings)
    assert (ended.code, ended.out.encode()) == (0, squares(6))
    assert [run for run in master.runs() if run.run] == []


def test_at_queue_host_a_function_that_no_worker_can_prepare_waits_for_others(
    folder: Folder, master: Master
) -> None:
    master.worker()
    settings = {"QUEUE_HOST": "127.0.0.1", "QUEUE_PORT": str(master.port), "QUEUE_AUTHKEY": KEY}
    folder.write("ready.py", NEEDS_MODEL)
    command = folder.popen("ready.py", folder.numbers(3), **settings)
    eventually(lambda: "Ctrl-C ends this command" in (folder.path / "err").read_text())
    assert command.poll() is None
    command.send_signal(signal.SIGINT)
    assert command.wait(PATIENCE_S) == 130


def test_a_command_that_dies_before_it_has_forgotten_asks_the_next_time(
    folder: Folder, master: Master
) -> None:
    master.worker()
    settings = {"QUEUE_HOST": "127.0.0.1", "QUEUE_PORT": str(master.port), "QUEUE_AUTHKEY": KEY}
    words = ("work.py:fails_at_three", folder.numbers(6), "--key", "one")
    assert folder.map(*words, **settings).code == 1
    folder.write("work.py", WORK.replace("n * n", "n + n").replace("n == 3", "n == 99"))
    assert folder.map(*words, "--anew", dies_in="forget", **settings).code == 9
    assert "the code has changed" in folder.map(*words, **settings).refusal
    assert folder.map(*words, "--anew", **settings).out == "0\n2\n4\n6\n8\n10\n"


# --- what it refuses, and what is no error ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.py", "in.jsonl"], "none.py: there is no such file"),
        (["in.jsonl", "in.jsonl"], "in.jsonl is no Python file"),
        (["my-work.py", "in.jsonl"], "my-work.py can't be imported by that name: rename it, such"),
        (["worker.py", "in.jsonl"], "worker.py has the name of a module that is there already"),
        (["broken.py", "in.jsonl"], "broken.py line 2: NameError: name 'nothing' is not defined"),
        (["syntax.py", "in.jsonl"], "syntax.py line 1: SyntaxError"),
        (["work.py:wrok", "in.jsonl"], "work.py has no function 'wrok'; it has age, breaks_"),
        (["work.py:NUMBER", "in.jsonl"], "work.py: NUMBER is no function; it has age"),
        (["bare.py", "in.jsonl"], "bare.py has no function work(input): name another as bare.py:"),
        (["work.py", "none.jsonl"], "can't read none.jsonl: No such file or directory"),
        (["work.py", "in.dat"], "nobody knows what in.dat has: say --jsonl, --lines, --csv"),
        (["work.py", "."], ". is a folder"),
        (["work.py", "--jsonl", "in.dat"], "in.dat: line 3 is no JSON: it is empty"),
        (["work.py", "--lines", "latin"], "latin: line 2 is no UTF-8 (byte 1)"),
        (["work.py", "ragged.csv"], "ragged.csv: line 3 has 1 cell, and line 1 has 2"),
        (["work.py", "twice.csv"], "twice.csv: line 1 names two columns 'a'"),
        (["work.py", "long.jsonl"], "long.jsonl: line 1 has more than 1,048,576 bytes: raise QUEU"),
        (
            ["work.py", "in.jsonl", "-o", "x", "--failed", "./x"],
            "x can't have both results and fail",
        ),
        (["work.py", "in.jsonl", "-o", "no/where"], "no/where: there is no folder no"),
        (["work.py", "in.jsonl", "-o", "loop"], "can't write loop: Too many levels of symbolic li"),
        (["work.py", "in.jsonl", "-o", "x", "--failed", "loop"], "can't write loop: Too many leve"),
        (["work.py", "in.jsonl", "-o", ""], "the name behind -o is empty"),
        (["work.py", "in.jsonl", "--failed", ""], "the name behind --failed is empty"),
        (["work.py", "in.jsonl", "--failed", "-"], "--failed - : standard output has the results"),
        (["work.py", "in.jsonl", "--key", ""], "the name behind --key is empty"),
        (["leaves.py", "in.jsonl"], "leaves.py line 3: SystemExit: os._exit(0)"),
        (["work.py", "in.jsonl", "--resume", "--anew"], "--resume keeps what --anew forgets"),
    ],
)
def test_what_is_wrong_is_one_line(folder: Folder, words: list[str], said: str) -> None:
    folder.write("in.jsonl", "")
    folder.write("in.dat", "1\n2\n\n")
    folder.write("latin", b"one\n\xe9\n")
    folder.write("ragged.csv", "a,b\n1,2\n3\n")
    folder.write("twice.csv", "a,a\n")
    folder.write("long.jsonl", b"1" * 1_048_577)
    folder.write("my-work.py", WORK)
    folder.write("worker.py", WORK)
    folder.write("broken.py", "import os\nnothing\n")
    folder.write("syntax.py", "def work(:\n")
    folder.write("bare.py", "")
    folder.write("leaves.py", "import os\n\nos._exit(0)\n")
    (folder.path / "loop").symlink_to("loop")
    ended = folder.map(*words)
    lines = ended.err.splitlines()
    assert (ended.code, len(lines)) == (2, 1), ended
    assert lines[0].startswith(f"qm: {said}"), ended


def test_a_line_that_is_no_json_comes_behind_the_results_before(folder: Folder) -> None:
    folder.write("bad.jsonl", "1\n2\n{\n4\n")
    ended = folder.map("work.py", "bad.jsonl")
    assert (ended.code, ended.out) == (2, "1\n4\n")
    assert ended.err.startswith("qm: bad.jsonl: line 3 is no JSON")


def test_a_terminal_is_no_file_of_inputs(folder: Folder) -> None:
    ours, theirs = pty.openpty()
    command = folder.popen("work.py", "--lines", given=theirs)
    assert command.wait(PATIENCE_S) == 2
    os.close(ours), os.close(theirs)
    assert (folder.path / "err").read_text() == (
        "qm: no inputs: name a file of them, or pipe them in\n"
    )


def test_a_full_disk_is_one_line_and_the_command_goes_on_later(folder: Folder) -> None:
    words = ("work.py:logged", folder.numbers(5_000))
    with open("/dev/full", "wb") as full:
        command = folder.popen(*words, out=full.fileno())
    assert command.wait(2 * PATIENCE_S) == 2
    assert (folder.path / "err").read_text() == (
        "qm: can't write the output: No space left on device\n"
    )
    assert folder.map(*words).out.encode() == squares(5_000)


def test_a_reader_that_has_enough_is_no_error(folder: Folder) -> None:
    read, write = os.pipe()
    command = folder.popen("work.py", folder.numbers(300_000), out=write)
    os.close(write)
    with open(read, "rb") as lines:
        assert lines.readline() == b"0\n"
    assert command.wait(2 * PATIENCE_S) == 0
    assert (folder.path / "err").read_text() == ""


def test_a_child_that_dies_again_and_again_is_one_line(folder: Folder) -> None:
    (folder.path / "sitecustomize.py").write_text(
        "import sys\nif sys.argv[-1:] == ['serve'] or 'serve' in sys.orig_argv: sys.exit('no')\n"
    )
    ended = folder.map("work.py", folder.numbers(3), PYTHONPATH=f"{folder.path}:{REPO}")
    assert ended.refusal.startswith("qm: the master of this command has ended 6 times")


def test_few_files_that_may_be_open_are_one_line_or_enough(folder: Folder) -> None:
    command = (sys.executable, "-m", "master", "map", "work.py", folder.write("in.jsonl", "3\n"))
    for most, code in ((30, 2), (48, 0)):
        done = subprocess.run(
            ["sh", "-c", f'ulimit -n {most}; exec "$@"', "sh", *command],
            capture_output=True,
            text=True,
            env=clean_environment(BASE),
            cwd=folder.path,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, done.stderr
        if code:
            assert done.stderr.startswith("qm: a process may open 30 files here, and a worker with")
            assert done.stderr.count("\n") == 1
        else:
            assert done.stdout == "9\n"
