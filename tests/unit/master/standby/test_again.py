"""How a master begins anew: its command line, its environment, its children."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from master.standby.again import command_with, environment_with
from queue_manager.settings import load_settings


def test_the_command_is_the_same_with_the_socket() -> None:
    words = ["python", "-m", "master", "serve"]
    assert command_with(words, 7) == [*words, "--listening", "7"]
    before = [*words, "--listening", "3", "--workers-gone"]
    assert command_with(before, 7) == [*words, "--listening", "7"]


def test_the_environment_has_again_what_was_hidden(tmp_path: Path) -> None:
    settings = load_settings({"QUEUE_AUTHKEY": "k", "MASTER_STORE": "postgresql://a/b"})
    assert environment_with({"A": "1"}, settings) == {
        "A": "1",
        "QUEUE_AUTHKEY": "k",
        "MASTER_STORE": "postgresql://a/b",
    }


def test_children_end_with_all_that_they_have_started() -> None:
    """In a process of its own, since all children of this one would end."""
    code = """
import subprocess, sys
from master.standby.again import end_children
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
words = [sys.executable, "-c", deaf]
children = [subprocess.Popen(words, start_new_session=True), subprocess.Popen(words)]
end_children()
print([child.poll() is not None for child in children])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[True, True]", done.stderr


def test_without_children_nothing_is_waited_for() -> None:
    code = "from master.standby.again import end_children; end_children()"
    subprocess.run([sys.executable, "-c", code], timeout=30, check=True)
