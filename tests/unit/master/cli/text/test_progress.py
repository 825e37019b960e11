"""The bar on a terminal, and lines of children beside it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator

from master.cli.text.printing import tell
from master.cli.text.progress import Progress
from master.processes.relay import Relay


class Terminal(io.TextIOWrapper):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def terminal() -> Iterator[Callable[[], str]]:
    """A terminal in the place of stderr; gives what was written to it so far."""
    raw = io.BytesIO()
    with contextlib.redirect_stderr(Terminal(raw, "utf-8", write_through=True)):
        yield lambda: raw.getvalue().decode()


def screen(text: str) -> list[str]:
    """The lines that a terminal shows: what is written over is gone."""
    lines = []
    for line in text.split("\n"):
        shown: list[str] = []
        for part in line.split("\r"):
            shown[: len(part)] = part
        lines.append("".join(shown).rstrip())
    return lines


def test_a_line_of_a_child_stands_above_the_bar() -> None:
    with terminal() as written, Progress("images") as progress:
        progress.show(10, 40)
        relay = Relay()
        relay.write(b"10 of 40 ima")
        assert "10 of 40 ima" not in written()
        relay.write(b"ges\nand ")
        first, bar = screen(written())
        assert first == "10 of 40 images"
        assert bar.startswith("images:  25%")
        relay.end()
        assert screen(written())[:2] == ["10 of 40 images", "and"]


def test_without_a_bar_all_is_passed_on_as_it_comes() -> None:
    with terminal() as written:
        relay = Relay()
        relay.write(b"half a li")
        assert written() == "half a li"
        relay.write(b"ne\n")
        relay.end()
        assert written() == "half a line\n"


def test_the_bar_tells_dead_letters_when_there_are_any() -> None:
    with terminal() as written, Progress("images") as progress:
        progress.show(10, 40)
        assert "dead" not in written()
        progress.show(20, 40, 3)
        assert "3 dead" in screen(written())[-1]
        progress.show(17, 40, 0)  # they were retried
        assert "dead" not in screen(written())[-1]


def test_a_line_of_the_command_itself_stands_above_the_bar() -> None:
    with terminal() as written, Progress("images") as progress:
        progress.show(10, 40)
        tell("run 7 waits: no worker is connected")
        first, bar = screen(written())
        assert first == "run 7 waits: no worker is connected"
        assert bar.startswith("images:  25%")
