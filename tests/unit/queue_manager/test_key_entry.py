"""`python -m queue_manager.key_entry`: from a pipe or a terminal into the file, and no further."""

from __future__ import annotations

import os
import pty
import secrets
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from queue_manager.authkey import find_authkey
from queue_manager.key_entry import MOST_BYTES
from queue_manager.settings import load_settings

COMMAND = [sys.executable, "-m", "queue_manager.key_entry"]


def _enter(path: Path, text: bytes) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "QUEUE_AUTHKEY_FILE": str(path)}
    return subprocess.run(COMMAND, input=text, env=environment, capture_output=True, timeout=30)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_a_key_from_a_pipe_is_what_programs_find(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "authkey"
    key = "痛点 就是 起点".encode()
    done = _enter(path, key + end)
    assert done.returncode == 0, done.stderr
    assert find_authkey(load_settings({"QUEUE_AUTHKEY_FILE": str(path)})) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert key not in done.stdout + done.stderr


def test_a_new_key_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    for key in (b"the first", b"the second"):
        assert _enter(path, key).returncode == 0
    assert path.read_bytes() == b"the second\n"
    assert [found.name for found in tmp_path.iterdir()] == ["authkey"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"", b"no authkey was given"),
        (b"\n", b"no authkey was given"),
        (b"one\ntwo\n", b"a line end or a zero byte"),
        (b"a\0b", b"a line end or a zero byte"),
        (b"k" * (MOST_BYTES + 1), b"longer than 4,096 bytes"),
    ],
)
def test_what_is_no_key_is_one_line_and_the_old_one_stays(
    tmp_path: Path, text: bytes, why: bytes
) -> None:
    path = tmp_path / "authkey"
    path.write_bytes(b"old\n")
    done = _enter(path, text)
    assert done.returncode == 2
    assert why in done.stderr
    assert done.stderr.count(b"\n") == 1
    assert path.read_bytes() == b"old\n"


@pytest.mark.parametrize(
    ("key", "weak"),
    [(b"my friend", True), (secrets.token_urlsafe(16).encode(), False)],
    ids=["thought of", "random"],
)
def test_a_weak_key_is_kept_and_told_as_such(tmp_path: Path, key: bytes, weak: bool) -> None:
    path = tmp_path / "authkey"
    done = _enter(path, key)
    assert done.returncode == 0
    assert path.read_bytes() == key + b"\n"
    assert (b"key: it is weak: it has 9 bytes" in done.stderr) is weak
    assert done.stderr.count(b"\n") == 1 + weak
    assert key not in done.stdout + done.stderr


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = _enter(tmp_path / "none" / "authkey", b"a key")
    assert done.returncode == 2
    assert done.stderr.startswith(b"key: the authkey can't be kept in ")
    assert done.stderr.count(b"\n") == 1


def test_a_terminal_is_asked_and_does_not_show_the_key(tmp_path: Path) -> None:
    path = tmp_path / "authkey"
    pid, terminal = pty.fork()
    if pid == 0:  # the child, whose terminal it is
        os.environ["QUEUE_AUTHKEY_FILE"] = str(path)
        os.execv(sys.executable, COMMAND)
    shown = b""
    while b"authkey of the master: " not in shown:
        shown += os.read(terminal, 4_096)
    os.write(terminal, b"typed key\n")
    while True:
        try:
            part = os.read(terminal, 4_096)
        except OSError:  # its end closes the terminal
            break
        shown += part
        if not part:
            break
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
    os.close(terminal)
    assert path.read_bytes() == b"typed key\n"
    assert b"typed key" not in shown
