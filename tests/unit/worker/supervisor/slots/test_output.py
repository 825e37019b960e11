"""What slots print: passed on without waiting for whoever reads, and the end of it kept."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from worker.ipc.shared_page import ERR, OUT, SharedPage
from worker.slot.stdio import Stdio, TaskOutput
from worker.supervisor.slots.output import BUFFER_BYTES, OutputTail, Relay, Relays, Stream


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    os.close(read)
    os.close(write)


def read_until(descriptor: int, end: bytes) -> bytes:
    found = b""
    while not found.endswith(end):
        found += os.read(descriptor, 1 << 16)
    return found


def test_lines_come_out_in_their_order(pipe: Any) -> None:
    """And `drain` waits until they are written."""
    relay = Relay(pipe[1])
    for n in range(100):
        relay.write(b"%d\n" % n)
    relay.drain(10.0)
    assert os.read(pipe[0], 1 << 16) == b"".join(b"%d\n" % n for n in range(100))


@pytest.mark.usefixtures("patient")
def test_nobody_waits_for_a_reader_that_does_not_read(pipe: Any) -> None:
    """Lines beyond the buffer are dropped, and one note says how many."""
    relay = Relay(pipe[1])
    line = b"x" * 1_023 + b"\n"
    count = 3 * BUFFER_BYTES // len(line)
    writer = threading.Thread(target=lambda: [relay.write(line) for _ in range(count)])
    writer.start()
    writer.join(60.0)
    assert not writer.is_alive()
    relay.drain(0.01)
    found = read_until(pipe[0], b"nobody read the worker's output)\n")
    kept, note = found.count(line), found.rsplit(b"\n", 2)[1]
    assert note.startswith(b"(%d line(s) dropped" % (count - kept))
    relay.write(b"after\n")
    assert os.read(pipe[0], 100) == b"after\n"


def test_the_end_of_both_streams_is_kept_in_order() -> None:
    """4 KiB of both together, and 4 KiB of stderr, whatever the other stream does."""
    ends = OutputTail()
    ends.add(ERR, b"error\n")
    for _ in range(100):
        ends.add(OUT, b"o" * 999 + b"\n")
    ends.add(ERR, b"last\n")
    assert ends.errors == "error\nlast"
    assert len(ends.since((0, 0))) == 4_096
    assert ends.since((0, 0)).endswith("o\nlast\n")
    assert ends.since((99_990, 0)) == "o" * 9 + "\nlast\n"
    assert ends.since((100_000, 11)) == ""


async def pieces_are_read(relays: Relays, pipes: list[tuple[int, int]]) -> str:
    ends = OutputTail()
    streams = [
        Stream(os.fdopen(pipes[number][0], "rb"), number, relay, ends)
        for number, relay in ((OUT, relays.out), (ERR, relays.err))
    ]
    for number, piece in ((OUT, b"task "), (ERR, b"error 2\n"), (OUT, b"2\n"), (OUT, b"half")):
        os.write(pipes[number][1], piece)
        streams[number].read()
    for (_, write), stream in zip(pipes, streams, strict=True):
        os.close(write)
        stream.close()
    return ends.since((0, 0))


def test_a_line_is_whole_though_it_was_written_in_pieces() -> None:
    """As `print` does with PYTHONUNBUFFERED, which the images set; the last needs no end."""
    outs, errs = os.pipe(), os.pipe()
    relays = Relays(Relay(outs[1]), Relay(errs[1]))
    found = asyncio.run(pieces_are_read(relays, [os.pipe(), os.pipe()]))
    assert found == "error 2\ntask 2\nhalf"
    assert read_until(outs[0], b"half\n") == b"task 2\nhalf\n"
    assert read_until(errs[0], b"\n") == b"error 2\n"
    for descriptor in (*outs, *errs):
        os.close(descriptor)


def test_the_board_says_where_a_task_began_to_print() -> None:
    """Behind all that was written, for a task that wrote nothing."""
    shared_page = SharedPage.create()
    shared_page.output.wrote(1, 0, OUT, 10)
    shared_page.output.wrote(1, 0, ERR, 5)
    shared_page.output.wrote(1, 1, OUT, 7)
    shared_page.output.wrote(1, 1, OUT, 7)
    theirs = SharedPage(shared_page.descriptor)
    assert theirs.output.starts(1, 1) == (10, 5)
    assert theirs.output.starts(1, 2) == (24, 5)
    assert theirs.output.starts(2, 1) == (24, 5)
    assert theirs.rows[0].look().position == 0


def test_a_tail_keeps_the_last_4_kib() -> None:
    """In bytes, whatever is written in however many pieces."""
    tail = TaskOutput(1, 0)
    for n in range(3_000):
        tail.add(f"line {n}\n")
    tail.add("ä" * 3_000)
    assert tail.text == "ä" * 2_048
    tail.add("\udc80end")
    assert tail.text.endswith("?end")


def test_output_of_one_task_is_not_that_of_the_next() -> None:
    """Neither is what is printed before the first one."""
    shared_page = SharedPage.create()
    printed = Stdio(shared_page)
    printed.note(OUT, "import\n", 7)
    row = shared_page.rows[0]
    row.reset(0, 3)
    printed.begin(5, row)
    row.numbers[2] = 0
    printed.note(OUT, "zero\n", 5)
    row.numbers[2] = 1
    assert printed.of(1) == ""
    printed.note(OUT, "one", 3)
    printed.note(ERR, " more\n", 6)
    assert printed.of(1) == "one more\n"
    assert shared_page.output.starts(5, 1) == (12, 0)


@pytest.mark.usefixtures("patient")
def test_a_failure_carries_what_its_try_printed(jobs: Any, run_worker: Any) -> None:
    """Both streams in their order, 4 KiB at most; the traceback stays in the evidence."""
    jobs.write(
        """
        import logging, sys
        def work(n):
            print("out", n)
            print("err", n, file=sys.stderr)
            logging.warning("logged %d", n)
            if n == 1: raise ValueError("bad")
            if n == 2:
                print("x" * 10_000)
                raise ValueError
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0, 1, 2]))
        await rig.until(lambda: len(rig.failed) == 2)
        first, second = rig.failed
        assert first.printed == "out 1\nerr 1\nWARNING:root:logged 1\n"
        assert "ValueError: bad" in first.evidence
        assert second.printed == "x" * 4_095 + "\n"

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_a_task_that_kills_its_slot_shows_what_it_printed(jobs: Any, run_worker: Any) -> None:
    """Cut where it began; its neighbours' lines are not its own."""
    jobs.write(
        """
        import os, sys
        def setup(): print("setting up")
        def work(n):
            print("task", n)
            print("error", n, file=sys.stderr)
            if n == 2: os._exit(3)
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0, 1, 2]))
        await rig.until(lambda: rig.failed)
        (failed,) = rig.failed
        assert sorted(failed.printed.splitlines()) == ["error 2", "task 2"]
        assert "exit code 3" in failed.error
        assert failed.evidence.endswith("error 2")

    run_worker(scenario)


@pytest.mark.usefixtures("patient")
def test_a_silent_task_that_dies_shows_nothing_of_others(jobs: Any, run_worker: Any) -> None:
    """But what its C code, or the interpreter in its last moment, wrote around `print`."""
    jobs.write(
        """
        import ctypes
        def work(n):
            if n == 1: ctypes.string_at(0)
            print("task", n)
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0, 1]))
        await rig.until(lambda: rig.failed)
        assert "task 0" not in rig.failed[0].printed
        assert "Segmentation fault" in rig.failed[0].printed

    run_worker(scenario)


