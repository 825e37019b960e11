"""The bar of a map: what a terminal gets to see, and that a file gets nothing."""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import sys
import termios
import time

import pytest

from queue_manager.client.progress import bar_of


class Terminal:
    """A terminal of 80 columns, which is this process's stderr. No notebook is there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        self.stderr = os.fdopen(theirs, "w")
        monkeypatch.setattr(sys, "stderr", self.stderr)  # in the test: pytest sets its own before
        monkeypatch.delitem(sys.modules, "ipykernel", raising=False)

        os.set_blocking(self._ours, False)
        self._read = b""

    def shown(self) -> str:
        """All that was written to it so far."""
        with contextlib.suppress(BlockingIOError):
            self._read += os.read(self._ours, 65_536)
        return self._read.decode()

    def last(self, bar: str, text: str) -> str:
        """Wait until the bar of this name shows a text: the kernel passes it on when it can."""
        deadline = time.monotonic() + 10.0
        while text not in (line := self.shown().rpartition(f"\r{bar}: ")[2]):
            assert time.monotonic() < deadline, line
            time.sleep(0.001)
        return line

    def close(self) -> None:
        self.stderr.close()
        os.close(self._ours)


def test_a_terminal_sees_how_far_a_map_is_and_how_many_have_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    terminal = Terminal(monkeypatch)
    deadline = time.monotonic() + 10.0
    with bar_of("square", 10**9) as bar:
        assert bar is not None
        done = 0
        while not re.search(r"square: +[1-9]\d?%", terminal.shown()):
            assert time.monotonic() < deadline
            done += 2_000
            bar.show(done, 10**9, 0)
        assert terminal.shown().count("\r") < 10, "drawing costs more than tasks"
        bar.show(10**9, 10**9, 3)
    last = terminal.last("square", "100%")
    terminal.close()
    assert last.startswith("100%")
    assert "3 failed" in last


def test_a_bar_of_inputs_that_nobody_has_counted_shows_how_many_were_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def halved(n: float) -> float:
        return n / 2

    terminal = Terminal(monkeypatch)
    with bar_of(halved, None) as bar:
        assert bar is not None
        bar.show(70, 70, 0)
    last = terminal.last("halved", "70 tasks")
    terminal.close()
    assert last.startswith("70 tasks")
    assert "%" not in last


@pytest.mark.parametrize(
    ("total", "counted"), [(42, "42/42 "), (20_000, "20.0k/20.0k "), (None, "12.3k tasks")]
)
def test_only_large_numbers_of_tasks_are_rounded(
    total: int | None, counted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal(monkeypatch)
    with bar_of("square", total) as bar:
        assert bar is not None
        bar.show(total or 12_345, total or 12_345, 0)
    assert terminal.last("square", counted)
    terminal.close()


def test_where_stderr_is_no_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.StringIO()
    monkeypatch.setattr(sys, "stderr", file)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    with bar_of("square", 200) as bar:
        assert bar is None
    assert file.getvalue() == ""
