"""What a command prints: harmless for people, and one line when it can't be written."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from master.cli.text import printing
from queue_manager.errors import OutputError, ReaderGoneError


@pytest.fixture
def full() -> Iterator[io.TextIOWrapper]:
    """A stream to a disk without space."""
    number = os.open("/dev/full", os.O_WRONLY)
    with printing._opened(number, "utf-8") as stream:
        yield stream
    os.close(number)


def test_a_full_disk_is_an_error_of_ours_once(full: io.TextIOWrapper) -> None:
    full.write("a line\n")
    with pytest.raises(OutputError, match="can't write the output: No space left on device"):
        full.flush()
    full.write("more\n")
    full.flush()  # at exit nobody is told again


def test_a_reader_who_is_gone_is_told_from_a_full_disk() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with printing._opened(writing, "utf-8") as stream:
        stream.write("a line\n")
        with pytest.raises(ReaderGoneError):
            stream.flush()
    os.close(writing)


def test_lines_for_people_are_harmless_and_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    printing.say("a\x1b[31m", "b\nforged: line")
    assert capsys.readouterr().out == "a\\x1b[31m\nb\\nforged: line\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_nobody_elses_file(closed: str) -> None:
    code = (
        "import os, socket, sys; from master.cli.text import printing; printing.take_over();"
        "s = socket.socket(); print('on stdout'); print('on stderr', file=sys.stderr);"
        "os._exit(0 if s.fileno() > 2 else 1)"
    )
    done = subprocess.run(["bash", "-c", f'"$0" -c "$1" {closed}', sys.executable, code])
    assert done.returncode == 0


def test_what_a_terminal_cannot_show_is_written_out() -> None:
    code = "from master.cli.text import printing; printing.take_over(); printing.say('é 痛')"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, env=environment, capture_output=True, check=True)
    assert done.stdout == b"\\xe9 \\u75db\n"
