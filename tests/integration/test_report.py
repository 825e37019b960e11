"""report(): lines while a run goes on, above the bar on a terminal."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
import threading

from tests.integration.processes import Master, Place, eventually
from tests.unit.master.cli.text.test_progress import screen

LINE = re.compile(r"report (\d+)\+1 of 70 by (\d+), left (\d+\.\d) s")


def test_a_report_comes_while_the_run_goes_on_and_once_more_at_its_end(master: Master) -> None:
    """Its exceptions are counted as those of collect() are."""
    master.worker(WORKER_SLOTS="1")
    run = master.submit("telling")
    first = LINE.fullmatch(master.process.says("^report "))
    assert first is not None
    done, runner, left_s = int(first[1]), int(first[2]), float(first[3])
    assert 1 <= done <= 68
    assert left_s > 0.0
    assert master.children("master.runner.main") == [runner]
    master.process.says("^finished in 1 thread")  # on stderr, so behind the last report
    master.process.says(rf"^run {run} \(telling\): 69 tasks done, 1 dead letter ")
    log = master.process.log
    assert log.index("report() failed:") < log.index("finished in")
    assert "AssertionError: all has ended" in log
    assert log.count("report() failed:") == 1
    eventually(lambda: master.run_line(run)["collect_errors"] == "1")


def test_on_a_terminal_it_stands_above_the_bar_which_tells_dead_letters(place: Place) -> None:
    text = on_terminal(place, "run", "telling", "count=68", WORKER_SLOTS="1")
    lines = [line for line in screen(text) if "report " in line]
    assert lines  # one, or more where the machine is slow
    for line in lines:
        assert re.fullmatch(r"report \d+\+1 of 68 by \d+, left \d+\.\d s", line)
    assert re.search(r"telling: +\d+%.*, 1 dead\]", text)


def on_terminal(place: Place, *words: str, **settings: str) -> str:
    """What a command writes to its stderr, which is a terminal, until its end."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "-m", "master", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=place.environment(**settings),
        cwd=place.folder,
    )
    os.close(theirs)
    parts: list[bytes] = []
    reading = threading.Thread(target=_read, args=(ours, parts), daemon=True)
    reading.start()
    try:
        process.wait(60.0)
    finally:
        process.terminate()
        process.wait(20.0)
    reading.join(10.0)
    return b"".join(parts).decode().replace("\r\n", "\n")


def _read(terminal: int, parts: list[bytes]) -> None:
    try:
        while part := os.read(terminal, 4096):
            parts.append(part)
    except OSError:  # EIO: nobody has its other end any more
        os.close(terminal)
