"""What `backup` and `restore` do, and how they say it."""

from __future__ import annotations

import shlex
import signal
import sys
import time
from pathlib import Path
from typing import BinaryIO

import click

from queue_manager.lifeline import stop_signals
from queue_manager.terminal import harmless_line

from ...backup.follower import Follower
from ...backup.once import copy_to_file, copy_to_stream
from ...backup.records import Target
from ...backup.remote import RemoteCopy, receive
from ...backup.replica import Replica
from ...backup.restoring import restore
from ...backup.telling import Telling
from ..text.printing import check_output, say, tell
from ..text.progress import progress_in_bytes

_NO_KEY = "The key is not in it: keep that, too"


def back_up(folder: Path, target: str) -> int:
    """Copy the store in a folder to a file, or `-`. Returns the exit code."""
    check_output()
    if target == "-":
        copied = copy_to_stream(folder, _binary(sys.stdout.fileno(), "wb"))
        tell(f"qm: wrote the store of {_time(copied.at)}, {copied.size_bytes:,} bytes. {_NO_KEY}")
        return 0
    with progress_in_bytes(target) as show:
        copied = copy_to_file(folder, Path(target), show)
    assert copied.checked is not None
    say(f"{target}: the store of {_time(copied.at)}, {copied.checked.text}. {_NO_KEY}")
    return 0


def follow_store(folder: Path, target: str, *, through: bool) -> int:
    """Keep a copy of the store in a folder until a signal comes. Returns the exit code."""

    def opened() -> Target:
        return RemoteCopy(shlex.split(target)) if through else Replica(Path(target))

    if through and not shlex.split(target):
        raise click.UsageError("--through needs a command")
    follower = Follower(folder, opened, Telling(folder, target, _say_with_time))
    for number in stop_signals():
        signal.signal(number, lambda number, frame: follower.stop())
    follower.run()
    return 0


def receive_copy(folder: Path) -> int:
    """Keep a copy of what comes in on standard input. Returns the exit code."""
    receive(folder, _binary(0, "rb"), _binary(sys.stdout.fileno(), "wb"))
    return 0


def put_back(folder: Path, source: str) -> int:
    """Make a copy the store of a folder. Returns the exit code."""
    check_output()
    restored = restore(folder, _binary(0, "rb") if source == "-" else Path(source))
    of = f" of {_time(restored.commit.at)}" if restored.commit else ""
    kept = f" What was there is in {restored.kept}." if restored.kept else ""
    say(f"{folder} has the store{of}: {restored.checked.text}.{kept} The key is not in a copy")
    return 0


def _binary(number: int, mode: str) -> BinaryIO:
    file: BinaryIO = open(number, mode, closefd=False)  # type: ignore[assignment]  # noqa: SIM115
    return file


def _time(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at))


def _say_with_time(line: str) -> None:
    tell(f"{time.strftime('%H:%M:%S')} {harmless_line(line)}")