def test_what_slots_print_comes_out_of_the_worker(
    jobs: Any, run_worker: Any, monkeypatch: Any
) -> None:
    """By its two streams, line by line, the last one also without its end."""
    outs, errs = os.pipe(), os.pipe()
    relays = Relays(Relay(outs[1]), Relay(errs[1]))
    monkeypatch.setattr(Relays, "standard", lambda: relays)
    jobs.write(
        """
        import sys
        def work(n):
            print("to out")
            print("to err", file=sys.stderr)
            sys.stdout.write("no end")
            sys.stdout.flush()
        """
    )

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([0]))
        await rig.until(lambda: rig.done)

    run_worker(scenario)
    assert read_until(errs[0], b"\n") == b"to err\n"
    assert read_until(outs[0], b"no end\n") == b"to out\nno end\n"
    for descriptor in (*outs, *errs):
        os.close(descriptor)


def test_a_slot_that_prints_without_end_does_not_hold_up_the_supervisor(
    jobs: Any, run_worker: Any, monkeypatch: Any
) -> None:
    """Though nobody reads: a neighbour's lease is run and reported meanwhile."""
    outs = os.pipe()
    relays = Relays(Relay(outs[1]), Relay(2))
    monkeypatch.setattr(Relays, "standard", lambda: relays)
    jobs.write("def work(n):\n    while n: print('x' * 1_000)\n    return n")

    async def scenario(rig: Any) -> None:
        rig.give(jobs.lease([1]))
        await rig.until(lambda: relays.out._dropped)
        for _ in range(5):
            lease = jobs.lease([0])
            rig.give(lease)
            await rig.until(lambda lease=lease: (lease.number, 0) in rig.done)

    run_worker(scenario, slots=2)
    os.close(outs[0])  # the relay's thread ends its write with an error
