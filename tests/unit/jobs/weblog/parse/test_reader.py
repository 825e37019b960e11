"""How much of a text is tried at once: little of one that is odd, much of one that is regular."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.weblog.parse import reader
from jobs.weblog.parse.times import Clock
from tests.unit.jobs.weblog.logs_made import asked, line, run

ODD = line(request=r"GET /a\" HTTP/1.1")  # a backslash is before a quote
REGULAR = line()


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each text that was tried at once."""
    sizes: list[int] = []
    read = reader.Words.read

    def noted(words: reader.Words, data: bytes) -> list[bytes]:
        sizes.append(len(data))
        return read(words, data)

    monkeypatch.setattr(reader.Words, "read", noted)
    return sizes


def test_after_many_odd_texts_few_of_them_are_tried_at_once(
    tmp_path: Path, tried: list[int]
) -> None:
    path = tmp_path / "access.log"
    path.write_text(f"{ODD}\n" * 60_000)
    assert run([path]).summary.requests == 60_000
    assert sum(tried) < path.stat().st_size / 2


def test_a_log_that_becomes_regular_is_soon_read_as_such(tmp_path: Path, tried: list[int]) -> None:
    path = tmp_path / "access.log"
    path.write_text(f"{ODD}\n" * 40_000 + f"{REGULAR}\n" * 100_000)
    assert run([path]).summary.requests == 140_000
    regular_bytes = 100_000 * (len(REGULAR) + 1)
    assert sum(tried) > regular_bytes / 2


def test_short_lines_do_not_wait_in_great_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "_MOST_HELD_LINES", 1000)
    reads = reader.Reader(asked(), Clock("UTC"))
    for _ in range(5):
        assert not list(reads.batches(f"{REGULAR}\n".encode() * 199))
    assert sum(map(len, reads.batches(f"{REGULAR}\n".encode() * 199))) == 6 * 199


def test_a_long_object_behind_many_odd_texts_is_a_request() -> None:
    clock = Clock("UTC")
    reads = reader.Reader(asked(), clock)
    for _ in range(20):
        assert sum(map(len, reads.batches(f"{ODD}\n".encode()))) == 1
    text = f'{{"time": "2025-10-01T13:00:07Z", "client": "a", "x": "{"x" * 300_000}"}}\n'
    assert sum(map(len, reads.batches(text.encode()))) == 1


def test_a_line_with_a_brace_is_an_object_also_among_regular_ones(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    text = line(client="{192.0.2.1")
    path.write_text(f"{REGULAR}\n" * 50 + f"{text}\n")
    found = run([path]).summary
    assert (found.requests, found.samples) == (50, [text])
    assert run([path], format="combined").summary.requests == 51
