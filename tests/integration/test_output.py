"""What commands print, and where that can't be written: one line, the right exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.integration.processes import Ended, Master


def shell(master: Master, command: str, **settings: str) -> Ended:
    """`qm` in a shell, where descriptors can be closed."""
    command = command.replace("qm ", f"{sys.executable} -m master ")
    done = subprocess.run(
        ["bash", "-c", command],
        env=master.environment(**settings),
        cwd=master.folder,
        capture_output=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode())


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """A master whose run 1 has ended. No test changes anything about that."""
    started: list[Any] = []
    try:
        master = Master(tmp_path_factory.mktemp("ended"), started)
        master.worker(PYTHONIOENCODING="ascii")
        master.submit("odd_texts", "s=\x1b[31m")
        master.ended_tasks(1, 5, within_s=60)
        yield master
    finally:
        for process in reversed(started):
            process.end()


COMMANDS = (
    "results 1",
    "results 1 --format csv",
    "failed 1",
    "show 1 1",
    "status",
    "submit square",
)


def test_a_full_disk_is_one_line(ended: Master) -> None:
    for command in (*COMMANDS, "--help", "results --help", "--version"):
        said = shell(ended, f"qm {command} >/dev/full").refusal
        assert said.endswith("can't write the output: No space left on device"), said


def test_a_closed_output_is_one_line_and_nothing_is_done(ended: Master) -> None:
    before = ended.runs()
    for command in (*COMMANDS, "retry 1", "cancel 1", "forget 1"):
        assert shell(ended, f"qm {command} >&-").refusal == (
            "qm: standard output is closed: give it a file, or > /dev/null"
        )
    assert ended.runs() == before  # `submit` has not submitted


def test_a_reader_who_has_had_enough_and_closed_streams_beside_are_no_error(
    ended: Master,
) -> None:
    for command in ("qm results 1 | head -n1", "qm status | head -n0", "qm --help | head -n1"):
        done = shell(ended, f"set -o pipefail; {command}")
        assert (done.code, done.err) == (0, ""), done
    for beside in ("2>&-", "2>/dev/full", "<&-"):
        done = shell(ended, f"qm results 1 {beside}")
        assert (done.code, done.out.count("\n")) == (0, 5), done


def test_no_text_of_others_steers_the_terminal(ended: Master) -> None:
    for command in ("status", "failed 1", "show 1 1", "results 1", "failed 1 --format jsonl"):
        out = shell(ended, f"qm {command}").out
        assert out.count("\n") > 1 or command == "results 1"
        assert not set(out) & set("\x1b\x9b"), command
    assert "\x1b" not in ended.process.log
    assert "s=\\x1b[31m" in shell(ended, "qm status").out
    first = json.loads(shell(ended, "qm failed 1 --format jsonl").out.splitlines()[0])
    # The error is one printable line for people, the traceback is the text itself.
    assert first["error"] == r"ValueError: a \x1b[31mred\x1b[0m \x9b31m one"
    assert "ValueError: a \x1b[31mred\x1b[0m \x9b31m one" in first["evidence"]


def test_of_a_long_text_type_place_and_both_ends_are_shown(ended: Master) -> None:
    shown = shell(ended, "qm show 1 2").out
    assert len(shown) < 10_000
    for part in ("ValueError: begin", 'odd_texts.py", line', "in work", "xend"):
        assert part in shown
    assert "odd_texts.py line " in ended.process.log


def test_a_print_that_the_locale_lacks_fails_no_task(ended: Master) -> None:
    assert ended.results(1)[3]["result"] == "printed"


def test_a_print_that_the_locale_of_the_master_lacks_fails_nothing(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(PYTHONIOENCODING="ascii")
    master.worker()
    master.submit("odd_texts")
    master.ended_tasks(1, 5, within_s=60)
    for where in ("tasks", "collect"):
        master.process.says(rf"^\\u2603 in {where}$")
    assert "collect() failed" not in master.process.log


def test_the_last_results_of_a_seed_may_hold_an_int_of_any_size(
    start_master: Callable[..., Master],
) -> None:
    master = start_master(JOB="odd_texts")
    master.worker()
    master.process.says("run 1 .*: 2 tasks done")
    assert master.process.terminate() == 0
    master.serve()
    master.process.says('\'number\' -> {"\\$int": "0x')
    master.process.says("'print' -> 'printed'")


def test_an_int_of_100_000_digits_is_a_line_that_any_reader_takes(ended: Master) -> None:
    for form in ("jsonl", "csv"):
        out = shell(ended, f"qm results 1 --format {form}").out
        assert hex(10**100_000) in out
    assert int(ended.results(1)[4]["result"]["$int"], 16) == 10**100_000
    assert '{"$int": "0x' in shell(ended, "qm show 1 5").out


def test_what_is_no_utf8_is_refused_in_one_line(ended: Master) -> None:
    for command in (
        r"submit odd_texts $'s=\xff'",
        r"submit $'\xff'",
        r"submit square --key $'\xff'",
    ):
        assert shell(ended, f"qm {command}").refusal.endswith(r"\xff' is no UTF-8")
